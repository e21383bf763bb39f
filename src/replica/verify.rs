//! Compares what in-sync replicas hold, in the background.
//!
//! Tables are hashed a piece at a time, each at one place in the log that all
//! replicas come by, so that no write waits; between pieces it rests. Hashes
//! are votes: the odd one out is taken out and repaired. What only the file's
//! owner can do behind our back (an edit that leaves no trace but its bytes)
//! is found here, in rows, in what indexes hold of them, and in the outcomes
//! that are kept for entries that come again.
//!
//! Not handled: two of three replicas that hold the same wrong rows. A vote is
//! all there is: what a row should be the log no longer knows. The rows of the
//! one that was right are kept before it is copied; see `kept`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::tally::{Voter, minority};
use super::{Member, Replicas};
use crate::catalog::ReplicaState;
use crate::endpoint::{Fault, HashRequest, Subject, TableHash};
use crate::types::Row;
use crate::types::id::{Incarnation, Index, ReplicaId, TableId};

/// How long after the last round the next one begins.
const ROUND_PAUSE: Duration = Duration::from_secs(5);

/// Rows hashed at once.
const PIECE_ROWS: u64 = 4096;

/// After each piece it rests so many times as long as that took.
const REST_FACTOR: f64 = 30.0;
pub(super) const REST_MIN: Duration = Duration::from_millis(2);
const REST_MAX: Duration = Duration::from_secs(2);

/// So many entries ahead a common place in the log is chosen: none while
/// nothing is written, more while replicas run past the place.
const LEADS: [u64; 6] = [0, 2, 8, 32, 0, 128];

/// A replica may take so long to hash one piece.
const PIECE_MAX: Duration = Duration::from_secs(30);

/// One replica's word on a piece.
struct Word {
    voter: Voter,
    incarnation: Incarnation,
    /// `None`: its rows cannot be read.
    hash: Option<TableHash>,
}

/// A replica that holds other rows in this life, or cannot read them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Loser {
    replica: ReplicaId,
    incarnation: Incarnation,
    readable: bool,
}

/// What came of comparing one piece.
enum Compared {
    /// All agree; the key behind which the next piece begins.
    Alike(Option<Row>),
    /// Who holds other rows.
    Unlike(Vec<Loser>),
    /// They could not be seen at one place.
    Unknown,
}

impl Replicas {
    /// Starts comparing replicas for as long as the data cluster is there.
    pub fn verify_always(self: &Arc<Self>) {
        let replicas = self.clone();
        let stop = self.stopped().clone();
        self.tasks.spawn("verify", async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = replicas.runtime.sleep(ROUND_PAUSE) => {}
                }
                if replicas.definition().is_none() {
                    return;
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = replicas.verify() => {}
                }
            }
        });
    }

    /// One round over all tables, then the outcomes.
    pub(super) async fn verify(self: &Arc<Self>) {
        if self.leadership.opening().is_none() {
            return;
        }
        let tables: Vec<TableId> = match self.definition() {
            Some(definition) => definition.schema.tables.keys().copied().collect(),
            None => return,
        };
        let subjects = tables.into_iter().map(Subject::Table);
        for subject in subjects.chain([Subject::Outcomes]) {
            self.verify_subject(subject).await;
        }
    }

    async fn verify_subject(self: &Arc<Self>, subject: Subject) {
        let mut after = None;
        loop {
            let began = self.runtime.now();
            let compared = self.compare(subject, after.as_ref()).await;
            let rest = self.runtime.now().since(began).mul_f64(REST_FACTOR);
            match compared {
                Compared::Alike(last) => after = last,
                Compared::Unknown => after = None,
                Compared::Unlike(first) => {
                    // Seen twice, at two places, before a replica is judged.
                    if let Compared::Unlike(second) = self.compare(subject, after.as_ref()).await {
                        let same = second.into_iter().filter(|it| first.contains(it));
                        same.for_each(|loser| self.lost(loser, subject));
                    }
                    return;
                }
            }
            // After a table's last piece too: there may be thousands of small ones.
            self.runtime.sleep(rest.clamp(REST_MIN, REST_MAX)).await;
            if after.is_none() {
                return;
            }
        }
    }

    fn lost(self: &Arc<Self>, loser: Loser, subject: Subject) {
        let what = match subject {
            Subject::Outcomes => "its stored outcomes".to_owned(),
            Subject::Table(table) => {
                let name = self.definition().and_then(|definition| {
                    let table = definition.schema.table(table)?;
                    Some(table.name.clone())
                });
                let name = name.unwrap_or_else(|| table.to_string());
                format!("its rows of table \"{name}\"")
            }
        };
        let reason = match loser.readable {
            true => format!("{what} differ from the others'"),
            false => format!("{what} cannot be read"),
        };
        if let Some(member) = self.member(loser.replica) {
            member.update(|status| status.must_copy = true);
        }
        // A damaged file is no vote.
        self.start_taking_out(loser.replica, &reason, loser.readable);
    }

    /// Compares one piece of a table at a place that all replicas come by.
    async fn compare(&self, subject: Subject, after: Option<&Row>) -> Compared {
        for lead in LEADS {
            let members = self.comparable();
            if members.len() < 2 {
                return Compared::Unknown;
            }
            let (from, at) = self.place(&members, lead);
            let asked = members.iter().map(|(member, voter, incarnation)| {
                let request = HashRequest {
                    incarnation: *incarnation,
                    subject,
                    after: after.cloned(),
                    limit: PIECE_ROWS,
                    from,
                    at,
                };
                self.hear(member, *voter, request)
            });
            let words: Option<Vec<Word>> = join_all(asked).await.into_iter().collect();
            if let Some(words) = words {
                return self.judge(&words);
            }
        }
        Compared::Unknown
    }

    /// Replicas whose word counts.
    fn comparable(&self) -> Vec<(Arc<Member>, Voter, Incarnation)> {
        let Some(definition) = self.definition() else {
            return Vec::new();
        };
        let counts = |replica: &crate::catalog::Replica| {
            let member = self.member(replica.id)?;
            let status = member.status();
            let position = status.position.filter(|_| status.leaving.is_none())?;
            let incarnation = replica.incarnation;
            let incarnation = incarnation.filter(|known| *known == position.incarnation)?;
            let voter = Voter {
                replica: replica.id,
                applied: position.applied,
                since: replica.since,
            };
            Some((member, voter, incarnation))
        };
        definition.in_sync().filter_map(counts).collect()
    }

    /// A place in the log so many entries ahead.
    fn place(&self, members: &[(Arc<Member>, Voter, Incarnation)], lead: u64) -> (Index, Index) {
        let furthest = members.iter().map(|(_, voter, _)| voter.applied).max();
        let furthest = furthest.unwrap_or_default();
        // Read after the positions: no write that they contain lies behind it.
        let written = self.definition().map_or(furthest, |it| it.last_write);
        match lead {
            0 => (written, written.max(furthest)),
            lead => {
                let at = Index(written.max(furthest).0 + lead);
                (at, at)
            }
        }
    }

    async fn hear(&self, member: &Member, voter: Voter, request: HashRequest) -> Option<Word> {
        let incarnation = request.incarnation;
        let hashed = member.endpoint.table_hash(request);
        let hash = match self.runtime.timeout(PIECE_MAX, hashed).await {
            Ok(Ok(hash)) => Some(hash),
            Ok(Err(Fault::Tampered(reason))) => {
                tracing::warn!(cluster = %self.cluster, replica = %member.id, reason, "rows cannot be read");
                None
            }
            Ok(Err(fault)) => {
                tracing::debug!(cluster = %self.cluster, replica = %member.id, %fault, "not hashed");
                return None;
            }
            Err(_) => return None,
        };
        Some(Word {
            voter,
            incarnation,
            hash,
        })
    }

    fn judge(&self, words: &[Word]) -> Compared {
        // Who left meanwhile has no vote.
        let definition = self.definition();
        let still_counts = |word: &&Word| {
            let replicas = definition.as_ref().map(|it| &it.replicas);
            let replica = replicas.and_then(|it| it.get(&word.voter.replica));
            replica.is_some_and(|it| {
                it.state == ReplicaState::InSync && it.incarnation == Some(word.incarnation)
            })
        };
        let words: Vec<&Word> = words.iter().filter(still_counts).collect();
        let readable = words
            .iter()
            .filter_map(|word| Some((word.voter, word.hash.as_ref()?)));
        let readable: Vec<(Voter, &TableHash)> = readable.collect();
        if readable.is_empty() || words.len() < 2 {
            return Compared::Unknown;
        }
        let outvoted = minority(&readable, |a, b| a == b);
        let losers = words
            .iter()
            .filter(|word| word.hash.is_none() || outvoted.contains(&word.voter.replica));
        let losers: Vec<_> = losers
            .map(|word| Loser {
                replica: word.voter.replica,
                incarnation: word.incarnation,
                readable: word.hash.is_some(),
            })
            .collect();
        match readable.first() {
            Some((_, hash)) if losers.is_empty() => Compared::Alike(hash.last.clone()),
            _ => Compared::Unlike(losers),
        }
    }
}
