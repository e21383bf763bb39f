//! Entries that are carried out before it is certain that they come.
//!
//! The database transaction stays open until the entries are agreed on, and is
//! rolled back when anything else is asked of the writer. Nobody sees what is
//! in it; a process that ends takes it along.

use super::{Announce, Portion, Writer};
use crate::engine::sqlite::StorageError;
use crate::engine::sqlite::apply::Entry;
use crate::types::write::Outcome;

impl Writer {
    /// Does the work of entries that follow the position in a transaction that
    /// stays open, for [`Writer::commit_prepared`] to end; what was prepared
    /// before is discarded. Entries that change the schema are not prepared.
    pub fn prepare(&mut self, portion: &Portion<'_>) -> Result<(), StorageError> {
        self.count();
        let done = self.prepare_portion(portion);
        self.noting_failure(done)
    }

    fn prepare_portion(&mut self, portion: &Portion<'_>) -> Result<(), StorageError> {
        self.discard()?;
        self.watch.check(self.database.connection())?;
        let follows = portion.after == self.standing.applied && portion.is_in_order();
        if !follows || portion.entries.iter().any(Entry::is_schema) {
            return Ok(());
        }
        match self.carry_out(&portion.entries, portion.upto, portion.term) {
            Ok(run) => {
                self.prepared = Some(run);
                Ok(())
            }
            Err(error) => {
                self.settle_after_failure()?;
                Err(error)
            }
        }
    }

    pub fn has_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    /// Applies what was prepared; nothing if nothing was.
    pub fn commit_prepared(
        &mut self,
        announce: Announce<'_>,
    ) -> Result<Vec<Outcome>, StorageError> {
        let Some(run) = self.prepared.take() else {
            return Ok(Vec::new());
        };
        let checked = self.watch.check(self.database.connection());
        let done = match checked.and_then(|()| self.commit(run, announce)) {
            Ok(outcomes) => Ok(outcomes),
            Err(error) => self.settle_after_failure().and(Err(error)),
        };
        self.noting_failure(done)
    }

    /// Takes back what was prepared.
    pub fn discard(&mut self) -> Result<(), StorageError> {
        if self.prepared.take().is_none() {
            return Ok(());
        }
        match self.database.run("ROLLBACK") {
            Ok(()) => Ok(()),
            Err(_) => self.settle_after_failure(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::change::SchemaChange;
    use crate::catalog::schema::Table;
    use crate::engine::sqlite::hash;
    use crate::engine::sqlite::testing::{self, numbered};
    use crate::types::id::{Index, TableId, Term};
    use crate::types::write::{Transaction, Write};
    use crate::types::{Type, Value};

    const TABLE: TableId = TableId(16384);

    fn insert(number: u64, keys: &[i64]) -> Transaction {
        let one = |key: &i64| Write::Insert {
            table: TABLE,
            rows: vec![vec![Value::Int(*key)]],
        };
        Transaction {
            id: numbered(number),
            writes: keys.iter().map(one).collect(),
        }
    }

    fn portion<'a>(index: u64, transactions: &'a [Transaction]) -> Portion<'a> {
        Portion {
            term: Term(1),
            after: Index(index - 1),
            upto: Index(index),
            entries: vec![Entry {
                index: Index(index),
                content: testing::batch(transactions),
                skip: &[],
            }],
        }
    }

    fn writer(directory: &tempfile::TempDir) -> Writer {
        let mut writer = Writer::open(&directory.path().join("r.db"), Index(0)).unwrap();
        let table = testing::table_of(TABLE.0, "t", &[("id", Type::Int8)]);
        let changes = [SchemaChange::CreateTable(Table::clone(&table))];
        let mut made = portion(1, &[]);
        made.entries[0].content = testing::first_schema(&changes);
        writer.prepare(&made).unwrap();
        assert!(!writer.has_prepared(), "a schema change is not prepared");
        writer.apply(&made, &mut |_| {}).unwrap();
        writer
    }

    /// What is prepared and committed is what would have been applied; what is
    /// discarded leaves nothing, whatever discards it.
    #[test]
    fn only_what_is_committed_is_there() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut plain, mut ahead) = (writer(&one), writer(&two));
        let rows = |writer: &Writer| hash::whole(writer.path(), TABLE).rows;
        let mut told = 0;
        for index in 2..=7_u64 {
            let key = index as i64 * 10;
            // The second transaction is refused after it has written a row.
            let agreed = [
                insert(index * 10, &[key]),
                insert(index * 10 + 1, &[key + 1, key]),
            ];
            let other = [insert(index * 10 + 2, &[key + 5])];
            let expected = plain.apply(&portion(index, &agreed), &mut |_| {}).unwrap();
            let before = rows(&ahead);
            ahead.prepare(&portion(index, &other)).unwrap();
            assert_eq!(rows(&ahead), before, "nobody sees what is prepared");
            assert_eq!(ahead.standing().applied, Index(index - 1));
            let outcomes = match index % 3 {
                0 => ahead.apply(&portion(index, &agreed), &mut |_| {}).unwrap(),
                1 => {
                    ahead.check().unwrap();
                    assert!(!ahead.has_prepared());
                    ahead.apply(&portion(index, &agreed), &mut |_| {}).unwrap()
                }
                _ => {
                    ahead.prepare(&portion(index, &agreed)).unwrap();
                    ahead.commit_prepared(&mut |_| told += 1).unwrap()
                }
            };
            assert_eq!(outcomes, expected);
            assert_eq!(ahead.standing(), plain.standing());
        }
        assert_eq!(told, 2, "a commit is announced");
        assert_eq!(rows(&ahead), rows(&plain));
        assert_eq!(ahead.commit_prepared(&mut |_| {}).unwrap(), []);
    }

    /// One that does not follow is not prepared, and a foreign hand is noticed
    /// before what was prepared is committed.
    #[test]
    fn nothing_is_prepared_where_it_does_not_belong() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(&directory);
        let rows = [insert(20, &[1])];
        writer.prepare(&portion(3, &rows)).unwrap();
        assert!(!writer.has_prepared());
        writer.prepare(&portion(2, &rows)).unwrap();
        assert!(writer.has_prepared());
        let path = writer.path().to_owned();
        std::fs::rename(&path, path.with_extension("gone")).unwrap();
        let found = writer.commit_prepared(&mut |_| {});
        assert!(matches!(found, Err(StorageError::Tampered(_))), "{found:?}");
        assert!(!writer.has_prepared());
    }
}
