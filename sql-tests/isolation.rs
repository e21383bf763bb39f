//! Sessions interleaved step by step, on the sandbox and on a real PostgreSQL.
//!
//! `isolation/*.spec` hold the sessions, their steps and the orders to play
//! them in (`spec` knows the format). Each order is played on both servers; who
//! answered what, and who was blocked when, has to be the same. A difference
//! left on purpose is declared in the spec, by the name of its reason in
//! `docs/isolation.md`; a reason without a case, a declaration without a
//! difference and a name that is not in the document fail too.

mod play;
mod postgres;
mod spec;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cluster::Sandbox;
use play::{Server, Stage, Transcript};
use postgres::Postgres;
use spec::{Case, Difference, Spec};

/// Plays at a time: they wait more than they work.
const WORKERS: usize = 12;

/// Silence that counts as blocked; longer when a first try differed, so that a
/// busy machine is not taken for a difference.
const PATIENCES: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(1000),
    Duration::from_millis(3000),
];

/// Where the reasons for differences are written down.
const REASONS: &str = include_str!("../docs/isolation.md");

/// Plays every spec on both servers; gives what differed without leave.
pub(crate) async fn run(sandbox: &Sandbox) -> Vec<String> {
    let specs = load();
    let mut wrong = unknown_reasons(&specs);
    let postgres = Postgres::start();
    let cases: Arc<Vec<Case>> = Arc::new(specs.iter().flat_map(Spec::cases).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..WORKERS {
        let ours = Server::ours(sandbox, &format!("isolation_{number}")).await;
        let theirs = Server::postgres(&postgres, &format!("isolation_{number}")).await;
        workers.spawn(work(ours, theirs, cases.clone(), next.clone()));
    }
    let mut found = vec![None; cases.len()];
    for results in workers.join_all().await {
        for (place, result) in results {
            found[place] = Some(result);
        }
    }
    let mut used = BTreeSet::new();
    for (case, found) in cases.iter().zip(found) {
        match found.expect("every case is played") {
            Ok(reason) => used.extend(reason.map(|reason| (case.spec.name.clone(), reason))),
            Err(text) => wrong.push(text),
        }
    }
    if std::env::var("ISOLATION").is_err() {
        wrong.extend(stale(&specs, &used));
    }
    wrong
}

type Found = Result<Option<Difference>, String>;

async fn work(
    ours: Server,
    theirs: Server,
    cases: Arc<Vec<Case>>,
    next: Arc<AtomicUsize>,
) -> Vec<(usize, Found)> {
    let (mut ours, mut theirs) = (Stage::new(ours), Stage::new(theirs));
    let mut found = Vec::new();
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(case) = cases.get(place) else {
            return found;
        };
        let mut result = Ok(None);
        for patience in PATIENCES {
            let (a, b) = tokio::join!(ours.play(case, patience), theirs.play(case, patience));
            result = compare(case, &a, &b);
            if result.is_ok() {
                break;
            }
        }
        found.push((place, result));
    }
}

/// Nothing when both did the same, the declared difference when that is what
/// happened, else what was seen.
fn compare(case: &Case, ours: &Transcript, theirs: &Transcript) -> Found {
    let Some(place) = ours.first_difference(theirs) else {
        return Ok(None);
    };
    for difference in case.spec.differences.iter().filter(|d| d.concerns(case)) {
        if ours.shows_at(place, &difference.step, &difference.outcome)
            && difference
                .later
                .iter()
                .all(|(step, outcome)| ours.shows(place, step, outcome))
        {
            return Ok(Some(difference.clone()));
        }
    }
    Err(format!(
        "{} [{}] {}\n  ours:\n{}  PostgreSQL:\n{}",
        case.spec.name,
        case.level,
        case.order.join(" "),
        ours.text(place),
        theirs.text(place)
    ))
}

fn load() -> Vec<Arc<Spec>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests/isolation");
    let only = std::env::var("ISOLATION").unwrap_or_default();
    let mut specs = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path
            .extension()
            .is_some_and(|extension| extension == "spec")
            && name.contains(&only)
        {
            let text = std::fs::read_to_string(&path).expect("a spec can be read");
            specs.push(Arc::new(Spec::read(&name, &text)));
        }
    }
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    specs
}

/// Reasons that the document does not give.
fn unknown_reasons(specs: &[Arc<Spec>]) -> Vec<String> {
    let given = reasons();
    let named = specs
        .iter()
        .flat_map(|spec| spec.differences.iter().map(move |d| (spec, d)));
    named
        .filter(|(_, difference)| !given.contains(difference.reason.as_str()))
        .map(|(spec, d)| {
            format!(
                "{}: docs/isolation.md has no reason {}",
                spec.name, d.reason
            )
        })
        .collect()
}

/// Declared differences that no play showed, and reasons that no spec holds.
fn stale(specs: &[Arc<Spec>], used: &BTreeSet<(String, Difference)>) -> Vec<String> {
    let declared = specs
        .iter()
        .flat_map(|s| s.differences.iter().map(|d| (s.name.clone(), d.clone())));
    let mut wrong: Vec<String> = declared
        .filter(|one| !used.contains(one))
        .map(|(name, d)| format!("{name}: declares a difference that is none now: {d:?}"))
        .collect();
    let held: BTreeSet<&str> = used.iter().map(|(_, d)| d.reason.as_str()).collect();
    let unheld = reasons()
        .into_iter()
        .filter(|reason| !held.contains(reason));
    wrong.extend(unheld.map(|reason| format!("docs/isolation.md: no spec shows {reason}")));
    wrong
}

/// The document's reasons: its headings of the form ``### `name` ``.
fn reasons() -> BTreeSet<&'static str> {
    let headings = REASONS
        .lines()
        .filter_map(|line| line.strip_prefix("### `"));
    headings.filter_map(|line| line.split('`').next()).collect()
}
