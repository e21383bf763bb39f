//! The settings of a session that change what text means a value.

/// The settings of a session that change what SQL means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// An IANA name, `UTC`, or a POSIX form such as `<+02>-02`; as in PostgreSQL a
    /// bare `+02` counts west (see `datetime::zone`).
    pub time_zone: String,
    pub date_style: DateStyle,
    pub interval_style: IntervalStyle,
    /// Extra digits of floats: 1 (PostgreSQL's default) prints shortest-exact.
    pub extra_float_digits: i8,
    pub bytea_hex: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateStyle {
    pub format: DateFormat,
    pub order: DateOrder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateFormat {
    Iso,
    Sql,
    Postgres,
    German,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateOrder {
    Mdy,
    Dmy,
    Ymd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntervalStyle {
    Postgres,
    PostgresVerbose,
    SqlStandard,
    Iso8601,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            time_zone: "UTC".to_owned(),
            date_style: DateStyle {
                format: DateFormat::Iso,
                order: DateOrder::Mdy,
            },
            interval_style: IntervalStyle::Postgres,
            extra_float_digits: 1,
            bytea_hex: true,
        }
    }
}

/// What reading and printing values needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Io<'a> {
    pub settings: &'a Settings,
    /// What `now`, `today` and `tomorrow` mean: microseconds since 2000-01-01 UTC.
    pub transaction_time: i64,
}
