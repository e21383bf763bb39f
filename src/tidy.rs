//! House rules as tests: layers, circles, file heads, sizes.

mod circles;

use std::path::{Path, PathBuf};

/// The layers from left to right: a module may name those right of it only.
const LAYERS: [&str; 22] = [
    "cli", "sandbox", "node", "rest", "frontend", "session", "dispatch", "system", "replica",
    "log", "endpoint", "engine", "plan", "auth", "catalog", "config", "types", "error", "tls",
    "metrics", "runtime", "tidy",
];

/// Names that an exception lets through, with its reason.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    // What is delivered is what was agreed: the log's commands are data.
    ("endpoint", "log", "an endpoint takes the log's commands"),
    ("engine", "log", "an engine applies the log's commands"),
];

/// Lines of a file without its tests; past this it is split.
const FILE_LINES_MAX: usize = 700;

/// Crates and the only places that may name them.
const CONFINED: [(&str, &[&str]); 4] = [
    ("pgwire::", &["frontend/pg"]),
    ("openraft::", &["log", "runtime"]),
    ("rusqlite::", &["engine/sqlite", "system", "log/store"]),
    ("axum::", &["frontend/http", "rest"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source can be read");
                let place = path
                    .strip_prefix(&root)
                    .expect("it lies under src")
                    .to_owned();
                found.push((place, text));
            }
        }
    }
    found.sort();
    found
}

/// The part of a file before its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

fn is_test(place: &Path) -> bool {
    let name = place
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let inside = place.components().any(|part| part.as_os_str() == "tests");
    inside || matches!(name, "tests" | "cases" | "tidy") || name.ends_with("_tests")
}

fn layer(place: &Path) -> String {
    let first = place.components().next().expect("a path has a part");
    let name = first.as_os_str().to_string_lossy();
    name.trim_end_matches(".rs").to_owned()
}

#[test]
fn imports_point_right() {
    let rank = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let mut wrong = Vec::new();
    for (place, text) in sources() {
        let own = layer(&place);
        let Some(own_rank) = rank(&own) else {
            assert!(
                matches!(own.as_str(), "lib" | "main"),
                "{own} has no place among the layers"
            );
            continue;
        };
        if is_test(&place) {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            for piece in line.split("crate::").skip(1) {
                let name: String = piece
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let allowed = rank(&name).is_none_or(|named| named >= own_rank)
                    || EXCEPTIONS
                        .iter()
                        .any(|(from, to, _)| *from == own && *to == name);
                if !allowed {
                    wrong.push(format!("{}:{} names {name}", place.display(), number + 1));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that point left:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(place, _)| place)
        .collect();
    assert!(silent.is_empty(), "files without a `//!` head: {silent:?}");
}

#[test]
fn files_keep_one_subject() {
    let large: Vec<_> = sources()
        .into_iter()
        .filter(|(place, _)| !is_test(place))
        .map(|(place, text)| (place, without_tests(&text).lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(
        large.is_empty(),
        "files past {FILE_LINES_MAX} lines: {large:?}"
    );
}

#[test]
fn crates_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for (place, text) in sources() {
        let name = place.to_string_lossy().into_owned();
        for (used, places) in CONFINED {
            let here = places.iter().any(|allowed| name.starts_with(allowed));
            if !here && !is_test(&place) && without_tests(&text).contains(used) {
                wrong.push(format!("{name} names {used}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "crates out of place:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_should_panic() {
    let marker = concat!("#[should", "_panic]");
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains(marker))
        .map(|(place, _)| place)
        .collect();
    assert!(found.is_empty(), "say what is returned instead: {found:?}");
}
