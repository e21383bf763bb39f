//! Schema changes on files with rows in them.

use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{
    Action, Check, Column, ForeignKey, Index as TableIndex, IndexColumn, IndexKey, Namespace,
    PrimaryKey, Sequence, Table,
};
use crate::engine::sqlite::StorageError;
use crate::engine::sqlite::apply::{Content, Entry};
use crate::engine::sqlite::hash;
use crate::engine::sqlite::writer::{Portion, Writer};
use crate::types::encode::row_hash;
use crate::types::id::{
    Boot, ColumnId, Index, NodeId, ObjectId, SchemaVersion, TableId, Term, TransactionId,
};
use crate::types::write::{Assigned, Assignment, Outcome, RowChange, Transaction, Write};
use crate::types::{Type, Value};

const TABLE: TableId = TableId(100);
const OTHER: TableId = TableId(101);

fn column(id: u16, name: &str, ty: Type) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        not_null: false,
        default: None,
        identity: None,
        hidden: false,
    }
}

/// `t(id int8 primary key, name text, amount numeric)`.
fn create(id: TableId, name: &str) -> SchemaChange {
    SchemaChange::CreateTable(Table {
        id,
        namespace: Namespace::Public,
        name: name.to_owned(),
        columns: vec![
            column(1, "id", Type::Int8),
            column(2, "name", Type::Text),
            column(3, "amount", Type::NUMERIC),
        ],
        next_column: 4,
        key: PrimaryKey::Declared {
            id: ObjectId(id.0 + 50),
            name: format!("{name}_pkey"),
            columns: vec![ColumnId(1)],
            include: Vec::new(),
        },
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    })
}

fn index(id: u32, key: IndexKey) -> TableIndex {
    TableIndex {
        id: ObjectId(id),
        name: format!("index_{id}"),
        columns: vec![IndexColumn {
            key,
            descending: false,
            nulls_first: false,
        }],
        unique: true,
        constraint: false,
        nulls_not_distinct: false,
        predicate: None,
        options: Default::default(),
    }
}

fn row(id: i64, name: &str, amount: &str) -> Vec<Value> {
    let amount = amount.parse().map(Value::Numeric);
    vec![Value::Int(id), Value::text(name), amount.unwrap()]
}

struct File {
    writer: Writer,
    number: u64,
    directory: tempfile::TempDir,
}

impl File {
    fn new() -> File {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.db");
        let mut file = File {
            writer: Writer::open(&path, Index(0)).unwrap(),
            number: 0,
            directory,
        };
        file.change(vec![create(TABLE, "t"), create(OTHER, "o")]);
        file
    }

    fn deliver(&mut self, content: Content<'_>) -> Result<Vec<Outcome>, StorageError> {
        let applied = self.writer.standing().applied.0;
        let entry = Entry {
            index: Index(applied + 1),
            content,
            skip: &[],
        };
        let portion = Portion {
            term: Term(1),
            after: Index(applied),
            upto: Index(applied + 1),
            entries: vec![entry],
        };
        self.writer.apply(&portion, &mut |_| {})
    }

    fn id(&mut self) -> TransactionId {
        self.number += 1;
        TransactionId {
            node: NodeId(1),
            boot: Boot(1),
            number: self.number,
        }
    }

    fn try_change(&mut self, changes: &[SchemaChange]) -> Result<Vec<Outcome>, StorageError> {
        let (id, before) = (self.id(), self.writer.standing().schema);
        self.deliver(Content::Schema {
            id,
            before,
            changes,
            writes: &[],
            then: &[],
            taken_back: false,
            pieces: None,
        })
    }

    fn change(&mut self, changes: Vec<SchemaChange>) {
        self.try_change(&changes).unwrap();
    }

    /// `ok` or the SQLSTATE, constraint and detail.
    fn write(&mut self, write: Write) -> String {
        let transactions = [Transaction {
            id: self.id(),
            writes: vec![write],
        }];
        let schema = self.writer.standing().schema;
        let outcomes = self.deliver(Content::Transactions {
            schema,
            transactions: &transactions,
            pieces: None,
        });
        match &outcomes.unwrap()[0].result {
            Ok(_) => "ok".to_owned(),
            Err(failure) => format!(
                "{} {} {}",
                failure.sql_state(),
                failure.constraint.as_deref().unwrap_or("-"),
                failure.detail.as_deref().unwrap_or("-")
            ),
        }
    }

    fn insert(&mut self, row: Vec<Value>) -> String {
        self.write(Write::Insert {
            table: TABLE,
            rows: vec![row],
        })
    }

    fn delete(&mut self, key: i64) -> String {
        self.write(Write::Delete {
            table: TABLE,
            key: vec![Value::Int(key)],
        })
    }

    fn set(&mut self, key: i64, column: u16, value: Assigned) -> String {
        self.write(Write::Update {
            table: TABLE,
            key: vec![Value::Int(key)],
            set: vec![Assignment { column, value }],
        })
    }

    /// All rows of a query, columns separated by `|`.
    fn query(&self, sql: &str) -> Vec<String> {
        let connection = rusqlite::Connection::open(self.writer.path()).unwrap();
        crate::engine::sqlite::collations::register(&connection).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let count = statement.column_count();
        let rows = statement.query_map([], |row| {
            let mut parts = Vec::new();
            for place in 0..count {
                use rusqlite::types::ValueRef;
                parts.push(match row.get_ref(place)? {
                    ValueRef::Null => "null".to_owned(),
                    ValueRef::Integer(i) => i.to_string(),
                    ValueRef::Real(f) => f.to_string(),
                    ValueRef::Text(t) => String::from_utf8(t.to_vec()).unwrap(),
                    ValueRef::Blob(b) => format!("{b:?}"),
                });
            }
            Ok(parts.join("|"))
        });
        rows.unwrap().map(|row| row.unwrap()).collect()
    }
}

#[test]
fn columns_come_change_and_go() {
    let mut file = File::new();
    assert_eq!(file.insert(row(1, "one", "1.50")), "ok");
    assert_eq!(file.insert(row(2, "it's", "2")), "ok");
    let add = |id, name: &str, ty, fill| SchemaChange::AddColumn {
        table: TABLE,
        column: Column {
            not_null: true,
            ..column(id, name, ty)
        },
        fill,
    };
    file.change(vec![
        add(4, "note", Type::Text, Value::text("a'b")),
        add(5, "ratio", Type::Float8, Value::Float(-0.5)),
        SchemaChange::RenameColumn {
            table: TABLE,
            column: ColumnId(2),
            name: "Title".to_owned(),
        },
    ]);
    assert_eq!(
        file.query("SELECT \"Title\", note, ratio FROM t ORDER BY id"),
        ["one|a'b|-0.5", "it's|a'b|-0.5"]
    );
    file.change(vec![
        SchemaChange::SetType {
            table: TABLE,
            column: ColumnId(3),
            ty: Type::Int4,
            using: "(amount * 2)::integer".to_owned(),
        },
        SchemaChange::DropColumn {
            table: TABLE,
            column: ColumnId(4),
        },
        SchemaChange::RenameTable {
            table: TABLE,
            name: "Items".to_owned(),
        },
        SchemaChange::SetNotNull {
            table: TABLE,
            column: ColumnId(3),
            not_null: true,
        },
    ]);
    assert_eq!(
        file.query("SELECT * FROM \"Items\" ORDER BY id"),
        ["1|one|3|-0.5", "2|it's|4|-0.5"]
    );
    let mut short = vec![Value::Int(3), Value::text("x"), Value::Null];
    short.push(Value::Float(0.0));
    assert_eq!(
        file.insert(short),
        "23502 - Failing row contains (3, x, null, 0)."
    );
    file.change(vec![SchemaChange::DropTable(TABLE)]);
    assert_eq!(
        file.query("SELECT count(*) FROM sqlite_schema WHERE name = 'Items'"),
        ["0"]
    );
}

/// As ALTER TABLE … ADD COLUMN … GENERATED, with a constraint beside it.
#[test]
fn a_new_column_is_filled_after_the_table_was_built_anew() {
    let mut file = File::new();
    assert_eq!(file.insert(row(1, "one", "1")), "ok");
    let changes = [
        SchemaChange::AddColumn {
            table: TABLE,
            column: Column {
                not_null: true,
                ..column(4, "number", Type::Int4)
            },
            fill: Value::Null,
        },
        SchemaChange::SetNotNull {
            table: TABLE,
            column: ColumnId(2),
            not_null: true,
        },
    ];
    let with = |number| [row(1, "one", "1"), vec![number]].concat();
    let writes = [Write::Rows {
        table: TABLE,
        changes: vec![RowChange {
            key: vec![Value::Int(1)],
            before: Some(row_hash(&with(Value::Null))),
            after: Some(with(Value::Int(7))),
        }],
    }];
    let (id, before) = (file.id(), file.writer.standing().schema);
    let filled = file.deliver(Content::Schema {
        id,
        before,
        changes: &changes,
        writes: &writes,
        then: &[],
        taken_back: false,
        pieces: None,
    });
    assert!(filled.unwrap()[0].result.is_ok());
    assert_eq!(file.query("SELECT id, number FROM t"), ["1|7"]);
}

#[test]
fn keys_may_be_hidden_and_declared() {
    let mut file = File::new();
    for (id, name) in [(5, "b"), (3, "a"), (9, "c")] {
        assert_eq!(file.insert(row(id, name, "1")), "ok");
    }
    let hidden = Column {
        not_null: true,
        hidden: true,
        ..column(4, "_pyql_key", Type::Int8)
    };
    file.change(vec![SchemaChange::DropPrimaryKey {
        table: TABLE,
        hidden,
        sequence: Sequence {
            id: ObjectId(300),
            name: "t__pyql_key_seq".to_owned(),
            ty: Type::Int8,
            start: 1,
            increment: 1,
            min: 1,
            max: i64::MAX,
            cycle: false,
            owner: None,
            hidden: true,
        },
    }]);
    assert_eq!(
        file.query("SELECT id, _pyql_key FROM t ORDER BY _pyql_key"),
        ["3|1", "5|2", "9|3"]
    );
    file.change(vec![SchemaChange::AddPrimaryKey {
        table: TABLE,
        id: ObjectId(301),
        name: "t_key".to_owned(),
        columns: vec![ColumnId(2), ColumnId(1)],
        include: Vec::new(),
    }]);
    assert_eq!(
        file.query("SELECT * FROM t ORDER BY 1"),
        ["3|a|1", "5|b|1", "9|c|1"]
    );
    assert_eq!(
        file.insert(row(3, "a", "7")),
        "23505 t_key Key (name, id)=(a, 3) already exists."
    );
}

#[test]
fn unique_indexes_of_every_kind_refuse() {
    let mut file = File::new();
    assert_eq!(file.insert(row(1, "Ann", "1")), "ok");
    assert_eq!(file.insert(row(2, "Bob", "-1")), "ok");
    let partial = TableIndex {
        predicate: Some("amount > 0".to_owned()),
        ..index(202, IndexKey::Column(ColumnId(3)))
    };
    let nulls = TableIndex {
        nulls_not_distinct: true,
        ..index(203, IndexKey::Column(ColumnId(2)))
    };
    let lower = IndexKey::Expression("lower(name)".to_owned(), Type::Text);
    let add = |index| SchemaChange::AddIndex {
        table: TABLE,
        index,
    };
    file.change(vec![add(index(201, lower)), add(partial), add(nulls)]);
    assert_eq!(
        file.insert(row(3, "ANN", "5")),
        "23505 index_201 Key (lower(name))=(ann) already exists."
    );
    assert_eq!(
        file.insert(row(3, "Cid", "1.00")),
        "23505 index_202 Key (amount)=(1.00) already exists."
    );
    assert_eq!(file.insert(row(3, "Cid", "-1")), "ok");
    let nameless = |id, amount: &str| {
        let mut row = row(id, "", amount);
        row[1] = Value::Null;
        row
    };
    assert_eq!(file.insert(nameless(4, "4")), "ok");
    assert_eq!(
        file.insert(nameless(5, "5")),
        "23505 index_203 Key (name)=(null) already exists."
    );
    // An entry goes with its row and follows its changes.
    let one = || Assigned::Constant(Value::Numeric("1".parse().unwrap()));
    assert_eq!(
        file.set(2, 2, one()),
        "23505 index_202 Key (amount)=(1) already exists."
    );
    assert_eq!(file.delete(1), "ok");
    assert_eq!(file.set(2, 2, one()), "ok");
    assert_eq!(file.insert(row(1, "aNN", "8")), "ok");
    let entries = "SELECT (SELECT count(*) FROM _pyql_unique_201), \
                   (SELECT count(*) FROM _pyql_unique_202)";
    assert_eq!(file.query(entries), ["3|3"]);
    file.change(vec![SchemaChange::DropIndex {
        table: TABLE,
        index: ObjectId(201),
    }]);
    assert_eq!(file.insert(row(7, "ann", "9")), "ok");
}

#[test]
fn foreign_keys_come_and_go() {
    let mut file = File::new();
    assert_eq!(file.insert(row(1, "one", "1")), "ok");
    file.change(vec![SchemaChange::AddForeignKey {
        table: OTHER,
        key: ForeignKey {
            id: ObjectId(400),
            name: "o_id_fkey".to_owned(),
            columns: vec![ColumnId(1)],
            parent: TABLE,
            parent_columns: vec![ColumnId(1)],
            on_delete: Action::NoAction,
            on_update: Action::NoAction,
            match_full: false,
            deferrable: false,
            initially_deferred: false,
        },
    }]);
    let other = |id| Write::Insert {
        table: OTHER,
        rows: vec![row(id, "x", "0")],
    };
    assert_eq!(
        file.write(other(2)),
        "23503 o_id_fkey Key (id)=(2) is not present in table \"t\"."
    );
    assert_eq!(file.write(other(1)), "ok");
    let referenced = "23503 o_id_fkey Key (id)=(1) is still referenced from table \"o\".";
    assert_eq!(file.delete(1), referenced);
    // Rebuilding the parent keeps its children's references.
    file.change(vec![SchemaChange::SetNotNull {
        table: TABLE,
        column: ColumnId(2),
        not_null: true,
    }]);
    assert_eq!(file.delete(1), referenced);
    file.change(vec![
        SchemaChange::RenameTable {
            table: TABLE,
            name: "parents".to_owned(),
        },
        SchemaChange::RenameColumn {
            table: TABLE,
            column: ColumnId(1),
            name: "key".to_owned(),
        },
    ]);
    assert_eq!(file.delete(1), referenced.replace("(id)", "(key)"));
    assert_eq!(
        file.write(other(2)),
        "23503 o_id_fkey Key (id)=(2) is not present in table \"parents\"."
    );
    file.change(vec![SchemaChange::DropConstraint {
        table: OTHER,
        constraint: ObjectId(400),
    }]);
    assert_eq!(file.delete(1), "ok");
}

#[test]
fn checks_and_assignments_are_evaluated() {
    let mut file = File::new();
    assert_eq!(file.insert(row(1, "one", "1")), "ok");
    file.change(vec![SchemaChange::AddCheck {
        table: TABLE,
        check: Check {
            id: ObjectId(401),
            name: "t_amount_check".to_owned(),
            expression: "amount < 10".to_owned(),
        },
    }]);
    assert_eq!(
        file.insert(row(2, "two", "10")),
        "23514 t_amount_check Failing row contains (2, two, 10)."
    );
    let times = |parameter: &str| Assigned::Expression {
        text: "amount * $1::numeric".into(),
        parameters: vec![Value::Numeric(parameter.parse().unwrap())],
    };
    assert_eq!(file.set(1, 2, times("2.5")), "ok");
    assert_eq!(file.query("SELECT amount FROM t"), ["2.5"]);
    assert_eq!(
        file.set(1, 2, times("5")),
        "23514 t_amount_check Failing row contains (1, one, 12.5)."
    );
    let divided = Assigned::Expression {
        text: "amount / 0".into(),
        parameters: Vec::new(),
    };
    assert_eq!(file.set(1, 2, divided), "22012 - -");
    file.change(vec![SchemaChange::DropConstraint {
        table: TABLE,
        constraint: ObjectId(401),
    }]);
    assert_eq!(file.insert(row(2, "two", "10")), "ok");
}

#[test]
fn a_change_that_fails_leaves_everything_as_it_was() {
    let mut file = File::new();
    for id in [1, 2] {
        assert_eq!(file.insert(row(id, "same", "1")), "ok");
    }
    let (standing, schema) = (file.writer.standing(), file.writer.schema().clone());
    let failed = file.try_change(&[
        SchemaChange::SetNotNull {
            table: TABLE,
            column: ColumnId(2),
            not_null: true,
        },
        SchemaChange::AddIndex {
            table: TABLE,
            index: index(500, IndexKey::Column(ColumnId(2))),
        },
    ]);
    assert!(matches!(failed, Err(StorageError::Transaction { .. })));
    assert_eq!(file.writer.standing(), standing);
    assert_eq!(file.writer.schema(), &schema);
    assert_eq!(file.insert(row(3, "more", "1")), "ok");
    let wrong_id = file.id();
    let wrong = file.deliver(Content::Schema {
        id: wrong_id,
        before: SchemaVersion(77),
        changes: &[],
        writes: &[],
        then: &[],
        taken_back: false,
        pieces: None,
    });
    assert!(wrong.is_err());
    let sum = hash::whole(file.writer.path(), TABLE);
    assert_eq!(sum.rows, 3);
    assert!(file.directory.path().exists());
}
