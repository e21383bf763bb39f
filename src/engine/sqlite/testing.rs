//! Queries and tables made by hand, for the tests of this engine.

use std::sync::Arc;

use parking_lot::Mutex;

use super::apply::Content;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Column, Namespace, PrimaryKey, Schema, Table};
use crate::plan::context::{Context, RandomState, Variables};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::query::{Body, Distinct, From, OutputColumn, Query, RelationId, Select};
use crate::types::id::{Boot, ColumnId, NodeId, ObjectId, SchemaVersion, TableId, TransactionId};
use crate::types::settings::Settings;
use crate::types::write::Transaction;
use crate::types::{Numeric, Type, Value};

struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

pub(in crate::engine::sqlite) fn context() -> Arc<Context> {
    context_of(Arc::new(Schema::empty()))
}

pub(in crate::engine::sqlite) fn context_of(schema: Arc<Schema>) -> Arc<Context> {
    Arc::new(Context {
        settings: Arc::new(Settings::default()),
        transaction_time: 0,
        statement_time: 0,
        user: "u".into(),
        database: "d".into(),
        database_oid: 0,
        schema,
        system: Arc::new(Schema::empty()),
        users: Arc::default(),
        random: Mutex::new(RandomState(1)),
        sequences: None,
        variables: Arc::new(NoVariables),
    })
}

pub(in crate::engine::sqlite) fn table() -> Arc<Table> {
    let columns = [
        ("id", Type::Int4),
        ("na\"me", Type::Text),
        ("n", Type::NUMERIC),
    ];
    table_of(16384, "t", &columns)
}

/// A table whose first column is its key.
pub(in crate::engine::sqlite) fn table_of(
    id: u32,
    name: &str,
    columns: &[(&str, Type)],
) -> Arc<Table> {
    let column = |(number, (name, ty)): (u16, &(&str, Type))| Column {
        id: ColumnId(number),
        name: (*name).to_owned(),
        ty: ty.clone(),
        not_null: number == 1,
        default: None,
        identity: None,
        hidden: false,
    };
    Arc::new(Table {
        id: TableId(id),
        namespace: Namespace::Public,
        name: name.to_owned(),
        columns: (1..).zip(columns).map(column).collect(),
        next_column: columns.len() as u16 + 1,
        key: PrimaryKey::Declared {
            id: ObjectId(id + 1),
            name: format!("{name}_pkey"),
            columns: vec![ColumnId(1)],
            include: Vec::new(),
        },
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    })
}

pub(in crate::engine::sqlite) const T: RelationId = RelationId(0);

pub(in crate::engine::sqlite) fn id() -> Expression {
    Expression::column(T, 0, Type::Int4)
}

pub(in crate::engine::sqlite) fn name() -> Expression {
    Expression::column(T, 1, Type::Text)
}

pub(in crate::engine::sqlite) fn number() -> Expression {
    Expression::column(T, 2, Type::NUMERIC)
}

pub(in crate::engine::sqlite) fn int(value: i64) -> Expression {
    Expression::constant(Value::Int(value), Type::Int4)
}

pub(in crate::engine::sqlite) fn decimal(text: &str) -> Expression {
    Expression::constant(Value::Numeric(Numeric::parse(text).unwrap()), Type::NUMERIC)
}

pub(in crate::engine::sqlite) fn operate(
    symbol: &str,
    left: Expression,
    right: Expression,
) -> Expression {
    let types = [left.ty.clone(), right.ty.clone()];
    let resolved = resolve::operator(symbol, &types).unwrap();
    Expression {
        kind: ExpressionKind::Call {
            function: resolved.function,
            arguments: vec![left, right],
        },
        ty: resolved.result,
    }
}

pub(in crate::engine::sqlite) fn select(projection: Vec<Expression>) -> Select {
    let alias = "t".to_owned();
    Select {
        distinct: Distinct::No,
        projection,
        from: vec![From::Table {
            relation: T,
            table: table(),
            alias,
        }],
        filter: None,
        group_by: Vec::new(),
        grouped: false,
        having: None,
    }
}

pub(in crate::engine::sqlite) fn query(select: Select) -> Query {
    let column = |expression: &Expression| OutputColumn {
        name: "?column?".to_owned(),
        ty: expression.ty.clone(),
        origin: None,
    };
    Query {
        with: Vec::new(),
        columns: select.projection.iter().map(column).collect(),
        body: Body::Select(Box::new(select)),
        order_by: Vec::new(),
        limit: None,
        offset: None,
        locks: Vec::new(),
    }
}

/// The transaction of this number.
pub(in crate::engine::sqlite) fn numbered(number: u64) -> TransactionId {
    TransactionId {
        node: NodeId(1),
        boot: Boot(7),
        number,
    }
}

/// What the first entry of a new file says: these tables are made.
pub(in crate::engine::sqlite) fn first_schema(changes: &[SchemaChange]) -> Content<'_> {
    Content::Schema {
        id: numbered(1),
        before: SchemaVersion(0),
        changes,
        writes: &[],
        then: &[],
        taken_back: false,
        pieces: None,
    }
}

/// What later entries say: transactions under that schema.
pub(in crate::engine::sqlite) fn batch(transactions: &[Transaction]) -> Content<'_> {
    Content::Transactions {
        schema: SchemaVersion(1),
        transactions,
        pieces: None,
    }
}
