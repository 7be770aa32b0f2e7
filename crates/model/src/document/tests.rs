#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::numeric::Numeric;
use crate::types::DataType;
use crate::value::Value;

fn encode(document: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    encode_document(document, &mut out).unwrap();
    out
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1e9f64..1e9).prop_map(Json::from),
        "[a-z\u{e9}\"\\\\]{0,8}".prop_map(Json::from),
        "z{300}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            proptest::collection::hash_map("[a-z]{0,5}", inner, 0..8)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// The same document, read member by member.
fn decode(part: DocumentRef<'_>) -> Json {
    match part.kind() {
        DocumentKind::Null => Json::Null,
        DocumentKind::Bool => Json::from(part.as_bool().unwrap()),
        DocumentKind::Number => parsed(&part.as_number_text().unwrap()),
        DocumentKind::String => Json::from(part.as_str().unwrap()),
        DocumentKind::Array => part.elements().map(decode).collect(),
        DocumentKind::Object => {
            Json::Object(part.members().map(|(name, value)| (name.to_owned(), decode(value))).collect())
        }
    }
}

proptest! {
    #[test]
    fn a_document_comes_back_with_every_member_in_its_order(document in any_json()) {
        let bytes = encode(&document);
        let root = DocumentRef::new(&bytes).unwrap();
        root.validate().unwrap();
        prop_assert_eq!(decode(root).to_string(), document.to_string());
        prop_assert_eq!(parsed(&root.to_json_text()).to_string(), document.to_string());
        if let Json::Object(members) = &document {
            for (name, value) in members {
                prop_assert_eq!(decode(root.get(name).unwrap()).to_string(), value.to_string());
            }
            prop_assert!(root.get("not there").is_none());
        }
    }

    #[test]
    fn damaged_documents_never_panic(
        document in any_json(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let mut bytes = encode(&document);
        let at = place.index(bytes.len());
        bytes[at] = byte;
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(root) = DocumentRef::new(bytes) {
                let _ = (root.validate(), root.to_json_text(), root.get("a"), infer_type(root));
                let _ = root.to_value(&DataType::Jsonb);
            }
        }
    }
}

#[test]
fn numbers_keep_every_digit() {
    let document = parsed(r#"{"a": 1.50, "b": 123456789012345678901234567890, "c": 1, "d": -0.0}"#);
    let bytes = encode(&document);
    let root = DocumentRef::new(&bytes).unwrap();
    assert_eq!(root.to_json_text(), r#"{"a": 1.50, "b": 123456789012345678901234567890, "c": 1, "d": -0.0}"#);
    assert_eq!(root.get("c").unwrap().as_i64(), Some(1));
    assert_eq!(root.get("a").unwrap().as_f64(), Some(1.5));
}

#[test]
fn a_path_goes_through_objects_and_arrays() {
    let bytes = encode(&json!({"a": [{"b": 1}, {"b": {"c": "x"}}], "": 3}));
    let root = DocumentRef::new(&bytes).unwrap();
    assert_eq!(root.get_path(["a", "1", "b", "c"]).unwrap().as_str(), Some("x"));
    assert!(root.get_path(["a", "2"]).is_none());
    assert!(root.get_path(["a", "b"]).is_none());
    assert_eq!(root.get("").unwrap().as_i64(), Some(3));
    assert_eq!(root.get("a").unwrap().len(), 2);
}

#[test]
fn deep_documents_are_refused() {
    let nested = |levels: usize| (0..levels).fold(Json::Null, |inner, _| Json::from(vec![inner]));
    let mut out = vec![9];
    encode_document(&nested(DOCUMENT_DEPTH_MAX), &mut out).unwrap();
    let length = out.len();
    assert_eq!(encode_document(&nested(DOCUMENT_DEPTH_MAX + 1), &mut out).unwrap_err().sqlstate(), "54001");
    assert_eq!(out.len(), length);
}

#[test]
fn large_documents_are_refused() {
    let large = Json::from("x".repeat(DOCUMENT_BYTES_MAX));
    let mut out = Vec::new();
    assert_eq!(encode_document(&large, &mut out).unwrap_err().sqlstate(), "54000");
    assert!(out.is_empty());
}

#[test]
fn types_are_inferred_from_what_holds_the_value_exactly() {
    let of = |text: &str| {
        let bytes = encode(&parsed(text));
        infer_type(DocumentRef::new(&bytes).unwrap())
    };
    assert_eq!(of("null"), None);
    assert_eq!(of("true"), Some(DataType::Bool));
    assert_eq!(of("12"), Some(DataType::Int8));
    assert_eq!(of("1.5"), Some(DataType::Float8));
    assert_eq!(of("0.1"), Some(DataType::Float8));
    assert_eq!(of("1.10"), Some(DataType::Float8));
    assert_eq!(of("1e300"), Some(DataType::Float8));
    assert_eq!(of("12345678901234567890"), Some(DataType::Numeric(None)));
    assert_eq!(of("0.12345678901234567890123"), Some(DataType::Numeric(None)));
    assert_eq!(of("\"x\""), Some(DataType::Text));
    assert_eq!(of("[1]"), Some(DataType::Jsonb));
    assert_eq!(of("{}"), Some(DataType::Jsonb));
    assert_eq!(unify(&DataType::Int8, &DataType::Float8), Some(DataType::Float8));
    assert_eq!(unify(&DataType::Int8, &DataType::Int8), Some(DataType::Int8));
    assert_eq!(unify(&DataType::Int8, &DataType::Text), None);
}

#[test]
fn a_field_reads_as_its_columns_type_or_as_null() {
    let bytes =
        encode(&parsed(r#"{"n": 7, "f": 1.5, "s": "2024-01-02", "a": [1, 2], "o": {"b": 1, "a": 2}}"#));
    let root = DocumentRef::new(&bytes).unwrap();
    let value = |name: &str, data_type: DataType| root.get(name).unwrap().to_value(&data_type).unwrap();
    assert_eq!(value("n", DataType::Int8), Value::Int8(7));
    assert_eq!(value("n", DataType::Float8), Value::Float8(7.0));
    assert_eq!(value("n", DataType::Text), Value::Text("7".into()));
    assert_eq!(value("f", DataType::Numeric(None)), Value::Numeric(Numeric::new(15, 1)));
    assert_eq!(value("s", DataType::Date), Value::Date(19_724));
    assert_eq!(value("s", DataType::Int8), Value::Null);
    assert_eq!(
        value("a", DataType::Int8.array_of()),
        Value::Array(vec![Value::Int8(1), Value::Int8(2)].into())
    );
    assert_eq!(value("o", DataType::Jsonb), Value::Text(r#"{"a": 2, "b": 1}"#.into()));
}

#[test]
fn the_bytes_are_those_of_the_format_page() {
    let mut wanted = vec![1, 7, 2, 1, 0, 1, 2, 9, 10, b'b', b'a', 3, 1];
    wanted.extend([0; 7]);
    wanted.push(2);
    assert_eq!(encode(&parsed(r#"{"b": 1, "a": true}"#)), wanted);
}
