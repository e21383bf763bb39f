//! Runs `expression => answer` lines, the answers being PostgreSQL 15's.
//!
//! An expression is a call, an operator, or a literal (`int4 '1'`, `'x'`, `1`,
//! `1.5`, `null::int4`); a failure is `!SQLSTATE message`. Rows and columns
//! are joined by `|`. Also read: `select f(x) from (values …) t(x)`.

mod edges;

use std::sync::Arc;

use parking_lot::Mutex;

use super::{ArgumentTypes, Call, FunctionBody, resolve, signature};
use crate::catalog::schema::Schema;
use crate::error::{Error, Result};
use crate::plan::coerce::{Strength, coerce};
use crate::plan::context::{Context, RandomState, Variables};
use crate::plan::evaluate::{NoScope, cast, evaluate};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::types::settings::Settings;
use crate::types::{Numeric, Type, Value, text};

struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// A session in UTC over an empty schema.
pub(crate) fn context() -> Context {
    Context {
        settings: Arc::new(Settings::default()),
        transaction_time: 0,
        statement_time: 0,
        user: "ada".into(),
        database: "company".into(),
        database_oid: 0,
        schema: Arc::new(Schema::empty()),
        system: Arc::new(Schema::empty()),
        users: Arc::default(),
        random: Mutex::new(RandomState(1)),
        sequences: None,
        variables: Arc::new(NoVariables),
    }
}

/// Reads the small language of the case files.
struct Reader<'a> {
    rest: &'a str,
    context: &'a Context,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, allowed: impl Fn(char) -> bool) -> String {
        let trimmed = self.rest.trim_start();
        let end = trimmed.find(|c| !allowed(c)).unwrap_or(trimmed.len());
        let word = trimmed[..end].to_owned();
        self.rest = &trimmed[end..];
        word
    }

    fn peek(&self) -> Option<char> {
        self.rest.trim_start().chars().next()
    }

    fn expression(&mut self) -> Result<Expression> {
        let is_symbol = |c: char| "+-*/<>=~!@#%^&|?".contains(c);
        if self.peek().is_some_and(is_symbol) {
            let symbol = self.word(is_symbol);
            let operand = self.operand()?;
            return self.build(
                resolve::operator(&symbol, std::slice::from_ref(&operand.ty))?,
                vec![operand],
            );
        }
        let left = self.operand()?;
        if !self.peek().is_some_and(is_symbol) {
            return Ok(left);
        }
        let symbol = self.word(is_symbol);
        let right = self.operand()?;
        let types = [left.ty.clone(), right.ty.clone()];
        self.build(resolve::operator(&symbol, &types)?, vec![left, right])
    }

    fn operand(&mut self) -> Result<Expression> {
        if self.take("(") {
            let inner = self.expression()?;
            assert!(self.take(")"), "no ) in {}", self.rest);
            return Ok(inner);
        }
        match self.peek() {
            Some('\'') => Ok(Expression::constant(
                Value::text(self.literal()),
                Type::Unknown,
            )),
            Some('0'..='9') => {
                let digits = self.word(|c| c.is_ascii_digit() || c == '.');
                Ok(match digits.parse() {
                    Ok(number) => Expression::constant(Value::Int(number), Type::Int4),
                    Err(_) => Expression::constant(
                        Value::Numeric(Numeric::parse(&digits)?),
                        Type::NUMERIC,
                    ),
                })
            }
            _ => self.named(),
        }
    }

    fn literal(&mut self) -> String {
        assert!(self.take("'"), "no literal at {}", self.rest);
        let mut out = String::new();
        loop {
            let (before, after) = self.rest.split_once('\'').expect("literals end");
            out.push_str(before);
            self.rest = after;
            match after.strip_prefix('\'') {
                Some(after) => {
                    out.push('\'');
                    self.rest = after;
                }
                None => return out,
            }
        }
    }

    /// A typed literal, `null::type`, or a call.
    fn named(&mut self) -> Result<Expression> {
        let name = self.word(|c| c.is_alphanumeric() || c == '_');
        if name == "null" {
            assert!(self.take("::"), "null has a type");
            let ty = self.ty();
            return Ok(Expression::constant(Value::Null, ty));
        }
        if self.peek() == Some('\'') {
            let text = self.literal();
            let literal = Expression::constant(Value::text(text), Type::Unknown);
            let ty = type_named(&name);
            return coerce(literal, &ty, Strength::Explicit, self.context.io());
        }
        assert!(self.take("("), "no call at {name}{}", self.rest);
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.expression()?);
            self.take(",");
        }
        let types: Vec<Type> = arguments.iter().map(|a| a.ty.clone()).collect();
        self.build(resolve::function(&name, &types)?, arguments)
    }

    fn ty(&mut self) -> Type {
        type_named(&self.word(|c| c.is_alphanumeric() || c == '_'))
    }

    fn build(&self, found: resolve::Resolved, arguments: Vec<Expression>) -> Result<Expression> {
        let pairs = arguments.into_iter().zip(&found.arguments);
        let arguments = pairs.map(|(a, ty)| coerce(a, ty, Strength::Implicit, self.context.io()));
        Ok(Expression {
            kind: ExpressionKind::Call {
                function: found.function,
                arguments: arguments.collect::<Result<_>>()?,
            },
            ty: found.result,
        })
    }
}

fn type_named(name: &str) -> Type {
    let word = match name.strip_prefix('_') {
        Some(element) => format!("{element}[]"),
        None => name.to_owned(),
    };
    match signature::parse(&format!("{word} -> bool"))
        .expect(name)
        .arguments
        .pop()
    {
        Some(super::Parameter::Of(ty)) => ty,
        other => panic!("{name} is {other:?}"),
    }
}

fn show(value: &Value, ty: &Type, context: &Context) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    if *ty == Type::Bool {
        return (*value == Value::Bool(true)).to_string();
    }
    if let (Value::Int(oid), true) = (value, cast::is_reg(ty)) {
        return cast::print_reg(*oid, ty, context);
    }
    let mut out = String::new();
    text::output(value, ty, context.io(), &mut out);
    out
}

fn run(line: &str, context: &Context) -> Result<String> {
    if let Some(rest) = line.strip_prefix("select ")
        && let Some((call, values)) = rest.split_once(" from (values ")
    {
        return run_aggregate(call, values, context);
    }
    let line = line.strip_prefix("select * from ").unwrap_or(line);
    let mut reader = Reader {
        rest: line,
        context,
    };
    let expression = reader.expression()?;
    assert_eq!(reader.rest.trim(), "", "left over in {line}");
    if let ExpressionKind::Call {
        function,
        arguments,
    } = &expression.kind
        && let FunctionBody::Rows(body) = function.body
    {
        let values = arguments.iter().map(|a| evaluate(a, &NoScope, context));
        let values = values.collect::<Result<Vec<_>>>()?;
        if function.strict && values.iter().any(Value::is_null) {
            return Ok(String::new());
        }
        let call = Call {
            context,
            arguments: ArgumentTypes::Expressions(arguments),
            result_type: &expression.ty,
        };
        let types = match &function.result {
            super::Returns::Columns(columns) => columns.iter().map(|c| c.1.clone()).collect(),
            _ => vec![expression.ty.clone()],
        };
        let rows = body(&call, &values)?;
        let fields = rows.iter().flat_map(|row| row.iter().zip(&types));
        let shown: Vec<String> = fields.map(|(v, ty)| show(v, ty, context)).collect();
        return Ok(shown.join("|"));
    }
    let value = evaluate(&expression, &NoScope, context)?;
    Ok(show(&value, &expression.ty, context))
}

fn run_aggregate(call: &str, values: &str, context: &Context) -> Result<String> {
    let name = call.split_once('(').expect("a call").0;
    let mut reader = Reader {
        rest: values,
        context,
    };
    let mut rows: Vec<Vec<Expression>> = Vec::new();
    while reader.take("(") {
        let mut row = Vec::new();
        while !reader.take(")") {
            row.push(reader.expression()?);
            reader.take(",");
        }
        rows.push(row);
        reader.take(",");
    }
    let types: Vec<Type> = rows[0].iter().map(|e| e.ty.clone()).collect();
    let found = resolve::function(name, &types)?;
    let call = Call {
        context,
        arguments: ArgumentTypes::Types(&found.arguments),
        result_type: &found.result,
    };
    let FunctionBody::Aggregate(start) = found.function.body else {
        return Err(Error::internal("no aggregate"));
    };
    let mut state = start(&call);
    for row in rows {
        let pairs = row.into_iter().zip(&found.arguments);
        let values = pairs.map(|(value, ty)| {
            let value = coerce(value, ty, Strength::Implicit, context.io())?;
            evaluate(&value, &NoScope, context)
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        if !found.function.strict || !values.iter().any(Value::is_null) {
            state.step(&values)?;
        }
    }
    let value = state.finish()?;
    let mut out = String::new();
    text::output(&value, &found.result, context.io(), &mut out);
    Ok(if value.is_null() {
        "NULL".to_owned()
    } else {
        out
    })
}

/// Runs all lines and tells every one that differs.
fn check(cases: &str) {
    let context = context();
    let mut wrong = Vec::new();
    for line in cases.lines().filter(|line| !line.trim().is_empty()) {
        let (expression, expected) = line.rsplit_once(" => ").expect(line);
        let answer = match run(expression, &context) {
            Ok(answer) => answer.replace('\n', "|"),
            Err(error) => format!("!{} {}", error.state(), error.message()),
        };
        if answer != expected {
            wrong.push(format!(
                "{expression}\n  expected {expected}\n  answered {answer}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

macro_rules! case_files {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(include_str!(concat!("cases/", stringify!($name), ".txt")));
        }
    )*};
}

case_files!(math compare strings regex arrays json aggregates datetime formatting);
