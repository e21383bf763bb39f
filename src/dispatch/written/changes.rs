//! Changes on their way into a piece, in the order in which they were made.
//!
//! Changes of one kind to one table gather in one write, so that a replica
//! takes many at a time. No row is twice in a write: what a replica checks a
//! row against is what it was before the write.

use std::collections::HashSet;

use crate::types::id::TableId;
use crate::types::value::about_bytes;
use crate::types::write::{RowChange, RowHash, Write};
use crate::types::{Row, Value, encode};

/// Bytes that a change takes beside its values, roughly.
const CHANGE_OVERHEAD: usize = 24;

#[derive(Default)]
pub(super) struct Changes {
    writes: Vec<Write>,
    /// The rows changed in place by the last write.
    keys: HashSet<Vec<u8>>,
    count: u64,
    bytes: usize,
}

impl Changes {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// About how large they are in the log.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> Vec<Write> {
        std::mem::take(self).writes
    }

    /// Takes all, cut where `limit` bytes are passed: a single statement may
    /// have brought much at once.
    pub(super) fn take_cut(&mut self, limit: usize) -> Vec<Vec<Write>> {
        let mut pieces = vec![Vec::new()];
        let mut bytes = 0;
        let mut put = |write: Write, size: usize| {
            if bytes > limit {
                pieces.push(Vec::new());
                bytes = 0;
            }
            bytes += size;
            if let Some(piece) = pieces.last_mut() {
                match (piece.last_mut(), write) {
                    (
                        Some(Write::Insert { table, rows }),
                        Write::Insert {
                            table: same,
                            rows: mut more,
                        },
                    ) if *table == same => rows.append(&mut more),
                    (_, write) => piece.push(write),
                }
            }
        };
        for write in self.take() {
            match write {
                Write::Insert { table, rows } => {
                    for row in rows {
                        let size = CHANGE_OVERHEAD + about_bytes(&row);
                        let rows = vec![row];
                        put(Write::Insert { table, rows }, size);
                    }
                }
                Write::Rows { table, changes } => {
                    let sized = |change: &RowChange| {
                        let after = change.after.as_ref().map_or(0, |row| about_bytes(row));
                        CHANGE_OVERHEAD + about_bytes(&change.key) + after
                    };
                    for changes in runs(changes, limit, sized) {
                        let size = changes.iter().map(sized).sum();
                        put(Write::Rows { table, changes }, size);
                    }
                }
                other => put(other, CHANGE_OVERHEAD),
            }
        }
        pieces
    }

    /// A row of this key becomes another, comes (`before` is `None`) or goes
    /// (`after` is `None`).
    pub(super) fn push(
        &mut self,
        table: TableId,
        key: Vec<Value>,
        before: Option<RowHash>,
        after: Option<Row>,
    ) {
        let after = match (before, after) {
            (None, Some(row)) => return self.add(table, row),
            (_, after) => after,
        };
        self.count += 1;
        self.bytes +=
            CHANGE_OVERHEAD + about_bytes(&key) + after.as_ref().map_or(0, |row| about_bytes(row));
        match before {
            None => self.nothing(),
            before => self.change(table, RowChange { key, before, after }),
        }
    }

    /// A row comes.
    pub(super) fn add(&mut self, table: TableId, row: Row) {
        self.count += 1;
        self.bytes += CHANGE_OVERHEAD + about_bytes(&row);
        self.insert(table, row);
    }

    pub(super) fn truncate(&mut self, table: TableId) {
        self.count += 1;
        self.bytes += CHANGE_OVERHEAD;
        self.writes.push(Write::Truncate {
            tables: vec![table],
        });
    }

    /// Keeps the place in the count of a change that changes nothing.
    fn nothing(&mut self) {
        self.writes.push(Write::Truncate { tables: Vec::new() });
    }

    fn insert(&mut self, table: TableId, row: Row) {
        match self.writes.last_mut() {
            Some(Write::Insert { table: last, rows }) if *last == table => rows.push(row),
            _ => self.writes.push(Write::Insert {
                table,
                rows: vec![row],
            }),
        }
    }

    fn change(&mut self, table: TableId, change: RowChange) {
        let goes = change.after.is_none();
        let key = encode::encode_key(&change.key);
        if let Some(Write::Rows {
            table: last,
            changes,
        }) = self.writes.last_mut()
            && *last == table
            && changes.first().is_some_and(|it| it.after.is_none() == goes)
            && self.keys.insert(key.clone())
        {
            changes.push(change);
            return;
        }
        self.keys = HashSet::from([key]);
        self.writes.push(Write::Rows {
            table,
            changes: vec![change],
        });
    }

    /// Forgets all but the first `count`.
    pub(super) fn keep(&mut self, count: u64) {
        while self.count > count {
            let surplus = (self.count - count) as usize;
            let gone = match self.writes.last_mut() {
                Some(Write::Insert { rows, .. }) if rows.len() > surplus => {
                    rows.truncate(rows.len() - surplus);
                    surplus
                }
                Some(Write::Rows { changes, .. }) if changes.len() > surplus => {
                    changes.truncate(changes.len() - surplus);
                    surplus
                }
                Some(Write::Insert { rows, .. }) => {
                    let all = rows.len();
                    self.writes.pop();
                    all
                }
                Some(Write::Rows { changes, .. }) => {
                    let all = changes.len();
                    self.writes.pop();
                    all
                }
                Some(_) => {
                    self.writes.pop();
                    1
                }
                None => return,
            };
            self.count -= gone as u64;
        }
        self.keys = match self.writes.last() {
            Some(Write::Rows { changes, .. }) => {
                let keys = changes.iter().map(|change| &change.key);
                keys.map(|key| encode::encode_key(key)).collect()
            }
            _ => HashSet::new(),
        };
    }
}

/// The changes in runs that end where `limit` bytes are passed.
fn runs(
    changes: Vec<RowChange>,
    limit: usize,
    size: impl Fn(&RowChange) -> usize,
) -> Vec<Vec<RowChange>> {
    let mut runs = vec![Vec::new()];
    let mut bytes = 0;
    for change in changes {
        if bytes > limit {
            runs.push(Vec::new());
            bytes = 0;
        }
        bytes += size(&change);
        if let Some(run) = runs.last_mut() {
            run.push(change);
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::piece;

    const T: TableId = TableId(1);

    fn push(changes: &mut Changes, key: i64, before: Option<u128>, after: Option<i64>) {
        let row = after.map(|value| vec![Value::Int(key), Value::Int(value)]);
        changes.push(T, vec![Value::Int(key)], before.map(RowHash), row);
    }

    #[test]
    fn changes_gather_by_kind_and_no_row_is_twice_in_a_write() {
        let mut changes = Changes::default();
        push(&mut changes, 1, None, Some(1));
        push(&mut changes, 2, None, Some(1));
        push(&mut changes, 1, Some(1), Some(2));
        push(&mut changes, 2, Some(1), Some(2));
        push(&mut changes, 1, Some(2), Some(3));
        push(&mut changes, 9, None, None);
        push(&mut changes, 1, Some(3), None);
        push(&mut changes, 2, Some(2), None);
        assert_eq!(changes.count(), 8);
        let lengths = |writes: &[Write]| -> Vec<u64> {
            let writes = writes.iter();
            writes
                .map(|it| piece::changes(std::slice::from_ref(it)))
                .collect()
        };
        assert_eq!(lengths(&changes.writes), [2, 2, 1, 1, 2]);
        for count in (0..=8).rev() {
            changes.keep(count);
            assert_eq!(changes.count(), count);
            assert_eq!(piece::changes(&changes.writes), count);
        }
        assert!(changes.is_empty());
        push(&mut changes, 1, Some(1), Some(2));
        push(&mut changes, 2, Some(1), Some(2));
        changes.keep(1);
        push(&mut changes, 2, Some(1), Some(3));
        push(&mut changes, 1, Some(2), Some(3));
        assert_eq!(
            lengths(&changes.writes),
            [2, 1],
            "1 is in the first already"
        );
    }
}
