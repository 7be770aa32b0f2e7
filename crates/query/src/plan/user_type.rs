//! Types that users made, in the syntax tree of a statement.
//!
//! sqlparser knows such a type by its name only. Before a statement is planned, each cast to one is
//! rewritten: to an enum type as a cast to the type with its labels, to a domain as a cast to what it is
//! made over and a check of its conditions. Where no user made a type this costs a look at an empty map.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, VisitMut, VisitorMut};
use luma_catalog::{Oid, Snapshot, UserType};
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::names::{QualifiedName, Scope, qualified};
use crate::statement::user_type::over_value;
use crate::types;

/// The function that checks a domain's conditions: the value, the domain's name, whether NULL is refused,
/// then each condition's name and outcome.
pub(crate) const CHECK_FUNCTION: &str = "luma_domain";

/// What a type's name means.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    /// The type with all that is known of it, as SQL's syntax tree has it.
    pub(crate) sql: ast::DataType,
    /// What the user made; `None` for a type of the system's.
    pub(crate) made: Option<Arc<UserType>>,
}

impl Meaning {
    /// The domain, if it is one.
    pub(crate) fn domain(&self) -> Option<&Arc<UserType>> {
        self.made.as_ref().filter(|made| made.as_domain().is_some())
    }
}

impl<'a> Scope<'a> {
    /// The type of that name that a user made.
    pub(crate) fn find_type(&self, name: &QualifiedName) -> Option<&'a Arc<UserType>> {
        let within = |schema: &str| self.catalog.type_named(self.catalog.schema(schema)?.oid, &name.name);
        match &name.schema {
            Some(schema) => within(schema),
            None => self.search_path.iter().find_map(|schema| within(schema)),
        }
    }

    /// The type of that name that a user made.
    ///
    /// # Errors
    /// 42704.
    pub(crate) fn user_type(&self, name: &QualifiedName) -> Result<&'a Arc<UserType>> {
        self.find_type(name)
            .ok_or_else(|| Error::new(ErrorKind::UndefinedObject, format!("type \"{name}\" does not exist")))
    }

    /// What the name of a type means.
    ///
    /// # Errors
    /// 0A000 for an array of a domain.
    pub(crate) fn type_meaning(&self, sql: &ast::DataType) -> Result<Meaning> {
        let system = || Meaning { sql: sql.clone(), made: None };
        if self.catalog.types().next().is_none() {
            return Ok(system());
        }
        let (element, array) = element_of(sql);
        let ast::DataType::Custom(name, modifiers) = element else { return Ok(system()) };
        if !modifiers.is_empty() || types::data_type(element).is_ok() {
            return Ok(system());
        }
        let name = qualified(name)?;
        let (found, array) = match (self.find_type(&name), name.name.strip_prefix('_')) {
            (Some(found), _) => (found, array),
            (None, Some(element)) => {
                let element = QualifiedName { name: element.to_owned(), ..name.clone() };
                match self.find_type(&element) {
                    Some(found) => (found, true),
                    None => return Ok(system()),
                }
            }
            (None, None) => return Ok(system()),
        };
        if array && found.as_domain().is_some() {
            return Err(Error::new(ErrorKind::FeatureNotSupported, "arrays of domains are not supported")
                .hint("Use an array of the type that the domain is made over."));
        }
        let data_type = if array { found.data_type().array_of() } else { found.data_type().clone() };
        Ok(Meaning { sql: spelled(&data_type), made: Some(Arc::clone(found)) })
    }
}

/// The type of an array's elements, and whether it is an array.
fn element_of(sql: &ast::DataType) -> (&ast::DataType, bool) {
    match sql {
        ast::DataType::Array(
            ast::ArrayElemTypeDef::SquareBracket(element, _)
            | ast::ArrayElemTypeDef::AngleBracket(element)
            | ast::ArrayElemTypeDef::Parenthesis(element),
        ) => (element_of(element).0, true),
        other => (other, false),
    }
}

/// The type as the syntax tree carries it.
fn spelled(data_type: &DataType) -> ast::DataType {
    ast::DataType::Custom(ObjectName::from(vec![Ident::new(data_type.spelling())]), Vec::new())
}

/// Rewrites every cast to a type that a user made; the types that were named.
///
/// # Errors
/// As [`Scope::type_meaning`]; that a domain's condition can't be read.
pub(crate) fn resolve(scope: Scope<'_>, node: &mut impl VisitMut) -> Result<Vec<Oid>> {
    if scope.catalog.types().next().is_none() {
        return Ok(Vec::new());
    }
    let mut resolver = Resolver { scope, used: Vec::new(), error: None };
    let _ = VisitMut::visit(node, &mut resolver);
    resolver.error.map_or(Ok(resolver.used), Err)
}

struct Resolver<'a> {
    scope: Scope<'a>,
    used: Vec<Oid>,
    error: Option<Error>,
}

impl Resolver<'_> {
    fn expression(&mut self, expr: &mut Expr) -> Result<()> {
        let meaning = match &*expr {
            Expr::Cast { data_type, .. } => self.scope.type_meaning(data_type)?,
            Expr::TypedString(typed) => self.scope.type_meaning(&typed.data_type)?,
            _ => return Ok(()),
        };
        let Some(made) = &meaning.made else { return Ok(()) };
        self.used.push(made.oid);
        if let Expr::TypedString(typed) = expr {
            let text = Expr::Value(typed.value.clone());
            *expr = cast(text, meaning.sql.clone());
        } else if let Expr::Cast { data_type, .. } = expr {
            *data_type = meaning.sql.clone();
        }
        if let Some(domain) = meaning.domain() {
            let value = std::mem::replace(expr, Expr::Identifier(Ident::new("_")));
            *expr = checked(self.scope, domain, value)?;
        }
        Ok(())
    }
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match self.expression(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

fn cast(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast { kind: ast::CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A domain's conditions, those of the domains it is made over first: each with its name.
pub(crate) fn conditions(catalog: &Snapshot, made: &UserType) -> Result<Vec<(String, Expr)>> {
    let mut all = Vec::new();
    for layer in layers(catalog, made) {
        for check in layer.as_domain().into_iter().flat_map(|domain| &domain.checks) {
            all.push((check.name.clone(), crate::expression::parse_expression(&check.expression)?));
        }
    }
    Ok(all)
}

/// The domain and those it is made over, the innermost first.
pub(crate) fn layers<'c>(catalog: &'c Snapshot, made: &'c UserType) -> Vec<&'c UserType> {
    let mut layers = vec![made];
    while let Some(parent) = layers.last().and_then(|layer| layer.as_domain()).and_then(|it| it.parent)
        && let Some(parent) = catalog.type_by_oid(parent)
    {
        layers.push(parent);
    }
    layers.reverse();
    layers
}

/// Whether a domain, or one it is made over, refuses NULL.
pub(crate) fn refuses_null(catalog: &Snapshot, made: &UserType) -> bool {
    layers(catalog, made).iter().any(|layer| layer.as_domain().is_some_and(|domain| domain.not_null))
}

/// The default that a domain gives: its own, or that of the domain it is made over.
pub(crate) fn default_of<'c>(catalog: &'c Snapshot, made: &'c UserType) -> Option<&'c str> {
    let mut layers = layers(catalog, made).into_iter().rev();
    layers.find_map(|layer| layer.as_domain()?.default.as_deref())
}

/// A value that satisfies the domain's conditions.
fn checked(scope: Scope<'_>, made: &UserType, value: Expr) -> Result<Expr> {
    let catalog = scope.catalog;
    let string = |text: &str| Expr::value(ast::Value::SingleQuotedString(text.to_owned()));
    let boolean = |value: bool| Expr::value(ast::Value::Boolean(value));
    let mut arguments = vec![string(&made.name), boolean(refuses_null(catalog, made))];
    for (name, mut condition) in conditions(catalog, made)? {
        resolve(scope, &mut condition)?;
        arguments.push(string(&name));
        arguments.push(over_value(&condition, &value));
    }
    arguments.insert(0, value);
    let arguments = arguments
        .into_iter()
        .map(|argument| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument)))
        .collect();
    Ok(Expr::Function(ast::Function {
        name: ObjectName::from(vec![Ident::new(CHECK_FUNCTION)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }))
}
