//! The one error vocabulary: what went wrong, as every front end tells it.
//!
//! An [`Error`] carries an SQLSTATE; [`Kind`] is derived from it and decides
//! HTTP status, metric label and whether a repeat can help. Texts are safe for
//! clients: they name what the client named, never a path, key or password.

use std::fmt;

/// An SQLSTATE, five ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState(pub [u8; 5]);

macro_rules! states {
    ($($name:ident = $code:literal),* $(,)?) => {
        impl SqlState {
            $(pub const $name: SqlState = SqlState(*$code);)*
        }
    };
}

states! {
    SUCCESS = b"00000",
    CONNECTION_FAILURE = b"08006",
    OUTCOME_UNKNOWN = b"08007",
    PROTOCOL_VIOLATION = b"08P01",
    FEATURE_NOT_SUPPORTED = b"0A000",
    CARDINALITY_VIOLATION = b"21000",
    STRING_DATA_RIGHT_TRUNCATION = b"22001",
    NUMERIC_VALUE_OUT_OF_RANGE = b"22003",
    INVALID_DATETIME_FORMAT = b"22007",
    DATETIME_FIELD_OVERFLOW = b"22008",
    DIVISION_BY_ZERO = b"22012",
    INTERVAL_FIELD_OVERFLOW = b"22015",
    INVALID_CHARACTER_VALUE_FOR_CAST = b"22018",
    INVALID_REGULAR_EXPRESSION = b"2201B",
    INVALID_ARGUMENT_FOR_LOGARITHM = b"2201E",
    INVALID_ARGUMENT_FOR_POWER_FUNCTION = b"2201F",
    INVALID_ARGUMENT_FOR_WIDTH_BUCKET = b"2201G",
    INVALID_ROW_COUNT_IN_LIMIT = b"2201W",
    INVALID_ROW_COUNT_IN_OFFSET = b"2201X",
    CHARACTER_NOT_IN_REPERTOIRE = b"22021",
    INVALID_PARAMETER_VALUE = b"22023",
    SUBSTRING_ERROR = b"22011",
    INVALID_ESCAPE_SEQUENCE = b"22025",
    NULL_VALUE_NOT_ALLOWED = b"22004",
    ARRAY_SUBSCRIPT_ERROR = b"2202E",
    INVALID_JSON_TEXT = b"22032",
    INVALID_TEXT_REPRESENTATION = b"22P02",
    INVALID_BINARY_REPRESENTATION = b"22P03",
    BAD_COPY_FILE_FORMAT = b"22P04",
    UNTRANSLATABLE_CHARACTER = b"22P05",
    INTEGRITY_CONSTRAINT_VIOLATION = b"23000",
    RESTRICT_VIOLATION = b"23001",
    NOT_NULL_VIOLATION = b"23502",
    FOREIGN_KEY_VIOLATION = b"23503",
    UNIQUE_VIOLATION = b"23505",
    CHECK_VIOLATION = b"23514",
    INVALID_CURSOR_STATE = b"24000",
    ACTIVE_SQL_TRANSACTION = b"25001",
    READ_ONLY_SQL_TRANSACTION = b"25006",
    NO_ACTIVE_SQL_TRANSACTION = b"25P01",
    IN_FAILED_SQL_TRANSACTION = b"25P02",
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03",
    INVALID_SQL_STATEMENT_NAME = b"26000",
    INVALID_AUTHORIZATION_SPECIFICATION = b"28000",
    INVALID_PASSWORD = b"28P01",
    DEPENDENT_OBJECTS_STILL_EXIST = b"2BP01",
    INVALID_CURSOR_NAME = b"34000",
    INVALID_SAVEPOINT_SPECIFICATION = b"3B001",
    INVALID_CATALOG_NAME = b"3D000",
    INVALID_SCHEMA_NAME = b"3F000",
    SERIALIZATION_FAILURE = b"40001",
    DEADLOCK_DETECTED = b"40P01",
    SYNTAX_ERROR = b"42601",
    INSUFFICIENT_PRIVILEGE = b"42501",
    CANNOT_COERCE = b"42846",
    GROUPING_ERROR = b"42803",
    WINDOWING_ERROR = b"42P20",
    INVALID_RECURSION = b"42P19",
    INVALID_FOREIGN_KEY = b"42830",
    INVALID_NAME = b"42602",
    NAME_TOO_LONG = b"42622",
    RESERVED_NAME = b"42939",
    DATATYPE_MISMATCH = b"42804",
    INDETERMINATE_DATATYPE = b"42P18",
    COLLATION_MISMATCH = b"42P21",
    WRONG_OBJECT_TYPE = b"42809",
    GENERATED_ALWAYS = b"428C9",
    UNDEFINED_COLUMN = b"42703",
    UNDEFINED_FUNCTION = b"42883",
    UNDEFINED_TABLE = b"42P01",
    UNDEFINED_PARAMETER = b"42P02",
    UNDEFINED_OBJECT = b"42704",
    DUPLICATE_COLUMN = b"42701",
    DUPLICATE_CURSOR = b"42P03",
    DUPLICATE_DATABASE = b"42P04",
    DUPLICATE_FUNCTION = b"42723",
    DUPLICATE_PREPARED_STATEMENT = b"42P05",
    DUPLICATE_SCHEMA = b"42P06",
    DUPLICATE_TABLE = b"42P07",
    DUPLICATE_ALIAS = b"42712",
    DUPLICATE_OBJECT = b"42710",
    AMBIGUOUS_COLUMN = b"42702",
    AMBIGUOUS_FUNCTION = b"42725",
    AMBIGUOUS_ALIAS = b"42P09",
    INVALID_COLUMN_REFERENCE = b"42P10",
    INVALID_COLUMN_DEFINITION = b"42611",
    INVALID_TABLE_DEFINITION = b"42P16",
    INVALID_OBJECT_DEFINITION = b"42P17",
    WITH_CHECK_OPTION_VIOLATION = b"44000",
    INSUFFICIENT_RESOURCES = b"53000",
    DISK_FULL = b"53100",
    OUT_OF_MEMORY = b"53200",
    TOO_MANY_CONNECTIONS = b"53300",
    CONFIGURATION_LIMIT_EXCEEDED = b"53400",
    PROGRAM_LIMIT_EXCEEDED = b"54000",
    STATEMENT_TOO_COMPLEX = b"54001",
    TOO_MANY_COLUMNS = b"54011",
    TOO_MANY_ARGUMENTS = b"54023",
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000",
    OBJECT_IN_USE = b"55006",
    CANT_CHANGE_RUNTIME_PARAM = b"55P02",
    LOCK_NOT_AVAILABLE = b"55P03",
    QUERY_CANCELED = b"57014",
    ADMIN_SHUTDOWN = b"57P01",
    CANNOT_CONNECT_NOW = b"57P03",
    DATABASE_DROPPED = b"57P04",
    IDLE_SESSION_TIMEOUT = b"57P05",
    IO_ERROR = b"58030",
    INTERNAL_ERROR = b"XX000",
    DATA_CORRUPTED = b"XX001",
}

impl SqlState {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The class: the first two characters.
    pub fn class(&self) -> [u8; 2] {
        [self.0[0], self.0[1]]
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the receiver of an error can do about it. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong: mend it.
    Request,
    /// The data forbid it (class 22 and 23): the same on every replica.
    Data,
    /// Not built: SQLSTATE 0A000.
    Unsupported,
    /// Who asks is not known or not allowed.
    Denied,
    /// Another transaction was in the way: repeat the transaction.
    Conflict,
    /// Cancelled, or a time limit passed before anything was done.
    Cancelled,
    /// Nothing was done; it may work later.
    Unavailable,
    /// It may or may not have been done.
    OutcomeUnknown,
    /// Our fault.
    Internal,
}

impl Kind {
    pub fn label(self) -> &'static str {
        match self {
            Kind::Request => "request",
            Kind::Data => "data",
            Kind::Unsupported => "unsupported",
            Kind::Denied => "denied",
            Kind::Conflict => "conflict",
            Kind::Cancelled => "cancelled",
            Kind::Unavailable => "unavailable",
            Kind::OutcomeUnknown => "outcome_unknown",
            Kind::Internal => "internal",
        }
    }

    /// The HTTP status of a request that ended so.
    pub fn http_status(self) -> u16 {
        match self {
            Kind::Request | Kind::Data | Kind::Unsupported => 400,
            Kind::Denied => 403,
            Kind::Conflict => 409,
            Kind::Cancelled => 408,
            Kind::Unavailable => 503,
            Kind::OutcomeUnknown => 504,
            Kind::Internal => 500,
        }
    }

    /// Repeating the same transaction may succeed.
    pub fn is_retryable(self) -> bool {
        matches!(self, Kind::Conflict | Kind::Unavailable)
    }
}

/// An error as a client sees it. One pointer wide, so that results stay small.
#[derive(Clone)]
pub struct Error(Box<Report>);

/// The fields of an error, PostgreSQL's names.
#[derive(Clone)]
pub struct Report {
    pub state: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
    /// What was being done, e.g. `COPY t, line 3, column a: "x"`.
    pub context: Option<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(state: SqlState, message: impl Into<String>) -> Error {
        Error(Box::new(Report {
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            table: None,
            column: None,
            constraint: None,
            context: None,
        }))
    }

    /// 0A000 naming the construct that is not built.
    pub fn unsupported(construct: impl fmt::Display) -> Error {
        Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("{construct} is not supported"),
        )
    }

    /// XX000: an invariant of ours did not hold.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(SqlState::INTERNAL_ERROR, message)
    }

    /// 57P03: nothing was done, it may work later.
    pub fn unavailable(message: impl Into<String>) -> Error {
        Error::new(SqlState::CANNOT_CONNECT_NOW, message)
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Error {
        self.0.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the position unless one is known already.
    pub fn at(mut self, position: Option<u32>) -> Error {
        self.0.position = self.0.position.or(position);
        self
    }

    /// Moves the position on: its statement stands behind `before` in a longer string.
    pub fn behind(mut self, before: &str) -> Error {
        let shift = before.chars().count() as u32;
        self.0.position = self.0.position.map(|position| position + shift);
        self
    }

    pub fn table(mut self, name: impl Into<String>) -> Error {
        self.0.table = Some(name.into());
        self
    }

    pub fn column(mut self, name: impl Into<String>) -> Error {
        self.0.column = Some(name.into());
        self
    }

    pub fn constraint(mut self, name: impl Into<String>) -> Error {
        self.0.constraint = Some(name.into());
        self
    }

    pub fn context(mut self, context: impl Into<String>) -> Error {
        self.0.context = Some(context.into());
        self
    }

    pub fn state(&self) -> SqlState {
        self.0.state
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn report(&self) -> &Report {
        &self.0
    }

    pub fn kind(&self) -> Kind {
        match (&self.0.state.class(), self.0.state) {
            (_, SqlState::OUTCOME_UNKNOWN) => Kind::OutcomeUnknown,
            (_, SqlState::INSUFFICIENT_PRIVILEGE) => Kind::Denied,
            (_, SqlState::LOCK_NOT_AVAILABLE) => Kind::Conflict,
            (_, SqlState::QUERY_CANCELED) => Kind::Cancelled,
            (b"0A", _) => Kind::Unsupported,
            (b"21" | b"22" | b"23" | b"44", _) => Kind::Data,
            (b"28", _) => Kind::Denied,
            (b"40", _) => Kind::Conflict,
            (b"53" | b"57", _) => Kind::Unavailable,
            (b"58" | b"XX", _) => Kind::Internal,
            _ => Kind::Request,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.state)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.state, self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, " [{detail}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_class() {
        let kind = |state| Error::new(state, "x").kind();
        assert_eq!(kind(SqlState::UNIQUE_VIOLATION), Kind::Data);
        assert_eq!(kind(SqlState::UNDEFINED_TABLE), Kind::Request);
        assert_eq!(kind(SqlState::OUTCOME_UNKNOWN), Kind::OutcomeUnknown);
        assert_eq!(kind(SqlState::SERIALIZATION_FAILURE), Kind::Conflict);
        assert_eq!(kind(SqlState::CANNOT_CONNECT_NOW).http_status(), 503);
        assert_eq!(
            Error::unsupported("LISTEN").state(),
            SqlState::FEATURE_NOT_SUPPORTED
        );
    }
}
