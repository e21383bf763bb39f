//! Votes: what each replica says an entry did, and what they agree on.
//!
//! Pure bookkeeping. An entry is decided once every replica that counts has
//! applied it and those that reported outcomes agree. If they do not, the
//! largest group is right (on a tie the group of the replica longest in sync);
//! the others are to be taken out, and the entry is decided without them.

use std::collections::BTreeMap;

use crate::types::id::{Index, ReplicaId};
use crate::types::write::Outcome;

/// Chains remembered for comparison, per replica.
const CHAINS_KEPT: usize = 64;

/// A replica whose word is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voter {
    pub replica: ReplicaId,
    pub applied: Index,
    /// Since which entry it is in sync; the smallest wins a tie.
    pub since: Index,
}

/// What can be said now.
#[derive(Debug, Default, PartialEq)]
pub struct Decision {
    /// Entries on which all that count agree, in order.
    pub settled: Vec<(Index, Vec<Outcome>)>,
    /// Replicas that answered differently from the others.
    pub losers: Vec<ReplicaId>,
    /// The last chain that all that count were seen with.
    pub chain: Option<(Index, u128)>,
}

/// Reports on entries that are not decided yet.
#[derive(Debug, Default)]
pub struct Tally {
    entries: BTreeMap<Index, Vec<(ReplicaId, Vec<Outcome>)>>,
    chains: BTreeMap<Index, Vec<(ReplicaId, u128)>>,
    settled_chain: Index,
}

impl Tally {
    /// A replica applied an entry. A repeat replaces what it said before.
    pub fn report(&mut self, replica: ReplicaId, index: Index, outcomes: Vec<Outcome>) {
        let reports = self.entries.entry(index).or_default();
        reports.retain(|(other, _)| *other != replica);
        reports.push((replica, outcomes));
    }

    /// A replica's chain at an index.
    pub fn chain(&mut self, replica: ReplicaId, index: Index, chain: u128) {
        if index < self.settled_chain {
            return;
        }
        let chains = self.chains.entry(index).or_default();
        chains.retain(|(other, _)| *other != replica);
        chains.push((replica, chain));
        while self.chains.len() > CHAINS_KEPT {
            self.chains.pop_first();
        }
    }

    /// Forgets all that a replica said: it is being copied afresh.
    pub fn forget(&mut self, replica: ReplicaId) {
        for reports in self.entries.values_mut() {
            reports.retain(|(other, _)| *other != replica);
        }
        for chains in self.chains.values_mut() {
            chains.retain(|(other, _)| *other != replica);
        }
    }

    /// Does a replica's chain agree with the others' wherever both were seen at
    /// one index? `None`: nowhere.
    pub fn compare(&self, replica: ReplicaId, others: &[ReplicaId]) -> Option<bool> {
        self.chains.values().rev().find_map(|chains| {
            let of = |id: ReplicaId| chains.iter().find(|(other, _)| *other == id);
            let (_, own) = of(replica)?;
            let (_, other) = others
                .iter()
                .filter(|id| **id != replica)
                .find_map(|id| of(*id))?;
            Some(own == other)
        })
    }

    /// Decides what can be decided by the voters that count now. `hold` is how
    /// far a replica has applied that is on its way out but may still answer reads.
    pub fn decide(&mut self, voters: &[Voter], hold: Option<Index>) -> Decision {
        let mut decision = Decision::default();
        let applied = voters.iter().map(|voter| voter.applied);
        let Some(reached) = applied.chain(hold.filter(|_| !voters.is_empty())).min() else {
            return decision;
        };
        while let Some(entry) = self.entries.first_entry() {
            if *entry.key() > reached {
                break;
            }
            let counted: Vec<(Voter, &[Outcome])> = entry
                .get()
                .iter()
                .filter_map(|(replica, outcomes)| {
                    Some((*voter(voters, *replica)?, outcomes.as_slice()))
                })
                .collect();
            let losers = minority(&counted, agree);
            if !losers.is_empty() {
                decision.losers = losers;
                return decision;
            }
            let index = *entry.key();
            let mut reports = entry.remove();
            let place = reports
                .iter()
                .position(|(replica, _)| voter(voters, *replica).is_some());
            if let Some(place) = place {
                decision.settled.push((index, reports.swap_remove(place).1));
            }
        }
        self.decide_chain(voters, &mut decision);
        decision
    }

    fn decide_chain(&mut self, voters: &[Voter], decision: &mut Decision) {
        for (index, chains) in self.chains.iter().rev() {
            let counted: Vec<(Voter, &u128)> = chains
                .iter()
                .filter_map(|(replica, chain)| Some((*voter(voters, *replica)?, chain)))
                .collect();
            // Who is missing may turn the vote.
            if counted.len() < voters.len() {
                continue;
            }
            let losers = minority(&counted, |a, b| a == b);
            if !losers.is_empty() {
                decision.losers = losers;
                return;
            }
            decision.chain = counted.first().map(|(_, chain)| (*index, **chain));
            break;
        }
        if let Some((index, _)) = decision.chain {
            self.settled_chain = index;
            self.chains = self.chains.split_off(&index);
        }
    }
}

fn voter(voters: &[Voter], replica: ReplicaId) -> Option<&Voter> {
    voters.iter().find(|voter| voter.replica == replica)
}

/// Those outside the largest agreeing group; nobody while all agree.
pub(super) fn minority<T: ?Sized>(
    votes: &[(Voter, &T)],
    same: impl Fn(&T, &T) -> bool,
) -> Vec<ReplicaId> {
    let Some((_, first)) = votes.first() else {
        return Vec::new();
    };
    if votes.iter().all(|(_, vote)| same(first, vote)) {
        return Vec::new();
    }
    let strength = |vote: &T| {
        let group = || {
            votes
                .iter()
                .filter(|(_, other)| same(vote, other))
                .map(|(voter, _)| voter)
        };
        let longest = group().map(|voter| (voter.since, voter.replica)).min();
        (group().count(), std::cmp::Reverse(longest))
    };
    let Some((_, winner)) = votes.iter().max_by_key(|(_, vote)| strength(vote)) else {
        return Vec::new();
    };
    let lost = votes.iter().filter(|(_, vote)| !same(winner, vote));
    lost.map(|(voter, _)| voter.replica).collect()
}

/// Outcomes agree when everything but message texts does.
fn agree(a: &[Outcome], b: &[Outcome]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            a.id == b.id
                && match (&a.result, &b.result) {
                    (Ok(a), Ok(b)) => a == b,
                    (Err(a), Err(b)) => a.state == b.state,
                    _ => false,
                }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::id::{Boot, NodeId, TransactionId};
    use crate::types::write::{Applied, Failure, RowHash};

    fn voters(applied: [u64; 3]) -> Vec<Voter> {
        let voter = |(place, applied)| Voter {
            replica: ReplicaId(place as u64 + 1),
            applied: Index(applied),
            since: Index(10 * (3 - place as u64)),
        };
        applied.into_iter().enumerate().map(voter).collect()
    }

    fn outcome(rows: u64) -> Vec<Outcome> {
        let id = TransactionId {
            node: NodeId(1),
            boot: Boot(1),
            number: 1,
        };
        vec![Outcome {
            id,
            result: Ok(Applied {
                rows: vec![rows],
                hash: RowHash(rows.into()),
            }),
        }]
    }

    fn refused(message: &str) -> Vec<Outcome> {
        let id = TransactionId {
            node: NodeId(1),
            boot: Boot(1),
            number: 1,
        };
        let failure = Failure {
            state: *b"23505",
            message: message.to_owned(),
            detail: None,
            table: None,
            column: None,
            constraint: None,
        };
        vec![Outcome {
            id,
            result: Err(failure),
        }]
    }

    fn tally(reports: [Option<Vec<Outcome>>; 3]) -> Tally {
        let mut tally = Tally::default();
        for (place, report) in reports.into_iter().enumerate() {
            if let Some(outcomes) = report {
                tally.report(ReplicaId(place as u64 + 1), Index(5), outcomes);
            }
        }
        tally
    }

    #[test]
    fn an_entry_waits_for_the_slowest() {
        let mut tally = tally([Some(outcome(1)), Some(outcome(1)), None]);
        assert_eq!(tally.decide(&voters([5, 5, 4]), None), Decision::default());
        tally.report(ReplicaId(3), Index(5), outcome(1));
        assert_eq!(
            tally.decide(&voters([5, 5, 5]), None).settled,
            vec![(Index(5), outcome(1))]
        );
        assert_eq!(tally.decide(&voters([5, 5, 5]), None).settled, vec![]);
    }

    #[test]
    fn the_odd_one_out_loses_and_the_rest_decide() {
        let mut tally = tally([Some(outcome(2)), Some(outcome(1)), Some(outcome(1))]);
        let all = voters([5, 5, 5]);
        assert_eq!(tally.decide(&all, None).losers, vec![ReplicaId(1)]);
        assert_eq!(
            tally.decide(&all[1..], None).settled,
            vec![(Index(5), outcome(1))]
        );
    }

    #[test]
    fn a_tie_keeps_the_replica_longest_in_sync() {
        let mut tally = tally([Some(outcome(2)), None, Some(outcome(1))]);
        let two = [voters([5, 5, 5])[0], voters([5, 5, 5])[2]];
        assert_eq!(
            tally.decide(&two, None).losers,
            vec![ReplicaId(1)],
            "replica 3 is in sync since 10"
        );
    }

    #[test]
    fn message_texts_are_no_difference() {
        let mut tally = tally([Some(refused("a")), Some(refused("b")), Some(refused("c"))]);
        assert_eq!(tally.decide(&voters([5, 5, 5]), None).settled.len(), 1);
    }

    #[test]
    fn one_that_applied_before_a_restart_has_no_report_and_holds_nobody_up() {
        let mut tally = tally([None, Some(outcome(1)), Some(outcome(1))]);
        assert_eq!(
            tally.decide(&voters([9, 5, 5]), None).settled,
            vec![(Index(5), outcome(1))]
        );
    }

    #[test]
    fn chains_are_compared_where_all_were_seen() {
        let mut tally = Tally::default();
        for (replica, chain) in [(1, 7), (2, 7), (3, 8)] {
            tally.chain(ReplicaId(replica), Index(5), chain);
        }
        assert_eq!(
            tally.decide(&voters([5, 5, 5]), None).losers,
            vec![ReplicaId(3)]
        );
        assert_eq!(
            tally.decide(&voters([5, 5, 5])[..2], None).chain,
            Some((Index(5), 7))
        );
    }
}
