//! Claims: the keys that open transactions and writes under way hold.
//!
//! A claim is a lock on a key, not on a row of a replica: it lives at the
//! leader, in memory, and falls with its owner. Point writes claim in modes
//! that agree with each other, so that a hot key does not cost a batch per
//! write; they only wait for open transactions, and those for them.
//!
//! A claim is released once every in-sync replica has applied what it guarded,
//! so whoever gets it next finds the change on any of them. A statement that
//! read before it claimed asks [`Claims::changed_since`] and evaluates again.

mod changed;
mod key;
mod mode;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::{Error, Result, SqlState};
use crate::types::id::Index;
use changed::Changed;
use key::KeyHash;
pub use key::{ClaimKey, Owner, PRIMARY_KEY};
pub use mode::Mode;
use mode::Modes;
use slot::{Holding, Slot, Waiter};

/// All claims of one data cluster.
#[derive(Default)]
pub struct Claims {
    state: Mutex<State>,
    owners: AtomicU64,
}

#[derive(Default)]
struct State {
    slots: HashMap<ClaimKey, Slot, KeyHash>,
    owners: HashMap<Owner, Holding>,
    changed: Changed,
}

/// What to do about a key that someone else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contended {
    Wait,
    /// 55P03.
    Fail,
    /// Leave the key out.
    Skip,
}

/// What came of claiming.
#[derive(Debug, PartialEq, Eq)]
pub enum Claimed {
    AtOnce,
    /// Someone held it in between: what was read before may be stale.
    AfterWaiting,
    Skipped,
}

/// Claims to let go of when what they guard is decided.
pub enum Held {
    /// All that a transaction has.
    Of(Owner),
    /// Those of a point write that had to wait for nobody.
    Point(Vec<(ClaimKey, Mode)>),
}

enum Attempt {
    Done,
    Queued(oneshot::Receiver<()>),
    Refused,
}

impl Claims {
    /// Someone who has claimed nothing yet.
    pub fn new_owner(&self) -> Owner {
        Owner(self.owners.fetch_add(1, Ordering::Relaxed))
    }

    /// Claims one key, waiting if need be; 40P01 when that would never end.
    /// Dropping the future gives up the place in the queue.
    pub async fn claim(
        self: &Arc<Self>,
        owner: Owner,
        key: ClaimKey,
        mode: Mode,
        contended: Contended,
    ) -> Result<Claimed> {
        match self.attempt(owner, key, mode, contended)? {
            Attempt::Done => Ok(Claimed::AtOnce),
            Attempt::Refused if contended == Contended::Skip => Ok(Claimed::Skipped),
            Attempt::Refused => Err(Error::new(
                SqlState::LOCK_NOT_AVAILABLE,
                "could not obtain lock on row: another transaction holds it",
            )),
            Attempt::Queued(granted) => {
                let place = Place {
                    claims: self,
                    owner,
                    key,
                    mode,
                };
                let outcome = granted.await;
                std::mem::forget(place);
                outcome.map_err(|_| Error::unavailable("the claim was dropped"))?;
                Ok(Claimed::AfterWaiting)
            }
        }
    }

    /// Claims all keys of a point write at once if nobody is in the way; else none.
    pub fn try_claim_point(&self, keys: &[(ClaimKey, Mode)]) -> bool {
        let mut state = self.state.lock();
        if !state.is_free_for_point(keys) {
            return false;
        }
        for (key, mode) in keys {
            state.slots.entry(*key).or_default().count(*mode);
        }
        true
    }

    /// Could a point write have these at once?
    pub fn is_free_for_point(&self, keys: &[(ClaimKey, Mode)]) -> bool {
        self.state.lock().is_free_for_point(keys)
    }

    /// Is the key held by someone else in a mode that excludes this one?
    pub fn is_contended(&self, owner: Owner, key: ClaimKey, mode: Mode) -> bool {
        !self.state.lock().is_free(owner, key, mode)
    }

    fn attempt(
        &self,
        owner: Owner,
        key: ClaimKey,
        mode: Mode,
        contended: Contended,
    ) -> Result<Attempt> {
        let mut state = self.state.lock();
        if state.is_free(owner, key, mode) {
            state.hold(owner, key, mode);
            return Ok(Attempt::Done);
        }
        if contended != Contended::Wait {
            return Ok(Attempt::Refused);
        }
        state.owners.entry(owner).or_default().waits_for = Some(key);
        if state.would_deadlock(owner, key, mode) {
            state.owners.entry(owner).or_default().waits_for = None;
            return Err(Error::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
                .hint("the other transaction goes on; repeat this one"));
        }
        let (sender, receiver) = oneshot::channel();
        let waiter = Waiter {
            owner,
            mode,
            granted: sender,
        };
        let slot = state.slots.entry(key).or_default();
        let place = slot.place_in_queue(owner);
        slot.waiters.insert(place, waiter);
        Ok(Attempt::Queued(receiver))
    }

    /// Lets go of claims. `written` is the entry that changed what they held in
    /// a writing mode, if one did.
    pub fn release(&self, held: &Held, written: Option<Index>) {
        let mut state = self.state.lock();
        let written = written.filter(|_| state.changed.is_watched());
        match held {
            Held::Of(owner) => {
                let Some(holding) = state.owners.remove(owner) else {
                    return;
                };
                if let Some(index) = written {
                    state.changed.remember(index, &holding.keys);
                }
                for (key, _) in holding.keys {
                    state.weaken(*owner, key, Modes::default());
                }
            }
            Held::Point(keys) => {
                if let Some(index) = written {
                    state.changed.remember(index, keys);
                }
                for (key, mode) in keys {
                    if let Some(slot) = state.slots.get_mut(key) {
                        slot.uncount(*mode);
                    }
                    state.grant(*key);
                }
            }
        }
    }

    /// How many claims the owner has taken; a mark for [`Claims::release_after`].
    pub fn mark(&self, owner: Owner) -> usize {
        let state = self.state.lock();
        state.owners.get(&owner).map_or(0, |held| held.keys.len())
    }

    /// Lets go of the claims taken after a mark, for ROLLBACK TO.
    pub fn release_after(&self, owner: Owner, mark: usize) {
        let mut state = self.state.lock();
        let Some(holding) = state.owners.get_mut(&owner) else {
            return;
        };
        if holding.keys.len() <= mark {
            return;
        }
        let later = holding.keys.split_off(mark);
        let mut kept: HashMap<ClaimKey, Modes, KeyHash> = HashMap::default();
        for (key, mode) in &holding.keys {
            kept.entry(*key).or_default().add(*mode);
        }
        let later: HashSet<ClaimKey> = later.into_iter().map(|(key, _)| key).collect();
        for key in later {
            let modes = kept.get(&key).copied().unwrap_or_default();
            state.weaken(owner, key, modes);
        }
    }

    /// Begins to remember changed keys for a reader whose snapshot is at least at `index`.
    pub fn watch_from(self: &Arc<Self>, index: Index) -> Watch {
        self.state.lock().changed.watch(index);
        Watch {
            claims: self.clone(),
            index,
        }
    }

    /// Did an entry after `index` change what a claim of the key in this mode
    /// relies on? Also true when it cannot be known any more.
    pub fn changed_since(&self, key: ClaimKey, mode: Mode, index: Index) -> bool {
        self.state.lock().changed.since(key, mode, index)
    }

    /// How many keys are claimed, by how many transactions.
    pub fn count(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.slots.len(), state.owners.len())
    }
}

impl State {
    fn is_free(&self, owner: Owner, key: ClaimKey, mode: Mode) -> bool {
        let slot = self.slots.get(&key);
        slot.is_none_or(|slot| slot.is_free(owner, mode))
    }

    fn is_free_for_point(&self, keys: &[(ClaimKey, Mode)]) -> bool {
        let taken = |(key, mode): &(ClaimKey, Mode)| {
            let slot = self.slots.get(key);
            slot.is_some_and(|slot| !slot.is_free_for_point(*mode))
        };
        !keys.iter().any(taken)
    }

    fn hold(&mut self, owner: Owner, key: ClaimKey, mode: Mode) {
        let slot = self.slots.entry(key).or_default();
        if slot.hold(owner, mode) {
            self.owners.entry(owner).or_default().keys.push((key, mode));
        }
    }

    /// Leaves an owner these modes of a key, and hands on what that frees.
    fn weaken(&mut self, owner: Owner, key: ClaimKey, kept: Modes) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.weaken(owner, kept);
        }
        self.grant(key);
    }

    /// Hands the key to those who wait, in order, as far as they agree.
    fn grant(&mut self, key: ClaimKey) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        while let Some(first) = slot.waiters.front() {
            let (owner, mode) = (first.owner, first.mode);
            if slot.excludes(owner, mode) {
                return;
            }
            let Some(waiter) = slot.waiters.pop_front() else {
                break;
            };
            if let Some(holding) = self.owners.get_mut(&owner) {
                holding.waits_for = None;
            }
            if waiter.granted.send(()).is_ok() && slot.hold(owner, mode) {
                self.owners.entry(owner).or_default().keys.push((key, mode));
            }
        }
        if slot.is_empty() {
            self.slots.remove(&key);
        }
    }

    /// Would waiting close a circle of owners, each waiting for the next?
    fn would_deadlock(&self, owner: Owner, key: ClaimKey, mode: Mode) -> bool {
        let Some(slot) = self.slots.get(&key) else {
            return false;
        };
        let mut seen = HashSet::new();
        let mut next = slot.blockers(owner, mode, slot.place_in_queue(owner));
        while let Some(blocker) = next.pop() {
            if blocker == owner {
                return true;
            }
            if !seen.insert(blocker) {
                continue;
            }
            let awaited = self.owners.get(&blocker).and_then(|held| held.waits_for);
            let Some(slot) = awaited.and_then(|awaited| self.slots.get(&awaited)) else {
                continue;
            };
            if let Some(place) = slot.place_of(blocker) {
                next.extend(slot.blockers(blocker, slot.waiters[place].mode, place));
            }
        }
        false
    }
}

/// A place in a queue; dropping it leaves the queue.
struct Place<'a> {
    claims: &'a Claims,
    owner: Owner,
    key: ClaimKey,
    mode: Mode,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.claims.state.lock();
        if let Some(holding) = state.owners.get_mut(&self.owner) {
            holding.waits_for = None;
        }
        let Some(slot) = state.slots.get_mut(&self.key) else {
            return;
        };
        let (owner, mode) = (self.owner, self.mode);
        slot.waiters
            .retain(|waiter| !(waiter.owner == owner && waiter.mode == mode));
        state.grant(self.key);
    }
}

/// Keeps changed keys remembered while a snapshot is in use.
pub struct Watch {
    claims: Arc<Claims>,
    index: Index,
}

impl Watch {
    pub fn index(&self) -> Index {
        self.index
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.claims.state.lock().changed.unwatch(self.index);
    }
}
