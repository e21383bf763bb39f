//! What our table functions have in common: columns `c0`, `c1`, … of one of two
//! widths, and a hidden first argument that is the number of a source.

use std::borrow::Cow;
use std::ffi::{CStr, CString};

use rusqlite::types::ValueRef;

use super::dialect::Source;
use super::execution::Execution;

/// The declaration of so many columns and of hidden ones, the arguments.
pub(super) fn declaration(
    width: usize,
    arguments: impl Iterator<Item = String>,
) -> rusqlite::Result<Cow<'static, CStr>> {
    let columns = (0..width).map(|place| format!("c{place}"));
    let hidden = arguments.map(|name| format!("{name} HIDDEN"));
    let columns: Vec<String> = columns.chain(hidden).collect();
    let declaration = CString::new(format!("CREATE TABLE x({})", columns.join(",")));
    declaration
        .map(Cow::Owned)
        .map_err(rusqlite::Error::NulError)
}

/// The source that the first argument names.
pub(super) fn source<'a>(
    execution: &'a Execution,
    number: Option<ValueRef<'_>>,
) -> Option<&'a Source> {
    let number = number?.as_i64().ok()?;
    execution
        .rendered
        .sources
        .get(usize::try_from(number).ok()?)
}
