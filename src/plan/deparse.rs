//! Plans back to PostgreSQL's text: canonical, and parsed again to the same plan.
//!
//! Used for stored defaults, checks and index keys, for the log and for
//! EXPLAIN. Casts that nobody asked for are left out, as PostgreSQL does: they
//! come back when the text is bound.

mod query;

use std::collections::HashMap;
use std::fmt::Write;

use super::expression::{
    Aggregate, Expression, ExpressionKind, Frame, FrameBound, FrameUnits, Window,
};
use super::function::FunctionRef;
use super::parse;
use super::query::{CommonTableId, Query, RelationId};
use crate::catalog::schema::{Namespace, Schema, Table};
use crate::types::settings::{Io, Settings};
use crate::types::{Type, Value, text};

/// The text of an expression over one table's columns, or over none.
pub fn expression(
    expression: &Expression,
    schema: &Schema,
    table: Option<(&Table, RelationId)>,
) -> String {
    let mut deparser = Deparser::new(schema);
    if let Some((table, relation)) = table {
        let columns = table.columns.iter().map(|column| column.name.clone());
        deparser.relations.insert(
            relation,
            Named {
                alias: None,
                columns: columns.collect(),
            },
        );
    }
    deparser.expression(expression);
    deparser.out
}

/// The text of a query.
pub fn query(query: &Query, schema: &Schema) -> String {
    let mut deparser = Deparser::new(schema);
    deparser.query(query);
    deparser.out
}

/// An identifier, quoted if it must be.
pub fn identifier(name: &str) -> String {
    if parse::needs_quotes(name) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// A string literal.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// What a relation and its columns are called in the text.
struct Named {
    /// `None`: its columns go by their bare names.
    alias: Option<String>,
    columns: Vec<String>,
}

struct Deparser<'a> {
    schema: &'a Schema,
    out: String,
    relations: HashMap<RelationId, Named>,
    commons: HashMap<CommonTableId, (String, Vec<String>)>,
    /// Aliases are given once each, so that none hides another.
    aliases: Vec<String>,
}

impl<'a> Deparser<'a> {
    fn new(schema: &'a Schema) -> Deparser<'a> {
        Deparser {
            schema,
            out: String::new(),
            relations: HashMap::new(),
            commons: HashMap::new(),
            aliases: Vec::new(),
        }
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            each(self, item);
        }
    }

    fn expressions(&mut self, items: &[Expression]) {
        self.list(items, Self::expression);
    }

    fn expression(&mut self, expression: &Expression) {
        match &expression.kind {
            ExpressionKind::Constant(value) => self.constant(value, &expression.ty),
            ExpressionKind::Parameter(index) => {
                let _ = write!(self.out, "${}", index + 1);
            }
            ExpressionKind::Column { relation, column } => self.column(*relation, *column),
            ExpressionKind::Call {
                function,
                arguments,
            } => self.call(*function, arguments),
            ExpressionKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExpressionKind::Window(window) => self.window(window),
            ExpressionKind::Cast { operand, explicit } => {
                if *explicit {
                    self.parenthesized(operand);
                    let _ = write!(self.out, "::{}", expression.ty);
                } else {
                    self.expression(operand);
                }
            }
            ExpressionKind::And(operands) => self.junction(operands, " AND "),
            ExpressionKind::Or(operands) => self.junction(operands, " OR "),
            ExpressionKind::Not(operand) => {
                self.push("(NOT ");
                self.expression(operand);
                self.push(")");
            }
            ExpressionKind::Exists { query, negated } => {
                self.push(if *negated {
                    "(NOT EXISTS ("
                } else {
                    "(EXISTS ("
                });
                self.query(query);
                self.push("))");
            }
            ExpressionKind::Scalar(query) => {
                self.push("(");
                self.query(query);
                self.push(")");
            }
            ExpressionKind::ArrayQuery(query) => {
                self.push("ARRAY(");
                self.query(query);
                self.push(")");
            }
            _ => self.test_or_choice(expression),
        }
    }

    fn test_or_choice(&mut self, expression: &Expression) {
        match &expression.kind {
            ExpressionKind::IsNull { operand, negated } => {
                let test = if *negated { "IS NOT NULL" } else { "IS NULL" };
                self.test(operand, test);
            }
            ExpressionKind::IsTruth {
                operand,
                value,
                negated,
            } => {
                let value = match value {
                    Some(true) => "TRUE",
                    Some(false) => "FALSE",
                    None => "UNKNOWN",
                };
                let not = if *negated { "NOT " } else { "" };
                self.test(operand, &format!("IS {not}{value}"));
            }
            ExpressionKind::IsDistinct {
                left,
                right,
                negated,
            } => {
                let test = if *negated {
                    " IS NOT DISTINCT FROM "
                } else {
                    " IS DISTINCT FROM "
                };
                self.infix(left, test, right);
            }
            ExpressionKind::InList {
                operand,
                list,
                negated,
                ..
            } => {
                self.push("(");
                self.expression(operand);
                self.push(if *negated { " NOT IN (" } else { " IN (" });
                self.expressions(list);
                self.push("))");
            }
            ExpressionKind::AnyArray {
                operand,
                array,
                operator,
                all,
            } => {
                self.push("(");
                self.expression(operand);
                self.quantifier(*operator, *all);
                self.expression(array);
                self.push("))");
            }
            ExpressionKind::AnyQuery {
                operands,
                query,
                operators,
                all,
            } => {
                self.any_query(operands, operators, *all);
                self.query(query);
                self.push("))");
            }
            _ => self.choice(expression),
        }
    }

    fn any_query(&mut self, operands: &[Expression], operators: &[FunctionRef], all: bool) {
        self.push("(");
        match operands {
            [single] => self.expression(single),
            several => self.prefixed("(", several, ")"),
        }
        if let Some(operator) = operators.first() {
            self.quantifier(*operator, all);
        }
    }

    fn choice(&mut self, expression: &Expression) {
        match &expression.kind {
            ExpressionKind::Case {
                branches,
                otherwise,
            } => {
                self.push("CASE");
                for (condition, result) in branches {
                    self.push(" WHEN ");
                    self.expression(condition);
                    self.push(" THEN ");
                    self.expression(result);
                }
                if let Some(otherwise) = otherwise {
                    self.push(" ELSE ");
                    self.expression(otherwise);
                }
                self.push(" END");
            }
            ExpressionKind::Coalesce(arguments) => self.prefixed("COALESCE(", arguments, ")"),
            ExpressionKind::NullIf { left, equal } => {
                self.push("NULLIF(");
                self.expression(left);
                self.push(", ");
                if let ExpressionKind::Call { arguments, .. } = &equal.kind
                    && let Some(right) = arguments.get(1)
                {
                    self.expression(right);
                }
                self.push(")");
            }
            ExpressionKind::Extreme {
                greatest,
                arguments,
            } => {
                let name = if *greatest { "GREATEST(" } else { "LEAST(" };
                self.prefixed(name, arguments, ")");
            }
            ExpressionKind::Array(elements) => {
                self.prefixed("ARRAY[", elements, "]");
                if elements.is_empty() {
                    let _ = write!(self.out, "::{}", expression.ty);
                }
            }
            ExpressionKind::Record(items) => self.prefixed("ROW(", items, ")"),
            ExpressionKind::Subscript { array, indexes } => {
                self.parenthesized(array);
                for index in indexes {
                    self.push("[");
                    self.expression(index);
                    self.push("]");
                }
            }
            ExpressionKind::Slice {
                array,
                lower,
                upper,
            } => {
                self.parenthesized(array);
                self.push("[");
                if let Some(lower) = lower {
                    self.expression(lower);
                }
                self.push(":");
                if let Some(upper) = upper {
                    self.expression(upper);
                }
                self.push("]");
            }
            _ => {}
        }
    }

    fn prefixed(&mut self, opening: &str, items: &[Expression], closing: &str) {
        self.push(opening);
        self.expressions(items);
        self.push(closing);
    }

    fn parenthesized(&mut self, expression: &Expression) {
        self.push("(");
        self.expression(expression);
        self.push(")");
    }

    fn junction(&mut self, operands: &[Expression], word: &str) {
        self.push("(");
        for (at, operand) in operands.iter().enumerate() {
            if at > 0 {
                self.push(word);
            }
            self.expression(operand);
        }
        self.push(")");
    }

    fn test(&mut self, operand: &Expression, test: &str) {
        self.push("(");
        self.expression(operand);
        self.push(" ");
        self.push(test);
        self.push(")");
    }

    fn infix(&mut self, left: &Expression, operator: &str, right: &Expression) {
        self.push("(");
        self.expression(left);
        self.push(operator);
        self.expression(right);
        self.push(")");
    }

    fn quantifier(&mut self, operator: FunctionRef, all: bool) {
        let symbol = operator.operator.unwrap_or("=");
        let word = if all { "ALL" } else { "ANY" };
        let _ = write!(self.out, " {symbol} {word} (");
    }

    fn column(&mut self, relation: RelationId, column: usize) {
        let Some(named) = self.relations.get(&relation) else {
            return self.push("?");
        };
        let name = named.columns.get(column).map_or("?", String::as_str);
        let text = match &named.alias {
            Some(alias) => format!("{}.{}", identifier(alias), identifier(name)),
            None => identifier(name),
        };
        self.push(&text);
    }

    fn call(&mut self, function: FunctionRef, arguments: &[Expression]) {
        match (function.operator, arguments) {
            (Some(symbol), [left, right]) => self.infix(left, &format!(" {symbol} "), right),
            (Some(symbol), [operand]) => {
                let _ = write!(self.out, "({symbol} ");
                self.expression(operand);
                self.push(")");
            }
            _ => {
                self.push(&identifier(function.name));
                self.prefixed("(", arguments, ")");
            }
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        self.push(&identifier(aggregate.function.name));
        self.push("(");
        if aggregate.distinct {
            self.push("DISTINCT ");
        }
        if aggregate.arguments.is_empty() {
            self.push("*");
        }
        self.expressions(&aggregate.arguments);
        self.sorted(&aggregate.order_by, " ORDER BY ");
        self.push(")");
        self.filter(aggregate.filter.as_ref());
    }

    fn filter(&mut self, filter: Option<&Expression>) {
        if let Some(filter) = filter {
            self.push(" FILTER (WHERE ");
            self.expression(filter);
            self.push(")");
        }
    }

    fn sorted(&mut self, keys: &[(Expression, bool, bool)], opening: &str) {
        if keys.is_empty() {
            return;
        }
        self.push(opening);
        self.list(keys, |deparser, (key, descending, nulls_first)| {
            deparser.expression(key);
            deparser.direction(*descending, *nulls_first);
        });
    }

    fn direction(&mut self, descending: bool, nulls_first: bool) {
        if descending {
            self.push(" DESC");
        }
        match (descending, nulls_first) {
            (false, true) => self.push(" NULLS FIRST"),
            (true, false) => self.push(" NULLS LAST"),
            _ => {}
        }
    }

    fn window(&mut self, window: &Window) {
        self.push(&identifier(window.function.name));
        self.push("(");
        if window.arguments.is_empty() && window.function.is_aggregate() {
            self.push("*");
        }
        self.expressions(&window.arguments);
        self.push(")");
        self.filter(window.filter.as_ref());
        self.push(" OVER (");
        if !window.partition_by.is_empty() {
            self.push("PARTITION BY ");
            self.expressions(&window.partition_by);
        }
        let opening = if window.partition_by.is_empty() {
            "ORDER BY "
        } else {
            " ORDER BY "
        };
        self.sorted(&window.order_by, opening);
        if let Some(frame) = &window.frame {
            self.frame(frame);
        }
        self.push(")");
    }

    fn frame(&mut self, frame: &Frame) {
        self.push(match frame.units {
            FrameUnits::Rows => " ROWS BETWEEN ",
            FrameUnits::Range => " RANGE BETWEEN ",
            FrameUnits::Groups => " GROUPS BETWEEN ",
        });
        self.bound(&frame.start);
        self.push(" AND ");
        self.bound(&frame.end);
    }

    fn bound(&mut self, bound: &FrameBound) {
        match bound {
            FrameBound::UnboundedPreceding => self.push("UNBOUNDED PRECEDING"),
            FrameBound::CurrentRow => self.push("CURRENT ROW"),
            FrameBound::UnboundedFollowing => self.push("UNBOUNDED FOLLOWING"),
            FrameBound::Preceding(offset) => {
                self.expression(offset);
                self.push(" PRECEDING");
            }
            FrameBound::Following(offset) => {
                self.expression(offset);
                self.push(" FOLLOWING");
            }
        }
    }

    /// A literal that is read back as this type.
    fn constant(&mut self, value: &Value, ty: &Type) {
        let plain = match (value, ty) {
            (Value::Null, Type::Unknown) => Some("NULL".to_owned()),
            (Value::Null, _) => Some(format!("NULL::{ty}")),
            (Value::Bool(true), _) => Some("true".to_owned()),
            (Value::Bool(false), _) => Some("false".to_owned()),
            (Value::Int(number), Type::Int4) if *number >= 0 => Some(number.to_string()),
            (Value::Int(oid), Type::Regclass) => self
                .relation_name(*oid)
                .map(|name| format!("{}::regclass", literal(&name))),
            (Value::Text(text), Type::Unknown) => Some(literal(text)),
            _ => None,
        };
        if let Some(plain) = plain {
            return self.push(&plain);
        }
        let text = printed(value, ty);
        let decimal = *ty == Type::NUMERIC
            && text.contains('.')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if decimal {
            return self.push(&text);
        }
        let _ = write!(self.out, "{}::{ty}", literal(&text));
    }

    /// The name of a table, sequence or index of the schema.
    fn relation_name(&self, oid: i64) -> Option<String> {
        let oid = u32::try_from(oid).ok()?;
        let tables = self.schema.tables.values();
        let table = tables
            .clone()
            .find(|table| table.id.0 == oid && table.namespace == Namespace::Public);
        let sequence = || {
            let mut sequences = self.schema.sequences.values();
            sequences
                .find(|sequence| sequence.id.0 == oid)
                .map(|s| &s.name)
        };
        let index = || {
            let mut indexes = tables.clone().flat_map(|table| &table.indexes);
            indexes.find(|index| index.id.0 == oid).map(|i| &i.name)
        };
        let name = table
            .map(|table| &table.name)
            .or_else(sequence)
            .or_else(index)?;
        Some(identifier(name))
    }
}

/// A value as text that does not depend on a session's settings.
fn printed(value: &Value, ty: &Type) -> String {
    let settings = Settings::default();
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    let mut text = String::new();
    text::output(value, ty, io, &mut text);
    text
}
