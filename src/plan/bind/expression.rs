//! Expressions: each syntax node to its typed form.

use super::Binder;
use super::output::start;
use crate::error::{Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::syntax::{Expr, Node, Place, TypeName};
use crate::types::{Type, Value};

/// How deep rows may lie in rows: as deep as the encoding of values allows.
const MAX_RECORD_DEPTH: usize = 30;

impl Binder<'_> {
    pub(super) fn expression(&mut self, expr: &Expr) -> Result<Expression> {
        self.nested(|binder| binder.expression_here(expr))
    }

    fn expression_here(&mut self, expr: &Expr) -> Result<Expression> {
        let place = expr.place;
        match &expr.node {
            Node::Null => Ok(Expression::constant(Value::Null, Type::Unknown)),
            Node::Bool(value) => Ok(Expression::constant(Value::Bool(*value), Type::Bool)),
            Node::Integer(digits) => self.integer(digits, place),
            Node::Decimal(digits) => self.decimal(digits, place),
            Node::String(text) => Ok(Expression::constant(
                Value::text(text.as_str()),
                Type::Unknown,
            )),
            Node::Parameter(number) => self.parameter(*number, place),
            Node::Column(path) => self.column(path, place),
            Node::Star(path) if !path.is_empty() => self.whole_row_of(path, place),
            Node::Star(_) => self.unsupported("row expansion via \"*\" here", place),
            Node::Operator {
                symbol,
                left,
                right,
            } => self.operator(symbol, left.as_deref(), right, place),
            Node::And(operands) => Ok(boolean(ExpressionKind::And(
                self.conditions(operands, "AND")?,
            ))),
            Node::Or(operands) => Ok(boolean(ExpressionKind::Or(
                self.conditions(operands, "OR")?,
            ))),
            Node::Not(operand) => {
                let operand = self.condition(operand, "NOT")?;
                Ok(boolean(ExpressionKind::Not(Box::new(operand))))
            }
            Node::Cast { operand, ty } => self.cast(operand, ty, place),
            Node::Call(call) => self.function_call(call, place),
            Node::Grouping(keys) => self.grouping_call(keys, place),
            Node::Special { name, precision } => self.special(name, *precision, place),
            Node::Row(items) => self.record(items, place),
            Node::Field {
                operand,
                field: Some(field),
            } => self.field(operand, field),
            Node::Field { field: None, .. } => {
                self.unsupported("row expansion via \"*\" here", place)
            }
            Node::Default => Err(self.error(
                SqlState::SYNTAX_ERROR,
                place,
                "DEFAULT is not allowed in this context",
            )),
            Node::Collate { operand, collation } => {
                let names: Vec<&str> = collation.iter().map(|name| name.text.as_str()).collect();
                match names.as_slice() {
                    ["C" | "POSIX" | "default" | "ucs_basic"]
                    | ["pg_catalog", "C" | "POSIX" | "default" | "ucs_basic"] => {
                        self.collated(operand, place)
                    }
                    _ => self.unsupported(&format!("collation \"{}\"", names.join(".")), place),
                }
            }
            _ => self.test_or_choice(expr),
        }
    }

    fn record(&mut self, items: &[Expr], place: Place) -> Result<Expression> {
        let mut bound = Vec::with_capacity(items.len());
        for item in items {
            match &item.node {
                Node::Star(path) => {
                    let columns = self.star(path, item.place)?;
                    bound.extend(columns.into_iter().map(|column| column.expression));
                }
                _ => bound.push(self.expression(item)?),
            }
        }
        let resolved = bound
            .into_iter()
            .map(|item| self.resolve_unknown(item, place));
        let items: Vec<Expression> = resolved.collect::<Result<_>>()?;
        if record_depth(&items) > MAX_RECORD_DEPTH {
            return Err(self.error(
                SqlState::STATEMENT_TOO_COMPLEX,
                place,
                format!("rows nest more than {MAX_RECORD_DEPTH} deep"),
            ));
        }
        let named = items.iter().zip(1..);
        let fields = named.map(|(item, number)| (format!("f{number}"), item.ty.clone()));
        Ok(Expression {
            ty: Type::Row(fields.collect()),
            kind: ExpressionKind::Record(items),
        })
    }

    /// All collations we have order by bytes, so that COLLATE changes nothing.
    fn collated(&mut self, operand: &Expr, place: Place) -> Result<Expression> {
        let operand = self.expression(operand)?;
        if operand.ty != Type::Unknown && !operand.ty.is_string() {
            let message = format!("collations are not supported by type {}", operand.ty);
            return Err(self.error(SqlState::DATATYPE_MISMATCH, place, message));
        }
        Ok(operand)
    }

    fn test_or_choice(&mut self, expr: &Expr) -> Result<Expression> {
        let place = expr.place;
        match &expr.node {
            Node::IsNull { operand, negated } => self.is_null(operand, *negated),
            Node::IsTruth {
                operand,
                value,
                negated,
            } => {
                let operand = Box::new(self.condition(operand, truth_test(*value))?);
                Ok(boolean(ExpressionKind::IsTruth {
                    operand,
                    value: *value,
                    negated: *negated,
                }))
            }
            Node::IsDistinct {
                left,
                right,
                negated,
            } => self.is_distinct(left, right, *negated, place),
            Node::Between {
                operand,
                low,
                high,
                negated,
                symmetric,
            } => self.between(operand, low, high, *negated, *symmetric, place),
            Node::InList {
                operand,
                list,
                negated,
            } => self.in_list(operand, list, *negated, place),
            Node::Like {
                operator,
                operand,
                pattern,
                escape,
                negated,
            } => {
                let operand = self.expression(operand)?;
                let pattern = self.expression(pattern)?;
                let escape = match escape {
                    Some(escape) => Some(self.expression(escape)?),
                    None => None,
                };
                self.like(*operator, operand, pattern, escape, *negated, place)
            }
            Node::InQuery {
                operand,
                query,
                negated,
            } => {
                let symbol = if *negated { "<>" } else { "=" };
                self.quantified_query(operand, symbol, *negated, query, place)
            }
            Node::Quantified {
                left,
                symbol,
                all,
                right,
            } => self.quantified(left, symbol, *all, right, place),
            Node::Exists(query) => self.exists(query, place),
            Node::Scalar(query) => self.scalar(query, place),
            Node::ArrayQuery(query) => self.array_query(query, place),
            _ => self.choice(expr),
        }
    }

    fn choice(&mut self, expr: &Expr) -> Result<Expression> {
        let place = expr.place;
        match &expr.node {
            Node::Case {
                operand,
                branches,
                otherwise,
            } => self.case(operand.as_deref(), branches, otherwise.as_deref(), place),
            Node::Coalesce(arguments) => {
                let (arguments, ty) = self.alike(arguments, "COALESCE", place)?;
                Ok(Expression {
                    kind: ExpressionKind::Coalesce(arguments),
                    ty,
                })
            }
            Node::Extreme {
                greatest,
                arguments,
            } => {
                let what = if *greatest { "GREATEST" } else { "LEAST" };
                let (arguments, ty) = self.alike(arguments, what, place)?;
                let kind = ExpressionKind::Extreme {
                    greatest: *greatest,
                    arguments,
                };
                Ok(Expression { kind, ty })
            }
            Node::NullIf(left, right) => self.null_if(left, right, place),
            Node::Array(elements) => self.array(elements, None, place),
            Node::Subscript { operand, index } => self.element(operand, index, place),
            Node::Slice {
                operand,
                lower,
                upper,
            } => {
                let array = self.array_operand(operand)?;
                let mut bound = |bound: &Option<Box<Expr>>| match bound {
                    Some(bound) => self.subscript(bound).map(|bound| Some(Box::new(bound))),
                    None => Ok(None),
                };
                let (lower, upper) = (bound(lower)?, bound(upper)?);
                let ty = array.ty.clone();
                let array = Box::new(array);
                Ok(Expression {
                    kind: ExpressionKind::Slice {
                        array,
                        lower,
                        upper,
                    },
                    ty,
                })
            }
            _ => self.unsupported("this expression", place),
        }
    }

    pub(super) fn expressions(&mut self, list: &[Expr]) -> Result<Vec<Expression>> {
        list.iter().map(|item| self.expression(item)).collect()
    }

    /// An expression that must be boolean.
    pub(super) fn condition(&mut self, expr: &Expr, what: &str) -> Result<Expression> {
        let condition = self.expression(expr)?;
        let condition = self.settle(condition, &Type::Bool, expr.place)?;
        if condition.ty != Type::Bool && condition.ty != Type::Unknown {
            let message = format!(
                "argument of {what} must be type boolean, not type {}",
                condition.ty.without_modifier()
            );
            return Err(self.error(SqlState::DATATYPE_MISMATCH, start(expr), message));
        }
        self.coerce(condition, &Type::Bool, Strength::Implicit, start(expr))
    }

    fn conditions(&mut self, operands: &[Expr], what: &str) -> Result<Vec<Expression>> {
        operands
            .iter()
            .map(|operand| self.condition(operand, what))
            .collect()
    }

    fn cast(&mut self, operand: &Expr, name: &TypeName, place: Place) -> Result<Expression> {
        let ty = self.type_name(name)?;
        if let (Node::Array(elements), Type::Array(element)) = (&operand.node, &ty) {
            return self.array(elements, Some(element.as_ref().clone()), place);
        }
        let bound = match (&operand.node, &name.fields) {
            (Node::String(text), Some(fields)) => {
                let text = self.interval_text(text, fields, operand.place)?;
                Expression::constant(Value::text(text), Type::Unknown)
            }
            (_, Some(_)) => return self.unsupported("interval fields here", place),
            (_, None) => self.expression(operand)?,
        };
        let at = match operand.node {
            Node::String(_) => operand.place,
            _ => place,
        };
        self.coerce(bound, &ty, Strength::Explicit, at)
    }

    /// `interval '1' day`: a bare number counts the last field.
    fn interval_text(&self, text: &str, fields: &str, place: Place) -> Result<String> {
        let unit = fields.rsplit(' ').next().unwrap_or(fields);
        let number = text.trim();
        let plain = number
            .trim_start_matches(['+', '-'])
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match plain && !number.is_empty() {
            true => Ok(format!("{number} {unit}")),
            false if fields.contains(" to ") && !fields.starts_with("year") => Ok(text.to_owned()),
            false => self.unsupported("an interval literal with these fields", place),
        }
    }

    /// Expressions made of one type, as CASE and its kin do.
    pub(super) fn alike(
        &mut self,
        list: &[Expr],
        what: &str,
        place: Place,
    ) -> Result<(Vec<Expression>, Type)> {
        let bound = self.expressions(list)?;
        let places: Vec<Place> = list.iter().map(start).collect();
        self.unify(bound, &places, what, place)
    }

    pub(super) fn unify(
        &mut self,
        bound: Vec<Expression>,
        places: &[Place],
        what: &str,
        place: Place,
    ) -> Result<(Vec<Expression>, Type)> {
        let types: Vec<Type> = bound.iter().map(|item| item.ty.clone()).collect();
        let ty = coerce::common_type(&types, what).map_err(|error| {
            // PostgreSQL points at the first that does not match the ones before.
            let odd = (1..types.len()).find(|n| coerce::common_type(&types[..=*n], what).is_err());
            let at = odd.and_then(|n| places.get(n)).copied().unwrap_or(place);
            error.at(self.position(at))
        })?;
        let pairs = bound.into_iter().zip(places);
        let unified = pairs
            .map(|(item, place)| {
                let item = self.coerce(item, &ty, Strength::Implicit, *place)?;
                Ok(match ty {
                    Type::Char(None) => coerce::padded(item),
                    _ => item,
                })
            })
            .collect::<Result<_>>()?;
        Ok((unified, ty))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
        place: Place,
    ) -> Result<Expression> {
        let operand = match operand {
            Some(operand) => {
                let bound = self.expression(operand)?;
                Some(self.resolve_unknown(bound, operand.place)?)
            }
            None => None,
        };
        let mut conditions = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len() + 1);
        let mut places = Vec::with_capacity(branches.len() + 1);
        for (condition, result) in branches {
            conditions.push(match &operand {
                Some(operand) => {
                    let value = self.expression(condition)?;
                    let operand = self.copy_of(operand)?;
                    self.apply("=", operand, value, condition.place)?
                }
                None => self.condition(condition, "CASE/WHEN")?,
            });
            results.push(self.expression(result)?);
            places.push(start(result));
        }
        // PostgreSQL lets ELSE speak first when it chooses the type.
        let has_else = otherwise.is_some();
        if let Some(otherwise) = otherwise {
            results.insert(0, self.expression(otherwise)?);
            places.insert(0, start(otherwise));
        }
        let (mut results, ty) = self.unify(results, &places, "CASE", place)?;
        let otherwise = has_else.then(|| Box::new(results.remove(0)));
        let branches = conditions.into_iter().zip(results).collect();
        Ok(Expression {
            kind: ExpressionKind::Case {
                branches,
                otherwise,
            },
            ty,
        })
    }

    fn null_if(&mut self, left: &Expr, right: &Expr, place: Place) -> Result<Expression> {
        let left_value = self.expression(left)?;
        let right_value = self.expression(right)?;
        let equal = self.apply("=", left_value, right_value, place)?;
        let left = match &equal.kind {
            ExpressionKind::Call { arguments, .. } => self.copy_of(&arguments[0])?,
            _ => return self.unsupported("NULLIF over rows", place),
        };
        let ty = left.ty.clone();
        Ok(Expression {
            kind: ExpressionKind::NullIf {
                left: Box::new(left),
                equal: Box::new(equal),
            },
            ty,
        })
    }

    /// ARRAY[…]; `element` is what a cast around it asks for.
    fn array(
        &mut self,
        elements: &[Expr],
        element: Option<Type>,
        place: Place,
    ) -> Result<Expression> {
        let dimensions = dimensions(elements);
        if dimensions > DIMENSIONS_MAX {
            let message = format!(
                "number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})"
            );
            return Err(self.error(SqlState::PROGRAM_LIMIT_EXCEEDED, place, message));
        }
        let nested = elements
            .iter()
            .any(|item| matches!(item.node, Node::Array(_)));
        let places: Vec<Place> = elements.iter().map(|item| item.place).collect();
        let bound = if nested {
            let inner = elements.iter().map(|item| match &item.node {
                Node::Array(items) => self.array(items, element.clone(), item.place),
                _ => self.expression(item),
            });
            inner.collect::<Result<Vec<_>>>()?
        } else {
            self.expressions(elements)?
        };
        let (items, ty) = match element {
            Some(element) if !nested => {
                let pairs = bound.into_iter().zip(&places);
                let items = pairs
                    .map(|(item, at)| self.coerce(item, &element, Strength::Explicit, *at))
                    .collect::<Result<Vec<_>>>()?;
                (items, element)
            }
            _ if bound.is_empty() => {
                return Err(self
                    .error(
                        SqlState::INDETERMINATE_DATATYPE,
                        place,
                        "cannot determine type of empty array",
                    )
                    .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."));
            }
            _ => self.unify(bound, &places, "ARRAY", place)?,
        };
        let ty = match ty {
            Type::Array(_) => ty,
            element if element.array_oid() == 0 => {
                return self.unsupported(&format!("an array of {element}"), place);
            }
            element => Type::Array(Box::new(element)),
        };
        Ok(Expression {
            kind: ExpressionKind::Array(items),
            ty,
        })
    }

    /// `a[i][j]`, and a letter of a name.
    fn element(&mut self, operand: &Expr, index: &Expr, place: Place) -> Result<Expression> {
        let (mut operand, mut chain) = (operand, vec![index]);
        while let Node::Subscript {
            operand: inner,
            index,
        } = &operand.node
        {
            chain.push(index);
            operand = inner;
        }
        let array = self.expression(operand)?;
        if array.ty == Type::Name && chain.len() == 1 {
            let letter = self.subscript(index)?;
            return self.builtin("pyql_letter", vec![array, letter], place);
        }
        let array = self.subscriptable(array, operand.place)?;
        let indexes = chain.into_iter().rev();
        let indexes: Result<_> = indexes.map(|index| self.subscript(index)).collect();
        Ok(subscripted(array, indexes?))
    }

    fn array_operand(&mut self, operand: &Expr) -> Result<Expression> {
        let array = self.expression(operand)?;
        self.subscriptable(array, operand.place)
    }

    fn subscriptable(&self, array: Expression, place: Place) -> Result<Expression> {
        match &array.ty {
            Type::Array(_) | Type::Int2Vector | Type::OidVector => Ok(array),
            ty => {
                let message =
                    format!("cannot subscript type {ty} because it does not support subscripting");
                Err(self.error(SqlState::DATATYPE_MISMATCH, place, message))
            }
        }
    }

    fn subscript(&mut self, index: &Expr) -> Result<Expression> {
        let bound = self.expression(index)?;
        if !coerce::can_coerce(&bound.ty, &Type::Int4, Strength::Assignment) {
            return Err(self.error(
                SqlState::DATATYPE_MISMATCH,
                index.place,
                "array subscript must have type integer",
            ));
        }
        self.coerce(bound, &Type::Int4, Strength::Assignment, index.place)
    }
}

/// `a[i][j]` is one subscript of two indexes.
fn subscripted(array: Expression, indexes: Vec<Expression>) -> Expression {
    let ty = match &array.ty {
        Type::Array(element) => element.as_ref().clone(),
        Type::Int2Vector => Type::Int2,
        _ => Type::Oid,
    };
    Expression {
        kind: ExpressionKind::Subscript {
            array: Box::new(array),
            indexes,
        },
        ty,
    }
}

pub(super) fn boolean(kind: ExpressionKind) -> Expression {
    Expression {
        kind,
        ty: Type::Bool,
    }
}

fn truth_test(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "IS TRUE",
        Some(false) => "IS FALSE",
        None => "IS UNKNOWN",
    }
}

/// An array's dimensions at most, as in PostgreSQL.
const DIMENSIONS_MAX: usize = 6;

/// How deep ARRAY constructors stand in each other.
fn dimensions(elements: &[Expr]) -> usize {
    let inner = elements.iter().map(|item| match &item.node {
        Node::Array(items) => dimensions(items),
        _ => 0,
    });
    1 + inner.max().unwrap_or(0)
}

/// How deep rows that are written out nest, around these items.
fn record_depth(items: &[Expression]) -> usize {
    let inner = items.iter().map(|item| match &item.kind {
        ExpressionKind::Record(items) => record_depth(items),
        _ => 0,
    });
    1 + inner.max().unwrap_or(0)
}
