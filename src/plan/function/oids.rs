//! The oids of functions and operators: PostgreSQL's where it has the same.
//!
//! Beside our own functions, `oids.txt` lists those by which PostgreSQL's
//! types read and print: drivers look them up in `pg_type`; nobody calls them.
//! Each line is oid, operator's oid or 0, signature, and the result's type
//! where the function is not ours.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Function, registry};

/// Where the numbers of functions that PostgreSQL lacks begin.
const FIRST_OWN: u32 = 15_000;

static OIDS: LazyLock<Oids> = LazyLock::new(Oids::new);

struct Oids {
    by_signature: HashMap<String, (u32, u32)>,
    by_oid: HashMap<u32, String>,
    support: Vec<Support>,
}

/// A function of a type's own, known by name only.
pub struct Support {
    pub oid: u32,
    pub name: &'static str,
    pub arguments: Vec<&'static str>,
    pub result: &'static str,
}

/// The oid of a function.
pub fn of(function: &Function) -> u32 {
    let found = OIDS.by_signature.get(&function.signature());
    found.map_or(0, |(oid, _)| *oid)
}

/// The oid of the operator that calls a function.
pub fn operator(function: &Function) -> u32 {
    match OIDS.by_signature.get(&function.signature()) {
        Some((oid, 0)) => *oid,
        Some((_, operator)) => *operator,
        None => 0,
    }
}

/// The functions that are not ours.
pub fn support() -> &'static [Support] {
    &OIDS.support
}

/// A function's name as regproc prints it.
pub fn name(oid: u32) -> Option<&'static str> {
    OIDS.by_oid.get(&oid).map(|signature| named_in(signature))
}

/// A function's name and types as regprocedure prints them.
pub fn signature(oid: u32) -> Option<&'static str> {
    OIDS.by_oid.get(&oid).map(String::as_str)
}

/// The function of exactly this signature.
pub fn with_signature(signature: &str) -> Option<u32> {
    OIDS.by_signature.get(signature).map(|(oid, _)| *oid)
}

/// The oids of the functions of this name.
pub fn named(name: &str) -> Vec<u32> {
    let mut oids: Vec<u32> = OIDS
        .by_oid
        .iter()
        .filter(|(_, signature)| named_in(signature) == name)
        .map(|(oid, _)| *oid)
        .collect();
    oids.sort_unstable();
    oids
}

fn named_in(signature: &str) -> &str {
    signature.split('(').next().unwrap_or_default()
}

impl Oids {
    fn new() -> Oids {
        let mut oids = Oids {
            by_signature: HashMap::new(),
            by_oid: HashMap::new(),
            support: Vec::new(),
        };
        for line in include_str!("oids.txt").lines() {
            oids.add(line)
                .unwrap_or_else(|| unreachable!("the list is constant: {line}"));
        }
        let mut own = FIRST_OWN;
        for function in registry::all() {
            let signature = function.signature();
            if !oids.by_signature.contains_key(&signature) {
                oids.by_signature.insert(signature.clone(), (own, 0));
                oids.by_oid.insert(own, signature);
                own += 1;
            }
        }
        oids
    }

    fn add(&mut self, line: &'static str) -> Option<()> {
        let (oid, rest) = line.split_once(' ')?;
        let (operator, rest) = rest.split_once(' ')?;
        let (oid, operator) = (oid.parse().ok()?, operator.parse().ok()?);
        let close = rest.rfind(')')?;
        let (signature, result) = (&rest[..=close], rest[close + 1..].trim());
        let (name, arguments) = rest[..close].split_once('(')?;
        if !result.is_empty() {
            let arguments = arguments.split(',').filter(|argument| !argument.is_empty());
            self.support.push(Support {
                oid,
                name,
                arguments: arguments.collect(),
                result,
            });
        }
        self.by_oid.insert(oid, signature.to_owned());
        self.by_signature
            .insert(signature.to_owned(), (oid, operator));
        Some(())
    }
}
