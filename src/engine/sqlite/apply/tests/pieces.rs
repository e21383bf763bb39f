//! Transactions that come in pieces.

use super::*;

/// Pieces in memory.
struct Listed(Vec<Vec<Write>>);

impl crate::types::piece::Pieces for Listed {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn read(&self, place: usize) -> Result<Vec<Write>, String> {
        self.0.get(place).cloned().ok_or_else(|| "gone".to_owned())
    }
}

#[test]
fn pieces_apply_as_one_transaction_with_what_follows_them() {
    let mut replica = Replica::new();
    // A child before its parent, across pieces.
    let good = Listed(vec![
        vec![insert(CHILD, vec![int(1), int(5)])],
        vec![
            insert(PARENT, parent(5, "five")),
            insert(PARENT, parent(6, "six")),
        ],
    ]);
    let last = [transaction(1, vec![insert(PARENT, parent(7, "seven"))])];
    let pieced = |index, transactions, pieces| Entry {
        content: Content::Transactions {
            schema: SchemaVersion(1),
            transactions,
            pieces: Some(pieces),
        },
        ..batch(index, transactions)
    };
    let entry = pieced(2, &last, &good as &dyn crate::types::piece::Pieces);
    let outcomes = replica.deliver(1, 2, vec![entry]).unwrap();
    assert_eq!(told(&outcomes[0]), "[1, 2, 1]");
    assert_eq!(replica.rows("p").len(), 3);
    // What its end breaks takes all of it back, beside others that stay.
    let orphan = Listed(vec![
        vec![insert(PARENT, parent(8, "eight"))],
        vec![insert(CHILD, vec![int(2), int(99)])],
    ]);
    let alone = [transaction(2, vec![insert(PARENT, parent(9, "nine"))])];
    let last = [transaction(3, vec![insert(PARENT, parent(10, "ten"))])];
    let entries = vec![batch(3, &alone), pieced(4, &last, &orphan)];
    let outcomes = replica.deliver(2, 4, entries).unwrap();
    assert_eq!(told(&outcomes[0]), "[1]");
    assert!(told(&outcomes[1]).starts_with("23503"), "{:?}", outcomes[1]);
    let names: Vec<_> = replica.rows("p").into_iter().map(|(id, _)| id).collect();
    assert_eq!(names, [5, 6, 7, 9]);
    // One that cannot be read is the replica's failure: nothing of it is there.
    struct Unreadable;
    impl crate::types::piece::Pieces for Unreadable {
        fn count(&self) -> usize {
            1
        }
        fn read(&self, _: usize) -> Result<Vec<Write>, String> {
            Err("the disk is gone".to_owned())
        }
    }
    let last = [transaction(4, vec![insert(PARENT, parent(11, "eleven"))])];
    let entry = pieced(5, &last, &Unreadable);
    assert!(replica.deliver(4, 5, vec![entry]).is_err());
    assert_eq!(replica.rows("p").len(), 4);
}
