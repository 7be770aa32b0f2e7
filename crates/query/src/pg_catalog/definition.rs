//! Definitions as SQL text: what `pg_get_indexdef`, `pg_get_constraintdef` and the like give.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use luma_catalog::{ConstraintTiming, ForeignKey, Index, Oid, ReferentialAction, Snapshot, Table, View};

use crate::ddl::quoted;
use crate::names::{QualifiedName, Scope, identifier};

/// `(a, b)` of these columns.
pub(crate) fn column_list(table: &Table, columns: &[u16]) -> String {
    let names: Vec<String> = table.column_names(columns).into_iter().map(quoted).collect();
    format!("({})", names.join(", "))
}

fn schema_name(catalog: &Snapshot, table: &Table) -> String {
    catalog.schema_by_oid(table.schema).map_or_else(String::new, |schema| quoted(&schema.name))
}

/// `CREATE [UNIQUE] INDEX …` of a secondary index.
pub(crate) fn index(catalog: &Snapshot, table: &Table, index: &Index) -> String {
    let mut expressions = index.expressions.iter();
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|part| {
            let mut text = match table.column_by_number(part.column) {
                Some(column) => quoted(&column.name),
                None => expressions.next().map_or_else(String::new, |part| in_parentheses(&part.expression)),
            };
            if part.descending {
                text.push_str(" DESC");
            }
            if part.nulls_first != part.descending {
                text.push_str(if part.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
            }
            text
        })
        .collect();
    let mut text = create_index(catalog, table, &index.name, index.unique, &columns.join(", "));
    if !index.include.is_empty() {
        text.push_str(&format!(" INCLUDE {}", column_list(table, &index.include)));
    }
    if let Some(predicate) = &index.predicate {
        text.push_str(&format!(" WHERE {}", in_parentheses(predicate)));
    }
    text
}

/// An expression as a part of a definition: in parentheses unless it is a name or a call.
pub(crate) fn in_parentheses(expression: &str) -> String {
    match crate::expression::parse_expression(expression) {
        Ok(
            ast::Expr::Identifier(_) | ast::Expr::Function(_) | ast::Expr::Nested(_) | ast::Expr::Value(_),
        ) => expression.to_owned(),
        _ => format!("({expression})"),
    }
}

/// `CREATE UNIQUE INDEX …` of the primary key.
pub(crate) fn primary_index(catalog: &Snapshot, table: &Table) -> Option<String> {
    let key = table.primary_key.as_ref()?;
    let columns = column_list(table, &key.columns);
    Some(create_index(catalog, table, &key.name, true, columns.trim_matches(['(', ')'])))
}

fn create_index(catalog: &Snapshot, table: &Table, name: &str, unique: bool, columns: &str) -> String {
    let unique = if unique { "UNIQUE " } else { "" };
    let schema = schema_name(catalog, table);
    format!(
        "CREATE {unique}INDEX {} ON {schema}.{} USING btree ({columns})",
        quoted(name),
        quoted(&table.name)
    )
}

/// A relation's name, with its schema where the search path would not find it.
pub(crate) fn relation_name(scope: &Scope<'_>, schema: Oid, name: &str, oid: Oid) -> String {
    let plain = QualifiedName { schema: None, name: name.to_owned() };
    if scope.find(&plain).is_some_and(|found| found.oid() == oid) {
        return quoted(name);
    }
    let schema = scope.catalog.schema_by_oid(schema).map_or("", |schema| schema.name.as_str());
    format!("{}.{}", quoted(schema), quoted(name))
}

/// The name of the relation with that identifier.
pub(crate) fn relation_of(scope: &Scope<'_>, oid: Oid) -> Option<String> {
    scope.catalog.schemas().find_map(|schema| {
        let mut relations = scope.catalog.relations(schema.oid);
        let (name, _) = relations.find(|(_, relation)| relation.oid() == oid)?;
        Some(relation_name(scope, schema.oid, name, oid))
    })
}

/// `FOREIGN KEY (…) REFERENCES …`.
pub(crate) fn foreign_key(scope: &Scope<'_>, table: &Table, key: &ForeignKey) -> String {
    let Some(parent) = scope.catalog.table(key.referenced_table) else { return String::new() };
    let parent_name = relation_name(scope, parent.schema, &parent.name, parent.oid);
    let mut text = format!(
        "FOREIGN KEY {} REFERENCES {parent_name}{}",
        column_list(table, &key.columns),
        column_list(parent, &key.referenced_columns)
    );
    for (event, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        let action = match action {
            ReferentialAction::NoAction => continue,
            ReferentialAction::Restrict => "RESTRICT",
            ReferentialAction::Cascade => "CASCADE",
            ReferentialAction::SetNull => "SET NULL",
            ReferentialAction::SetDefault => "SET DEFAULT",
        };
        text.push_str(&format!(" ON {event} {action}"));
    }
    text.push_str(timing(key.timing));
    text
}

fn timing(timing: ConstraintTiming) -> &'static str {
    match timing {
        ConstraintTiming::NotDeferrable => "",
        ConstraintTiming::InitiallyImmediate => " DEFERRABLE",
        ConstraintTiming::InitiallyDeferred => " DEFERRABLE INITIALLY DEFERRED",
    }
}

/// The definition of the constraint with that identifier, on whatever table it is.
pub(crate) fn constraint(scope: &Scope<'_>, oid: u32) -> Option<String> {
    for table in scope.catalog.tables() {
        if let Some(key) = &table.primary_key
            && key.oid == oid
        {
            return Some(format!("PRIMARY KEY {}", column_list(table, &key.columns)));
        }
        if let Some(index) = table.indexes.iter().find(|index| index.oid == oid && index.constraint) {
            let columns: Vec<u16> = index.columns.iter().map(|part| part.column).collect();
            let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
            return Some(format!("{kind} {}{}", column_list(table, &columns), timing(index.timing)));
        }
        if let Some(check) = table.checks.iter().find(|check| check.oid == oid) {
            return Some(format!("CHECK ({})", check.expression));
        }
        if let Some(key) = table.foreign_keys.iter().find(|key| key.oid == oid) {
            return Some(foreign_key(scope, table, key));
        }
    }
    let mut checks = scope.catalog.types().filter_map(|made| made.as_domain()).flat_map(|made| &made.checks);
    checks.find(|check| check.oid == oid).map(|check| format!("CHECK ({})", check.expression))
}

/// The definition of the index with that identifier, or the name of its `column`-th column.
pub(crate) fn index_by_oid(catalog: &Snapshot, oid: u32, column: usize) -> Option<String> {
    for table in catalog.tables() {
        let Some(found) = table.indexes.iter().find(|index| index.oid == oid) else {
            let Some(key) = table.primary_key.as_ref().filter(|key| key.oid == oid) else { continue };
            if column > 0 {
                let number = key.columns.get(column - 1)?;
                return table.column_by_number(*number).map(|column| quoted(&column.name));
            }
            return primary_index(catalog, table);
        };
        if column == 0 {
            return Some(index(catalog, table, found));
        }
        let numbers: Vec<u16> =
            found.columns.iter().map(|part| part.column).chain(found.include.iter().copied()).collect();
        let number = *numbers.get(column - 1)?;
        if let Some(column) = table.column_by_number(number) {
            return Some(quoted(&column.name));
        }
        let before = numbers[..column - 1].iter().filter(|number| **number == 0).count();
        return found.expressions.get(before).map(|part| in_parentheses(&part.expression));
    }
    None
}

/// A view's query; its tables with their schemas where the search path would not find them.
pub(crate) fn view(scope: &Scope<'_>, view: &View) -> String {
    let Ok(mut query) = crate::plan::context::parse_query(&view.query) else { return view.query.clone() };
    let mut names = Vec::new();
    for oid in &view.depends_on {
        let found = match (scope.catalog.table(*oid), scope.catalog.view(*oid)) {
            (Some(table), _) => Some((table.name.as_str(), table.schema)),
            (None, Some(view)) => Some((view.name.as_str(), view.schema)),
            (None, None) => None,
        };
        if let Some((name, schema)) = found {
            let visible = relation_name(scope, schema, name, *oid);
            if visible != quoted(name) {
                let schema = scope.catalog.schema_by_oid(schema).map_or("", |schema| schema.name.as_str());
                names.push((name.to_owned(), schema.to_owned()));
            }
        }
    }
    if names.is_empty() {
        return view.query.clone();
    }
    let _ = VisitMut::visit(&mut query, &mut Qualifier(&names));
    query.to_string()
}

/// Puts schemas before the names of tables.
struct Qualifier<'a>(&'a [(String, String)]);

impl VisitorMut for Qualifier<'_> {
    type Break = ();

    fn post_visit_relation(&mut self, name: &mut ast::ObjectName) -> ControlFlow<()> {
        if let [ast::ObjectNamePart::Identifier(part)] = name.0.as_slice()
            && let Some((_, schema)) = self.0.iter().find(|(known, _)| *known == identifier(part))
        {
            let schema = ast::Ident::with_quote('"', schema);
            name.0.insert(0, ast::ObjectNamePart::Identifier(schema));
        }
        ControlFlow::Continue(())
    }
}
