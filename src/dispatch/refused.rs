//! What is answered when something is not done.

use crate::error::{Error, SqlState};

/// Why something was not done, as far as the caller can do something about it.
#[derive(Debug)]
pub enum Refused {
    /// The schema moved: plan again.
    Replan,
    Error(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Error(error)
    }
}

impl Refused {
    /// For callers that cannot plan again.
    pub fn into_error(self) -> Error {
        match self {
            Refused::Error(error) => error,
            Refused::Replan => Error::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to a concurrent schema change",
            ),
        }
    }
}

/// The client asked for its statement to end.
pub fn cancelled() -> Error {
    Error::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

/// The data cluster is gone.
pub fn dropped() -> Error {
    Error::new(SqlState::DATABASE_DROPPED, "the data cluster was dropped")
}
