//! What the node counts and times; the names of all metrics.
//!
//! Plain atomics that cost a write path nanoseconds, rendered in Prometheus'
//! text format (version 0.0.4) when asked.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;

/// Times of one kind: how many, and how long together.
#[derive(Debug, Default)]
pub struct Timing {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Timing {
    pub fn record(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, f64) {
        let nanos = self.nanos.load(Ordering::Relaxed);
        (self.count.load(Ordering::Relaxed), nanos as f64 / 1e9)
    }
}

/// The metrics of one node.
#[derive(Debug, Default)]
pub struct Metrics {
    /// From a write's submission to its entry's proposal.
    pub queue: Timing,
    /// From an entry's proposal until it is agreed and durable.
    pub log: Timing,
    /// One delivery on a replica, by the replica's number; what the replica had
    /// prepared while the log was at work is not in it.
    pub apply: DashMap<u64, Timing>,
    /// From a write's submission until it is decided.
    pub answer: Timing,
    /// Entries of writes, and transactions in them.
    pub entries: AtomicU64,
    pub transactions: AtomicU64,
}

impl Metrics {
    pub fn applied(&self, replica: u64, took: Duration) {
        match self.apply.get(&replica) {
            Some(timing) => timing.record(took),
            None => self.apply.entry(replica).or_default().record(took),
        }
    }

    pub fn logged(&self, transactions: usize) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.transactions
            .fetch_add(transactions as u64, Ordering::Relaxed);
    }

    /// All of them as Prometheus reads them.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let stages = [
            ("queue", &self.queue),
            ("log", &self.log),
            ("answer", &self.answer),
        ];
        out.push_str("# HELP pyql_write_stage_seconds Time of a write's stages.\n");
        out.push_str("# TYPE pyql_write_stage_seconds summary\n");
        for (stage, timing) in stages {
            summary(
                &mut out,
                "pyql_write_stage_seconds",
                &format!("stage=\"{stage}\""),
                timing,
            );
        }
        out.push_str("# HELP pyql_apply_seconds Time of one delivery on a replica, without what it did ahead of the agreement.\n");
        out.push_str("# TYPE pyql_apply_seconds summary\n");
        for timing in &self.apply {
            let label = format!("replica=\"{}\"", timing.key());
            summary(&mut out, "pyql_apply_seconds", &label, timing.value());
        }
        for (name, help, counter) in [
            ("pyql_entries_total", "Entries of writes.", &self.entries),
            (
                "pyql_transactions_total",
                "Transactions in the log.",
                &self.transactions,
            ),
        ] {
            let value = counter.load(Ordering::Relaxed);
            let _ = writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}"
            );
        }
        out
    }
}

fn summary(out: &mut String, name: &str, label: &str, timing: &Timing) {
    let (count, seconds) = timing.read();
    let _ = writeln!(
        out,
        "{name}_sum{{{label}}} {seconds}\n{name}_count{{{label}}} {count}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_was_recorded() {
        let metrics = Metrics::default();
        metrics.queue.record(Duration::from_millis(250));
        metrics.queue.record(Duration::from_millis(250));
        metrics.applied(7, Duration::from_secs(1));
        metrics.logged(3);
        let text = metrics.render();
        assert!(
            text.contains("pyql_write_stage_seconds_sum{stage=\"queue\"} 0.5\n"),
            "{text}"
        );
        assert!(
            text.contains("pyql_apply_seconds_count{replica=\"7\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("\npyql_transactions_total 3\n"), "{text}");
    }
}
