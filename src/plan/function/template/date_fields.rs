//! The fields of date and time templates.

use std::rc::Rc;

use super::Piece;
use crate::error::Result;
use crate::plan::function::memo::Memo;

/// What a field tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Era,
    DottedEra,
    Meridiem,
    DottedMeridiem,
    Century,
    DayName,
    DayShort,
    DayOfYear,
    DayOfMonth,
    DayOfWeek,
    /// So many digits of the second's fraction.
    Fraction(u32),
    Hour24,
    Hour12,
    IsoDayOfYear,
    IsoDayOfWeek,
    IsoWeek,
    /// So many of its last digits.
    IsoYear(u32),
    Julian,
    Minute,
    Month,
    MonthName,
    MonthShort,
    Milliseconds,
    Microseconds,
    Offset,
    Quarter,
    RomanMonth,
    SecondOfDay,
    Second,
    ZoneHours,
    ZoneMinutes,
    ZoneName,
    Week,
    WeekOfMonth,
    CommaYear,
    Year(u32),
}

/// How a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) case: Case,
    /// FM or TM: without padding.
    pub(super) fill: bool,
    /// TH (true) or th.
    pub(super) ordinal: Option<bool>,
    /// As the template has it.
    pub(super) name: &'static str,
}

/// In the order in which they are tried.
const FIELDS: [(&str, Kind); 53] = [
    ("A.D.", Kind::DottedEra),
    ("A.M.", Kind::DottedMeridiem),
    ("AD", Kind::Era),
    ("AM", Kind::Meridiem),
    ("B.C.", Kind::DottedEra),
    ("BC", Kind::Era),
    ("CC", Kind::Century),
    ("DAY", Kind::DayName),
    ("DDD", Kind::DayOfYear),
    ("DD", Kind::DayOfMonth),
    ("DY", Kind::DayShort),
    ("D", Kind::DayOfWeek),
    ("FF1", Kind::Fraction(1)),
    ("FF2", Kind::Fraction(2)),
    ("FF3", Kind::Fraction(3)),
    ("FF4", Kind::Fraction(4)),
    ("FF5", Kind::Fraction(5)),
    ("FF6", Kind::Fraction(6)),
    ("HH24", Kind::Hour24),
    ("HH12", Kind::Hour12),
    ("HH", Kind::Hour12),
    ("IDDD", Kind::IsoDayOfYear),
    ("ID", Kind::IsoDayOfWeek),
    ("IW", Kind::IsoWeek),
    ("IYYY", Kind::IsoYear(4)),
    ("IYY", Kind::IsoYear(3)),
    ("IY", Kind::IsoYear(2)),
    ("I", Kind::IsoYear(1)),
    ("J", Kind::Julian),
    ("MI", Kind::Minute),
    ("MM", Kind::Month),
    ("MONTH", Kind::MonthName),
    ("MON", Kind::MonthShort),
    ("MS", Kind::Milliseconds),
    ("OF", Kind::Offset),
    ("P.M.", Kind::DottedMeridiem),
    ("PM", Kind::Meridiem),
    ("Q", Kind::Quarter),
    ("RM", Kind::RomanMonth),
    ("SSSSS", Kind::SecondOfDay),
    ("SSSS", Kind::SecondOfDay),
    ("SS", Kind::Second),
    ("TZH", Kind::ZoneHours),
    ("TZM", Kind::ZoneMinutes),
    ("TZ", Kind::ZoneName),
    ("US", Kind::Microseconds),
    ("WW", Kind::Week),
    ("W", Kind::WeekOfMonth),
    ("Y,YYY", Kind::CommaYear),
    ("YYYY", Kind::Year(4)),
    ("YYY", Kind::Year(3)),
    ("YY", Kind::Year(2)),
    ("Y", Kind::Year(1)),
];

impl Kind {
    /// Told in digits.
    pub(super) fn is_digits(self) -> bool {
        !matches!(
            self,
            Kind::Era
                | Kind::DottedEra
                | Kind::Meridiem
                | Kind::DottedMeridiem
                | Kind::DayName
                | Kind::DayShort
                | Kind::MonthName
                | Kind::MonthShort
                | Kind::Offset
                | Kind::RomanMonth
                | Kind::ZoneHours
                | Kind::ZoneName
        )
    }
}

/// The field at the start of the text, with its prefixes and endings.
fn field_at(text: &str) -> Option<(Field, usize)> {
    let mut length = 0;
    let mut fill = false;
    loop {
        let rest = &text[length..];
        match rest.get(..2) {
            Some("FM" | "fm" | "TM" | "tm") => fill = true,
            _ => break,
        }
        length += 2;
    }
    let rest = &text[length..];
    let (name, kind, case) = FIELDS.iter().find_map(|(name, kind)| {
        let here = rest.get(..name.len())?;
        let capital = matches!(
            kind,
            Kind::DayName | Kind::DayShort | Kind::MonthName | Kind::MonthShort
        ) && here[..1] == name[..1]
            && here[1..] == name[1..].to_lowercase();
        let case = if here == *name {
            Case::Upper
        } else if capital {
            Case::Capital
        } else if here == name.to_lowercase() {
            Case::Lower
        } else {
            return None;
        };
        Some((*name, *kind, case))
    })?;
    length += name.len();
    let ordinal = match text.get(length..length + 2) {
        Some("TH") => Some(true),
        Some("th") => Some(false),
        _ => None,
    };
    length += if ordinal.is_some() { 2 } else { 0 };
    let field = Field {
        kind,
        case,
        fill,
        ordinal,
        name,
    };
    Some((field, length))
}

/// A template taken apart.
pub(super) struct Template {
    pub(super) pieces: Vec<Piece<Field>>,
    /// It demands exact blanks (FX).
    pub(super) exact: bool,
}

thread_local! {
    static TEMPLATES: Memo<String, Template> = Memo::new();
}

impl Template {
    pub(super) fn of(text: &str) -> Result<Rc<Template>> {
        TEMPLATES.with(|known| known.get(text, || Ok(Template::parse(text))))
    }

    fn parse(text: &str) -> Template {
        let exact = text.starts_with("FX") || text.starts_with("fx");
        let rest = if exact { &text[2..] } else { text };
        let pieces = super::split(rest, field_at);
        Template { pieces, exact }
    }
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Sunday.
pub(super) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

pub(super) const ROMAN_MONTHS: [&str; 12] = [
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
];
