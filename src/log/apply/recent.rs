//! Remembers which transactions are in the log, so that a repeat is recognised.
//!
//! The memory reaches back a number of entries, never a time, so that all
//! nodes forget alike. Numbers of one boot mostly follow each other: they are
//! kept as intervals. A number older than the memory is neither new nor known.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::types::id::{Boot, Index, NodeId, TransactionId};

/// Entries that the memory reaches back.
pub(super) const WINDOW: u64 = 16_384;

/// Intervals kept in all; beyond it the memory reaches back less far.
const INTERVALS: usize = 1 << 20;

/// Boots that are remembered; a process that started so many starts ago sends nothing any more.
const BOOTS: usize = 4096;

type Origin = (NodeId, Boot);

/// What is known of a transaction's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Before,
    /// Too old to tell.
    Forgotten,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    origins: BTreeMap<Origin, Memory>,
    /// For each entry with transactions, the highest number of each origin.
    window: VecDeque<(Index, Vec<(Origin, u64)>)>,
    intervals: usize,
}

/// The numbers of one boot of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    /// Nothing is known of numbers below.
    forgotten: u64,
    /// Numbers seen: from, to (exclusive).
    seen: BTreeMap<u64, u64>,
    last: Index,
}

impl Recent {
    pub(super) fn look(&self, id: TransactionId) -> Seen {
        let Some(memory) = self.origins.get(&(id.node, id.boot)) else {
            return Seen::New;
        };
        if id.number < memory.forgotten {
            return Seen::Forgotten;
        }
        match memory.seen.range(..=id.number).next_back() {
            Some((_, end)) if id.number < *end => Seen::Before,
            _ => Seen::New,
        }
    }

    /// Remembers a transaction of the entry at `index`; indexes do not go back.
    pub(super) fn note(&mut self, id: TransactionId, index: Index) {
        let origin = (id.node, id.boot);
        let memory = self.origins.entry(origin).or_default();
        let before = memory.seen.len();
        memory.last = index;
        memory.add(id.number);
        self.intervals = self.intervals + memory.seen.len() - before;
        match self.window.back_mut() {
            Some((last, numbers)) if *last == index => {
                match numbers.iter_mut().find(|(known, _)| *known == origin) {
                    Some((_, highest)) => *highest = id.number.max(*highest),
                    None => numbers.push((origin, id.number)),
                }
            }
            _ => self.window.push_back((index, vec![(origin, id.number)])),
        }
    }

    /// Forgets what lies further back than the window.
    pub(super) fn advance(&mut self, index: Index) {
        while let Some((old, _)) = self.window.front() {
            let within = old.0 + WINDOW > index.0 && self.intervals <= INTERVALS;
            if within {
                break;
            }
            if let Some((_, numbers)) = self.window.pop_front() {
                for (origin, highest) in numbers {
                    self.forget(origin, highest);
                }
            }
        }
        while self.origins.len() > BOOTS {
            let oldest = self
                .origins
                .iter()
                .min_by_key(|(origin, memory)| (memory.last, **origin))
                .map(|(origin, _)| *origin);
            if let Some(memory) = oldest.and_then(|origin| self.origins.remove(&origin)) {
                self.intervals -= memory.seen.len();
            }
        }
    }

    fn forget(&mut self, origin: Origin, highest: u64) {
        let Some(memory) = self.origins.get_mut(&origin) else {
            return;
        };
        let end = highest.saturating_add(1);
        if end <= memory.forgotten {
            return;
        }
        memory.forgotten = end;
        let before = memory.seen.len();
        let later = memory.seen.split_off(&end);
        let earlier = std::mem::replace(&mut memory.seen, later);
        // An interval across the border keeps what lies behind it.
        if let Some((_, last)) = earlier.last_key_value()
            && *last > end
        {
            memory.seen.insert(end, *last);
        }
        self.intervals = self.intervals + memory.seen.len() - before;
    }
}

impl Memory {
    /// Adds a number, joining it with its neighbours.
    fn add(&mut self, number: u64) {
        let mut from = number;
        let mut end = number.saturating_add(1);
        if let Some((&start, &stop)) = self.seen.range(..=number).next_back()
            && stop >= number
        {
            from = start;
            end = stop.max(end);
        }
        if let Some(stop) = self.seen.remove(&end) {
            end = stop;
        }
        self.seen.insert(from, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(boot: u64, number: u64) -> TransactionId {
        TransactionId {
            node: NodeId(1),
            boot: Boot(boot),
            number,
        }
    }

    #[test]
    fn numbers_in_any_order_are_known_and_joined() {
        let mut recent = Recent::default();
        for number in [5, 3, 4, 9, 1, 7, 8, 2] {
            assert_eq!(recent.look(id(1, number)), Seen::New, "{number}");
            recent.note(id(1, number), Index(1));
            assert_eq!(recent.look(id(1, number)), Seen::Before, "{number}");
        }
        let memory = &recent.origins[&(NodeId(1), Boot(1))];
        let intervals: Vec<_> = memory.seen.iter().map(|(a, b)| (*a, *b)).collect();
        assert_eq!(intervals, [(1, 6), (7, 10)]);
        assert_eq!(recent.intervals, 2);
        assert_eq!(recent.look(id(1, 6)), Seen::New);
        assert_eq!(recent.look(id(2, 5)), Seen::New);
    }

    #[test]
    fn what_is_older_than_the_window_is_neither_new_nor_known() {
        let mut recent = Recent::default();
        recent.note(id(1, 10), Index(1));
        recent.note(id(1, 12), Index(2));
        recent.note(id(2, 1), Index(2));
        recent.advance(Index(WINDOW));
        assert_eq!(recent.look(id(1, 10)), Seen::Before);
        recent.advance(Index(WINDOW + 1));
        let looks = [8, 10, 11, 12].map(|number| recent.look(id(1, number)));
        assert_eq!(
            looks,
            [Seen::Forgotten, Seen::Forgotten, Seen::New, Seen::Before]
        );
        recent.advance(Index(WINDOW + 2));
        assert_eq!(recent.look(id(1, 12)), Seen::Forgotten);
        assert_eq!(recent.look(id(1, 13)), Seen::New);
        assert_eq!(recent.look(id(2, 1)), Seen::Forgotten);
        assert_eq!(recent.intervals, 0);
        assert!(recent.window.is_empty());
    }

    #[test]
    fn an_interval_across_the_border_keeps_its_end() {
        let mut recent = Recent::default();
        for number in 1..=6 {
            let index = if number <= 3 { 1 } else { 2 };
            recent.note(id(1, number), Index(index));
        }
        recent.advance(Index(WINDOW + 1));
        assert_eq!(recent.look(id(1, 3)), Seen::Forgotten);
        assert_eq!(recent.look(id(1, 4)), Seen::Before);
        assert_eq!(recent.look(id(1, 7)), Seen::New);
        assert_eq!(recent.intervals, 1);
    }
}
