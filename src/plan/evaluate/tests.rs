//! Constructs over constants: NULL, order of evaluation, folding.

use super::*;
use crate::plan::expression::ExpressionKind as Kind;
use crate::plan::function::resolve;
use crate::plan::function::tests::context;

fn constant(value: Value, ty: Type) -> Expression {
    Expression::constant(value, ty)
}

fn int(value: i64) -> Expression {
    constant(Value::Int(value), Type::Int4)
}

fn null(ty: Type) -> Expression {
    constant(Value::Null, ty)
}

fn bool(value: Option<bool>) -> Expression {
    constant(value.map_or(Value::Null, Value::Bool), Type::Bool)
}

fn expression(kind: Kind, ty: Type) -> Expression {
    Expression { kind, ty }
}

fn binary(symbol: &str, left: Expression, right: Expression) -> Expression {
    let found = resolve::operator(symbol, &[left.ty.clone(), right.ty.clone()]).expect(symbol);
    let kind = Kind::Call {
        function: found.function,
        arguments: vec![left, right],
    };
    expression(kind, found.result)
}

/// 1/0: an error if evaluated.
fn failing() -> Expression {
    binary("/", int(1), int(0))
}

fn value(expression: &Expression) -> Result<Value, String> {
    evaluate(expression, &NoScope, &context()).map_err(|error| error.to_string())
}

#[test]
fn connectives_know_three_values() {
    let (t, f, n) = (Some(true), Some(false), None);
    let cases = [
        (t, t, t, t),
        (t, f, f, t),
        (t, n, n, t),
        (f, n, f, n),
        (n, n, n, n),
        (f, f, f, f),
    ];
    for (left, right, and, or) in cases {
        let both = || vec![bool(left), bool(right)];
        let shown = |value: Option<bool>| Ok(value.map_or(Value::Null, Value::Bool));
        assert_eq!(
            value(&expression(Kind::And(both()), Type::Bool)),
            shown(and)
        );
        assert_eq!(value(&expression(Kind::Or(both()), Type::Bool)), shown(or));
    }
}

#[test]
fn what_is_not_needed_is_not_evaluated() {
    let fails = || binary("=", failing(), int(1));
    let and = expression(Kind::And(vec![bool(Some(false)), fails()]), Type::Bool);
    assert_eq!(value(&and), Ok(Value::Bool(false)));
    let case = expression(
        Kind::Case {
            branches: vec![(bool(None), failing()), (bool(Some(true)), int(5))],
            otherwise: Some(Box::new(failing())),
        },
        Type::Int4,
    );
    assert_eq!(value(&case), Ok(Value::Int(5)));
    let coalesce = Kind::Coalesce(vec![null(Type::Int4), int(3), failing()]);
    assert_eq!(value(&expression(coalesce, Type::Int4)), Ok(Value::Int(3)));
    assert_eq!(
        value(&failing()),
        Err("division by zero (22012)".to_owned())
    );
}

#[test]
fn lists_and_arrays_know_unknown() {
    let equal = resolve::operator("=", &[Type::Int4, Type::Int4])
        .expect("int4eq")
        .function;
    let in_list = |operand: Expression, list: Vec<Expression>, negated| {
        let kind = Kind::InList {
            operand: Box::new(operand),
            list,
            equal,
            negated,
        };
        value(&expression(kind, Type::Bool))
    };
    assert_eq!(
        in_list(int(1), vec![int(2), int(1)], false),
        Ok(Value::Bool(true))
    );
    assert_eq!(
        in_list(int(1), vec![int(2), null(Type::Int4)], false),
        Ok(Value::Null)
    );
    assert_eq!(
        in_list(int(1), vec![int(2), null(Type::Int4)], true),
        Ok(Value::Null)
    );
    assert_eq!(
        in_list(int(1), vec![int(1), null(Type::Int4)], true),
        Ok(Value::Bool(false))
    );
    assert_eq!(
        in_list(null(Type::Int4), vec![int(1)], false),
        Ok(Value::Null)
    );
    let array = |values: Vec<Expression>| {
        expression(Kind::Array(values), Type::Array(Box::new(Type::Int4)))
    };
    let any = |values, all| {
        let kind = Kind::AnyArray {
            operand: Box::new(int(1)),
            array: Box::new(array(values)),
            operator: equal,
            all,
        };
        value(&expression(kind, Type::Bool))
    };
    assert_eq!(any(vec![int(2), int(1)], false), Ok(Value::Bool(true)));
    assert_eq!(any(vec![int(2), int(1)], true), Ok(Value::Bool(false)));
    assert_eq!(any(vec![], false), Ok(Value::Bool(false)));
    assert_eq!(any(vec![], true), Ok(Value::Bool(true)));
    assert_eq!(any(vec![int(1), null(Type::Int4)], true), Ok(Value::Null));
}

#[test]
fn nulls_are_tested_and_compared() {
    let record = |values: Vec<Expression>| expression(Kind::Record(values), Type::Record);
    let is_null = |operand: Expression, negated| {
        let operand = Box::new(operand);
        value(&expression(Kind::IsNull { operand, negated }, Type::Bool))
    };
    let half = || record(vec![int(1), null(Type::Int4)]);
    assert_eq!(is_null(half(), false), Ok(Value::Bool(false)));
    assert_eq!(is_null(half(), true), Ok(Value::Bool(false)));
    assert_eq!(
        is_null(record(vec![null(Type::Int4)]), false),
        Ok(Value::Bool(true))
    );
    let distinct = |left: Expression, right: Expression| {
        let kind = Kind::IsDistinct {
            left: Box::new(left),
            right: Box::new(right),
            negated: false,
        };
        value(&expression(kind, Type::Bool))
    };
    assert_eq!(
        distinct(null(Type::Int4), null(Type::Int4)),
        Ok(Value::Bool(false))
    );
    assert_eq!(distinct(int(1), null(Type::Int4)), Ok(Value::Bool(true)));
    assert_eq!(distinct(int(1), int(1)), Ok(Value::Bool(false)));
    let null_if = Kind::NullIf {
        left: Box::new(int(1)),
        equal: Box::new(binary("=", int(1), int(1))),
    };
    assert_eq!(value(&expression(null_if, Type::Int4)), Ok(Value::Null));
    let greatest = Kind::Extreme {
        greatest: true,
        arguments: vec![int(1), null(Type::Int4), int(3)],
    };
    assert_eq!(value(&expression(greatest, Type::Int4)), Ok(Value::Int(3)));
}

#[test]
fn folding_keeps_what_may_fail_or_move() {
    let context = context();
    let folded = |expression| fold(expression, Volatility::Immutable, &context);
    assert_eq!(folded(binary("+", int(1), int(2))), int(3));
    assert_eq!(folded(failing()), failing());
    let now = resolve::function("now", &[]).expect("now");
    let call = expression(
        Kind::Call {
            function: now.function,
            arguments: Vec::new(),
        },
        now.result,
    );
    assert_eq!(folded(call.clone()), call);
    let pinned = fold(call, Volatility::Stable, &context);
    assert_eq!(pinned.kind, Kind::Constant(Value::Timestamptz(0)));
    let case = expression(
        Kind::Case {
            branches: vec![(bool(Some(false)), failing()), (bool(Some(true)), int(2))],
            otherwise: Some(Box::new(failing())),
        },
        Type::Int4,
    );
    assert_eq!(folded(case), int(2));
}

#[test]
fn rows_and_parameters_come_from_the_scope() {
    let relation = RelationId(7);
    let sum = binary(
        "+",
        Expression::column(relation, 1, Type::Int4),
        expression(Kind::Parameter(0), Type::Int4),
    );
    assert!(is_evaluable(&sum) && is_immutable(&sum));
    let scope = RowScope {
        relation,
        row: &[Value::text("x"), Value::Int(40)],
        parameters: &[Value::Int(2)],
    };
    assert_eq!(
        evaluate(&sum, &scope, &context()).ok(),
        Some(Value::Int(42))
    );
    assert!(evaluate(&sum, &NoScope, &context()).is_err());
}
