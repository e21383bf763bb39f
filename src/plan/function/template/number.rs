//! to_char of numbers.

use std::rc::Rc;

use super::{Piece, ordinal};
use crate::error::{Error, Result, SqlState};
use crate::plan::function::Call;
use crate::plan::function::arguments::{float, int, numeric, text};
use crate::plan::function::definition::{Definition, scalar};
use crate::plan::function::memo::Memo;
use crate::types::{Numeric, Type, Value};

pub(super) const FUNCTIONS: &[Definition] = &[
    scalar("to_char", "int4 text -> text", |_, a| {
        print(&Numeric::from_i64(int(&a[0])?), text(&a[1])?)
    })
    .stable(),
    scalar("to_char", "int8 text -> text", |_, a| {
        print(&Numeric::from_i64(int(&a[0])?), text(&a[1])?)
    })
    .stable(),
    scalar("to_char", "numeric text -> text", |_, a| {
        print(numeric(&a[0])?, text(&a[1])?)
    })
    .stable(),
    scalar("to_char", "float4 text -> text", print_float).stable(),
    scalar("to_char", "float8 text -> text", print_float).stable(),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Nine,
    Zero,
    Point,
    Comma,
    Group,
    Currency,
    Sign,
    Minus,
    Plus,
    PlusMinus,
    Brackets,
    /// True: upper case.
    Roman(bool),
    Ordinal(bool),
    Shift,
    Exponent,
    Blank,
    Fill,
}

const FIELDS: [(&str, Field); 19] = [
    ("EEEE", Field::Exponent),
    ("FM", Field::Fill),
    ("MI", Field::Minus),
    ("PL", Field::Plus),
    ("PR", Field::Brackets),
    ("RN", Field::Roman(true)),
    ("SG", Field::PlusMinus),
    ("TH", Field::Ordinal(true)),
    ("rn", Field::Roman(false)),
    ("th", Field::Ordinal(false)),
    (",", Field::Comma),
    (".", Field::Point),
    ("0", Field::Zero),
    ("9", Field::Nine),
    ("B", Field::Blank),
    ("D", Field::Point),
    ("G", Field::Group),
    ("L", Field::Currency),
    ("S", Field::Sign),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SignPlace {
    Before,
    After,
}

/// A template and what follows from it as a whole.
#[derive(Clone, Default)]
pub(super) struct Template {
    pub(super) pieces: Vec<Piece<Field>>,
    /// Digits before and after the point, and of the shift (V).
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) shift: usize,
    pub(super) point: bool,
    shifting: bool,
    fill: bool,
    pub(super) sign: Option<SignPlace>,
    /// Digits before the S.
    before_sign: usize,
    minus: bool,
    plus: bool,
    brackets: bool,
    roman: bool,
    exponent: bool,
    /// Places before the first 0 that stands before the point.
    zero_start: Option<usize>,
    /// Places up to and with the last 0.
    zero_end: usize,
}

fn syntax(text: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, text)
}

thread_local! {
    static TEMPLATES: Memo<String, Template> = Memo::new();
}

impl Template {
    pub(super) fn of(text: &str) -> Result<Rc<Template>> {
        TEMPLATES.with(|known| known.get(text, || Template::parse(text)))
    }

    fn parse(text: &str) -> Result<Template> {
        let pieces = super::split(text, |rest| {
            let mut fields = FIELDS.iter();
            let exact = fields.find(|(name, _)| rest.starts_with(name));
            let found = exact.or_else(|| {
                FIELDS.iter().find(|(name, _)| {
                    rest.get(..name.len())
                        .is_some_and(|here| here == name.to_lowercase())
                })
            });
            let shift = rest.starts_with(['V', 'v']).then_some((Field::Shift, 1));
            found.map(|(name, field)| (*field, name.len())).or(shift)
        });
        let mut template = Template {
            pieces,
            ..Template::default()
        };
        for place in 0..template.pieces.len() {
            if let Piece::Field(field) = template.pieces[place] {
                template.add(field)?;
            }
        }
        Ok(template)
    }

    fn add(&mut self, field: Field) -> Result<()> {
        match field {
            Field::Nine | Field::Zero => {
                if self.brackets {
                    return Err(syntax("\"9\" must be ahead of \"PR\""));
                }
                if field == Field::Zero && !self.point && self.zero_start.is_none() {
                    self.zero_start = Some(self.before);
                }
                match (self.shifting, self.point) {
                    (true, _) => self.shift += 1,
                    (_, true) => self.after += 1,
                    _ => self.before += 1,
                }
                if field == Field::Zero {
                    self.zero_end = self.before + self.after;
                }
            }
            Field::Point if self.point => return Err(syntax("multiple decimal points")),
            Field::Point if self.shifting => {
                return Err(syntax("cannot use \"V\" and decimal point together"));
            }
            Field::Point => self.point = true,
            Field::Shift if self.point => {
                return Err(syntax("cannot use \"V\" and decimal point together"));
            }
            Field::Shift => self.shifting = true,
            Field::Fill => self.fill = true,
            Field::Sign => {
                if self.sign.is_some() {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if self.plus || self.minus || self.brackets {
                    return Err(syntax(
                        "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together",
                    ));
                }
                self.before_sign = self.before;
                self.sign = Some(match self.point {
                    true => SignPlace::After,
                    false => SignPlace::Before,
                });
            }
            Field::Minus => self.minus = true,
            Field::Plus => self.plus = true,
            Field::PlusMinus => (self.minus, self.plus) = (true, true),
            Field::Brackets => self.brackets = true,
            Field::Roman(_) => self.roman = true,
            Field::Exponent => self.exponent = true,
            Field::Blank => return Err(Error::unsupported("B in a number template")),
            Field::Comma | Field::Group | Field::Currency | Field::Ordinal(_) => {}
        }
        Ok(())
    }
}

/// Floats show no more digits than they have.
fn print_float(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let value = float(&arguments[0])?;
    let mut template = Rc::unwrap_or_clone(Template::of(text(&arguments[1])?)?);
    let (digits, exact) = match call.argument_type(0) {
        Type::Float4 => (6, Numeric::from_f32(value as f32)),
        _ => (15, Numeric::from_f64(value)),
    };
    let whole = format!("{:.0}", value.abs()).len();
    template.after = template.after.min(digits_left(digits, whole));
    match rounded(value, &template) {
        // A negative float that rounds to zero keeps its sign.
        Some(rounded) => {
            let negative = rounded.starts_with('-');
            print_with(&Numeric::parse(&rounded)?, template, negative)
        }
        None => print_with(&exact, template, false),
    }
}

/// The float with as many digits as are shown: rounded as it is in binary, not
/// as its shortest decimal form.
fn rounded(value: f64, template: &Template) -> Option<String> {
    let after = template.after;
    let plain = value.is_finite() && template.shift == 0 && !template.roman;
    plain.then(|| match template.exponent {
        true => format!("{value:.after$e}"),
        false => format!("{value:.after$}"),
    })
}

fn digits_left(digits: usize, whole: usize) -> usize {
    digits.saturating_sub(whole)
}

fn print(value: &Numeric, template: &str) -> Result<Value> {
    print_with(value, Rc::unwrap_or_clone(Template::of(template)?), false)
}

fn print_with(value: &Numeric, mut template: Template, negative: bool) -> Result<Value> {
    if template.pieces.is_empty() {
        return Ok(Value::text(""));
    }
    if template.roman {
        return roman(value, &template);
    }
    if template.exponent {
        return scientific(value, &template);
    }
    let mut value = value.clone();
    if template.shift > 0 {
        let ten = Numeric::from_i64(10);
        value = value.mul(
            &ten.power(&Numeric::from_i64(template.shift as i64))?
                .round(0)?,
        )?;
        template.before += template.shift;
    }
    let shown = value.round(template.after as i32)?.to_string();
    let negative = negative || shown.starts_with('-');
    let mut digits = shown.trim_start_matches('-').to_owned();
    let whole = digits.find('.').unwrap_or(digits.len());
    let blanks = template.before.saturating_sub(whole);
    if whole > template.before {
        digits = "#".repeat(template.before + template.after + 1);
        digits.replace_range(template.before..=template.before, ".");
    }
    let mut writer = Writer::new(&template, digits.into_bytes(), negative, blanks);
    for piece in &template.pieces {
        writer.piece(piece);
    }
    Ok(Value::text(writer.out))
}

/// Writes digit by digit what the template asks for.
struct Writer<'a> {
    template: &'a Template,
    digits: Vec<u8>,
    negative: bool,
    /// Places of the template before the number's first digit.
    blanks: usize,
    /// With FM and a point: the last digit worth showing (or the point).
    last_relevant: Option<usize>,
    /// Where an S before the digits that stands after them all counts as after.
    sign: Option<SignPlace>,
    brackets: bool,
    sign_written: bool,
    /// Places of the template so far, and digits of the number so far.
    place: usize,
    digit: usize,
    places: usize,
    in_number: bool,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(template: &'a Template, digits: Vec<u8>, negative: bool, blanks: usize) -> Writer<'a> {
        let own_sign = template.plus || template.minus;
        let sign_written = match own_sign {
            true => !template.plus || template.minus,
            false => !negative && template.fill && template.sign.is_none(),
        };
        let sign = match template.sign {
            Some(SignPlace::Before) if template.before_sign == template.before => {
                Some(SignPlace::After)
            }
            other => other,
        };
        let point = digits.iter().position(|digit| *digit == b'.');
        let last_relevant = point
            .filter(|_| template.fill && template.point)
            .map(|point| {
                let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0);
                let last = last.max(point);
                match template.zero_end {
                    end if end > blanks => last.max((digits.len() - 1).min(end - blanks)),
                    _ => last,
                }
            });
        let mut places =
            template.before + template.after - usize::from(template.before + template.after > 0);
        if !sign_written && blanks == 0 {
            places += 1;
        }
        Writer {
            template,
            digits,
            negative,
            blanks,
            last_relevant,
            sign,
            brackets: template.brackets && (negative || !template.fill),
            sign_written,
            place: 0,
            digit: 0,
            places,
            in_number: false,
            out: String::new(),
        }
    }

    fn piece(&mut self, piece: &Piece<Field>) {
        let field = match piece {
            Piece::Literal(c, _) => return self.out.push(*c),
            Piece::Field(field) => *field,
        };
        let fill = self.template.fill;
        match field {
            Field::Nine | Field::Zero | Field::Point => self.number_place(field),
            Field::Comma | Field::Group => match (self.in_number, fill) {
                (true, _) => self.out.push(','),
                (false, false) => self.out.push(' '),
                (false, true) => {}
            },
            Field::Currency => self.out.push(' '),
            Field::Ordinal(upper) => {
                let plain =
                    !self.negative && !self.template.point && self.digits.first() != Some(&b'#');
                if plain {
                    let digits = String::from_utf8_lossy(&self.digits).into_owned();
                    self.out.push_str(ordinal(&digits, upper));
                }
            }
            Field::Minus if self.negative => self.out.push('-'),
            Field::Plus if !self.negative => self.out.push('+'),
            Field::Minus | Field::Plus if !fill => self.out.push(' '),
            Field::PlusMinus => self.out.push(if self.negative { '-' } else { '+' }),
            _ => {}
        }
    }

    /// A lone 0 before the point that a 9 stands for is not shown.
    fn is_hidden_zero(&self) -> bool {
        self.template.zero_start.is_none()
            && self.digit == 0
            && self.digits.first() == Some(&b'0')
            && self.template.after != 0
    }

    fn ends_at_point(&self) -> bool {
        self.last_relevant
            .is_some_and(|last| self.digits.get(last) == Some(&b'.'))
    }

    fn number_place(&mut self, field: Field) {
        self.in_number = false;
        let fill = self.template.fill;
        let begins = self.place >= self.blanks || self.template.zero_start == Some(self.place);
        if !self.sign_written && begins && (!self.is_hidden_zero() || self.ends_at_point()) {
            self.leading_sign();
        }
        if self.place < self.blanks {
            if self
                .template
                .zero_start
                .is_some_and(|start| start <= self.place)
            {
                self.out.push('0');
                self.in_number = true;
            } else if !fill {
                self.out.push(' ');
            }
        } else {
            self.next_digit(field);
        }
        let mut end = self.places + usize::from(self.blanks > 0) + usize::from(self.template.point);
        if self.last_relevant == Some(self.digit) {
            end = self.place;
        }
        if self.place + 1 == end {
            self.trailing_sign();
        }
        self.place += 1;
    }

    fn leading_sign(&mut self) {
        match (self.sign, self.brackets) {
            (Some(SignPlace::Before), _) => {
                self.out.push(if self.negative { '-' } else { '+' });
                self.sign_written = true;
            }
            (Some(SignPlace::After), _) => {}
            (None, true) => {
                self.out.push(if self.negative { '<' } else { ' ' });
                self.sign_written = true;
            }
            (None, false) => {
                if self.negative {
                    self.out.push('-');
                } else if !self.template.fill {
                    self.out.push(' ');
                }
                self.sign_written = true;
            }
        }
    }

    fn trailing_sign(&mut self) {
        if self.sign_written && self.brackets {
            self.out.push(if self.negative { '>' } else { ' ' });
        } else if self.sign == Some(SignPlace::After) {
            self.out.push(if self.negative { '-' } else { '+' });
        }
    }

    fn next_digit(&mut self, field: Field) {
        let fill = self.template.fill;
        match self.digits.get(self.digit) {
            Some(b'.') => {
                if fill || !self.ends_at_point() {
                    self.out.push('.');
                }
            }
            Some(digit) => {
                let past = self.last_relevant.is_some_and(|last| self.digit > last);
                if past && field != Field::Zero {
                    // FM drops zeros at the end.
                } else if self.is_hidden_zero() {
                    if !fill {
                        self.out.push(' ');
                    } else if self.ends_at_point() {
                        self.out.push('0');
                    }
                } else {
                    self.out.push(char::from(*digit));
                    self.in_number = true;
                }
            }
            None => return,
        }
        self.digit += 1;
    }
}

/// Numbers that Roman numerals are written for.
const ROMAN_RANGE: std::ops::Range<i64> = 1..4000;
/// The width that Roman numerals are padded to.
const ROMAN_WIDTH: usize = 15;

fn roman(value: &Numeric, template: &Template) -> Result<Value> {
    const PARTS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut rest = value.round(0)?.to_i64().unwrap_or(0);
    let mut numeral = String::new();
    if ROMAN_RANGE.contains(&rest) {
        for (part, letters) in PARTS {
            while rest >= part {
                numeral.push_str(letters);
                rest -= part;
            }
        }
    } else {
        numeral = "#".repeat(ROMAN_WIDTH);
    }
    let mut out = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Literal(c, _) => out.push(*c),
            Piece::Field(Field::Roman(upper)) => {
                let numeral = match upper {
                    true => numeral.clone(),
                    false => numeral.to_lowercase(),
                };
                match template.fill {
                    true => out.push_str(&numeral),
                    false => out.push_str(&format!("{numeral:>ROMAN_WIDTH$}")),
                }
            }
            Piece::Field(_) => {}
        }
    }
    Ok(Value::text(out))
}

/// `9.99EEEE`: one digit, so many after the point, a power of ten.
fn scientific(value: &Numeric, template: &Template) -> Result<Value> {
    if value.is_nan() || value.is_infinite() {
        return Ok(Value::text(format!(
            " #.{}",
            "#".repeat(template.after + 4)
        )));
    }
    let plain = value.abs().to_string();
    let digits: String = plain.chars().filter(char::is_ascii_digit).collect();
    let first = digits.find(|c| c != '0');
    let whole = plain.find('.').unwrap_or(plain.len()) as i64;
    let mut exponent = first.map_or(0, |first| whole - 1 - first as i64);
    let significant = Numeric::finite(
        digits
            .parse()
            .map_err(|_| Error::internal("digits are a number"))?,
        digits.len() as i64 - 1 - first.unwrap_or(0) as i64,
    )?;
    let mut rounded = significant.round(template.after as i32)?;
    if rounded.compare(&Numeric::from_i64(10)).is_ge() {
        rounded = Numeric::from_i64(1).round(template.after as i32)?;
        exponent += 1;
    }
    let sign = if value.signum() < 0 { '-' } else { ' ' };
    let power = if exponent < 0 { '-' } else { '+' };
    Ok(Value::text(format!(
        "{sign}{rounded}e{power}{:02}",
        exponent.abs()
    )))
}
