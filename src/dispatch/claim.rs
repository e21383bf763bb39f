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

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::{Error, Result, SqlState};
use crate::types::id::{Index, ObjectId, TableId};
use crate::types::{Value, encode};

/// Keys remembered as changed for open snapshots; past this the oldest
/// snapshots are given up (their transactions end with 40001).
const RECENT_KEYS_MAX: usize = 1 << 20;

/// What is claimed: a hash of table, unique key and values. Two keys that
/// collide wait for each other needlessly, nothing worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey(u128);

impl ClaimKey {
    /// The key of a unique constraint (`ObjectId(0)`: the primary key).
    pub fn of(table: TableId, constraint: ObjectId, values: &[Value]) -> ClaimKey {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend_from_slice(&table.0.to_be_bytes());
        bytes.extend_from_slice(&constraint.0.to_be_bytes());
        bytes.extend_from_slice(&encode::encode_key(values));
        ClaimKey(xxhash_rust::xxh3::xxh3_128(&bytes))
    }

    pub(crate) fn bits(self) -> u128 {
        self.0
    }

    /// A whole table.
    pub fn table(table: TableId) -> ClaimKey {
        let mut bytes = [0xff; 8];
        bytes[..4].copy_from_slice(&table.0.to_be_bytes());
        ClaimKey(xxhash_rust::xxh3::xxh3_128(&bytes))
    }
}

/// Who claims: one transaction or one point write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u64);

/// How a key is claimed. The first four are PostgreSQL's row locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    KeyShare = 1,
    Share = 2,
    NoKeyUpdate = 4,
    Update = 8,
    /// A point write that leaves the key alone; agrees with its like.
    Point = 16,
    /// A point write that makes or removes the key; agrees with its like.
    PointKey = 32,
    /// On a table: its rows are being written.
    Intent = 64,
    /// On a table: its rows are being locked.
    RowShare = 128,
}

/// The modes one owner holds on a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modes(u8);

impl Modes {
    fn conflicts(self, mode: Mode) -> bool {
        self.0 & mode.conflicting() != 0
    }
}

impl Mode {
    /// The modes of others that exclude this one.
    fn conflicting(self) -> u8 {
        const KEY_SHARE: u8 = Mode::KeyShare as u8;
        const SHARE: u8 = Mode::Share as u8;
        const NO_KEY: u8 = Mode::NoKeyUpdate as u8;
        const UPDATE: u8 = Mode::Update as u8;
        const POINT: u8 = Mode::Point as u8;
        const POINT_KEY: u8 = Mode::PointKey as u8;
        const INTENT: u8 = Mode::Intent as u8;
        match self {
            Mode::KeyShare => UPDATE | POINT_KEY,
            Mode::Share => NO_KEY | UPDATE | POINT | POINT_KEY | INTENT,
            Mode::NoKeyUpdate => SHARE | NO_KEY | UPDATE | POINT | POINT_KEY,
            Mode::Update => 0xff,
            Mode::Point => SHARE | NO_KEY | UPDATE,
            Mode::PointKey => KEY_SHARE | SHARE | NO_KEY | UPDATE,
            Mode::Intent => SHARE | UPDATE,
            Mode::RowShare => UPDATE,
        }
    }

    /// Whoever holds it may change what the key names.
    fn writes(self) -> bool {
        matches!(
            self,
            Mode::NoKeyUpdate | Mode::Update | Mode::Point | Mode::PointKey
        )
    }
}

/// All claims of one data cluster.
#[derive(Default)]
pub struct Claims {
    state: Mutex<State>,
    owners: AtomicU64,
}

#[derive(Default)]
struct State {
    slots: HashMap<ClaimKey, Slot>,
    owners: HashMap<Owner, Holding>,
    /// Snapshots in use, by the index they are at least at.
    snapshots: BTreeMap<Index, usize>,
    /// Keys changed after the oldest of them, with the entry that did it.
    recent: HashMap<ClaimKey, Index>,
    recent_order: VecDeque<(Index, ClaimKey)>,
    /// Snapshots older than this were given up.
    forgotten: Index,
}

#[derive(Default)]
struct Slot {
    holders: Vec<(Owner, Modes)>,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    owner: Owner,
    mode: Mode,
    granted: oneshot::Sender<()>,
}

#[derive(Default)]
struct Holding {
    /// In the order they were claimed, so that a savepoint can let go of the later ones.
    keys: Vec<(ClaimKey, Mode)>,
    waits_for: Option<ClaimKey>,
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

    /// Claims all keys at once if nobody holds any of them; else none.
    pub fn try_claim_all(&self, owner: Owner, keys: &[(ClaimKey, Mode)]) -> bool {
        let mut state = self.state.lock();
        if keys
            .iter()
            .any(|(key, mode)| !state.is_free(owner, *key, *mode))
        {
            return false;
        }
        for (key, mode) in keys {
            state.hold(owner, *key, *mode);
        }
        true
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
        let place = state.place_in_queue(owner, key);
        let slot = state.slots.entry(key).or_default();
        slot.waiters.insert(place, waiter);
        Ok(Attempt::Queued(receiver))
    }

    /// Lets go of all claims of an owner. `written` is the entry that changed
    /// what it held in a writing mode, if one did.
    pub fn release(&self, owner: Owner, written: Option<Index>) {
        let mut state = self.state.lock();
        let Some(holding) = state.owners.remove(&owner) else {
            return;
        };
        if let Some(index) = written.filter(|_| !state.snapshots.is_empty()) {
            state.remember(index, &holding.keys);
        }
        for (key, _) in holding.keys {
            state.let_go(owner, key);
        }
    }

    /// How many claims the owner has taken; a mark for [`Claims::release_after`].
    pub fn mark(&self, owner: Owner) -> usize {
        self.state
            .lock()
            .owners
            .get(&owner)
            .map_or(0, |holding| holding.keys.len())
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
        let kept: HashMap<ClaimKey, u8> =
            holding
                .keys
                .iter()
                .fold(HashMap::new(), |mut map, (key, mode)| {
                    *map.entry(*key).or_default() |= *mode as u8;
                    map
                });
        for key in later
            .into_iter()
            .map(|(key, _)| key)
            .collect::<HashSet<_>>()
        {
            match kept.get(&key) {
                None => state.let_go(owner, key),
                Some(modes) => state.weaken(owner, key, Modes(*modes)),
            }
        }
    }

    /// Begins to remember changed keys for a reader whose snapshot is at least at `index`.
    pub fn watch_from(self: &Arc<Self>, index: Index) -> Watch {
        *self.state.lock().snapshots.entry(index).or_default() += 1;
        Watch {
            claims: self.clone(),
            index,
        }
    }

    /// Did an entry after `index` change the key? Also true when it cannot be
    /// known any more.
    pub fn changed_since(&self, key: ClaimKey, index: Index) -> bool {
        let state = self.state.lock();
        index < state.forgotten
            || state
                .recent
                .get(&key)
                .is_some_and(|changed| *changed > index)
    }

    /// How many keys are claimed, by how many owners.
    pub fn count(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.slots.len(), state.owners.len())
    }
}

impl State {
    fn is_free(&self, owner: Owner, key: ClaimKey, mode: Mode) -> bool {
        let Some(slot) = self.slots.get(&key) else {
            return true;
        };
        if slot
            .holders
            .iter()
            .any(|(other, held)| *other != owner && held.conflicts(mode))
        {
            return false;
        }
        // Nobody overtakes those who wait, unless it holds the key already.
        slot.holders.iter().any(|(other, _)| *other == owner)
            || !slot
                .waiters
                .iter()
                .any(|waiter| waiter.owner != owner && Modes(waiter.mode as u8).conflicts(mode))
    }

    fn hold(&mut self, owner: Owner, key: ClaimKey, mode: Mode) {
        let slot = self.slots.entry(key).or_default();
        match slot.holders.iter_mut().find(|(other, _)| *other == owner) {
            Some((_, held)) if held.0 & mode as u8 != 0 => return,
            Some((_, held)) => held.0 |= mode as u8,
            None => slot.holders.push((owner, Modes(mode as u8))),
        }
        self.owners.entry(owner).or_default().keys.push((key, mode));
    }

    fn let_go(&mut self, owner: Owner, key: ClaimKey) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.holders.retain(|(other, _)| *other != owner);
        }
        self.grant(key);
    }

    fn weaken(&mut self, owner: Owner, key: ClaimKey, modes: Modes) {
        if let Some(slot) = self.slots.get_mut(&key)
            && let Some((_, held)) = slot.holders.iter_mut().find(|(other, _)| *other == owner)
        {
            *held = modes;
        }
        self.grant(key);
    }

    /// Hands the key to those who wait, in order, as far as they agree.
    fn grant(&mut self, key: ClaimKey) {
        loop {
            let Some(slot) = self.slots.get_mut(&key) else {
                return;
            };
            let Some(first) = slot.waiters.front() else {
                break;
            };
            let (owner, mode) = (first.owner, first.mode);
            let blocked = slot
                .holders
                .iter()
                .any(|(other, held)| *other != owner && held.conflicts(mode));
            if blocked {
                return;
            }
            let Some(waiter) = slot.waiters.pop_front() else {
                break;
            };
            if let Some(holding) = self.owners.get_mut(&owner) {
                holding.waits_for = None;
            }
            if waiter.granted.send(()).is_ok() {
                self.hold(owner, key, mode);
            }
        }
        if self
            .slots
            .get(&key)
            .is_some_and(|slot| slot.holders.is_empty() && slot.waiters.is_empty())
        {
            self.slots.remove(&key);
        }
    }

    /// Where a new waiter stands. Who holds the key already goes before those
    /// who hold nothing of it: they would wait for it, and it for them.
    fn place_in_queue(&self, owner: Owner, key: ClaimKey) -> usize {
        let Some(slot) = self.slots.get(&key) else {
            return 0;
        };
        let holds = |owner: Owner| slot.holders.iter().any(|(other, _)| *other == owner);
        let strangers = |waiter: &Waiter| !holds(waiter.owner);
        let last = slot.waiters.len();
        match holds(owner) {
            true => slot.waiters.iter().position(strangers).unwrap_or(last),
            false => last,
        }
    }

    /// Would waiting close a circle of owners, each waiting for the next?
    fn would_deadlock(&self, owner: Owner, key: ClaimKey, mode: Mode) -> bool {
        let mut seen = HashSet::new();
        let place = self.place_in_queue(owner, key);
        let mut next: Vec<Owner> = self.blockers(owner, key, mode, place);
        while let Some(blocker) = next.pop() {
            if blocker == owner {
                return true;
            }
            if !seen.insert(blocker) {
                continue;
            }
            let Some(awaited) = self.owners.get(&blocker).and_then(|h| h.waits_for) else {
                continue;
            };
            let Some(slot) = self.slots.get(&awaited) else {
                continue;
            };
            if let Some(place) = slot
                .waiters
                .iter()
                .position(|waiter| waiter.owner == blocker)
            {
                next.extend(self.blockers(blocker, awaited, slot.waiters[place].mode, place));
            }
        }
        false
    }

    /// Whom a waiter at `place` in the queue waits for.
    fn blockers(&self, owner: Owner, key: ClaimKey, mode: Mode, place: usize) -> Vec<Owner> {
        let Some(slot) = self.slots.get(&key) else {
            return Vec::new();
        };
        let holders = slot
            .holders
            .iter()
            .filter(|(_, held)| held.conflicts(mode))
            .map(|(o, _)| *o);
        let ahead = slot.waiters.iter().take(place);
        let ahead = ahead
            .filter(|w| Modes(w.mode as u8).conflicts(mode))
            .map(|w| w.owner);
        holders
            .chain(ahead)
            .filter(|other| *other != owner)
            .collect()
    }

    fn remember(&mut self, index: Index, keys: &[(ClaimKey, Mode)]) {
        for (key, _) in keys.iter().filter(|(_, mode)| mode.writes()) {
            let changed = self.recent.entry(*key).or_insert(index);
            *changed = (*changed).max(index);
            self.recent_order.push_back((index, *key));
        }
        while self.recent_order.len() > RECENT_KEYS_MAX {
            if let Some((index, _)) = self.recent_order.front() {
                self.forgotten = self.forgotten.max(*index);
                self.forget(self.forgotten);
            }
        }
    }

    /// Forgets changes up to an index.
    fn forget(&mut self, upto: Index) {
        while let Some((index, key)) = self.recent_order.front().copied() {
            if index > upto {
                break;
            }
            self.recent_order.pop_front();
            if self.recent.get(&key) == Some(&index) {
                self.recent.remove(&key);
            }
        }
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
        let mut state = self.claims.state.lock();
        if let Some(count) = state.snapshots.get_mut(&self.index) {
            *count -= 1;
            if *count == 0 {
                state.snapshots.remove(&self.index);
            }
        }
        match state.snapshots.keys().next().copied() {
            Some(oldest) => state.forget(oldest),
            None => {
                state.recent.clear();
                state.recent_order.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> ClaimKey {
        ClaimKey(n)
    }

    async fn now(claims: &Arc<Claims>, owner: u64, n: u128, mode: Mode) -> Result<Claimed> {
        claims
            .claim(Owner(owner), key(n), mode, Contended::Wait)
            .await
    }

    #[tokio::test]
    async fn modes_agree_as_postgresql_s_row_locks() {
        use Mode::*;
        let agree = [
            (KeyShare, KeyShare),
            (KeyShare, Share),
            (KeyShare, NoKeyUpdate),
            (Share, Share),
        ];
        let all = [KeyShare, Share, NoKeyUpdate, Update];
        for first in all {
            for second in all {
                let expected = agree.contains(&(first, second)) || agree.contains(&(second, first));
                assert_eq!(
                    !Modes(first as u8).conflicts(second),
                    expected,
                    "{first:?} {second:?}"
                );
            }
        }
        assert!(!Modes(Point as u8).conflicts(PointKey));
        assert!(Modes(Point as u8).conflicts(NoKeyUpdate));
        assert!(Modes(Intent as u8).conflicts(Update));
    }

    #[tokio::test]
    async fn waiters_get_the_key_in_order() {
        let claims = Arc::new(Claims::default());
        assert_eq!(
            now(&claims, 1, 7, Mode::Update).await.unwrap(),
            Claimed::AtOnce
        );
        let second = now(&claims, 2, 7, Mode::Update);
        let third = now(&claims, 3, 7, Mode::Update);
        tokio::pin!(second, third);
        assert!(futures::poll!(&mut second).is_pending());
        assert!(futures::poll!(&mut third).is_pending());
        claims.release(Owner(1), None);
        assert_eq!(second.await.unwrap(), Claimed::AfterWaiting);
        assert!(futures::poll!(&mut third).is_pending());
        claims.release(Owner(2), None);
        assert_eq!(third.await.unwrap(), Claimed::AfterWaiting);
        claims.release(Owner(3), None);
        assert_eq!(claims.count(), (0, 0));
    }

    #[tokio::test]
    async fn a_circle_of_waits_is_refused() {
        let claims = Arc::new(Claims::default());
        now(&claims, 1, 1, Mode::Update).await.unwrap();
        now(&claims, 2, 2, Mode::Update).await.unwrap();
        let first = now(&claims, 1, 2, Mode::Update);
        tokio::pin!(first);
        assert!(futures::poll!(&mut first).is_pending());
        let error = now(&claims, 2, 1, Mode::Update).await.unwrap_err();
        assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
        claims.release(Owner(2), None);
        assert_eq!(first.await.unwrap(), Claimed::AfterWaiting);
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_blocks_nobody() {
        let claims = Arc::new(Claims::default());
        now(&claims, 1, 1, Mode::Share).await.unwrap();
        {
            let writer = now(&claims, 2, 1, Mode::Update);
            tokio::pin!(writer);
            assert!(futures::poll!(&mut writer).is_pending());
            let reader = now(&claims, 3, 1, Mode::Share);
            tokio::pin!(reader);
            assert!(futures::poll!(&mut reader).is_pending(), "no overtaking");
        }
        assert_eq!(
            now(&claims, 3, 1, Mode::Share).await.unwrap(),
            Claimed::AtOnce
        );
        assert!(
            claims
                .claim(Owner(2), key(1), Mode::Update, Contended::Fail)
                .await
                .is_err()
        );
        let skipped = claims
            .claim(Owner(2), key(1), Mode::Update, Contended::Skip)
            .await
            .unwrap();
        assert_eq!(skipped, Claimed::Skipped);
    }

    #[tokio::test]
    async fn a_savepoint_lets_go_of_later_claims_only() {
        let claims = Arc::new(Claims::default());
        now(&claims, 1, 1, Mode::KeyShare).await.unwrap();
        let mark = claims.mark(Owner(1));
        now(&claims, 1, 1, Mode::Update).await.unwrap();
        now(&claims, 1, 2, Mode::Update).await.unwrap();
        claims.release_after(Owner(1), mark);
        assert!(!claims.is_contended(Owner(2), key(2), Mode::Update));
        assert!(!claims.is_contended(Owner(2), key(1), Mode::KeyShare));
        assert!(claims.is_contended(Owner(2), key(1), Mode::Update));
    }

    #[tokio::test]
    async fn changes_are_remembered_while_someone_watches() {
        let claims = Arc::new(Claims::default());
        let watch = claims.watch_from(Index(10));
        now(&claims, 1, 1, Mode::Point).await.unwrap();
        now(&claims, 1, 2, Mode::KeyShare).await.unwrap();
        claims.release(Owner(1), Some(Index(12)));
        assert!(claims.changed_since(key(1), Index(11)));
        assert!(!claims.changed_since(key(1), Index(12)));
        assert!(
            !claims.changed_since(key(2), Index(11)),
            "a share changes nothing"
        );
        assert_eq!(watch.index(), Index(10));
        drop(watch);
        assert!(!claims.changed_since(key(1), Index(11)));
    }
}
