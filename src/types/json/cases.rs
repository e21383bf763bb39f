//! Texts as jsonb, their order and containment, and PostgreSQL 15's answers.

/// Text, and what PostgreSQL 15 makes of it as jsonb.
pub(super) const TEXTS: &[(&str, &str)] = &[
    (
        "{\"b\":1,\"aa\":[1.50,1e2,-0,-0.0,1E-3],\"a\":null}",
        "{\"a\": null, \"b\": 1, \"aa\": [1.50, 100, 0, 0.0, 0.001]}",
    ),
    (
        "",
        "22P02 invalid input syntax for type json|The input string ended unexpectedly.",
    ),
    (
        " ",
        "22P02 invalid input syntax for type json|The input string ended unexpectedly.",
    ),
    (
        "abc",
        "22P02 invalid input syntax for type json|Token \"abc\" is invalid.",
    ),
    (
        "tru",
        "22P02 invalid input syntax for type json|Token \"tru\" is invalid.",
    ),
    (
        "{",
        "22P02 invalid input syntax for type json|The input string ended unexpectedly.",
    ),
    (
        "{\"a\"}",
        "22P02 invalid input syntax for type json|Expected \":\", but found \"}\".",
    ),
    (
        "{\"a\":}",
        "22P02 invalid input syntax for type json|Expected JSON value, but found \"}\".",
    ),
    (
        "{\"a\":1,}",
        "22P02 invalid input syntax for type json|Expected string, but found \"}\".",
    ),
    (
        "{,}",
        "22P02 invalid input syntax for type json|Expected string or \"}\", but found \",\".",
    ),
    (
        "[1,]",
        "22P02 invalid input syntax for type json|Expected JSON value, but found \"]\".",
    ),
    (
        "[,1]",
        "22P02 invalid input syntax for type json|Expected JSON value, but found \",\".",
    ),
    (
        "[1 2]",
        "22P02 invalid input syntax for type json|Expected \",\" or \"]\", but found \"2\".",
    ),
    (
        "{\"a\" 1}",
        "22P02 invalid input syntax for type json|Expected \":\", but found \"1\".",
    ),
    (
        "{1:2}",
        "22P02 invalid input syntax for type json|Expected string or \"}\", but found \"1\".",
    ),
    (
        "{\"a\":1 \"b\":2}",
        "22P02 invalid input syntax for type json|Expected \",\" or \"}\", but found \"\"b\"\".",
    ),
    (
        "1 2",
        "22P02 invalid input syntax for type json|Expected end of input, but found \"2\".",
    ),
    (
        "01",
        "22P02 invalid input syntax for type json|Token \"01\" is invalid.",
    ),
    (
        "1.",
        "22P02 invalid input syntax for type json|Token \"1.\" is invalid.",
    ),
    (
        ".5",
        "22P02 invalid input syntax for type json|Token \".\" is invalid.",
    ),
    (
        "+1",
        "22P02 invalid input syntax for type json|Token \"+\" is invalid.",
    ),
    (
        "-",
        "22P02 invalid input syntax for type json|Token \"-\" is invalid.",
    ),
    (
        "-a",
        "22P02 invalid input syntax for type json|Token \"-a\" is invalid.",
    ),
    (
        "1e",
        "22P02 invalid input syntax for type json|Token \"1e\" is invalid.",
    ),
    (
        "1e+",
        "22P02 invalid input syntax for type json|Token \"1e+\" is invalid.",
    ),
    (
        "\"abc",
        "22P02 invalid input syntax for type json|Token \"\"abc\" is invalid.",
    ),
    (
        "\"\\x\"",
        "22P02 invalid input syntax for type json|Escape sequence \"\\x\" is invalid.",
    ),
    (
        "\"a\nb\"",
        "22P02 invalid input syntax for type json|Character with value 0x0a must be escaped.",
    ),
    (
        "\"a\tb\"",
        "22P02 invalid input syntax for type json|Character with value 0x09 must be escaped.",
    ),
    (
        "\"\\u12\"",
        "22P02 invalid input syntax for type json|\"\\u\" must be followed by four hexadecimal digits.",
    ),
    (
        "\"\\u12g4\"",
        "22P02 invalid input syntax for type json|\"\\u\" must be followed by four hexadecimal digits.",
    ),
    (
        "\"\\u0000\"",
        "22P05 unsupported Unicode escape sequence|\\u0000 cannot be converted to text.",
    ),
    (
        "\"\\ud83d\"",
        "22P02 invalid input syntax for type json|Unicode low surrogate must follow a high surrogate.",
    ),
    (
        "\"\\ud83d\\ud83d\"",
        "22P02 invalid input syntax for type json|Unicode high surrogate must not follow a high surrogate.",
    ),
    (
        "\"\\udc00\"",
        "22P02 invalid input syntax for type json|Unicode low surrogate must follow a high surrogate.",
    ),
    ("\"\\ud83d\\ude00\"", "\"😀\""),
    (
        "\"\\ud83dx\"",
        "22P02 invalid input syntax for type json|Unicode low surrogate must follow a high surrogate.",
    ),
    (
        "nulll",
        "22P02 invalid input syntax for type json|Token \"nulll\" is invalid.",
    ),
    ("null", "null"),
    (
        "[]]",
        "22P02 invalid input syntax for type json|Expected end of input, but found \"]\".",
    ),
    (
        "}",
        "22P02 invalid input syntax for type json|Expected JSON value, but found \"}\".",
    ),
    (
        "]",
        "22P02 invalid input syntax for type json|Expected JSON value, but found \"]\".",
    ),
    (
        ":",
        "22P02 invalid input syntax for type json|Expected JSON value, but found \":\".",
    ),
    (
        "true false",
        "22P02 invalid input syntax for type json|Expected end of input, but found \"false\".",
    ),
    (
        "\"a\" \"b\"",
        "22P02 invalid input syntax for type json|Expected end of input, but found \"\"b\"\".",
    ),
    (
        "{\"a\":1}}",
        "22P02 invalid input syntax for type json|Expected end of input, but found \"}\".",
    ),
    (
        "[1}",
        "22P02 invalid input syntax for type json|Expected \",\" or \"]\", but found \"}\".",
    ),
    (
        "{\"a\":1]",
        "22P02 invalid input syntax for type json|Expected \",\" or \"}\", but found \"]\".",
    ),
    (
        "é",
        "22P02 invalid input syntax for type json|Token \"é\" is invalid.",
    ),
    ("\"é\"", "\"é\""),
    (
        "[1,2",
        "22P02 invalid input syntax for type json|The input string ended unexpectedly.",
    ),
    ("{\"a\":[1,{\"b\":2}]}", "{\"a\": [1, {\"b\": 2}]}"),
    (
        "1e400",
        "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    ),
    ("-1.50e-2", "-0.0150"),
    ("{\"a\":1,\"a\":2}", "{\"a\": 2}"),
    ("[[[]]]", "[[[]]]"),
    (
        "'a'",
        "22P02 invalid input syntax for type json|Token \"'\" is invalid.",
    ),
    (
        "{\"a\":\"b\"",
        "22P02 invalid input syntax for type json|The input string ended unexpectedly.",
    ),
    (
        "{\"a\"",
        "22P02 invalid input syntax for type json|The input string ended unexpectedly.",
    ),
    (
        "1_000",
        "22P02 invalid input syntax for type json|Token \"1_000\" is invalid.",
    ),
    (
        "0x10",
        "22P02 invalid input syntax for type json|Token \"0x10\" is invalid.",
    ),
    (
        "NaN",
        "22P02 invalid input syntax for type json|Token \"NaN\" is invalid.",
    ),
    (
        "\"\u{1}\"",
        "22P02 invalid input syntax for type json|Character with value 0x01 must be escaped.",
    ),
    (
        "\"\\",
        "22P02 invalid input syntax for type json|Token \"\"\\\" is invalid.",
    ),
    (
        "[tru]",
        "22P02 invalid input syntax for type json|Token \"tru\" is invalid.",
    ),
    (
        "@",
        "22P02 invalid input syntax for type json|Token \"@\" is invalid.",
    ),
    (
        "1@",
        "22P02 invalid input syntax for type json|Token \"@\" is invalid.",
    ),
    (
        "[1,@]",
        "22P02 invalid input syntax for type json|Token \"@\" is invalid.",
    ),
    ("\"\\u00e9\\n\\/\\b\"", "\"é\\n/\\b\""),
];

/// Values, and for each pair in order PostgreSQL's `jsonb_cmp` (`<`, `=`, `>`) and
/// `@>` (`t`, `f`); a line is one left side.
pub(super) const VALUES: &[&str] = &[
    "[]",
    "null",
    "\"a\"",
    "\"b\"",
    "\"\"",
    "1",
    "2",
    "10",
    "1.0",
    "false",
    "true",
    "[1]",
    "[null]",
    "[1,2]",
    "[[]]",
    "[{}]",
    "{}",
    "{\"a\":1}",
    "{\"a\":2}",
    "{\"b\":1}",
    "{\"aa\":1}",
    "{\"a\":1,\"b\":1}",
    "{\"a\":[1,2]}",
    "{\"a\":{\"b\":1}}",
    "[\"a\"]",
    "[\"a\",\"b\"]",
    "[1,[1,2]]",
    "[[2]]",
    "[true]",
    "{\"a\":null}",
];

pub(super) const PAIRS: &[&str] = &[
    "=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f=t<f>f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f>f=t>f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f<f<f=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f>f>f>f=t<f<f=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f>f>f>f>f=t<f>f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f>f>f>f>f>f=t>f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f>f>f>f=t<f<f=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f>f>f>f>f>f>f>f=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">f>f>f>f>f>f>f>f>f>f=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">t>f>f>f>f>t>f>f>t>f>f=t>f<f<f<f<f<f<f<f<f<f<f<f>f<f<f<f<f<f",
    ">t>t>f>f>f>f>f>f>f>f>f<f=t<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f<f",
    ">t>f>f>f>f>t>t>f>t>f>f>t>f=t>f>f<f<f<f<f<f<f<f<f>f>f<f>f>f<f",
    ">t>f>f>f>f>f>f>f>f>f>f>f>f<f=t<f<f<f<f<f<f<f<f<f>f<f<f<f>f<f",
    ">t>f>f>f>f>f>f>f>f>f>f>f>f<f>f=t<f<f<f<f<f<f<f<f>f<f<f>f>f<f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f=t<f<f<f<f<f<f<f>f>f>f>f>f<f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t=t<f<f<f<f<f<f>f>f>f>f>f>f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t>f=t<f<f<f<f<f>f>f>f>f>f>f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t>f>f=t>f<f>f>f>f>f>f>f>f>f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t>f>f<f=t<f>f>f>f>f>f>f>f>f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t>t>f>t>f=t>f>f>f>f>f>f>f>f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t>f>f<f<f<f=t<f>f>f>f>f>f>f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t>f>f<f<f<f>f=t>f>f>f>f>f>f",
    ">t>f>t>f>f>f>f>f>f>f>f<f>f<f<f<f<f<f<f<f<f<f<f<f=t<f<f<f<f<f",
    ">t>f>t>t>f>f>f>f>f>f>f>f>f<f>f>f<f<f<f<f<f<f<f<f>t=t<f>f>f<f",
    ">t>f>f>f>f>t>f>f>t>f>f>t>f>f>t>f<f<f<f<f<f<f<f<f>f>f=t>t>f<f",
    ">t>f>f>f>f>f>f>f>f>f>f>f>f<f>t<f<f<f<f<f<f<f<f<f>f<f<f=t>f<f",
    ">t>f>f>f>f>f>f>f>f>f>t>f>f<f<f<f<f<f<f<f<f<f<f<f>f<f<f<f=t<f",
    ">f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>f>t<f<f<f<f<f<f<f>f>f>f>f>f=t",
];
