//! Room on the log's disk.
//!
//! A log that cannot be written is the end of its node, so it does not come to
//! that: while less than [`FREE_MIN`] is free, what clients bring is refused
//! with 53100, nothing done, and reads go on. What keeps the group going (a
//! replica's state, a floor) still enters. For the case that others have taken
//! all there is, a file of [`HELD`] bytes lies beside the log, which gives way
//! piece by piece: to the log, and to replicas beside it that are yet to take
//! what is in the log.
//!
//! Not handled: replicas on another disk that is full; they are taken out like
//! any that cannot apply.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Error, SqlState};
use crate::runtime::Disk;

/// Clients' writes are refused while less than this is free.
pub(super) const FREE_MIN: u64 = 16 << 20;

/// What is held back for the log itself.
pub(super) const HELD: u64 = 16 << 20;

/// How much of it is given up at once.
const GIVE_UP: u64 = 1 << 20;

/// It is held again once so much is free.
const HOLD_AGAIN: u64 = HELD + 2 * FREE_MIN;

/// How often it is looked how much is free.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A byte in an entry may cost so many on the disk until the next look: in the
/// log, its WAL, and the replicas' files with theirs.
const SPREAD: u64 = 8;

/// The held file's name in the log's directory.
const FILE: &str = "held";

/// How much may yet be written.
pub(super) struct Room {
    disk: Disk,
    directory: PathBuf,
    /// Bytes above [`FREE_MIN`], less what was proposed since the last look.
    left: AtomicI64,
    /// The size of the held file.
    held: Mutex<u64>,
    /// The last look found too little.
    full: AtomicBool,
}

impl Room {
    /// Of a directory that no other process uses.
    pub(super) fn new(disk: Disk, directory: PathBuf) -> Room {
        let held = disk.length(&directory.join(FILE)).unwrap_or(0);
        let room = Room {
            disk,
            directory,
            left: AtomicI64::new(0),
            held: Mutex::new(held),
            full: AtomicBool::new(false),
        };
        room.look();
        room
    }

    /// Looks how much is free, and holds back what is to be held.
    pub(super) fn look(&self) {
        let Some(free) = self.disk.available(&self.directory) else {
            self.left.store(i64::MAX, Ordering::Relaxed);
            return;
        };
        let left = i64::try_from(free.saturating_sub(FREE_MIN)).unwrap_or(i64::MAX);
        self.left.store(left, Ordering::Relaxed);
        let full = free < FREE_MIN;
        if self.full.swap(full, Ordering::Relaxed) != full {
            match full {
                true => tracing::error!(free, "the log's disk is full: writes are refused"),
                false => tracing::warn!(free, "the log's disk has room again"),
            }
        }
        if free < GIVE_UP {
            // What is in the log, its replicas are yet to take.
            self.give_up();
        }
        let mut held = self.held.lock();
        if *held < HELD && free >= HOLD_AGAIN {
            match self.disk.reserve(&self.directory.join(FILE), HELD) {
                Ok(()) => *held = HELD,
                Err(error) => tracing::debug!(%error, "no room is held back for the log"),
            }
        }
    }

    /// Takes room for an entry of so many bytes; 53100 when there is too little.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Error> {
        let cost = i64::try_from(bytes as u64 * SPREAD).unwrap_or(i64::MAX);
        let enough = |left: i64| (left >= cost).then(|| left - cost);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough);
        taken.map(drop).map_err(|_| none_left())
    }

    /// 53100 while writes are refused.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.full.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(none_left()),
        }
    }

    /// Gives a part of what is held back; `false`: nothing is left.
    pub(super) fn give_up(&self) -> bool {
        let mut held = self.held.lock();
        let rest = held.saturating_sub(GIVE_UP);
        if *held == 0 || self.disk.reserve(&self.directory.join(FILE), rest).is_err() {
            return false;
        }
        *held = rest;
        tracing::warn!(rest, "the room that is held back for the log gives way");
        true
    }
}

fn none_left() -> Error {
    let message = "no room is left on the disk of the log";
    Error::new(SqlState::DISK_FULL, message)
        .hint("Nothing was written. Writes are taken again once there is room.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn what_is_held_gives_way_and_what_is_left_runs_out() {
        let directory = tempfile::tempdir().expect("temporary directories can be made");
        let room = Room::new(Runtime::real().disk(), directory.path().to_owned());
        let size = || {
            let held = std::fs::metadata(directory.path().join(FILE));
            held.map_or(0, |held| held.len())
        };
        assert_eq!(size(), HELD, "these tests need some room themselves");
        assert!(room.give_up());
        assert_eq!(size(), HELD - GIVE_UP);
        room.look();
        assert_eq!(size(), HELD, "held again");
        for _ in 0..HELD / GIVE_UP {
            assert!(room.give_up());
        }
        assert!(!room.give_up());
        room.left.store(8_000, Ordering::Relaxed);
        assert!(room.take(900).is_ok());
        let refused = room.take(900).expect_err("800 bytes are left");
        assert_eq!(refused.state(), SqlState::DISK_FULL);
        assert!(room.take(100).is_ok(), "a smaller one fits");
    }
}
