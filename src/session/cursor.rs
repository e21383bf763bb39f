//! SQL cursors.
//!
//! A cursor reads the snapshot of its DECLARE. SCROLL cursors keep the rows that
//! they have passed, WITH HOLD cursors take the rest in when their transaction
//! commits; both within [`rows::HELD_BYTES_MAX`] for all cursors of a session
//! (54000 past it). A cursor that is declared neither SCROLL nor NO SCROLL goes
//! back as long as it has passed little ([`rows::RECENT_BYTES_MAX`]); then only
//! forward, which PostgreSQL decides by the query's plan.
//!
//! Not handled: WHERE CURRENT OF.

mod rows;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::plan::Plan;
pub(super) use rows::{Budget, CursorRows, Keep};

/// An open cursor.
pub(super) struct Cursor {
    pub(super) plan: Arc<Plan>,
    pub(super) rows: CursorRows,
    pub(super) binary: bool,
    /// WITH HOLD: outlives its transaction.
    pub(super) hold: bool,
    /// Its transaction has committed.
    pub(super) held: bool,
    /// Savepoints that were open at its DECLARE.
    pub(super) depth: usize,
}

impl Cursor {
    pub(super) async fn hold(&mut self, token: &CancellationToken) -> Result<()> {
        self.rows.take_in(token).await?;
        self.held = true;
        Ok(())
    }
}
