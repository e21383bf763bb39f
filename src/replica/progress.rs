//! How far a repair is, for people: a phase, rows or entries done, the rate,
//! the time left.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Member, Replicas};
use crate::endpoint::Copied;
use crate::runtime::Moment;
use crate::types::id::Index;

/// What a repair is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Copying,
    CatchingUp,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Copying => "copying",
            Phase::CatchingUp => "catching up",
        }
    }
}

/// How far a repair is.
#[derive(Clone, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// When the phase began.
    began: Moment,
    /// Entries left to replay, now and when the phase began.
    behind: u64,
    behind_at_first: u64,
    /// The copy, if there was one.
    copied: Option<Arc<Copied>>,
}

/// A repair in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Rows copied, and how many there are to copy.
    pub rows: Option<u64>,
    pub of_rows: Option<u64>,
    pub rows_per_second: Option<f64>,
    pub seconds_left: Option<f64>,
}

impl Progress {
    pub fn pace(&self, now: Moment) -> Pace {
        let seconds = now.since(self.began).as_secs_f64();
        let rows = self.copied.as_ref().map(|copied| {
            let done = copied.rows.load(Ordering::Relaxed);
            (done, copied.of_rows.load(Ordering::Relaxed))
        });
        let (done, left) = match (self.phase, rows) {
            (Phase::Copying, Some((done, all))) => (done, all.saturating_sub(done)),
            (Phase::Copying, None) => (0, 0),
            (Phase::CatchingUp, _) => {
                let done = self.behind_at_first.saturating_sub(self.behind);
                (done, self.behind)
            }
        };
        let copies = self.phase == Phase::Copying && seconds > 0.0;
        Pace {
            rows: rows.map(|(done, _)| done),
            of_rows: rows.map(|(_, all)| all),
            rows_per_second: rows
                .filter(|_| copies)
                .map(|(done, _)| done as f64 / seconds),
            seconds_left: (done > 0).then(|| left as f64 * seconds / done as f64),
        }
    }
}

impl Replicas {
    /// A copy begins; it tells how far it is.
    pub(super) fn copy_begins(&self, member: &Member) -> Arc<Copied> {
        let copied = Arc::new(Copied::default());
        let progress = Progress {
            phase: Phase::Copying,
            began: self.runtime.now(),
            behind: 0,
            behind_at_first: 0,
            copied: Some(copied.clone()),
        };
        member.update(|status| status.progress = Some(progress));
        copied
    }

    /// A replica replays the log and stands here now.
    pub(super) fn catches_up(&self, member: &Member, applied: Index) {
        let behind = self.behind(applied, *self.log.applied().borrow());
        let now = self.runtime.now();
        member.update(|status| match &mut status.progress {
            Some(known) if known.phase == Phase::CatchingUp => known.behind = behind,
            other => {
                let copied = other.take().and_then(|known| known.copied);
                *other = Some(Progress {
                    phase: Phase::CatchingUp,
                    began: now,
                    behind,
                    behind_at_first: behind,
                    copied,
                });
            }
        });
    }
}
