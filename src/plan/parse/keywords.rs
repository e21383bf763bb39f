//! PostgreSQL 15's key words, by where they may stand as a name.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a key word may be besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Any name.
    Unreserved,
    /// A column or table, not a function or type.
    ColumnName,
    /// A function or type, not a column or table.
    TypeOrFunction,
    /// Only a label after AS.
    Reserved,
}

const COLUMN_NAME: &str = " between bigint bit boolean char character coalesce dec decimal exists \
extract float greatest grouping inout int integer interval least national nchar none normalize \
nullif numeric out overlay position precision real row setof smallint substring time timestamp \
treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces \
xmlparse xmlpi xmlroot xmlserialize xmltable ";

const TYPE_OR_FUNCTION: &str = " authorization binary collation concurrently cross current_schema \
freeze full ilike inner is isnull join left like natural notnull outer overlaps right similar \
tablesample verbose ";

const RESERVED: &str = " all analyse analyze and any array as asc asymmetric both case cast check \
collate column constraint create current_catalog current_date current_role current_time \
current_timestamp current_user default deferrable desc distinct do else end except false fetch \
for foreign from grant group having in initially intersect into lateral leading limit localtime \
localtimestamp not null offset on only or order placing primary references returning select \
session_user some symmetric table then to trailing true union unique user using variadic when \
where window with ";

/// Words that cannot be a label without AS.
const AS_LABEL: &str = " array as char character create day except fetch filter for from grant \
group having hour intersect into isnull limit minute month notnull offset on order over overlaps \
precision returning second to union varying where window with within without year ";

static CLASSES: LazyLock<HashMap<&'static str, Class>> = LazyLock::new(|| {
    let lists = [
        (COLUMN_NAME, Class::ColumnName),
        (TYPE_OR_FUNCTION, Class::TypeOrFunction),
        (RESERVED, Class::Reserved),
    ];
    let words = lists
        .into_iter()
        .flat_map(|(list, class)| list.split_ascii_whitespace().map(move |word| (word, class)));
    words.collect()
});

/// The class of a lower-case word; every word may be a name at least somewhere.
pub(super) fn class(word: &str) -> Class {
    CLASSES.get(word).copied().unwrap_or(Class::Unreserved)
}

/// May follow an expression as its label without AS.
pub(super) fn is_bare_label(word: &str) -> bool {
    !AS_LABEL.split_ascii_whitespace().any(|entry| entry == word)
}

/// Whether printing this name needs quotes.
pub(crate) fn needs_quotes(name: &str) -> bool {
    let mut bytes = name.bytes();
    let plain = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'$'
        });
    !plain || class(name) != Class::Unreserved
}
