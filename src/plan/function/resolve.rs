//! Chooses the function that a call or an operator means, by PostgreSQL's
//! rules: an exact match, else the candidate reached with the fewest and most
//! preferred implicit casts, with a guess for literals of unknown type.

use super::names::type_name;
use super::registry;
use super::{FunctionRef, Parameter, Returns};
use super::{conversion, unbuilt};
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::types::Type;

/// A function with what its arguments must become.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub function: FunctionRef,
    /// The type to coerce each given argument to.
    pub arguments: Vec<Type>,
    pub result: Type,
}

/// A function whose variadic parameter is spread to the given count.
struct Candidate {
    function: FunctionRef,
    parameters: Vec<Parameter>,
}

/// The operator over one (prefix) or two arguments.
pub fn operator(symbol: &str, arguments: &[Type]) -> Result<Resolved> {
    let arguments: Vec<Type> = arguments.iter().map(Type::without_modifier).collect();
    let candidates: Vec<Candidate> = registry::operators(symbol)
        .filter(|function| function.arguments.len() == arguments.len())
        .map(|function| Candidate {
            function,
            parameters: function.arguments.clone(),
        })
        .collect();
    // A lone unknown literal first tries the type of the other side.
    let assumed = match arguments.as_slice() {
        [Type::Unknown, known] => vec![known.clone(), known.clone()],
        [known, Type::Unknown] => vec![known.clone(), known.clone()],
        other => other.to_vec(),
    };
    match choose(candidates, &arguments, &assumed) {
        Choice::One(candidate) => finish(&candidate, &arguments),
        Choice::None => Err(unknown_operator(
            "operator does not exist",
            SqlState::UNDEFINED_FUNCTION,
            symbol,
            &arguments,
        )
        .hint(
            "No operator matches the given name and argument types. You might need to add explicit type casts.",
        )),
        Choice::Many => Err(unknown_operator(
            "operator is not unique",
            SqlState::AMBIGUOUS_FUNCTION,
            symbol,
            &arguments,
        )
        .hint("Could not choose a best candidate operator. You might need to add explicit type casts.")),
    }
}

/// The function, aggregate, window or row function of this name.
pub fn function(name: &str, arguments: &[Type]) -> Result<Resolved> {
    let arguments: Vec<Type> = arguments.iter().map(Type::without_modifier).collect();
    let candidates = registry::named(name)
        .filter(|function| conversion::is_possible(function, &arguments))
        .filter_map(|function| candidate(function, arguments.len()))
        .collect();
    let signature = || {
        let types: Vec<String> = arguments.iter().map(type_name).collect();
        format!("{name}({})", types.join(", "))
    };
    match choose(candidates, &arguments, &arguments) {
        Choice::One(candidate) => finish(&candidate, &arguments),
        Choice::None if unbuilt::is_known(name) => {
            Err(Error::unsupported(format!("the function {}", signature())))
        }
        Choice::None => Err(Error::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("function {} does not exist", signature()),
        )
        .hint(
            "No function matches the given name and argument types. You might need to add explicit type casts.",
        )),
        Choice::Many => Err(Error::new(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("function {} is not unique", signature()),
        )
        .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
    }
}

/// `f(…, VARIADIC array)`: the last argument is the array of a variadic parameter.
pub fn variadic_function(name: &str, arguments: &[Type]) -> Result<Resolved> {
    let arguments: Vec<Type> = arguments.iter().map(Type::without_modifier).collect();
    let fits = registry::named(name).find(|function| {
        function.variadic
            && function.arguments.len() == arguments.len()
            && matches!(arguments.last(), Some(Type::Array(_)))
            && matches!(function.arguments.last(), Some(Parameter::Any))
    });
    match fits {
        Some(_) => Err(Error::unsupported(format!("VARIADIC in a call of {name}"))),
        None => function(name, &arguments),
    }
}

fn candidate(function: FunctionRef, count: usize) -> Option<Candidate> {
    let mut parameters = function.arguments.clone();
    if function.variadic && count >= parameters.len() {
        let last = parameters.last()?.clone();
        parameters.resize(count, last);
    }
    (parameters.len() == count).then_some(Candidate {
        function,
        parameters,
    })
}

fn unknown_operator(what: &str, state: SqlState, symbol: &str, arguments: &[Type]) -> Error {
    let message = match arguments {
        [left, right] => {
            format!("{what}: {} {symbol} {}", type_name(left), type_name(right))
        }
        [right] => format!("{what}: {symbol} {}", type_name(right)),
        _ => format!("{what}: {symbol}"),
    };
    Error::new(state, message)
}

enum Choice {
    None,
    One(Candidate),
    Many,
}

fn choose(mut candidates: Vec<Candidate>, arguments: &[Type], assumed: &[Type]) -> Choice {
    let exact = |candidate: &Candidate| {
        candidate
            .parameters
            .iter()
            .zip(assumed)
            .all(|(parameter, argument)| parameter.is(argument))
    };
    if let Some(place) = candidates.iter().position(exact) {
        return Choice::One(candidates.swap_remove(place));
    }
    candidates.retain(|candidate| accepts(candidate, arguments));
    select(candidates, arguments)
}

/// All arguments can be cast implicitly, and pseudo-types agree.
fn accepts(candidate: &Candidate, arguments: &[Type]) -> bool {
    candidate
        .parameters
        .iter()
        .zip(arguments)
        .all(|(parameter, argument)| match parameter {
            Parameter::Of(ty) => coerce::can_coerce(argument, ty, Strength::Implicit),
            Parameter::AnyNonArray => !matches!(argument, Type::Array(_)),
            Parameter::AnyArray | Parameter::CompatibleArray => {
                element_of(argument).is_some() || *argument == Type::Unknown
            }
            _ => true,
        })
        && Bound::new(&candidate.parameters, arguments).is_some()
}

/// PostgreSQL's tie-breaks, in its order.
fn select(mut candidates: Vec<Candidate>, arguments: &[Type]) -> Choice {
    let unknowns = arguments.iter().filter(|ty| **ty == Type::Unknown).count();
    keep_best(&mut candidates, |candidate| {
        matches(candidate, arguments, |parameter, argument| {
            parameter.is(argument)
        })
    });
    keep_best(&mut candidates, |candidate| {
        matches(candidate, arguments, |parameter, argument| {
            parameter.is(argument) || parameter.is_preferred_in(coerce::category(argument))
        })
    });
    if candidates.len() > 1 && unknowns > 0 {
        guess_unknowns(&mut candidates, arguments);
    }
    if candidates.len() > 1 && unknowns > 0 && unknowns < arguments.len() {
        assume_known(&mut candidates, arguments);
    }
    match candidates.len() {
        0 => Choice::None,
        1 => candidates.pop().map_or(Choice::None, Choice::One),
        _ => Choice::Many,
    }
}

fn matches(
    candidate: &Candidate,
    arguments: &[Type],
    fits: impl Fn(&Parameter, &Type) -> bool,
) -> usize {
    let pairs = candidate.parameters.iter().zip(arguments);
    pairs
        .filter(|(parameter, argument)| **argument != Type::Unknown && fits(parameter, argument))
        .count()
}

fn keep_best(candidates: &mut Vec<Candidate>, score: impl Fn(&Candidate) -> usize) {
    if candidates.len() > 1 {
        let best = candidates.iter().map(&score).max().unwrap_or(0);
        candidates.retain(|candidate| score(candidate) == best);
    }
}

/// Fixes a category for each unknown argument: the one all candidates take,
/// else string; then the preferred type in it.
fn guess_unknowns(candidates: &mut Vec<Candidate>, arguments: &[Type]) {
    let mut guesses = Vec::new();
    for (place, argument) in arguments.iter().enumerate() {
        if *argument != Type::Unknown {
            guesses.push(None);
            continue;
        }
        let mut category = None;
        let mut preferred = false;
        let mut conflict = false;
        for candidate in candidates.iter() {
            let parameter = &candidate.parameters[place];
            let (here, is_preferred) = (parameter.category(), parameter.is_preferred());
            match category {
                None => (category, preferred) = (Some(here), is_preferred),
                Some(known) if known == here => preferred |= is_preferred,
                Some(_) if here == coerce::STRING => {
                    (category, preferred) = (Some(here), is_preferred);
                }
                Some(_) => conflict = true,
            }
        }
        if conflict && category != Some(coerce::STRING) {
            return;
        }
        guesses.push(category.map(|category| (category, preferred)));
    }
    let fits = |candidate: &Candidate| {
        candidate
            .parameters
            .iter()
            .zip(&guesses)
            .all(|(parameter, guess)| match guess {
                None => true,
                Some((category, preferred)) => {
                    parameter.category() == *category && (!preferred || parameter.is_preferred())
                }
            })
    };
    if candidates.iter().any(fits) {
        candidates.retain(fits);
    }
}

/// If all known arguments are of one type, unknown ones are taken for it too.
fn assume_known(candidates: &mut Vec<Candidate>, arguments: &[Type]) {
    let mut known = arguments.iter().filter(|ty| **ty != Type::Unknown);
    let Some(first) = known.next() else { return };
    if known.any(|ty| ty != first) {
        return;
    }
    let assumed = vec![first.clone(); arguments.len()];
    let mut fitting = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| accepts(candidate, &assumed));
    if let (Some((place, _)), None) = (fitting.next(), fitting.next()) {
        let only = candidates.swap_remove(place);
        *candidates = vec![only];
    }
}

fn finish(candidate: &Candidate, arguments: &[Type]) -> Result<Resolved> {
    let bound = Bound::new(&candidate.parameters, arguments).ok_or_else(|| {
        Error::internal(format!("no types for {}", candidate.function.signature()))
    })?;
    let targets = candidate.parameters.iter().zip(arguments);
    let arguments = targets
        .map(|(parameter, argument)| bound.target(parameter, argument))
        .collect::<Result<Vec<Type>>>()?;
    let result = match &candidate.function.result {
        Returns::Of(ty) => ty.clone(),
        Returns::Element => bound.known(&bound.element)?,
        Returns::Array => array_over(bound.known(&bound.element)?),
        Returns::Compatible => bound.known(&bound.compatible)?,
        Returns::CompatibleArray => array_over(bound.known(&bound.compatible)?),
        Returns::Columns(_) => Type::Record,
    };
    Ok(Resolved {
        function: candidate.function,
        arguments,
        result,
    })
}

/// What the pseudo-types of one call stand for; `None` while only unknown
/// literals speak.
struct Bound {
    element: Option<Type>,
    compatible: Option<Type>,
}

impl Bound {
    /// Fails if the arguments disagree.
    fn new(parameters: &[Parameter], arguments: &[Type]) -> Option<Bound> {
        let mut element: Option<Type> = None;
        let mut compatible: Vec<Type> = Vec::new();
        for (parameter, argument) in parameters.iter().zip(arguments) {
            if *argument == Type::Unknown {
                continue;
            }
            let found = match parameter {
                Parameter::AnyElement | Parameter::AnyNonArray => argument.clone(),
                Parameter::AnyArray => element_of(argument)?,
                Parameter::Compatible => {
                    compatible.push(argument.clone());
                    continue;
                }
                Parameter::CompatibleArray => {
                    compatible.push(element_of(argument)?);
                    continue;
                }
                Parameter::Of(_) | Parameter::Any => continue,
            };
            match &element {
                Some(known) if *known != found => return None,
                _ => element = Some(found),
            }
        }
        let compatible = match compatible.is_empty() {
            true => None,
            false => Some(coerce::common_type(&compatible, "").ok()?),
        };
        Some(Bound {
            element,
            compatible,
        })
    }

    fn known(&self, ty: &Option<Type>) -> Result<Type> {
        ty.clone().ok_or_else(|| {
            Error::new(
                SqlState::DATATYPE_MISMATCH,
                "could not determine polymorphic type because input has type unknown",
            )
        })
    }

    fn target(&self, parameter: &Parameter, argument: &Type) -> Result<Type> {
        Ok(match parameter {
            Parameter::Of(ty) => ty.clone(),
            Parameter::AnyElement | Parameter::AnyNonArray => match &self.element {
                Some(element) => element.clone(),
                None if *parameter == Parameter::AnyNonArray => Type::Text,
                None => self.known(&None)?,
            },
            // A vector stays one: it is an array in all but name.
            Parameter::AnyArray if *argument != Type::Unknown => argument.clone(),
            Parameter::AnyArray => array_over(self.known(&self.element)?),
            Parameter::Compatible => self.compatible.clone().unwrap_or(Type::Text),
            Parameter::CompatibleArray => array_over(self.compatible.clone().unwrap_or(Type::Text)),
            Parameter::Any if *argument == Type::Unknown => Type::Text,
            Parameter::Any => argument.clone(),
        })
    }
}

fn array_over(element: Type) -> Type {
    Type::Array(Box::new(element))
}

fn element_of(ty: &Type) -> Option<Type> {
    match ty {
        Type::Array(element) => Some((**element).clone()),
        Type::Int2Vector => Some(Type::Int2),
        Type::OidVector => Some(Type::Oid),
        _ => None,
    }
}

impl Parameter {
    fn is(&self, argument: &Type) -> bool {
        matches!(self, Parameter::Of(ty) if ty == argument)
    }

    fn category(&self) -> char {
        match self {
            Parameter::Of(ty) => coerce::category(ty),
            _ => coerce::PSEUDO,
        }
    }

    fn is_preferred(&self) -> bool {
        matches!(self, Parameter::Of(ty) if coerce::is_preferred(ty))
    }

    fn is_preferred_in(&self, category: char) -> bool {
        self.category() == category && self.is_preferred()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PostgreSQL's answer: function, and result, or the error's text.
    fn answer(resolved: Result<Resolved>) -> String {
        match resolved {
            Ok(found) => format!("{} {}", found.function.name, found.result),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn operators_resolve_as_in_postgresql() {
        use Type::{Float8, Int2, Int4, Int8, Text, Unknown};
        let array = Type::Array(Box::new(Int4));
        let cases: &[(&str, &[Type], &str)] = &[
            ("+", &[Int4, Int4], "int4pl integer"),
            ("+", &[Int2, Int8], "int28pl bigint"),
            ("+", &[Int4, Float8], "float8pl double precision"),
            ("+", &[Int4, Unknown], "int4pl integer"),
            ("-", &[Int4], "int4um integer"),
            ("=", &[Text, Unknown], "texteq boolean"),
            ("=", &[Unknown, Unknown], "texteq boolean"),
            ("=", &[Type::Varchar(Some(3)), Text], "texteq boolean"),
            ("=", &[Type::Char(Some(3)), Unknown], "bpchareq boolean"),
            (
                "=",
                &[Type::Date, Type::TIMESTAMPTZ],
                "date_eq_timestamptz boolean",
            ),
            ("=", &[array.clone(), Unknown], "array_eq boolean"),
            (
                "=",
                &[Int4, Text],
                "operator does not exist: integer = text",
            ),
            (
                "<",
                &[Type::Bool, Int4],
                "operator does not exist: boolean < integer",
            ),
        ];
        for (symbol, arguments, expected) in cases {
            assert_eq!(
                answer(operator(symbol, arguments)),
                *expected,
                "{symbol} {arguments:?}"
            );
        }
    }

    #[test]
    fn functions_resolve_as_in_postgresql() {
        use Type::{Float8, Int4, Text, Unknown};
        let cases: &[(&str, &[Type], &str)] = &[
            ("abs", &[Int4], "abs integer"),
            ("abs", &[Unknown], "abs double precision"),
            ("sqrt", &[Int4], "sqrt double precision"),
            ("count", &[], "count bigint"),
            ("count", &[Text], "count bigint"),
            ("power", &[Float8, Int4], "power double precision"),
            ("foo", &[Int4], "function foo(integer) does not exist"),
            ("abs", &[Text], "function abs(text) does not exist"),
        ];
        for (name, arguments, expected) in cases {
            assert_eq!(
                answer(function(name, arguments)),
                *expected,
                "{name} {arguments:?}"
            );
        }
    }
}
