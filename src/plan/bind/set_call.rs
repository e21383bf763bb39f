//! Functions that yield rows, called in a select list.
//!
//! An engine runs them side by side as one more item of FROM, so they are
//! refused wherever that would tell another result than PostgreSQL's: under
//! CASE, in one another's arguments, beside windows. Over groups they run on
//! top of the grouped query.

use super::Binder;
use super::scope::Clause;
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::syntax::Place;
use crate::plan::visit;

impl Binder<'_> {
    /// Remembers such a call, if it may stand where it does.
    pub(super) fn note_set_call(&mut self, place: Place) -> Result<()> {
        let construct = "a set-returning function outside of the select list";
        let Some(scope) = self.scopes.last_mut() else {
            return self.unsupported(construct, place);
        };
        if let Some(clause) = scope.clause.forbids_aggregates() {
            let message = format!("set-returning functions are not allowed in {clause}");
            return Err(self.error(SqlState::FEATURE_NOT_SUPPORTED, place, message));
        }
        if scope.clause != Clause::Targets || scope.in_aggregate || scope.in_window {
            return self.unsupported(construct, place);
        }
        scope.set_call.get_or_insert(place);
        Ok(())
    }

    /// Checks a whole select list that holds such a call.
    pub(super) fn check_set_calls(&self, targets: &[Expression]) -> Result<()> {
        let Some(place) = self.scopes.last().and_then(|scope| scope.set_call) else {
            return Ok(());
        };
        let mut misplaced = None;
        for target in targets {
            visit::any(target, &mut |part| {
                misplaced = misplaced.or_else(|| misplacement(part));
                misplaced.is_some()
            });
        }
        match misplaced {
            Some(construct) => Err(Error::unsupported(construct).at(self.position(place))),
            None => Ok(()),
        }
    }
}

fn misplacement(part: &Expression) -> Option<&'static str> {
    let construct = match &part.kind {
        ExpressionKind::Window(_) => return Some("a set-returning function beside a window"),
        ExpressionKind::Case { .. } => "a set-returning function in CASE",
        ExpressionKind::Coalesce(_) => "a set-returning function in COALESCE",
        ExpressionKind::Call { function, .. } if function.is_set() => {
            "a set-returning function of a set-returning function"
        }
        _ => return None,
    };
    let mut below = false;
    visit::children(part, &mut |child| {
        below |= visit::any(child, &mut is_set_call);
    });
    below.then_some(construct)
}

fn is_set_call(expression: &Expression) -> bool {
    matches!(&expression.kind, ExpressionKind::Call { function, .. } if function.is_set())
}
