//! What a table asks of its rows, compiled once per schema version.
//!
//! NOT NULL, CHECK, unique keys and foreign keys as the evaluator checks them,
//! and the queries that look keys up on a replica. Pure but for its cache.

use std::sync::Arc;

use super::claim::{ClaimKey, PRIMARY_KEY};
use crate::catalog::schema::{ForeignKey, IndexKey, PrimaryKey, Schema, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::bind::{self, Binding};
use crate::plan::context::Context;
use crate::plan::evaluate::{RowScope, evaluate};
use crate::plan::evaluation::{from_table, of_select, plain, whole_row};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::query::{Query, RelationId};
use crate::types::id::ObjectId;
use crate::types::{Row, Type, Value, text};

/// The relation under which lookups name the table's row.
const LOOKUP: RelationId = RelationId(0);

/// A table's constraints, ready to check.
pub struct Rules {
    pub table: Arc<Table>,
    /// Places of the primary key.
    pub key: Vec<usize>,
    /// The primary key first, as [`PRIMARY_KEY`].
    pub uniques: Vec<Unique>,
    pub checks: Vec<CompiledCheck>,
    pub parents: Vec<Arc<Reference>>,
    pub children: Vec<Arc<Reference>>,
    context: Arc<Context>,
}

/// A unique key: a primary key, constraint or index.
pub struct Unique {
    /// What claims name it by: [`PRIMARY_KEY`] for that.
    pub id: ObjectId,
    /// The object itself, as ON CONFLICT names it.
    pub object: ObjectId,
    pub name: String,
    pub parts: Vec<KeyPart>,
    pub predicate: Option<(Expression, RelationId)>,
    pub nulls_not_distinct: bool,
    /// Looked at when the statement or, initially too, the transaction ends.
    pub deferrable: bool,
    pub initially_deferred: bool,
    /// Finds the committed rows of a key given as parameters; `None` where the
    /// index is over an expression that needs another form.
    pub lookup: Arc<Query>,
}

/// What a row has under one of its table's unique keys.
#[derive(Clone)]
pub struct UniqueKey {
    /// The unique key's place among the rules; 0 is the primary one.
    pub place: usize,
    pub claim: ClaimKey,
    pub values: Vec<Value>,
}

impl UniqueKey {
    pub fn is_primary(&self) -> bool {
        self.place == 0
    }

    fn is(&self, other: &UniqueKey) -> bool {
        self.place == other.place && self.claim == other.claim
    }

    /// Whether it is one of these.
    pub fn is_among(&self, others: &[UniqueKey]) -> bool {
        others.iter().any(|other| self.is(other))
    }
}

/// Are these the same keys, in the same order?
pub fn same_keys(a: &[UniqueKey], b: &[UniqueKey]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b))
}

pub enum KeyPart {
    Column(usize),
    /// An expression over a relation, and its text.
    Expression(Expression, RelationId, String),
}

pub struct CompiledCheck {
    pub name: String,
    pub expression: Expression,
    pub relation: RelationId,
}

/// A foreign key seen from one of its ends.
pub struct Reference {
    pub key: ForeignKey,
    pub child: Arc<Table>,
    pub child_places: Vec<usize>,
    pub parent: Arc<Table>,
    pub parent_places: Vec<usize>,
    /// The parent's unique key that it refers to, as claims name it, and the
    /// order of its columns as places in `parent_places`.
    pub unique: ObjectId,
    pub unique_order: Vec<usize>,
    /// Finds a child's rows by the foreign key's values.
    pub children: Arc<Query>,
    /// Finds the parent's row by the referenced values.
    pub parents: Arc<Query>,
}

impl Rules {
    pub fn compile(
        schema: &Arc<Schema>,
        table: &Arc<Table>,
        context: &Arc<Context>,
    ) -> Result<Rules> {
        let binding = Binding {
            schema,
            system: &context.system,
            context,
        };
        let checks = table.checks.iter().map(|check| {
            let (expression, relation) =
                bind::table_expression(&check.expression, table, &binding)?;
            Ok(CompiledCheck {
                name: check.name.clone(),
                expression,
                relation,
            })
        });
        let parents = table.foreign_keys.iter().map(|key| {
            let parent = schema.table(key.parent).ok_or_else(|| missing(key))?;
            reference(key, table, parent)
        });
        let children = schema
            .children_of(table.id)
            .map(|(child, key)| reference(key, child, table));
        Ok(Rules {
            table: table.clone(),
            key: table.key_positions(),
            uniques: uniques(table, &binding)?,
            checks: checks.collect::<Result<_>>()?,
            parents: parents.collect::<Result<_>>()?,
            children: children.collect::<Result<_>>()?,
            context: context.clone(),
        })
    }

    /// The row's primary key.
    pub fn key_of(&self, row: &Row) -> Vec<Value> {
        self.key.iter().map(|place| row[*place].clone()).collect()
    }

    /// NOT NULL and CHECK.
    pub fn check(&self, row: &Row, context: &Context) -> Result<()> {
        for (column, value) in self.table.columns.iter().zip(row) {
            if column.not_null && value.is_null() {
                let (column, table) = (&column.name, &self.table.name);
                let message = format!(
                    "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
                );
                return Err(Error::new(SqlState::NOT_NULL_VIOLATION, message)
                    .detail(self.failing(row, context))
                    .table(table)
                    .column(column));
            }
        }
        for check in &self.checks {
            let scope = RowScope {
                relation: check.relation,
                row,
                parameters: &[],
            };
            if evaluate(&check.expression, &scope, context)? == Value::Bool(false) {
                let (name, table) = (&check.name, &self.table.name);
                let message = format!(
                    "new row for relation \"{table}\" violates check constraint \"{name}\""
                );
                return Err(Error::new(SqlState::CHECK_VIOLATION, message)
                    .detail(self.failing(row, context))
                    .table(table)
                    .constraint(name));
            }
        }
        Ok(())
    }

    fn failing(&self, row: &Row, context: &Context) -> String {
        let visible = self.table.visible();
        let shown = visible.map(|(place, column)| shown(&row[place], &column.ty, context));
        format!(
            "Failing row contains ({}).",
            shown.collect::<Vec<_>>().join(", ")
        )
    }

    /// Does a unique key depend on the column at this place?
    pub fn is_in_unique(&self, place: usize) -> bool {
        self.uniques.iter().any(|unique| {
            unique.predicate.is_some()
                || unique.parts.iter().any(|part| match part {
                    KeyPart::Column(column) => *column == place,
                    KeyPart::Expression(..) => true,
                })
        })
    }

    /// The values of a row under a unique key; `None` when the key does not
    /// hold for it: a null in it, or outside a partial index.
    fn unique_values(&self, unique: &Unique, row: &Row) -> Result<Option<Vec<Value>>> {
        if let Some((predicate, relation)) = &unique.predicate {
            let scope = RowScope {
                relation: *relation,
                row,
                parameters: &[],
            };
            if evaluate(predicate, &scope, &self.context)? != Value::Bool(true) {
                return Ok(None);
            }
        }
        let mut values = Vec::with_capacity(unique.parts.len());
        for part in &unique.parts {
            let value = match part {
                KeyPart::Column(place) => row[*place].clone(),
                KeyPart::Expression(expression, relation, _) => {
                    let scope = RowScope {
                        relation: *relation,
                        row,
                        parameters: &[],
                    };
                    evaluate(expression, &scope, &self.context)?
                }
            };
            if value.is_null() && !unique.nulls_not_distinct {
                return Ok(None);
            }
            values.push(value);
        }
        Ok(Some(values))
    }

    /// What a row has under each unique key that holds for it.
    pub fn unique_keys(&self, row: &Row) -> Result<Vec<UniqueKey>> {
        let mut keys = Vec::with_capacity(self.uniques.len());
        for (place, unique) in self.uniques.iter().enumerate() {
            if let Some(values) = self.unique_values(unique, row)? {
                let claim = ClaimKey::of(self.table.id, unique.id, &values);
                keys.push(UniqueKey {
                    place,
                    claim,
                    values,
                });
            }
        }
        Ok(keys)
    }

    /// The unique key that this is one of.
    pub fn unique(&self, key: &UniqueKey) -> &Unique {
        &self.uniques[key.place]
    }

    pub fn has_deferrable(&self) -> bool {
        self.uniques.iter().any(|unique| unique.deferrable)
    }

    /// The columns that are unique each by itself, if all unique keys are such.
    pub fn single_places(&self) -> Option<Vec<usize>> {
        let place = |unique: &Unique| match &unique.parts[..] {
            [KeyPart::Column(place)] if unique.predicate.is_none() && !unique.deferrable => {
                (!unique.nulls_not_distinct).then_some(*place)
            }
            _ => None,
        };
        self.uniques.iter().map(place).collect()
    }

    /// The error of a row whose unique key another row has.
    pub fn duplicate(&self, key: &UniqueKey, context: &Context) -> Error {
        let unique = self.unique(key);
        let message = format!(
            "duplicate key value violates unique constraint \"{}\"",
            unique.name
        );
        let names: Vec<String> = unique
            .parts
            .iter()
            .map(|part| self.part_name(part))
            .collect();
        let types = unique.parts.iter().map(|part| match part {
            KeyPart::Column(place) => self.table.columns[*place].ty.clone(),
            KeyPart::Expression(expression, ..) => expression.ty.clone(),
        });
        let shown = key
            .values
            .iter()
            .zip(types)
            .map(|(value, ty)| shown(value, &ty, context));
        let shown = shown.collect::<Vec<_>>().join(", ");
        Error::new(SqlState::UNIQUE_VIOLATION, message)
            .detail(format!(
                "Key ({})=({shown}) already exists.",
                names.join(", ")
            ))
            .table(&self.table.name)
            .constraint(&unique.name)
    }

    fn part_name(&self, part: &KeyPart) -> String {
        match part {
            KeyPart::Column(place) => self.table.columns[*place].name.clone(),
            KeyPart::Expression(_, _, text) => text.clone(),
        }
    }
}

/// A value as error details show it.
pub fn shown(value: &Value, ty: &Type, context: &Context) -> String {
    let mut out = String::new();
    match value {
        Value::Null => out.push_str("null"),
        value => text::output(value, ty, context.io(), &mut out),
    }
    out
}

impl Reference {
    /// The foreign key's values of a child row; `None` when a null frees it.
    pub fn child_values(&self, row: &Row) -> Result<Option<Vec<Value>>> {
        let values: Vec<Value> = self
            .child_places
            .iter()
            .map(|place| row[*place].clone())
            .collect();
        let nulls = values.iter().filter(|value| value.is_null()).count();
        if nulls == 0 {
            return Ok(Some(values));
        }
        if self.key.match_full && nulls < values.len() {
            let (table, name) = (&self.child.name, &self.key.name);
            let message = format!(
                "insert or update on table \"{table}\" violates foreign key constraint \"{name}\""
            );
            return Err(Error::new(SqlState::FOREIGN_KEY_VIOLATION, message)
                .detail("MATCH FULL does not allow mixing of null and nonnull key values.")
                .table(table)
                .constraint(name));
        }
        Ok(None)
    }

    pub fn parent_values(&self, row: &Row) -> Vec<Value> {
        self.parent_places
            .iter()
            .map(|place| row[*place].clone())
            .collect()
    }

    /// The claim on the parent's key of these values, given in the key's order.
    pub fn parent_claim(&self, values: &[Value]) -> ClaimKey {
        ClaimKey::of(self.parent.id, self.unique, &self.ordered(values))
    }

    /// The referenced values in the order of the parent's key.
    pub fn ordered(&self, values: &[Value]) -> Vec<Value> {
        let places = self.unique_order.iter();
        places.map(|place| values[*place].clone()).collect()
    }

    /// 23503 for a child without a parent.
    pub fn no_parent(&self, values: &[Value], context: &Context) -> Error {
        let (table, name) = (&self.child.name, &self.key.name);
        let message = format!(
            "insert or update on table \"{table}\" violates foreign key constraint \"{name}\""
        );
        let key = key_text(&self.child, &self.child_places, values, context);
        Error::new(SqlState::FOREIGN_KEY_VIOLATION, message)
            .detail(format!(
                "Key {key} is not present in table \"{}\".",
                self.parent.name
            ))
            .table(table)
            .constraint(name)
    }

    /// 23503 for a parent that is still referred to.
    pub fn still_referenced(&self, values: &[Value], context: &Context) -> Error {
        let (parent, child, name) = (&self.parent.name, &self.child.name, &self.key.name);
        let message = format!(
            "update or delete on table \"{parent}\" violates foreign key constraint \"{name}\" on table \"{child}\""
        );
        let key = key_text(&self.parent, &self.parent_places, values, context);
        Error::new(SqlState::FOREIGN_KEY_VIOLATION, message)
            .detail(format!(
                "Key {key} is still referenced from table \"{child}\"."
            ))
            .table(child)
            .constraint(name)
    }
}

fn key_text(table: &Table, places: &[usize], values: &[Value], context: &Context) -> String {
    let names: Vec<&str> = places
        .iter()
        .map(|place| table.columns[*place].name.as_str())
        .collect();
    let values = places.iter().zip(values);
    let shown: Vec<String> = values
        .map(|(place, value)| shown(value, &table.columns[*place].ty, context))
        .collect();
    format!("({})=({})", names.join(", "), shown.join(", "))
}

fn missing(key: &ForeignKey) -> Error {
    Error::internal(format!("foreign key \"{}\" refers to no table", key.name))
}

fn reference(key: &ForeignKey, child: &Arc<Table>, parent: &Arc<Table>) -> Result<Arc<Reference>> {
    let place = |table: &Table, id| table.position(id).ok_or_else(|| missing(key));
    let child_places: Vec<usize> = key
        .columns
        .iter()
        .map(|id| place(child, *id))
        .collect::<Result<_>>()?;
    let parent_places: Vec<usize> = key
        .parent_columns
        .iter()
        .map(|id| place(parent, *id))
        .collect::<Result<_>>()?;
    let (unique, order) = referenced(parent, &parent_places).ok_or_else(|| missing(key))?;
    let unique_order = order
        .iter()
        .filter_map(|place| parent_places.iter().position(|other| other == place))
        .collect();
    Ok(Arc::new(Reference {
        key: key.clone(),
        child: child.clone(),
        parent: parent.clone(),
        children: lookup(child, &child_places)?,
        parents: lookup(parent, &parent_places)?,
        child_places,
        parent_places,
        unique,
        unique_order,
    }))
}

/// The unique key over exactly these columns, and its columns in its own order.
fn referenced(parent: &Table, places: &[usize]) -> Option<(ObjectId, Vec<usize>)> {
    let same = |columns: &[usize]| {
        columns.len() == places.len() && columns.iter().all(|column| places.contains(column))
    };
    let key = parent.key_positions();
    if matches!(parent.key, PrimaryKey::Declared { .. }) && same(&key) {
        return Some((PRIMARY_KEY, key));
    }
    parent
        .indexes
        .iter()
        .filter(|index| index.unique && index.predicate.is_none() && !index.options.deferrable)
        .find_map(|index| {
            let columns: Option<Vec<usize>> = index
                .columns
                .iter()
                .map(|column| match &column.key {
                    IndexKey::Column(id) => parent.position(*id),
                    IndexKey::Expression(..) => None,
                })
                .collect();
            columns
                .filter(|columns| same(columns))
                .map(|columns| (index.id, columns))
        })
}

fn uniques(table: &Arc<Table>, binding: &Binding<'_>) -> Result<Vec<Unique>> {
    let key = table.key_positions();
    let (object, name) = match &table.key {
        PrimaryKey::Declared { id, name, .. } => (*id, name.clone()),
        _ => (ObjectId(0), format!("{}_pkey", table.name)),
    };
    let mut uniques = Vec::with_capacity(1 + table.indexes.len());
    uniques.push(Unique {
        id: PRIMARY_KEY,
        object,
        name,
        lookup: lookup(table, &key)?,
        parts: key.into_iter().map(KeyPart::Column).collect(),
        predicate: None,
        nulls_not_distinct: false,
        deferrable: false,
        initially_deferred: false,
    });
    for index in table.indexes.iter().filter(|index| index.unique) {
        let mut parts = Vec::with_capacity(index.columns.len());
        let mut sides = Vec::with_capacity(index.columns.len());
        for column in &index.columns {
            match &column.key {
                IndexKey::Column(id) => {
                    let place = table
                        .position(*id)
                        .ok_or_else(|| Error::internal("index column"))?;
                    sides.push(Expression::column(
                        LOOKUP,
                        place,
                        table.columns[place].ty.clone(),
                    ));
                    parts.push(KeyPart::Column(place));
                }
                IndexKey::Expression(text, _) => {
                    let (expression, relation) = bind::table_expression(text, table, binding)?;
                    sides.push(over_lookup(&expression, relation)?);
                    parts.push(KeyPart::Expression(expression, relation, text.clone()));
                }
            }
        }
        let predicate = match &index.predicate {
            Some(text) => Some(bind::table_expression(text, table, binding)?),
            None => None,
        };
        let condition = match &predicate {
            Some((condition, relation)) => Some(over_lookup(condition, *relation)?),
            None => None,
        };
        uniques.push(Unique {
            id: index.id,
            object: index.id,
            name: index.name.clone(),
            lookup: lookup_by(table, sides, condition, index.nulls_not_distinct)?,
            parts,
            predicate,
            nulls_not_distinct: index.nulls_not_distinct,
            deferrable: index.options.deferrable,
            initially_deferred: index.options.initially_deferred,
        });
    }
    Ok(uniques)
}

/// Stored expressions are bound over the relation that lookups use.
fn over_lookup(expression: &Expression, relation: RelationId) -> Result<Expression> {
    match relation == LOOKUP {
        true => Ok(expression.clone()),
        false => Err(Error::internal(
            "a stored expression is bound over another relation",
        )),
    }
}

/// The rows of a table whose columns at these places equal the parameters.
pub fn lookup(table: &Arc<Table>, places: &[usize]) -> Result<Arc<Query>> {
    let sides = places
        .iter()
        .map(|place| Expression::column(LOOKUP, *place, table.columns[*place].ty.clone()))
        .collect();
    lookup_by(table, sides, None, false)
}

/// The rows of a table whose column is one of the array that is the parameter.
pub fn lookup_any(table: &Arc<Table>, place: usize) -> Result<Arc<Query>> {
    let column = Expression::column(LOOKUP, place, table.columns[place].ty.clone());
    let ty = column.ty.without_modifier();
    let array = Expression {
        kind: ExpressionKind::Parameter(0),
        ty: Type::Array(Box::new(ty.clone())),
    };
    let filter = Expression {
        kind: ExpressionKind::AnyArray {
            operand: Box::new(column),
            array: Box::new(array),
            operator: resolve::operator("=", &[ty.clone(), ty])?.function,
            all: false,
        },
        ty: Type::Bool,
    };
    let from = from_table(table, LOOKUP);
    let select = plain(whole_row(table, LOOKUP), vec![from], Some(filter));
    Ok(Arc::new(of_select(select)))
}

fn lookup_by(
    table: &Arc<Table>,
    sides: Vec<Expression>,
    condition: Option<Expression>,
    nulls_equal: bool,
) -> Result<Arc<Query>> {
    let mut conditions = Vec::with_capacity(sides.len() + 1);
    for (number, side) in sides.into_iter().enumerate() {
        let ty = side.ty.without_modifier();
        let parameter = Expression {
            kind: ExpressionKind::Parameter(number),
            ty: side.ty.clone(),
        };
        let kind = if nulls_equal {
            ExpressionKind::IsDistinct {
                left: Box::new(side),
                right: Box::new(parameter),
                negated: true,
            }
        } else {
            let equal = resolve::operator("=", &[ty.clone(), ty])?.function;
            ExpressionKind::Call {
                function: equal,
                arguments: vec![side, parameter],
            }
        };
        conditions.push(Expression {
            kind,
            ty: Type::Bool,
        });
    }
    conditions.extend(condition);
    let filter = Expression {
        kind: ExpressionKind::And(conditions),
        ty: Type::Bool,
    };
    let from = from_table(table, LOOKUP);
    Ok(Arc::new(of_select(plain(
        whole_row(table, LOOKUP),
        vec![from],
        Some(filter),
    ))))
}
