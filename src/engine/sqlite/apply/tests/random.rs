//! Entries drawn at random, over files that meet different fates.

use super::*;

/// Transactions at random over few keys, so that most break something; a
/// model of the rows gives the before-hashes, some of them wrong.
fn random_transaction(number: u64, random: &mut RandomState, rows: &[Vec<Value>]) -> Transaction {
    let mut below = |limit: u64| random.draw() % limit;
    let mut writes = Vec::new();
    for _ in 0..=below(3) {
        let key = below(8) as i64;
        let name = format!("n{}", below(8));
        writes.push(match below(8) {
            0 | 1 => insert(PARENT, parent(key, &name)),
            2 => insert(CHILD, vec![int(below(30) as i64), int(key)]),
            3 => delete(PARENT, key),
            4 => delete(CHILD, below(30) as i64),
            5 => rename(key, &name),
            6 => Write::EndOfStatement,
            _ => {
                let mut changes = Vec::new();
                for row in rows.iter().take(below(4) as usize) {
                    let after = match below(3) {
                        0 => None,
                        1 => Some(parent(below(8) as i64, &name)),
                        _ => Some(vec![row[0].clone(), Value::text(format!("n{}", below(8)))]),
                    };
                    changes.push(RowChange {
                        key: vec![row[0].clone()],
                        before: Some(row_hash(row)),
                        after,
                    });
                }
                Write::Rows {
                    table: PARENT,
                    changes,
                }
            }
        });
    }
    transaction(number, writes)
}

/// Three files get the same entries, one smoothly, one in other portions and
/// with restarts, one with faults at random statements: they end equal.
#[test]
fn three_files_stay_equal_whatever_happens_on_the_way() {
    let mut random = RandomState(20261122);
    let mut files = [Replica::new(), Replica::new(), Replica::new()];
    let mut refused = 0;
    for round in 0..60 {
        let index = 2 + round * 2;
        let rows = files[0].rows("p");
        let rows: Vec<_> = rows.iter().map(|(key, name)| parent(*key, name)).collect();
        let mut entry = |first: u64| -> Vec<Transaction> {
            let numbers = first..first + 6;
            numbers
                .map(|n| random_transaction(n, &mut random, &rows))
                .collect()
        };
        let (first, second) = (entry(index * 100), entry(index * 100 + 50));
        let entries = || vec![batch(index, &first), batch(index + 1, &second)];
        let smooth = files[0].deliver(index - 1, index + 1, entries()).unwrap();
        refused += smooth
            .iter()
            .filter(|outcome| outcome.result.is_err())
            .count();

        let mut apart = files[1]
            .deliver(index - 1, index, vec![batch(index, &first)])
            .unwrap();
        if round % 16 == 5 {
            let [one, two, three] = files;
            files = [one, two.reopen(), three];
        }
        apart.extend(
            files[1]
                .deliver(index, index + 1, vec![batch(index + 1, &second)])
                .unwrap(),
        );
        assert_eq!(apart, smooth);

        let draw = random.draw();
        *files[2].writer.injection() = Some(Injection {
            after: (draw % 60) as usize,
            code: rusqlite::ffi::SQLITE_IOERR,
            manner: [Manner::Statement, Manner::RollsBack, Manner::Afterwards]
                [(draw >> 32) as usize % 3],
        });
        let disturbed = files[2].deliver(index - 1, index + 1, entries());
        *files[2].writer.injection() = None;
        let disturbed = disturbed.or_else(|_| files[2].deliver(index - 1, index + 1, entries()));
        assert_eq!(disturbed.unwrap(), smooth);
        for other in &files[1..] {
            assert_eq!(other.writer.standing(), files[0].writer.standing());
        }
    }
    for table in ["p", "c"] {
        assert_eq!(files[0].rows(table), files[1].rows(table));
        assert_eq!(files[0].rows(table), files[2].rows(table));
    }
    assert!(refused > 100, "{refused}");
}
