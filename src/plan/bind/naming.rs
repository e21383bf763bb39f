//! Names for what the client left unnamed, by PostgreSQL's rules.

use super::define::Definer;
use crate::catalog::schema::{PrimaryKey, Schema};
use crate::plan::parse::MAX_IDENTIFIER_BYTES;

impl Definer<'_> {
    /// `first_second_label`, numbered until no relation has it.
    pub(super) fn relation_name(
        &self,
        first: &str,
        second: &str,
        label: &str,
        taken: &[String],
    ) -> String {
        numbered(first, second, label, |name| {
            relation_exists(&self.schema, name) || taken.iter().any(|other| other == name)
        })
    }

    /// The same among the names of constraints.
    pub(super) fn constraint_name(
        &self,
        first: &str,
        second: &str,
        label: &str,
        taken: &[String],
    ) -> String {
        numbered(first, second, label, |name| {
            constraint_exists(&self.schema, name) || taken.iter().any(|other| other == name)
        })
    }
}

fn numbered(first: &str, second: &str, label: &str, exists: impl Fn(&str) -> bool) -> String {
    let mut name = object_name(first, second, label);
    let mut number = 0usize;
    while exists(&name) {
        number += 1;
        name = object_name(first, second, &format!("{label}{number}"));
    }
    name
}

/// Joins the parts by underscores, cutting the longer of the first two to fit.
fn object_name(first: &str, second: &str, label: &str) -> String {
    let overhead = label.len() + 1 + usize::from(!second.is_empty());
    let available = MAX_IDENTIFIER_BYTES.saturating_sub(overhead);
    let (mut first_length, mut second_length) = (first.len(), second.len());
    while first_length + second_length > available {
        if first_length > second_length {
            first_length -= 1;
        } else {
            second_length -= 1;
        }
    }
    let first = clip(first, first_length);
    if second.is_empty() {
        return format!("{first}_{label}");
    }
    format!("{first}_{}_{label}", clip(second, second_length))
}

fn clip(text: &str, mut length: usize) -> &str {
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    &text[..length]
}

/// A table, index or sequence of this name is there: they share their names.
pub(super) fn relation_exists(schema: &Schema, name: &str) -> bool {
    schema
        .sequences
        .values()
        .any(|sequence| sequence.name == name)
        || schema.tables.values().any(|table| {
            table.name == name
                || table.indexes.iter().any(|index| index.name == name)
                || matches!(&table.key, PrimaryKey::Declared { name: key, .. } if key == name)
        })
}

fn constraint_exists(schema: &Schema, name: &str) -> bool {
    schema.tables.values().any(|table| {
        table.checks.iter().any(|check| check.name == name)
            || table.foreign_keys.iter().any(|key| key.name == name)
            || table
                .indexes
                .iter()
                .any(|index| index.constraint && index.name == name)
            || matches!(&table.key, PrimaryKey::Declared { name: key, .. } if key == name)
    })
}

/// Names of columns joined as an index's or foreign key's name has them.
pub(super) fn joined<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut joined = String::new();
    for name in names {
        if !joined.is_empty() {
            joined.push('_');
        }
        joined.push_str(name);
        if joined.len() >= MAX_IDENTIFIER_BYTES {
            break;
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_evenly() {
        assert_eq!(object_name("t", "a", "key"), "t_a_key");
        assert_eq!(object_name("t", "", "pkey"), "t_pkey");
        let long = "x".repeat(63);
        let name = object_name(&long, &long, "fkey");
        assert_eq!(name.len(), 63);
        assert!(name.ends_with("_fkey"));
        assert_eq!(object_name(&long, "b", "seq").len(), 63);
    }
}
