//! Expressions: natively where SQLite agrees with PostgreSQL.

use super::{Binding, Relation, Renderer, Source, alias, quoted, walk};
use crate::engine::sqlite::values::collation;
use crate::error::{Error, Result};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::FunctionRef;
use crate::plan::query::RelationId;
use crate::types::{Type, Value};

/// Constants beyond so many are written out where they can be.
const MAX_BINDINGS: usize = 10_000;

impl Renderer<'_> {
    pub(super) fn expression(&mut self, expression: &Expression) -> Result<String> {
        use ExpressionKind as K;
        match &expression.kind {
            K::Constant(value) => return Ok(self.constant(value)),
            K::Parameter(index) => return Ok(self.parameter(*index)),
            K::Column { relation, column } => return self.column(*relation, *column),
            _ if self.lazy == 0 && walk::is_fixed(expression) => {
                return Ok(self.bind(Binding::Computed(expression.clone())));
            }
            _ => {}
        }
        match &expression.kind {
            K::Constant(_) | K::Parameter(_) | K::Column { .. } => self.computed(expression),
            K::Call {
                function,
                arguments,
            } => self.call(expression, *function, arguments),
            K::Cast { operand, .. } => self.cast(expression, operand),
            K::And(items) => self.joined(items, "AND"),
            K::Or(items) => self.joined(items, "OR"),
            K::Not(operand) => Ok(format!("(NOT {})", self.expression(operand)?)),
            K::IsNull { operand, .. } if operand.ty.is_record() => self.computed(expression),
            K::IsNull { operand, negated } => {
                let operand = self.expression(operand)?;
                Ok(format!("({operand} IS{} NULL)", not(*negated)))
            }
            K::IsTruth {
                operand,
                value,
                negated,
            } => {
                let operand = self.expression(operand)?;
                let value = value.map_or("NULL", |value| if value { "1" } else { "0" });
                Ok(format!("({operand} IS{} {value})", not(*negated)))
            }
            K::IsDistinct {
                left,
                right,
                negated,
            } => self.is_distinct(expression, left, right, *negated),
            K::Case {
                branches,
                otherwise,
            } => self.case(branches, otherwise.as_deref()),
            K::Coalesce(items) => self.coalesce(items),
            K::NullIf { left, equal } => {
                let equal = self.expression(equal)?;
                let left = self.expression(left)?;
                Ok(format!("(CASE WHEN {equal} THEN NULL ELSE {left} END)"))
            }
            K::InList {
                operand,
                list,
                equal,
                negated,
            } => self.in_list(expression, operand, list, *equal, *negated),
            K::AnyArray {
                operand,
                array,
                operator,
                all,
            } => self.any_array(expression, operand, array, *operator, *all),
            K::AnyQuery { .. } | K::Exists { .. } | K::Scalar(_) | K::ArrayQuery(_) => {
                self.subquery(expression)
            }
            K::Aggregate(aggregate) => self.aggregate(aggregate, &expression.ty),
            K::Grouping(_) => Err(Error::unsupported("GROUPING at this place")),
            K::Window(window) => self.window(window, &expression.ty),
            K::Extreme { .. } | K::Array(_) | K::Record(_) => self.computed(expression),
            K::Subscript { .. } | K::Slice { .. } => self.computed(expression),
        }
    }

    fn constant(&mut self, value: &Value) -> String {
        match value {
            Value::Null => "NULL".to_owned(),
            Value::Bool(b) => i64::from(*b).to_string(),
            // The least integer has no literal: SQLite reads a minus as an operator.
            Value::Int(i) if *i >= 0 => i.to_string(),
            Value::Int(i) if *i > i64::MIN => format!("({i})"),
            other => match self.out.bindings.len() < MAX_BINDINGS {
                true => self.bind(Binding::Constant(other.clone())),
                false => self.literal(other),
            },
        }
    }

    /// SQLite bounds the number of parameters; text can be written out.
    fn literal(&mut self, value: &Value) -> String {
        match crate::engine::sqlite::values::as_text(value) {
            Some(text) => format!("'{}'", text.replace('\'', "''")),
            None => self.bind(Binding::Constant(value.clone())),
        }
    }

    pub(super) fn column(&mut self, relation: RelationId, column: usize) -> Result<String> {
        let name = match self.relations.get(&relation) {
            Some(Relation::Table(table)) => match table.columns.get(column) {
                Some(column) => quoted(&column.name),
                None => return Err(Error::internal("a plan names a column that is not there")),
            },
            Some(Relation::Derived) => format!("c{column}"),
            None => {
                return Err(Error::internal(
                    "a plan names a relation that is not in FROM",
                ));
            }
        };
        Ok(format!("{}.{name}", alias(relation)))
    }

    /// AND and OR as a balanced tree: SQLite bounds the depth of expressions.
    fn joined(&mut self, items: &[Expression], word: &str) -> Result<String> {
        match items {
            [] => Ok(i64::from(word == "AND").to_string()),
            [item] => self.expression(item),
            _ => {
                let (left, right) = items.split_at(items.len() / 2);
                let left = self.joined(left, word)?;
                let right = self.joined(right, word)?;
                Ok(format!("({left} {word} {right})"))
            }
        }
    }

    fn call(
        &mut self,
        expression: &Expression,
        function: FunctionRef,
        arguments: &[Expression],
    ) -> Result<String> {
        if let [left, right] = arguments
            && let Some(symbol) = comparison(function, &left.ty, &right.ty)
            && !(collation(&left.ty).is_some() && self.is_worth_computing(arguments))
        {
            return self.compared(left, symbol, right);
        }
        self.computed(expression)
    }

    /// Whether printing and reading back an operand for the collation would
    /// cost more than evaluating it all at once.
    fn is_worth_computing(&self, operands: &[Expression]) -> bool {
        let plain = operands.iter().all(is_plain);
        let engine = operands.iter().any(|e| walk::any(e, &walk::needs_engine));
        !plain && !engine
    }

    pub(super) fn compared(
        &mut self,
        left: &Expression,
        symbol: &str,
        right: &Expression,
    ) -> Result<String> {
        let (mut left_sql, mut right_sql) = (self.expression(left)?, self.expression(right)?);
        let blanks = keeps_blanks(left) || keeps_blanks(right);
        if let Some(collation) = collation(&left.ty).or(blanks.then_some(UNPADDED)) {
            // On the side that is no column, so that an index serves the other.
            if is_column(left) {
                right_sql = format!("{right_sql} COLLATE {collation}");
            } else {
                left_sql = format!("{left_sql} COLLATE {collation}");
            }
        } else if is_text_ordered(&left.ty) {
            if !self.has_own_collation(left) {
                left_sql.push_str(" COLLATE BINARY");
            } else if !self.has_own_collation(right) {
                right_sql.push_str(" COLLATE BINARY");
            }
        }
        Ok(format!("({left_sql} {symbol} {right_sql})"))
    }

    /// The expression under its type's order, for ORDER BY, GROUP BY, DISTINCT and IN.
    pub(super) fn collated(&mut self, expression: &Expression) -> Result<String> {
        let sql = self.expression(expression)?;
        Ok(match collation(&expression.ty) {
            Some(collation) => format!("{sql} COLLATE {collation}"),
            None if keeps_blanks(expression) => format!("{sql} COLLATE {UNPADDED}"),
            None if is_text_ordered(&expression.ty) && !self.has_own_collation(expression) => {
                format!("{sql} COLLATE BINARY")
            }
            None => sql,
        })
    }

    /// SQLite itself compares it by bytes, without being told: it is a stored
    /// column, a parameter or a constant.
    fn has_own_collation(&self, expression: &Expression) -> bool {
        match &expression.kind {
            ExpressionKind::Constant(_) | ExpressionKind::Parameter(_) => true,
            ExpressionKind::Column { relation, .. } => {
                matches!(self.relations.get(relation), Some(Relation::Table(_)))
            }
            _ => false,
        }
    }

    fn cast(&mut self, expression: &Expression, operand: &Expression) -> Result<String> {
        match native_cast(&operand.ty, &expression.ty) {
            Some(NativeCast::Same) => self.expression(operand),
            Some(NativeCast::Real) => Ok(format!("CAST({} AS REAL)", self.expression(operand)?)),
            Some(NativeCast::Text) => Ok(format!("CAST({} AS TEXT)", self.expression(operand)?)),
            None => self.computed(expression),
        }
    }

    fn is_distinct(
        &mut self,
        expression: &Expression,
        left: &Expression,
        right: &Expression,
        negated: bool,
    ) -> Result<String> {
        match class(&left.ty) {
            Some(kind) if Some(kind) == class(&right.ty) => {
                let symbol = if negated { "IS" } else { "IS NOT" };
                self.compared(left, symbol, right)
            }
            _ => self.computed(expression),
        }
    }

    fn case(
        &mut self,
        branches: &[(Expression, Expression)],
        otherwise: Option<&Expression>,
    ) -> Result<String> {
        self.lazily(|this| {
            let mut sql = "(CASE".to_owned();
            for (when, then) in branches {
                let (when, then) = (this.expression(when)?, this.expression(then)?);
                sql.push_str(&format!(" WHEN {when} THEN {then}"));
            }
            if let Some(otherwise) = otherwise {
                sql.push_str(" ELSE ");
                sql.push_str(&this.expression(otherwise)?);
            }
            sql.push_str(" END)");
            Ok(sql)
        })
    }

    fn coalesce(&mut self, items: &[Expression]) -> Result<String> {
        if let [item] = items {
            return self.expression(item);
        }
        let items = self.lazily(|this| this.list(items))?;
        Ok(format!("coalesce({items})"))
    }

    pub(super) fn list(&mut self, items: &[Expression]) -> Result<String> {
        let items: Result<Vec<String>> = items.iter().map(|item| self.expression(item)).collect();
        Ok(items?.join(", "))
    }

    fn in_list(
        &mut self,
        expression: &Expression,
        operand: &Expression,
        list: &[Expression],
        equal: FunctionRef,
        negated: bool,
    ) -> Result<String> {
        let native = list
            .iter()
            .all(|item| comparison(equal, &operand.ty, &item.ty) == Some("="));
        if !native {
            return self.computed(expression);
        }
        let operand = match list.iter().any(keeps_blanks) {
            true => format!("{} COLLATE {UNPADDED}", self.expression(operand)?),
            false => self.collated(operand)?,
        };
        let list = self.list(list)?;
        Ok(format!("({operand}{} IN ({list}))", not(negated)))
    }

    /// `= ANY (array)` over an array that is the same for all rows becomes IN,
    /// which may use an index.
    fn any_array(
        &mut self,
        expression: &Expression,
        operand: &Expression,
        array: &Expression,
        operator: FunctionRef,
        all: bool,
    ) -> Result<String> {
        let Type::Array(element) = &array.ty else {
            return self.computed(expression);
        };
        let negated = match (comparison(operator, &operand.ty, element), all) {
            (Some("="), false) => false,
            (Some("<>"), true) => true,
            _ => return self.computed(expression),
        };
        if !walk::is_fixed(array) {
            return self.computed(expression);
        }
        let number = self.out.sources.len();
        self.out.sources.push(Source::Elements((**element).clone()));
        let operand = self.collated(operand)?;
        let array = self.expression(array)?;
        let rows = super::compute::call("pyql_rows", number, &[array]);
        Ok(format!(
            "({operand}{} IN (SELECT c0 FROM {rows}))",
            not(negated)
        ))
    }
}

pub(super) fn not(negated: bool) -> &'static str {
    if negated { " NOT" } else { "" }
}

/// Under which blanks at the end do not count; SQLite's own.
pub(super) const UNPADDED: &str = "RTRIM";

/// A bpchar whose blanks are part of its value; those of char(n) columns, of
/// parameters and most constants are kept without them.
fn keeps_blanks(expression: &Expression) -> bool {
    let is_kept_without = match &expression.kind {
        ExpressionKind::Constant(Value::Text(text)) => !text.ends_with(' '),
        kind => matches!(
            kind,
            ExpressionKind::Constant(_) | ExpressionKind::Parameter(_)
        ),
    };
    expression.ty == Type::Char(None) && !is_kept_without
}

fn is_column(expression: &Expression) -> bool {
    matches!(expression.kind, ExpressionKind::Column { .. })
}

fn is_plain(expression: &Expression) -> bool {
    use ExpressionKind as K;
    matches!(
        expression.kind,
        K::Constant(_) | K::Parameter(_) | K::Column { .. }
    ) || walk::is_fixed(expression)
}

/// Kept as TEXT and ordered by bytes, which a stray collation could spoil.
fn is_text_ordered(ty: &Type) -> bool {
    matches!(
        class(ty),
        Some(Class::Text | Class::Uuid | Class::Float | Class::Json)
    )
}

/// Types within one class are kept alike, so that SQLite compares them as SQL does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Bool,
    Integer,
    Float,
    Numeric,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Array,
}

fn class(ty: &Type) -> Option<Class> {
    Some(match ty {
        Type::Bool => Class::Bool,
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => Class::Integer,
        Type::Regclass
        | Type::Regtype
        | Type::Regproc
        | Type::Regnamespace
        | Type::Regprocedure
        | Type::Regrole => Class::Integer,
        Type::Float4 | Type::Float8 => Class::Float,
        Type::Numeric(_) => Class::Numeric,
        Type::Text | Type::Varchar(_) | Type::Char(_) => Class::Text,
        Type::Name | Type::InternalChar | Type::Unknown => Class::Text,
        Type::Bytea => Class::Bytes,
        Type::Date => Class::Date,
        Type::Time(_) => Class::Time,
        Type::Timestamp(_) => Class::Timestamp,
        Type::Timestamptz(_) => Class::Timestamptz,
        Type::Interval(_) => Class::Interval,
        Type::Uuid => Class::Uuid,
        Type::Json => Class::Json,
        Type::Jsonb => Class::Jsonb,
        Type::Array(_) | Type::Int2Vector | Type::OidVector => Class::Array,
        Type::Record | Type::Row(_) | Type::Void => return None,
    })
}

/// The SQLite operator that does what this comparison function does on these types.
pub(super) fn comparison(function: FunctionRef, left: &Type, right: &Type) -> Option<&'static str> {
    let symbol = match function.operator? {
        "=" => "=",
        "<>" => "<>",
        "<" => "<",
        "<=" => "<=",
        ">" => ">",
        ">=" => ">=",
        _ => return None,
    };
    let kind = class(left)?;
    (Some(kind) == class(right)).then_some(symbol)
}

/// Values of the type can be compared by SQLite, given the type's collation.
pub(super) fn aggregate_class(ty: &Type) -> bool {
    class(ty).is_some()
}

enum NativeCast {
    /// Kept alike: nothing to do.
    Same,
    Real,
    Text,
}

/// Casts that never fail and that SQLite does alike.
fn native_cast(from: &Type, to: &Type) -> Option<NativeCast> {
    use Type as T;
    Some(match (from, to) {
        (T::Int2, T::Int2 | T::Int4 | T::Int8) => NativeCast::Same,
        (T::Int4, T::Int4 | T::Int8) | (T::Int8, T::Int8) => NativeCast::Same,
        (T::Oid, T::Oid | T::Int8) => NativeCast::Same,
        (
            T::Regclass | T::Regtype | T::Regproc | T::Regnamespace | T::Regprocedure | T::Regrole,
            T::Oid | T::Int8,
        ) => NativeCast::Same,
        (T::Float4, T::Float4 | T::Float8) | (T::Float8, T::Float8) => NativeCast::Same,
        (T::Text | T::Varchar(_) | T::Char(Some(_)) | T::Name, T::Text | T::Varchar(None)) => {
            NativeCast::Same
        }
        (T::Numeric(_), T::Numeric(None)) | (T::Interval(_), T::Interval(None)) => NativeCast::Same,
        (T::Timestamp(_), T::Timestamp(None)) => NativeCast::Same,
        (T::Timestamptz(_), T::Timestamptz(None)) => NativeCast::Same,
        (T::Int2 | T::Int4 | T::Int8, T::Float8) => NativeCast::Real,
        (T::Int2 | T::Int4 | T::Int8, T::Numeric(None) | T::Text | T::Varchar(None)) => {
            NativeCast::Text
        }
        _ => return None,
    })
}
