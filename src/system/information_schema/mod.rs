//! Schema `information_schema`: the standard's view of the same things.
//!
//! Not here: routines and parameters (every function is built in), element
//! types, usage by views, and privileges by column.

mod column;
mod constraint;
mod table;

use super::View;
use super::relation::{Relation, Rows, Source, described};
use crate::catalog::schema::Namespace;
use crate::types::Value;

/// Where rows come from. Relations that are listed in
/// `columns/information_schema.txt` and not here tell of what does not exist:
/// domains, composite types, triggers, foreign tables, roles within roles.
const SOURCES: &[(&str, Source)] = &[
    ("character_sets", table::character_sets),
    ("check_constraints", constraint::checks),
    ("collations", table::collations),
    ("columns", column::columns),
    ("constraint_column_usage", constraint::column_usage),
    ("constraint_table_usage", constraint::table_usage),
    ("enabled_roles", table::enabled_roles),
    ("information_schema_catalog_name", table::catalog_name),
    ("key_column_usage", constraint::key_columns),
    ("referential_constraints", constraint::referential),
    ("role_table_grants", table::privileges),
    ("schemata", table::schemata),
    ("sequences", table::sequences),
    ("table_constraints", constraint::table_constraints),
    ("table_privileges", table::privileges),
    ("tables", table::tables),
    ("views", table::views),
];

pub(crate) fn relations() -> Vec<Relation> {
    let text = include_str!("../columns/information_schema.txt");
    described(text, Namespace::InformationSchema, |name| {
        let mut sources = SOURCES.iter();
        let found = sources.find(|(source, _)| *source == name);
        found.map_or((|_| Rows::NONE) as Source, |(_, source)| *source)
    })
}

/// What the standard calls the catalog: the data cluster.
fn catalog(view: &View) -> Value {
    Value::text(view.cluster.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_relation() {
        let relations = relations();
        for (name, _) in SOURCES {
            let found = relations
                .iter()
                .any(|relation| relation.table.name == *name);
            assert!(found, "{name}");
        }
    }
}
