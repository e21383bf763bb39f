//! Schema `pg_catalog`: PostgreSQL 15's relations, filled from what is here.
//!
//! Statistics that nobody gathers (pg_stat_user_tables and its kin) are NULL.
//!
//! Not here: relations that hold secrets (pg_authid, pg_shadow), and those whose rows we could only invent
//! (pg_timezone_names, …). Asking for them is 42P01, never an empty answer.

mod class;
mod cluster;
mod constraint;
mod function;
mod listing;
mod support;

use super::pg_type;
use super::relation::{Relation, Rows, Source, described};
use crate::catalog::schema::Namespace;

/// Where rows come from. Relations that are listed in `columns/pg_catalog.txt`
/// and not here tell of what does not exist: views, triggers, extensions,
/// policies, publications, enumerations…
const SOURCES: &[(&str, Source)] = &[
    ("pg_am", support::access_methods),
    ("pg_amop", support::family_operators),
    ("pg_amproc", support::family_functions),
    ("pg_attrdef", class::defaults),
    ("pg_attribute", class::attributes),
    ("pg_auth_members", cluster::memberships),
    ("pg_cast", support::casts),
    ("pg_class", class::classes),
    ("pg_collation", support::collations),
    ("pg_constraint", constraint::constraints),
    ("pg_database", cluster::databases),
    ("pg_depend", constraint::dependencies),
    ("pg_description", listing::descriptions),
    ("pg_extension", support::extensions),
    ("pg_index", class::indexes),
    ("pg_indexes", listing::indexes),
    ("pg_language", support::languages),
    ("pg_namespace", class::namespaces),
    ("pg_opclass", pg_type::operator_classes),
    ("pg_operator", function::operators),
    ("pg_opfamily", pg_type::operator_families),
    ("pg_proc", function::functions),
    ("pg_roles", cluster::roles),
    ("pg_sequence", class::sequences),
    ("pg_sequences", listing::sequences),
    ("pg_settings", cluster::settings),
    ("pg_shdescription", listing::shared_descriptions),
    ("pg_stat_activity", cluster::activity),
    ("pg_stat_all_indexes", listing::user_indexes),
    ("pg_stat_all_tables", listing::all_tables),
    ("pg_stat_user_indexes", listing::user_indexes),
    ("pg_stat_user_tables", listing::user_tables),
    ("pg_statio_all_tables", listing::all_tables),
    ("pg_statio_user_tables", listing::user_tables),
    ("pg_tables", listing::tables),
    ("pg_tablespace", support::tablespaces),
    ("pg_type", pg_type::types),
    ("pg_user", cluster::users),
    ("pg_views", listing::views),
];

pub(crate) fn relations() -> Vec<Relation> {
    let text = include_str!("../columns/pg_catalog.txt");
    described(text, Namespace::PgCatalog, |name| {
        let mut sources = SOURCES.iter();
        let found = sources.find(|(source, _)| *source == name);
        found.map_or((|_| Rows::NONE) as Source, |(_, source)| *source)
    })
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
