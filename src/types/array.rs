//! Arrays: text form, subscripts and slices.

use super::settings::Io;
use super::{Array, MAXIMUM_BYTES, Type, Value, row_bytes, text};
use crate::error::{Error, Result, SqlState};

/// Dimensions that an array may have.
pub const MAXIMUM_DIMENSIONS: usize = 6;
/// Elements that an array may have.
pub const MAXIMUM_ELEMENTS: usize = 134_217_727;

/// Reads `{…}`, with `[lower:upper]=` before it if given.
pub fn parse(literal: &str, element: &Type, io: Io<'_>) -> Result<Array> {
    let mut parser = Parser {
        literal,
        rest: literal.trim_start_matches(is_blank),
        element,
        io,
        lengths: Vec::new(),
        values: Vec::new(),
    };
    let bounds = parser.bounds()?;
    if !parser.rest.starts_with('{') {
        return Err(parser.malformed(match bounds {
            None => "Array value must start with \"{\" or dimension information.",
            Some(_) => "Array contents must start with \"{\".",
        }));
    }
    parser.braces(0)?;
    if !parser.rest.trim_start_matches(is_blank).is_empty() {
        return Err(parser.malformed("Junk after closing right brace."));
    }
    let dimensions = parser.dimensions(bounds)?;
    Ok(Array {
        element: element.clone(),
        dimensions,
        values: parser.values,
    })
}

/// An array within PostgreSQL's limits: those of the dimensions, of their last
/// subscripts, of the elements and of the bytes they take.
pub fn checked(element: Type, dimensions: Vec<(i32, i32)>, values: Vec<Value>) -> Result<Array> {
    check_dimensions(&dimensions)?;
    check_size(values.len(), row_bytes(&values))?;
    Ok(Array {
        element,
        dimensions,
        values,
    })
}

/// 54000 for too many dimensions, and where the last subscript of one is past an int4.
pub fn check_dimensions(dimensions: &[(i32, i32)]) -> Result<()> {
    if dimensions.len() > MAXIMUM_DIMENSIONS {
        return Err(too_many_dimensions(dimensions.len()));
    }
    let past = |(length, lower): &&(i32, i32)| lower.checked_add(*length).is_none();
    match dimensions.iter().find(past) {
        Some((_, lower)) => Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("array lower bound is too large: {lower}"),
        )),
        None => Ok(()),
    }
}

/// 54000 for more elements than an array may have, or for elements of so many bytes.
pub fn check_size(count: usize, bytes: usize) -> Result<()> {
    match count > MAXIMUM_ELEMENTS || bytes > MAXIMUM_BYTES {
        true => Err(too_large()),
        false => Ok(()),
    }
}

/// Appends an array's text form.
pub fn write(array: &Array, io: Io<'_>, out: &mut String) {
    if array.dimensions.iter().any(|(_, lower)| *lower != 1) {
        for (length, lower) in &array.dimensions {
            let upper = i64::from(*lower) + i64::from(*length) - 1;
            out.push_str(&format!("[{lower}:{upper}]"));
        }
        out.push('=');
    }
    write_dimension(array, 0, &mut array.values.iter(), io, out);
}

/// One element by its subscripts; `None` (SQL's NULL) outside of the array or
/// for the wrong number of subscripts.
pub fn element<'a>(array: &'a Array, subscripts: &[i64]) -> Option<&'a Value> {
    if subscripts.len() != array.dimensions.len() || subscripts.is_empty() {
        return None;
    }
    let mut offset = 0_usize;
    for ((length, lower), subscript) in array.dimensions.iter().zip(subscripts) {
        let place = subscript.checked_sub(i64::from(*lower))?;
        if !(0..i64::from(*length)).contains(&place) {
            return None;
        }
        offset = offset * *length as usize + place as usize;
    }
    array.values.get(offset)
}

/// A slice: of each dimension the subscripts from..=to (`None` is the array's
/// own bound); dimensions without a range are taken whole. The result counts from 1.
pub fn slice(array: &Array, ranges: &[(Option<i64>, Option<i64>)]) -> Array {
    let empty = Array::one_dimensional(array.element.clone(), Vec::new());
    if ranges.len() > array.dimensions.len() {
        return empty;
    }
    let mut taken = Vec::with_capacity(array.dimensions.len());
    for (i, (length, lower)) in array.dimensions.iter().enumerate() {
        let (lower, upper) = (
            i64::from(*lower),
            i64::from(*lower) + i64::from(*length) - 1,
        );
        let (from, to) = ranges.get(i).copied().unwrap_or((None, None));
        let from = from.unwrap_or(lower).max(lower);
        let to = to.unwrap_or(upper).min(upper);
        if from > to {
            return empty;
        }
        taken.push(((from - lower) as usize, (to - from + 1) as usize));
    }
    let mut values = Vec::new();
    collect(array, &taken, 0, &mut values);
    Array {
        element: array.element.clone(),
        dimensions: taken.iter().map(|(_, count)| (*count as i32, 1)).collect(),
        values,
    }
}

fn collect(array: &Array, taken: &[(usize, usize)], offset: usize, values: &mut Vec<Value>) {
    let Some(((start, count), deeper)) = taken.split_first() else {
        values.extend(array.values.get(offset).cloned());
        return;
    };
    let depth = array.dimensions.len() - taken.len();
    let stride: usize = array.dimensions[depth + 1..]
        .iter()
        .map(|(length, _)| *length as usize)
        .product();
    for place in *start..start + count {
        collect(array, deeper, offset + place * stride, values);
    }
}

fn write_dimension<'a>(
    array: &Array,
    depth: usize,
    values: &mut impl Iterator<Item = &'a Value>,
    io: Io<'_>,
    out: &mut String,
) {
    out.push('{');
    let length = array.dimensions.get(depth).map_or(0, |d| d.0);
    for i in 0..length {
        if i > 0 {
            out.push(',');
        }
        if depth + 1 < array.dimensions.len() {
            write_dimension(array, depth + 1, values, io, out);
            continue;
        }
        match values.next() {
            None | Some(Value::Null) => out.push_str("NULL"),
            Some(value) => {
                let start = out.len();
                text::output(value, &array.element, io, out);
                quote_from(start, out);
            }
        }
    }
    out.push('}');
}

/// Quotes what was printed since `start` if an array literal needs it.
fn quote_from(start: usize, out: &mut String) {
    let printed = &out[start..];
    let special = |c: char| matches!(c, '"' | '\\' | '{' | '}' | ',') || is_blank(c);
    if !printed.is_empty() && !printed.eq_ignore_ascii_case("null") && !printed.contains(special) {
        return;
    }
    let mut quoted = String::with_capacity(printed.len() + 2);
    quoted.push('"');
    for c in printed.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    out.truncate(start);
    out.push_str(&quoted);
}

struct Parser<'a> {
    literal: &'a str,
    rest: &'a str,
    element: &'a Type,
    io: Io<'a>,
    /// The length of each dimension, fixed by the first sub-array that ends.
    lengths: Vec<Option<i32>>,
    values: Vec<Value>,
}

impl Parser<'_> {
    /// `[lower:upper]…=`, as lengths and lower bounds.
    fn bounds(&mut self) -> Result<Option<Vec<(i32, i32)>>> {
        let mut bounds = Vec::new();
        while let Some(rest) = self.rest.strip_prefix('[') {
            let (inside, after) = rest
                .split_once(']')
                .ok_or_else(|| self.malformed("Missing \"]\" after array dimensions."))?;
            let (lower, upper) = match inside.split_once(':') {
                Some((lower, upper)) => (lower.parse::<i32>(), upper.parse::<i32>()),
                None => (Ok(1), inside.parse::<i32>()),
            };
            let (Ok(lower), Ok(upper)) = (lower, upper) else {
                return Err(
                    self.malformed("\"[\" must introduce explicitly-specified array dimensions.")
                );
            };
            let length = i64::from(upper) - i64::from(lower) + 1;
            if length < 1 {
                return Err(Error::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    "upper bound cannot be less than lower bound",
                ));
            }
            let length = i32::try_from(length).map_err(|_| too_large())?;
            bounds.push((length, lower));
            check_dimensions(&bounds)?;
            self.rest = after.trim_start_matches(is_blank);
        }
        if bounds.is_empty() {
            return Ok(None);
        }
        self.rest = self
            .rest
            .strip_prefix('=')
            .ok_or_else(|| self.malformed("Missing \"=\" after array dimensions."))?
            .trim_start_matches(is_blank);
        Ok(Some(bounds))
    }

    /// `{` element or sub-array, … `}`.
    fn braces(&mut self, depth: usize) -> Result<()> {
        if depth >= MAXIMUM_DIMENSIONS {
            return Err(too_many_dimensions(depth + 1));
        }
        if self.lengths.len() == depth {
            if !self.values.is_empty() {
                return Err(self.mismatch());
            }
            self.lengths.push(None);
        }
        self.advance(1);
        let mut count = 0;
        if self.rest.starts_with('}') {
            self.advance(1);
            return self.close(depth, count);
        }
        loop {
            if self.rest.starts_with('{') {
                self.braces(depth + 1)?;
            } else {
                if depth + 1 != self.lengths.len() {
                    return Err(self.mismatch());
                }
                let value = self.value()?;
                self.values.push(value);
                if self.values.len() > MAXIMUM_ELEMENTS {
                    return Err(too_large());
                }
            }
            count += 1;
            match self.rest.as_bytes().first() {
                Some(b',') => self.advance(1),
                Some(b'}') => {
                    self.advance(1);
                    return self.close(depth, count);
                }
                Some(_) => return Err(self.malformed("Unexpected array element.")),
                None => return Err(self.malformed("Unexpected end of input.")),
            }
        }
    }

    fn close(&mut self, depth: usize, count: i32) -> Result<()> {
        match self.lengths[depth] {
            None => {
                self.lengths[depth] = Some(count);
                Ok(())
            }
            Some(length) if length == count => Ok(()),
            Some(_) => Err(self.mismatch()),
        }
    }

    fn value(&mut self) -> Result<Value> {
        if self.rest.starts_with('"') {
            let content = self.quoted()?;
            return text::input(&content, self.element, self.io);
        }
        let mut content = String::new();
        // Blanks at the end are dropped, unless escaped.
        let mut kept = 0;
        let mut escaped = false;
        let mut chars = self.rest.char_indices();
        let end = loop {
            match chars.next() {
                None => return Err(self.malformed("Unexpected end of input.")),
                Some((at, ',' | '}')) => break at,
                Some((_, '{')) => {
                    return Err(self.malformed("Unexpected \"{\" character."));
                }
                Some((_, '"')) => return Err(self.malformed("Unexpected array element.")),
                Some((_, '\\')) => match chars.next() {
                    None => return Err(self.malformed("Unexpected end of input.")),
                    Some((_, c)) => {
                        content.push(c);
                        kept = content.len();
                        escaped = true;
                    }
                },
                Some((_, c)) => {
                    content.push(c);
                    if !is_blank(c) {
                        kept = content.len();
                    }
                }
            }
        };
        content.truncate(kept);
        if content.is_empty() {
            let found = &self.rest[end..=end];
            return Err(self.malformed(&format!("Unexpected \"{found}\" character.")));
        }
        self.rest = &self.rest[end..];
        if !escaped && content.eq_ignore_ascii_case("null") {
            return Ok(Value::Null);
        }
        text::input(&content, self.element, self.io)
    }

    fn quoted(&mut self) -> Result<String> {
        let mut content = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        loop {
            match chars.next() {
                None => return Err(self.malformed("Unexpected end of input.")),
                Some((at, '"')) => {
                    self.advance(at + 1);
                    return Ok(content);
                }
                Some((_, '\\')) => match chars.next() {
                    None => return Err(self.malformed("Unexpected end of input.")),
                    Some((_, c)) => content.push(c),
                },
                Some((_, c)) => content.push(c),
            }
        }
    }

    /// Moves on, and past the blanks that follow.
    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start_matches(is_blank);
    }

    fn dimensions(&self, bounds: Option<Vec<(i32, i32)>>) -> Result<Vec<(i32, i32)>> {
        if self.values.is_empty() {
            // `{}` and `{{},{}}` alike.
            return Ok(Vec::new());
        }
        let lengths: Vec<i32> = self.lengths.iter().map(|l| l.unwrap_or(0)).collect();
        match bounds {
            None => Ok(lengths.into_iter().map(|length| (length, 1)).collect()),
            Some(bounds) if bounds.iter().map(|b| b.0).eq(lengths.iter().copied()) => Ok(bounds),
            Some(_) => {
                Err(self.malformed("Specified array dimensions do not match array contents."))
            }
        }
    }

    fn mismatch(&self) -> Error {
        self.malformed("Multidimensional arrays must have sub-arrays with matching dimensions.")
    }

    fn malformed(&self, detail: &str) -> Error {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("malformed array literal: \"{}\"", self.literal),
        )
        .detail(detail)
    }
}

fn too_many_dimensions(count: usize) -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!(
            "number of array dimensions ({count}) exceeds the maximum allowed ({MAXIMUM_DIMENSIONS})"
        ),
    )
}

fn too_large() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("array size exceeds the maximum allowed ({MAXIMUM_ELEMENTS})"),
    )
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::settings::Settings;

    fn with<T>(body: impl Fn(Io<'_>) -> T) -> T {
        let settings = Settings::default();
        body(Io {
            settings: &settings,
            transaction_time: 0,
        })
    }

    fn round_trip(literal: &str, element: &Type) -> String {
        with(|io| match parse(literal, element, io) {
            Ok(array) => {
                let mut out = String::new();
                write(&array, io, &mut out);
                out
            }
            Err(error) => format!(
                "{}: {}",
                error.message(),
                error.report().detail.as_deref().unwrap_or("")
            ),
        })
    }

    #[test]
    fn text_forms() {
        for (literal, expected) in [
            ("{}", "{}"),
            (" { 1 , 2,NULL, 3 } ", "{1,2,NULL,3}"),
            ("{{1,2},{3,4}}", "{{1,2},{3,4}}"),
            ("[0:1]={1,2}", "[0:1]={1,2}"),
            ("[1:2]={1,2}", "{1,2}"),
            ("{{},{}}", "{}"),
        ] {
            assert_eq!(round_trip(literal, &Type::Int4), expected);
        }
        for (literal, expected) in [
            (
                r#"{a b, "c,d", "", "NULL", null, x\ }"#,
                r#"{"a b","c,d","","NULL",NULL,"x "}"#,
            ),
            (r#"{"a\"b","\\"}"#, r#"{"a\"b","\\"}"#),
        ] {
            assert_eq!(round_trip(literal, &Type::Text), expected);
        }
    }

    #[test]
    fn malformed() {
        for literal in [
            "",
            "1",
            "{1",
            "{1}}",
            "{1,}",
            "{,1}",
            "{{1},{2,3}}",
            "{1,{2}}",
            "{{1},2}",
            "[1:3]={1}",
            "{{{{{{{1}}}}}}}",
            "{\"a",
            "{a\\",
        ] {
            assert!(
                with(|io| parse(literal, &Type::Text, io).is_err()),
                "{literal}"
            );
        }
    }

    #[test]
    fn subscripts_and_slices() {
        with(|io| {
            let array = parse("{{1,2,3},{4,5,6}}", &Type::Int4, io).unwrap();
            assert_eq!(element(&array, &[2, 3]), Some(&Value::Int(6)));
            assert_eq!(element(&array, &[3, 1]), None);
            assert_eq!(element(&array, &[1]), None);
            let mut out = String::new();
            write(
                &slice(&array, &[(Some(2), None), (Some(2), Some(9))]),
                io,
                &mut out,
            );
            write(&slice(&array, &[(Some(3), None)]), io, &mut out);
            assert_eq!(out, "{{5,6}}{}");
        });
    }
}
