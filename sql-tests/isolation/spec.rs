//! The format of a spec.
//!
//! ```text
//! # What it is about.
//! levels read committed, repeatable read, serializable
//! setup
//!   CREATE TABLE account (id int PRIMARY KEY, balance int)
//! session a
//!   a1 BEGIN ISOLATION LEVEL {level}
//!   a2 SELECT balance FROM account WHERE id = 1
//! session b
//!   b1 UPDATE account SET balance = 0
//! orders
//!   a1 b1 a2
//!   all
//! check
//!   SELECT * FROM account ORDER BY id
//! differs
//!   serializable a2 = error 40001: reason-in-the-document
//! ```
//!
//! One statement per indented line. Beside SQL a step may be `@cancel SESSION`,
//! `@disconnect` or `@sleep MILLISECONDS`. `all` is every order in which each
//! session's steps can follow each other. A step of a session that is blocked
//! waits until the session is free, as do the client's own requests. Under
//! `differs`, `*` stands for any level or any step; the outcome is ours at the
//! first place where the servers differ; `, then STEP = OUTCOME` may follow.

use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Spec {
    pub(super) name: String,
    levels: Vec<String>,
    pub(super) setup: Vec<String>,
    /// Steps by session, in their order: name and text.
    pub(super) sessions: BTreeMap<String, Vec<(String, String)>>,
    orders: Vec<Vec<String>>,
    pub(super) check: Vec<String>,
    pub(super) differences: Vec<Difference>,
}

/// A difference left on purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    level: String,
    pub(super) step: String,
    pub(super) outcome: String,
    /// What has to follow: step and outcome.
    pub(super) later: Vec<(String, String)>,
    pub(super) reason: String,
}

/// One order at one level.
pub(super) struct Case {
    pub(super) spec: Arc<Spec>,
    pub(super) level: String,
    pub(super) order: Vec<String>,
}

impl Difference {
    pub(super) fn concerns(&self, case: &Case) -> bool {
        self.level == "*" || self.level == case.level
    }
}

impl Case {
    /// The session and the text of a step, at this case's level.
    pub(super) fn step(&self, name: &str) -> (&str, String) {
        for (session, steps) in &self.spec.sessions {
            if let Some((_, text)) = steps.iter().find(|(own, _)| own == name) {
                return (session, text.replace("{level}", &self.level));
            }
        }
        panic!("{}: no step {name}", self.spec.name)
    }
}

impl Spec {
    pub(super) fn read(name: &str, text: &str) -> Spec {
        let mut spec = Spec {
            name: name.to_owned(),
            ..Spec::default()
        };
        let mut section = String::new();
        for line in text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        {
            match line.strip_prefix("  ") {
                Some(content) => spec.take(&section, content.trim()),
                None => match line.split_once(' ') {
                    Some(("levels", levels)) => {
                        spec.levels = levels.split(',').map(|l| l.trim().to_owned()).collect();
                    }
                    Some(("session", session)) => {
                        spec.sessions.insert(session.to_owned(), Vec::new());
                        section = format!("session {session}");
                    }
                    _ => section = line.trim().to_owned(),
                },
            }
        }
        if spec.levels.is_empty() {
            spec.levels.push("read committed".to_owned());
        }
        spec
    }

    fn take(&mut self, section: &str, content: &str) {
        match section {
            "setup" => self.setup.push(content.to_owned()),
            "check" => self.check.push(content.to_owned()),
            "orders" if content == "all" => {
                let steps = self.sessions.values().map(|steps| {
                    steps
                        .iter()
                        .map(|(name, _)| name.clone())
                        .collect::<Vec<String>>()
                });
                interleave(
                    &steps.collect::<Vec<_>>(),
                    &mut Vec::new(),
                    &mut self.orders,
                );
            }
            "orders" => self
                .orders
                .push(content.split(' ').map(str::to_owned).collect()),
            "differs" => self.differences.push(difference(content)),
            _ => {
                let session = section.strip_prefix("session ").expect("a section");
                let (name, text) = content
                    .split_once(' ')
                    .expect("a step's name, then its text");
                let steps = self.sessions.get_mut(session).expect("was declared");
                steps.push((name.to_owned(), text.trim().to_owned()));
            }
        }
    }

    pub(super) fn cases(self: &Arc<Spec>) -> Vec<Case> {
        let at = |level: &String| {
            let level = level.clone();
            self.orders.iter().map(move |order| Case {
                spec: self.clone(),
                level: level.clone(),
                order: order.clone(),
            })
        };
        self.levels.iter().flat_map(at).collect()
    }

    /// The tables that setup and steps make.
    pub(super) fn tables(&self) -> Vec<String> {
        let steps = self.sessions.values().flatten().map(|(_, text)| text);
        let texts = self.setup.iter().chain(steps);
        let made = texts.filter_map(|text| text.split_once("CREATE TABLE "));
        let mut tables: Vec<String> = made
            .filter_map(|(_, rest)| rest.split([' ', '(']).next().map(str::to_owned))
            .collect();
        // Children were made after their parents.
        tables.reverse();
        tables
    }
}

/// `LEVEL STEP = OUTCOME[, then STEP = OUTCOME…]: REASON`
fn difference(content: &str) -> Difference {
    let own = |text: &str| text.trim().to_owned();
    let (case, reason) = content.rsplit_once(": ").expect("a reason");
    let mut outcomes = case.split(", then ").map(|one| {
        let (place, outcome) = one.split_once(" = ").expect("an outcome");
        (own(place), own(outcome))
    });
    let (place, outcome) = outcomes.next().expect("a first outcome");
    let (level, step) = place.rsplit_once(' ').expect("a level and a step");
    Difference {
        level: own(level),
        step: own(step),
        outcome,
        later: outcomes.collect(),
        reason: own(reason),
    }
}

fn interleave(rest: &[Vec<String>], done: &mut Vec<String>, orders: &mut Vec<Vec<String>>) {
    if rest.iter().all(Vec::is_empty) {
        orders.push(done.clone());
    }
    for (place, steps) in rest.iter().enumerate() {
        let Some((first, later)) = steps.split_first() else {
            continue;
        };
        let mut left = rest.to_vec();
        left[place] = later.to_vec();
        done.push(first.clone());
        interleave(&left, done, orders);
        done.pop();
    }
}
