//! What expressions may name while rows are written.

use crate::plan::evaluate::Scope;
use crate::plan::query::RelationId;
use crate::types::Value;

/// Rows of several relations, single values of others, and parameters.
pub(in crate::dispatch) struct Relations<'a> {
    pub relations: &'a [(RelationId, &'a [Value])],
    pub others: &'a [((RelationId, usize), Value)],
    pub parameters: &'a [Value],
}

impl Scope for Relations<'_> {
    fn column(&self, relation: RelationId, column: usize) -> Option<&Value> {
        let own = self.relations.iter().find(|(id, _)| *id == relation);
        match own {
            Some((_, row)) => row.get(column),
            None => {
                let other = self
                    .others
                    .iter()
                    .find(|(place, _)| *place == (relation, column));
                other.map(|(_, value)| value)
            }
        }
    }

    fn parameter(&self, index: usize) -> Option<&Value> {
        self.parameters.get(index)
    }
}
