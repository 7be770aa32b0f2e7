//! Reading encoded documents in place.

use std::cmp::Ordering;

use super::{
    DOCUMENT_DEPTH_MAX, TAG_ARRAY, TAG_FALSE, TAG_INTEGER, TAG_NULL, TAG_NUMBER, TAG_OBJECT, TAG_STRING,
    TAG_TRUE, VERSION, WIDTH_SHIFT,
};
use crate::cast::{CastKind, cast};
use crate::error::{Error, Result};
use crate::json;
use crate::text::{TextContext, parse_text};
use crate::types::DataType;
use crate::value::Value;

/// What a document, or a part of one, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// A list.
    Array,
    /// Names and values.
    Object,
}

/// An encoded document, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct DocumentRef<'a> {
    tag: u8,
    width: usize,
    body: &'a [u8],
}

/// A container's table and data.
#[derive(Clone, Copy)]
struct Container<'a> {
    count: usize,
    width: usize,
    /// Only of objects: places in the order of the names.
    order: &'a [u8],
    /// Only of objects.
    name_ends: &'a [u8],
    ends: &'a [u8],
    names: &'a [u8],
    data: &'a [u8],
}

impl<'a> DocumentRef<'a> {
    /// Opens an encoded document, looking at its first bytes only.
    ///
    /// # Errors
    /// XX001 when the bytes are no document of a version known here.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        match bytes.split_first() {
            Some((&VERSION, node)) => Self::node(node),
            _ => None,
        }
        .ok_or_else(|| Error::corrupted(format!("{} stored bytes are no document", bytes.len())))
    }

    fn node(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first()?;
        let tag = head & 0x0f;
        let width = match head >> WIDTH_SHIFT {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => return None,
        };
        let container = matches!(tag, TAG_ARRAY | TAG_OBJECT);
        (tag <= TAG_OBJECT && (container || width == 1)).then_some(Self { tag, width, body })
    }

    /// What it is.
    pub fn kind(&self) -> DocumentKind {
        match self.tag {
            TAG_FALSE | TAG_TRUE => DocumentKind::Bool,
            TAG_INTEGER | TAG_NUMBER => DocumentKind::Number,
            TAG_STRING => DocumentKind::String,
            TAG_ARRAY => DocumentKind::Array,
            TAG_OBJECT => DocumentKind::Object,
            _ => DocumentKind::Null,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.tag == TAG_NULL
    }

    /// The truth value that it is.
    pub fn as_bool(&self) -> Option<bool> {
        match self.tag {
            TAG_FALSE => Some(false),
            TAG_TRUE => Some(true),
            _ => None,
        }
    }

    /// The number that it is, if that is an integer of 64 bits without point or exponent.
    pub fn as_i64(&self) -> Option<i64> {
        if self.tag != TAG_INTEGER {
            return None;
        }
        self.body.try_into().ok().map(i64::from_le_bytes)
    }

    /// The number that it is, to the precision of a double.
    pub fn as_f64(&self) -> Option<f64> {
        match self.tag {
            TAG_INTEGER => self.as_i64().map(|number| number as f64),
            TAG_NUMBER => std::str::from_utf8(self.body).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The digits of the number that it is, as they were written.
    pub fn as_number_text(&self) -> Option<String> {
        match self.tag {
            TAG_INTEGER => self.as_i64().map(|number| number.to_string()),
            TAG_NUMBER => std::str::from_utf8(self.body).ok().map(str::to_owned),
            _ => None,
        }
    }

    /// The string that it is.
    pub fn as_str(&self) -> Option<&'a str> {
        if self.tag == TAG_STRING { std::str::from_utf8(self.body).ok() } else { None }
    }

    /// How many elements or members it has; 0 for scalars.
    pub fn len(&self) -> usize {
        self.container().map_or(0, |container| container.count)
    }

    /// Whether it has no elements or members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of an object's member.
    pub fn get(&self, name: &str) -> Option<DocumentRef<'a>> {
        if self.tag != TAG_OBJECT {
            return None;
        }
        let object = self.container()?;
        let (mut low, mut high) = (0, object.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let place = entry(object.order, object.width, middle)?;
            match object.name(place)?.cmp(name.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return object.value(place),
            }
        }
        None
    }

    /// An array's element, counted from 0.
    pub fn at(&self, place: usize) -> Option<DocumentRef<'a>> {
        if self.tag == TAG_ARRAY { self.container()?.value(place) } else { None }
    }

    /// The part at the end of a path of member names and array places.
    pub fn get_path<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> Option<DocumentRef<'a>> {
        path.into_iter().try_fold(*self, |part, step| match part.tag {
            TAG_ARRAY => part.at(step.parse().ok()?),
            _ => part.get(step),
        })
    }

    /// An array's elements in order; none for anything else.
    pub fn elements(&self) -> DocumentElements<'a> {
        let container = if self.tag == TAG_ARRAY { self.container() } else { None };
        DocumentElements { container, next: 0 }
    }

    /// An object's members in the order in which they were written; none for anything else.
    pub fn members(&self) -> DocumentMembers<'a> {
        let container = if self.tag == TAG_OBJECT { self.container() } else { None };
        DocumentMembers { container, next: 0 }
    }

    /// Its JSON text, members in the order in which they were written.
    pub fn to_json_text(&self) -> String {
        let mut out = Vec::new();
        self.write_json(0, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    fn write_json(&self, depth: usize, out: &mut Vec<u8>) {
        match self.tag {
            TAG_FALSE => out.extend_from_slice(b"false"),
            TAG_TRUE => out.extend_from_slice(b"true"),
            TAG_INTEGER | TAG_NUMBER => {
                out.extend_from_slice(self.as_number_text().unwrap_or_else(|| "null".into()).as_bytes());
            }
            TAG_STRING => json::write_string(self.as_str().unwrap_or_default(), out),
            TAG_ARRAY if depth <= DOCUMENT_DEPTH_MAX => {
                out.push(b'[');
                for (place, element) in self.elements().enumerate() {
                    if place > 0 {
                        out.extend_from_slice(b", ");
                    }
                    element.write_json(depth + 1, out);
                }
                out.push(b']');
            }
            TAG_OBJECT if depth <= DOCUMENT_DEPTH_MAX => {
                out.push(b'{');
                for (place, (name, value)) in self.members().enumerate() {
                    if place > 0 {
                        out.extend_from_slice(b", ");
                    }
                    json::write_string(name, out);
                    out.extend_from_slice(b": ");
                    value.write_json(depth + 1, out);
                }
                out.push(b'}');
            }
            _ => out.extend_from_slice(b"null"),
        }
    }

    /// It as a value of that type, converted as far as `jsonb` or text converts to it; what does not
    /// convert is NULL, because documents of one collection may differ.
    ///
    /// # Errors
    /// None today; a caller has to be ready for 22P02 and the like.
    pub fn to_value(&self, data_type: &DataType) -> Result<Value> {
        let context = TextContext::default();
        let converted = match (self.tag, data_type) {
            (TAG_NULL, _) => return Ok(Value::Null),
            (TAG_FALSE | TAG_TRUE, DataType::Bool) => {
                return Ok(self.as_bool().map_or(Value::Null, Value::Bool));
            }
            (TAG_INTEGER, DataType::Int8) => return Ok(self.as_i64().map_or(Value::Null, Value::Int8)),
            (TAG_INTEGER | TAG_NUMBER, DataType::Float8) => {
                return Ok(self
                    .as_f64()
                    .filter(|number| number.is_finite())
                    .map_or(Value::Null, Value::Float8));
            }
            (_, DataType::Jsonb) => json::canonical(&self.to_json_text()).map(Value::Text),
            (_, DataType::Json) => Ok(Value::Text(self.to_json_text())),
            (TAG_STRING, data_type) => parse_text(data_type, self.as_str().unwrap_or_default(), &context),
            (TAG_INTEGER | TAG_NUMBER, data_type) if data_type.is_numeric() => {
                let numeric = DataType::Numeric(None);
                let text = self.as_number_text().unwrap_or_default();
                parse_text(&numeric, &text, &context).and_then(|number| {
                    cast(number.as_ref(), &numeric, data_type, CastKind::Explicit, &context)
                })
            }
            (_, data_type) if data_type.is_string() => cast_text(&self.to_json_text(), data_type, &context),
            (TAG_ARRAY, DataType::Array(element)) => {
                let elements = self.elements().map(|part| part.to_value(element)).collect::<Result<Vec<_>>>();
                elements.map(|elements| Value::Array(elements.into()))
            }
            _ => return Ok(Value::Null),
        };
        Ok(converted.unwrap_or(Value::Null))
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// XX001 when any part cannot be read.
    pub fn validate(&self) -> Result<()> {
        if self.is_valid(0) { Ok(()) } else { Err(Error::corrupted("a stored document is damaged")) }
    }

    fn is_valid(&self, depth: usize) -> bool {
        match self.tag {
            TAG_NULL | TAG_FALSE | TAG_TRUE => self.body.is_empty(),
            TAG_INTEGER => self.body.len() == 8,
            TAG_NUMBER => {
                std::str::from_utf8(self.body).is_ok_and(|text| json::plain_number(text).is_ok())
                    && self.as_f64().is_some()
            }
            TAG_STRING => self.as_str().is_some(),
            _ => {
                let Some(container) = self.container().filter(|_| depth <= DOCUMENT_DEPTH_MAX) else {
                    return false;
                };
                let sorted = self.tag == TAG_ARRAY || container.is_sorted();
                sorted
                    && (0..container.count)
                        .all(|place| container.value(place).is_some_and(|part| part.is_valid(depth + 1)))
            }
        }
    }

    fn container(&self) -> Option<Container<'a>> {
        let width = self.width;
        let (count, rest) = self.body.split_at_checked(width)?;
        let count = entry(count, width, 0)?;
        let table = count.checked_mul(width)?;
        let empty: &[u8] = &[];
        if self.tag == TAG_ARRAY {
            let (ends, data) = rest.split_at_checked(table)?;
            return Some(Container {
                count,
                width,
                order: empty,
                name_ends: empty,
                ends,
                names: empty,
                data,
            });
        }
        if self.tag != TAG_OBJECT {
            return None;
        }
        let (order, rest) = rest.split_at_checked(table)?;
        let (name_ends, rest) = rest.split_at_checked(table)?;
        let (ends, rest) = rest.split_at_checked(table)?;
        let names_length = if count == 0 { 0 } else { entry(name_ends, width, count - 1)? };
        let (names, data) = rest.split_at_checked(names_length)?;
        Some(Container { count, width, order, name_ends, ends, names, data })
    }
}

fn cast_text(text: &str, data_type: &DataType, context: &TextContext) -> Result<Value> {
    cast(crate::value::ValueRef::Text(text), &DataType::Text, data_type, CastKind::Explicit, context)
}

impl<'a> Container<'a> {
    fn name(&self, place: usize) -> Option<&'a [u8]> {
        slice(self.names, self.name_ends, self.width, place)
    }

    fn value(&self, place: usize) -> Option<DocumentRef<'a>> {
        DocumentRef::node(slice(self.data, self.ends, self.width, place)?)
    }

    /// Whether the table names each member once, in order.
    fn is_sorted(&self) -> bool {
        let names: Option<Vec<&[u8]>> = (0..self.count)
            .map(|at| {
                self.name(entry(self.order, self.width, at)?).filter(|name| std::str::from_utf8(name).is_ok())
            })
            .collect();
        names.is_some_and(|names| names.is_sorted_by(|one, other| one < other))
    }
}

/// A number of a table.
fn entry(table: &[u8], width: usize, place: usize) -> Option<usize> {
    let at = place.checked_mul(width)?;
    Some(match *table.get(at..at + width)? {
        [a] => usize::from(a),
        [a, b] => usize::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return None,
    })
}

/// The bytes between two ends.
fn slice<'a>(data: &'a [u8], ends: &[u8], width: usize, place: usize) -> Option<&'a [u8]> {
    let start = match place.checked_sub(1) {
        Some(before) => entry(ends, width, before)?,
        None => 0,
    };
    data.get(start..entry(ends, width, place)?)
}

/// The elements of an array in a document.
#[derive(Clone)]
pub struct DocumentElements<'a> {
    container: Option<Container<'a>>,
    next: usize,
}

impl<'a> Iterator for DocumentElements<'a> {
    type Item = DocumentRef<'a>;

    fn next(&mut self) -> Option<DocumentRef<'a>> {
        let place = self.next;
        self.next += 1;
        self.container.as_ref()?.value(place)
    }
}

/// The members of an object in a document.
#[derive(Clone)]
pub struct DocumentMembers<'a> {
    container: Option<Container<'a>>,
    next: usize,
}

impl<'a> Iterator for DocumentMembers<'a> {
    type Item = (&'a str, DocumentRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.next;
        self.next += 1;
        let container = self.container.as_ref()?;
        Some((std::str::from_utf8(container.name(place)?).ok()?, container.value(place)?))
    }
}
