//! One claimed key: who holds it, who waits for it.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::key::{ClaimKey, Owner};
use super::mode::{MODES, Mode, Modes};

/// A claimed key.
///
/// Every claim counts in `counts`, so that most questions need no look at the
/// holders. Point writes that got their keys at once are counted only: they
/// wait for nobody any more, so nobody needs to know who they are.
#[derive(Default)]
pub(super) struct Slot {
    counts: [u32; MODES],
    /// The modes whose count is not zero.
    held: Modes,
    holders: Vec<(Owner, Modes)>,
    pub(super) waiters: VecDeque<Waiter>,
}

pub(super) struct Waiter {
    pub(super) owner: Owner,
    pub(super) mode: Mode,
    pub(super) granted: oneshot::Sender<()>,
}

impl Slot {
    pub(super) fn is_empty(&self) -> bool {
        self.held.0 == 0 && self.waiters.is_empty()
    }

    /// Does someone else hold it in a mode that excludes this one?
    pub(super) fn excludes(&self, owner: Owner, mode: Mode) -> bool {
        if !self.held.conflicts(mode) {
            return false;
        }
        let own = self.modes_of(owner);
        let against = Modes(self.held.0 & mode.conflicting().0);
        let of_own = |number: usize| u32::from(own.0 >> number & 1 == 1);
        against
            .numbers()
            .any(|number| self.counts[number] > of_own(number))
    }

    /// May this owner have it at once? Nobody overtakes those who wait, unless
    /// it holds the key already.
    pub(super) fn is_free(&self, owner: Owner, mode: Mode) -> bool {
        !self.excludes(owner, mode)
            && (self.waiters.is_empty()
                || self.is_held_by(owner)
                || !self
                    .waiters
                    .iter()
                    .any(|it| it.owner != owner && Modes::of(it.mode).conflicts(mode)))
    }

    /// May a point write have it at once?
    pub(super) fn is_free_for_point(&self, mode: Mode) -> bool {
        let waits = |waiter: &Waiter| Modes::of(waiter.mode).conflicts(mode);
        !self.held.conflicts(mode) && !self.waiters.iter().any(waits)
    }

    pub(super) fn modes_of(&self, owner: Owner) -> Modes {
        let own = self.holders.iter().find(|(other, _)| *other == owner);
        own.map_or(Modes::default(), |(_, modes)| *modes)
    }

    pub(super) fn is_held_by(&self, owner: Owner) -> bool {
        self.modes_of(owner).0 != 0
    }

    /// Adds a mode; `false` when the owner had it.
    pub(super) fn hold(&mut self, owner: Owner, mode: Mode) -> bool {
        match self.holders.iter_mut().find(|(other, _)| *other == owner) {
            Some((_, held)) if held.has(mode) => return false,
            Some((_, held)) => held.add(mode),
            None => self.holders.push((owner, Modes::of(mode))),
        }
        self.count(mode);
        true
    }

    /// A claim of nobody in particular.
    pub(super) fn count(&mut self, mode: Mode) {
        self.counts[mode.number()] += 1;
        self.held.add(mode);
    }

    pub(super) fn uncount(&mut self, mode: Mode) {
        self.uncount_number(mode.number());
    }

    fn uncount_number(&mut self, number: usize) {
        self.counts[number] = self.counts[number].saturating_sub(1);
        if self.counts[number] == 0 {
            self.held.0 &= !(1 << number);
        }
    }

    /// Leaves an owner these of its modes.
    pub(super) fn weaken(&mut self, owner: Owner, kept: Modes) {
        let Some(place) = self.holders.iter().position(|(other, _)| *other == owner) else {
            return;
        };
        let lost = Modes(self.holders[place].1.0 & !kept.0);
        match kept.0 {
            0 => drop(self.holders.swap_remove(place)),
            _ => self.holders[place].1 = kept,
        }
        lost.numbers()
            .for_each(|number| self.uncount_number(number));
    }

    /// Where a new waiter stands. Who holds the key already goes before those
    /// who hold nothing of it: they would wait for it, and it for them.
    pub(super) fn place_in_queue(&self, owner: Owner) -> usize {
        let last = self.waiters.len();
        if last == 0 || !self.is_held_by(owner) {
            return last;
        }
        let strangers = |waiter: &Waiter| !self.is_held_by(waiter.owner);
        self.waiters.iter().position(strangers).unwrap_or(last)
    }

    /// Whom a waiter at `place` in the queue waits for.
    pub(super) fn blockers(&self, owner: Owner, mode: Mode, place: usize) -> Vec<Owner> {
        let holders = self.holders.iter().filter(|(_, held)| held.conflicts(mode));
        let ahead = self.waiters.iter().take(place);
        let ahead = ahead.filter(|waiter| Modes::of(waiter.mode).conflicts(mode));
        holders
            .map(|(holder, _)| *holder)
            .chain(ahead.map(|waiter| waiter.owner))
            .filter(|other| *other != owner)
            .collect()
    }

    /// The place in the queue of an owner that waits.
    pub(super) fn place_of(&self, owner: Owner) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.owner == owner)
    }
}

/// What an owner has and wants.
#[derive(Default)]
pub(super) struct Holding {
    /// In the order they were claimed, so that a savepoint can let go of the later ones.
    pub(super) keys: Vec<(ClaimKey, Mode)>,
    pub(super) waits_for: Option<ClaimKey>,
}
