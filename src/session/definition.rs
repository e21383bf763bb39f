//! What is said of one setting.

/// One setting: name, default, how it is checked, description.
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) kind: Kind,
    /// Sent to the client when it changes.
    pub(super) reported: bool,
    pub(super) description: &'static str,
}

/// How a setting's value is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Integer(i64, i64),
    /// Milliseconds with units.
    Time,
    /// One of the words after `|`.
    Words(&'static [&'static str]),
    TimeZone,
    DateStyle,
    IntervalStyle,
    /// Names of schemas; none but public may be searched.
    SearchPath,
    /// Only this value is offered.
    Fixed,
    /// May be shown, not set.
    ReadOnly,
}

pub(super) const fn definition(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        default,
        kind,
        reported: false,
        description,
    }
}

/// One that clients are told of.
pub(super) const fn reported(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Definition {
    let mut reported = definition(name, default, kind, description);
    reported.reported = true;
    reported
}
