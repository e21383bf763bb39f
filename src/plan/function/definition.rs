//! The rows of the function tables, small enough to read at a glance.

use super::{Accumulator, Call, Evaluate, EvaluateRows, FunctionBody, Volatility};

/// One function as its topic's table writes it.
#[derive(Clone, Copy)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    /// `int4 text[] variadic any -> bool`; see `signature`.
    pub(super) signature: &'static str,
    pub(super) operator: Option<&'static str>,
    pub(super) volatility: Volatility,
    pub(super) strict: bool,
    pub(super) body: FunctionBody,
}

/// An immutable, strict function.
pub(super) const fn scalar(
    name: &'static str,
    signature: &'static str,
    body: Evaluate,
) -> Definition {
    define(name, signature, FunctionBody::Scalar(body))
}

/// A strict aggregate: NULL arguments are passed over.
pub(super) const fn aggregate(
    name: &'static str,
    signature: &'static str,
    body: fn(&Call<'_>) -> Box<dyn Accumulator>,
) -> Definition {
    define(name, signature, FunctionBody::Aggregate(body))
}

/// A strict ordered-set aggregate: its direct arguments, then what it is ordered by.
pub(super) const fn ordered(
    name: &'static str,
    signature: &'static str,
    body: fn(&Call<'_>) -> Box<dyn Accumulator>,
) -> Definition {
    define(name, signature, FunctionBody::Ordered(body))
}

pub(super) const fn window(name: &'static str, signature: &'static str) -> Definition {
    define(name, signature, FunctionBody::Window)
}

/// A strict function that yields rows; none for a NULL argument.
pub(super) const fn rows(
    name: &'static str,
    signature: &'static str,
    body: EvaluateRows,
) -> Definition {
    define(name, signature, FunctionBody::Rows(body))
}

const fn define(name: &'static str, signature: &'static str, body: FunctionBody) -> Definition {
    Definition {
        name,
        signature,
        operator: None,
        volatility: Volatility::Immutable,
        strict: true,
        body,
    }
}

impl Definition {
    /// Is what this operator calls.
    pub(super) const fn operator(mut self, symbol: &'static str) -> Definition {
        self.operator = Some(symbol);
        self
    }

    pub(super) const fn stable(mut self) -> Definition {
        self.volatility = Volatility::Stable;
        self
    }

    pub(super) const fn volatile(mut self) -> Definition {
        self.volatility = Volatility::Volatile;
        self
    }

    /// Is called with NULL arguments too.
    pub(super) const fn lenient(mut self) -> Definition {
        self.strict = false;
        self
    }
}
