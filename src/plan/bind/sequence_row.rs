//! A sequence in FROM: its one row, which says where it stands.

use super::Binder;
use crate::error::Result;
use crate::plan::parse;
use crate::plan::syntax::{Alias, Path, Query};

impl Binder<'_> {
    /// The query for what a path names that is no table, and its name: the row
    /// of `pyql.sequences`.
    pub(super) fn sequence_row(&self, path: &Path) -> Result<(Query, Alias)> {
        let named = path.split_last().and_then(|(name, qualifiers)| {
            let schema = qualifiers.last();
            let public = schema.is_none_or(|schema| schema.text == "public");
            let sequence = self.binding.schema.sequence_named(&name.text)?;
            (public && !sequence.hidden).then_some((name, sequence.id))
        });
        let Some((name, id)) = named else {
            return Err(self.unknown_relation(path));
        };
        let text = format!(
            "SELECT last_value, log_cnt, is_called FROM pyql.sequences WHERE oid = {}::oid",
            id.0
        );
        let own = Alias {
            name: name.clone(),
            columns: Vec::new(),
            types: Vec::new(),
        };
        Ok((parse::parse_query(&text)?, own))
    }
}
