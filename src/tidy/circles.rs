//! Files import each other one way: no circles but those listed here.
//!
//! An import is any path that names something of another file: in a `use`, or
//! written out where it is used. A re-export hands a name on and is no import;
//! whoever uses it depends on the file that defines it.
//!
//! Not seen: methods called on a value of another file's type, and what a
//! glob brings in beside the module it names.

use std::collections::{BTreeMap, BTreeSet};

use super::{is_test, sources, without_tests};

/// Imports that run back, by why they are left so. Without them there is no
/// circle; with each of them there is one.
const BACKWARD: &[(&str, &[(&str, &str)])] = &[
    (
        "the file that owns a folder calls its parts, which use the types that it defines",
        &[
            ("endpoint/embedded.rs", "endpoint/embedded/keeper.rs"),
            (
                "engine/sqlite/apply/mod.rs",
                "engine/sqlite/apply/foreign.rs",
            ),
            ("engine/sqlite/apply/mod.rs", "engine/sqlite/apply/late.rs"),
            ("frontend/http/mod.rs", "frontend/http/clusters.rs"),
            ("frontend/http/mod.rs", "frontend/http/rows.rs"),
            ("frontend/http/mod.rs", "frontend/http/system.rs"),
            ("frontend/http/mod.rs", "frontend/http/users.rs"),
            ("frontend/http/views/mod.rs", "frontend/http/views/rows.rs"),
            ("frontend/pg/mod.rs", "frontend/pg/startup.rs"),
            ("log/state_machine.rs", "log/snapshot.rs"),
            ("log/state_machine.rs", "log/store/mod.rs"),
            ("plan/bind.rs", "plan/bind/call.rs"),
            ("plan/bind.rs", "plan/bind/composite.rs"),
            ("plan/bind.rs", "plan/bind/compound.rs"),
            ("replica/mod.rs", "replica/lease.rs"),
            ("runtime/mod.rs", "runtime/simulated.rs"),
            ("system/mod.rs", "system/filled.rs"),
            ("system/mod.rs", "system/relation.rs"),
            ("types/datetime/parse.rs", "types/datetime/parse/decode.rs"),
        ],
    ),
    (
        "a register names all that define an entry of it, and they look others up in it",
        &[
            ("plan/function/definitions.rs", "plan/function/registry.rs"),
            ("plan/function/oids.rs", "plan/function/registry.rs"),
            (
                "plan/function/regex/mod.rs",
                "plan/function/regex/functions.rs",
            ),
            (
                "plan/function/template/mod.rs",
                "plan/function/template/date_read.rs",
            ),
            (
                "plan/function/template/mod.rs",
                "plan/function/template/date_write.rs",
            ),
            (
                "plan/function/template/mod.rs",
                "plan/function/template/number.rs",
            ),
            (
                "plan/function/template/mod.rs",
                "plan/function/template/number_read.rs",
            ),
            (
                "system/information_schema/mod.rs",
                "system/information_schema/column.rs",
            ),
            (
                "system/information_schema/mod.rs",
                "system/information_schema/constraint.rs",
            ),
            (
                "system/information_schema/mod.rs",
                "system/information_schema/table.rs",
            ),
            ("system/relation.rs", "system/information_schema/mod.rs"),
            ("system/relation.rs", "system/pg_catalog/mod.rs"),
            ("system/relation.rs", "system/pg_type.rs"),
            ("system/relation.rs", "system/pyql.rs"),
        ],
    ),
    (
        "one definition that refers to itself: an expression holds a query, a value holds values",
        &[
            ("plan/bind/grouping_sets.rs", "plan/bind/select.rs"),
            ("plan/expression.rs", "plan/function/mod.rs"),
            ("plan/function/string.rs", "plan/evaluate/cast.rs"),
            ("plan/parse/expression.rs", "plan/parse/special.rs"),
            ("plan/query.rs", "plan/expression.rs"),
            ("plan/statement.rs", "plan/given.rs"),
            ("plan/statement.rs", "plan/mod.rs"),
            ("types/text.rs", "types/array.rs"),
            ("types/text.rs", "types/cast.rs"),
        ],
    ),
    (
        "not told apart yet",
        &[
            ("engine/sqlite/hash.rs", "engine/sqlite/apply/side.rs"),
            ("frontend/http/request.rs", "frontend/http/system.rs"),
            ("frontend/http/rows.rs", "frontend/http/system.rs"),
            ("frontend/http/views/mod.rs", "frontend/http/rows.rs"),
            ("frontend/pg/connection.rs", "frontend/pg/portal.rs"),
            ("frontend/pg/connection.rs", "frontend/pg/prepared.rs"),
            ("frontend/pg/encode.rs", "frontend/pg/error.rs"),
            ("frontend/pg/fetch.rs", "frontend/pg/portal.rs"),
            ("frontend/pg/prepared.rs", "frontend/pg/portal.rs"),
            ("frontend/pg/startup.rs", "frontend/pg/authenticate.rs"),
            ("plan/bind/table.rs", "plan/bind/index.rs"),
            ("runtime/time.rs", "runtime/mod.rs"),
            ("runtime/time.rs", "runtime/simulated.rs"),
            ("types/datetime/format.rs", "types/datetime/zone.rs"),
            (
                "types/datetime/parse/decode.rs",
                "types/datetime/parse/token.rs",
            ),
        ],
    ),
];

type Path = Vec<String>;

/// Which file imports which.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn files_import_each_other_one_way() {
    let imports = House::read().imports();
    let backward: Vec<(&str, &str)> = BACKWARD
        .iter()
        .flat_map(|(_, pairs)| pairs.iter().copied())
        .collect();
    let mut forward = imports.clone();
    for (from, to) in &backward {
        if let Some(imported) = forward.get_mut(*from) {
            imported.remove(*to);
        }
    }
    let mut wrong = Vec::new();
    for (from, imported) in &forward {
        for to in imported.iter().filter(|to| reaches(&forward, to, from)) {
            wrong.push(format!("{from} imports {to}, which comes back to it"));
        }
    }
    for (from, to) in backward {
        let stands = imports.get(from).is_some_and(|it| it.contains(to));
        if !stands || !reaches(&imports, to, from) {
            wrong.push(format!(
                "{from} → {to} closes no circle any more: strike it"
            ));
        }
    }
    assert!(wrong.is_empty(), "circles of files:\n{}", wrong.join("\n"));
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = "use a::{b, c::{self, D as E}};\n// use x::y;\npub(super) use f::G;\n\
                fn h(at: crate::i::J) { k::l::<M>(n.o::<p::Q>()) }\npub(in crate::r) struct S;\n";
    let found = read(text);
    let shown = |paths: &[Path]| paths.iter().map(|it| it.join("::")).collect::<Vec<_>>();
    assert_eq!(
        shown(&found.used),
        ["a::b", "a::c", "a::c::D", "crate::i::J", "k::l", "p::Q"]
    );
    assert_eq!(shown(&found.handed_on), ["f::G"]);
}

/// Does a walk along imports lead from one file to the other?
fn reaches(imports: &Imports, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        if file == to {
            return true;
        }
        if seen.insert(file) {
            next.extend(imports.get(file).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// All modules that are files.
struct House {
    files: BTreeMap<Path, String>,
    found: BTreeMap<Path, Found>,
}

/// The paths that a file names.
#[derive(Default)]
struct Found {
    used: Vec<Path>,
    handed_on: Vec<Path>,
}

impl House {
    fn read() -> House {
        let (mut files, mut found) = (BTreeMap::new(), BTreeMap::new());
        for (place, text) in sources() {
            if is_test(&place) || place.starts_with("tidy") || place.ends_with("main.rs") {
                continue;
            }
            let name = place.to_string_lossy().into_owned();
            let module = name.trim_end_matches(".rs").trim_end_matches("/mod");
            let module: Path = match module {
                "lib" => Vec::new(),
                module => module.split('/').map(str::to_owned).collect(),
            };
            found.insert(module.clone(), read(without_tests(&text)));
            files.insert(module, name);
        }
        House { files, found }
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (module, found) in self.found.iter().filter(|(module, _)| !module.is_empty()) {
            for path in &found.used {
                let defined = self.absolute(module, path);
                let defined = defined.map(|path| self.resolve(&path, 0));
                if let Some(other) = defined.filter(|other| other != module && !other.is_empty()) {
                    let imported = imports.entry(self.files[module].clone()).or_default();
                    imported.insert(self.files[&other].clone());
                }
            }
        }
        imports
    }

    /// A path from the root on; `None` when it leads out of this crate or stays
    /// in its file.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Path> {
        let mut base = module.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                let child = [module, &[child.to_owned()]].concat();
                if path.len() < 2 || !self.files.contains_key(&child) {
                    return None;
                }
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The module that defines what a path names.
    fn resolve(&self, path: &[String], depth: usize) -> Path {
        let mut module = Path::new();
        for (at, part) in path.iter().enumerate() {
            let child = [&module[..], std::slice::from_ref(part)].concat();
            if self.files.contains_key(&child) {
                module = child;
                continue;
            }
            let handed_on = self.found.get(&module).and_then(|found| {
                let mut all = found.handed_on.iter();
                all.find(|handed| handed.last() == Some(part))
            });
            let origin = handed_on.and_then(|handed| self.absolute(&module, handed));
            return match origin.filter(|_| depth < 8) {
                Some(origin) => self.resolve(&[&origin, &path[at + 1..]].concat(), depth + 1),
                None => module,
            };
        }
        module
    }
}

fn read(text: &str) -> Found {
    let lines = text.lines().filter(|line| !line.trim().starts_with("//"));
    let mut found = Found::default();
    let mut rest = String::new();
    let mut lines = lines.peekable();
    while let Some(line) = lines.next() {
        let mut item = line.trim();
        let public = item.starts_with("pub ") || item.starts_with("pub(");
        if public {
            let end = if item.starts_with("pub(") { ')' } else { ' ' };
            item = item.split_once(end).map_or("", |(_, item)| item).trim();
        }
        let Some(tree) = item.strip_prefix("use ") else {
            // What limits a visibility imports nothing.
            rest.push_str(if public { item } else { line });
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line.trim());
            tree.push(' ');
        }
        let tree = tree.split(';').next().unwrap_or_default();
        let paths = match public {
            true => &mut found.handed_on,
            false => &mut found.used,
        };
        expand(&[], tree, paths);
    }
    written_out(&rest, &mut found.used);
    found
}

/// The paths of a `use` tree.
fn expand(before: &[String], tree: &str, paths: &mut Vec<Path>) {
    let tree = tree.trim();
    let (start, inner) = match tree.split_once('{') {
        Some((start, inner)) => (start, inner.rsplit_once('}').map(|(inner, _)| inner)),
        None => (tree.split(" as ").next().unwrap_or_default(), None),
    };
    let parts = start.split("::").map(str::trim);
    let parts = parts.filter(|part| !part.is_empty() && (*part != "self" || before.is_empty()));
    let path: Path = before
        .iter()
        .cloned()
        .chain(parts.map(str::to_owned))
        .collect();
    let Some(inner) = inner else {
        if !tree.is_empty() {
            paths.push(path);
        }
        return;
    };
    let (mut depth, mut from) = (0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&path, &inner[from..at], paths);
                from = at + 1;
            }
            _ => {}
        }
    }
    expand(&path, &inner[from..], paths);
}

/// Paths of two parts and more in code.
fn written_out(text: &str, paths: &mut Vec<Path>) {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut rest = text;
    let mut before = ' ';
    while let Some(letter) = rest.chars().next() {
        if !is_name(letter) {
            before = letter;
            rest = &rest[letter.len_utf8()..];
            continue;
        }
        let end = rest.find(|letter| !is_name(letter) && letter != ':');
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let path: Path = word
            .split("::")
            .take_while(|part| !part.is_empty() && part.chars().all(is_name))
            .map(str::to_owned)
            .collect();
        if path.len() > 1 && before != '.' {
            paths.push(path);
        }
        before = ':';
        rest = behind;
    }
}
