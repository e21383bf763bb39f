//! The pieces of a large transaction as deliverers hand them on: read from
//! the log one at a time, on the thread that applies them.

use std::sync::Arc;

use super::command::{Command, Pieced};
use super::state_machine;
use super::store::Store;
use crate::types::piece::{self, Piece, Pieces};
use crate::types::write::Write;

/// Reads pieces that a last entry names.
pub(super) struct LogPieces {
    store: Store,
    pieces: Vec<Piece>,
}

impl LogPieces {
    pub(super) fn of(store: &Store, pieced: &Pieced) -> Arc<dyn Pieces> {
        Arc::new(LogPieces {
            store: store.clone(),
            pieces: pieced.pieces.clone(),
        })
    }
}

impl Pieces for LogPieces {
    fn count(&self) -> usize {
        self.pieces.len()
    }

    fn read(&self, place: usize) -> Result<Vec<Write>, String> {
        let Some(Piece { index, changes }) = self.pieces.get(place) else {
            return Err(format!("there is no piece {place}"));
        };
        let entry = self.store.entry_now(index.0)?;
        match state_machine::command(&entry).map(Arc::as_ref) {
            Some(Command::Piece(piece)) => {
                piece::unpack(&piece.bytes, *changes).map_err(|error| error.to_string())
            }
            _ => Err(format!("entry {index} is no piece")),
        }
    }
}
