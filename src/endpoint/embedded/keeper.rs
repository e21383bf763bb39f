//! The writer's thread: owns the file, decides what a failure means.
//!
//! When a foreign hand was at the file, or a copy takes its place, the
//! replica begins a new incarnation: nobody may rely on what it said before.

use std::sync::Arc;

use parking_lot::Mutex;

use super::gate::Gate;
use super::{EmbeddedConfig, Job, Pin, Reply, failed, unreadable};
use crate::endpoint::{Applied, Apply, CopySource, Delivery, DeliveryContent, Fault, Position};
use crate::engine::sqlite::apply::{Content, Entry};
use crate::engine::sqlite::checkpoint::Checkpointer;
use crate::engine::sqlite::hash::Pinned;
use crate::engine::sqlite::position::Standing;
use crate::engine::sqlite::read::Reader;
use crate::engine::sqlite::writer::{Portion, Writer};
use crate::engine::sqlite::{StorageError, copy};
use crate::runtime::Runtime;
use crate::types::id::{Index, Term, TransactionId};
use crate::types::write::Outcome;

/// A transaction that fails this often in a row, with nothing else in
/// between, is called poisoned.
const POISONED_AFTER: u32 = 3;

/// What the writer's thread has.
pub(super) struct Keeper {
    config: EmbeddedConfig,
    runtime: Runtime,
    gate: Arc<Gate>,
    reader: Arc<Reader>,
    checkpointer: Arc<Mutex<Option<Checkpointer>>>,
    /// `None` after the file could not be opened; tried again at each request.
    writer: Option<Writer>,
    /// The highest term that delivered to this incarnation.
    term: Term,
    suspect: Option<Suspect>,
    /// What the writer has in an open transaction, if it still has it.
    prepared: Option<Box<Apply>>,
    /// Snapshots that are taken when the replica comes to their place.
    pins: Vec<(Pin, Reply<Pinned>)>,
}

/// A transaction at which the database failed.
struct Suspect {
    index: Index,
    transaction: TransactionId,
    times: u32,
}

impl Keeper {
    pub(super) fn open(
        config: EmbeddedConfig,
        runtime: Runtime,
        gate: Arc<Gate>,
        reader: Arc<Reader>,
        checkpointer: Arc<Mutex<Option<Checkpointer>>>,
    ) -> Result<Keeper, Fault> {
        let mut keeper = Keeper {
            config,
            runtime,
            gate,
            reader,
            checkpointer,
            writer: None,
            term: Term(0),
            suspect: None,
            prepared: None,
            pins: Vec::new(),
        };
        copy::remove_leftovers(&keeper.config.path).map_err(failed)?;
        // A file that cannot be opened now is this replica's trouble, not the node's.
        if let Err(fault) = keeper.writer() {
            tracing::error!(%fault, path = %keeper.config.path.display(), "replica");
        }
        Ok(keeper)
    }

    pub(super) fn serve(&mut self, job: Job) {
        // An asker that has gone does not matter: what it asked for is done.
        match job {
            Job::Position(reply) => {
                let _ = reply.send(self.position());
            }
            Job::Apply(request, reply) => {
                let _ = reply.send(self.apply(&request));
            }
            Job::Prepare(request) => self.prepare(request),
            Job::Check(reply) => {
                let _ = reply.send(self.check());
            }
            Job::Pin(pin, reply) => self.pin(*pin, reply),
            Job::CopyIn(source, reply) => {
                let _ = reply.send(self.copy_in(&source));
            }
        }
    }

    /// Nothing was asked for a while.
    pub(super) fn look_around(&mut self) {
        if let Err(fault) = self.check() {
            tracing::warn!(%fault, "replica");
        }
    }

    fn position(&mut self) -> Result<Position, Fault> {
        let standing = self.writer()?.standing();
        Ok(self.told(&standing))
    }

    fn told(&self, standing: &Standing) -> Position {
        Position {
            incarnation: self.gate.incarnation(),
            applied: standing.applied,
            durable: self.gate.durable().min(standing.applied),
            chain: standing.chain,
            term: self.term.max(standing.term),
            schema: standing.schema,
        }
    }

    fn check(&mut self) -> Result<(), Fault> {
        match self.writer()?.check() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Does the work of entries ahead of time. Nobody waits for it: what is
    /// wrong with them, or with the file, shows when they are to be applied.
    fn prepare(&mut self, request: Box<Apply>) {
        let ours = request.cluster == self.config.cluster
            && request.incarnation == self.gate.incarnation()
            && request.term >= self.term;
        let Some(writer) = self.writer.as_mut().filter(|_| ours) else {
            return;
        };
        let known = self.prepared.as_ref().filter(|_| writer.has_prepared());
        if known.is_some_and(|known| known.is_same(&request)) {
            return;
        }
        match writer.prepare(&portion(&request)) {
            Ok(()) => self.prepared = writer.has_prepared().then_some(request),
            Err(error) => tracing::debug!(%error, "not prepared"),
        }
    }

    fn apply(&mut self, request: &Apply) -> Result<Applied, Fault> {
        let incarnation = self.gate.incarnation();
        if request.cluster != self.config.cluster {
            return Err(Fault::Failed("a delivery for another cluster".to_owned()));
        }
        if request.incarnation != incarnation {
            return Err(Fault::Incarnation(incarnation));
        }
        if request.term < self.term {
            return Err(Fault::StaleTerm(self.term));
        }
        self.term = request.term;
        let gate = Arc::clone(&self.gate);
        self.writer()?;
        // Opening the file anew has begun another incarnation.
        if gate.incarnation() != incarnation {
            return Err(Fault::Incarnation(gate.incarnation()));
        }
        let applied = self.apply_request(request);
        let writer = self.writer()?;
        if let Err(error) = gate.while_moving_log(|| writer.bound_log()) {
            tracing::warn!(%error, "checkpoint");
        }
        let standing = writer.standing();
        gate.applied_to(standing.applied);
        match applied {
            Ok(outcomes) => {
                self.suspect = None;
                gate.stable_at(request.stable);
                if let Some(grant) = &request.grant {
                    gate.take_grant(grant, standing.applied);
                }
                Ok(Applied {
                    position: self.told(&standing),
                    outcomes,
                    asks: gate.now(),
                })
            }
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Applies entries; what was prepared of them is only to be committed.
    fn apply_request(&mut self, request: &Apply) -> Result<Vec<Outcome>, StorageError> {
        let mut portion = portion(request);
        if request.entries.is_empty() {
            return self.apply_and_pin(portion);
        }
        let pins = self.pins.iter().map(|(pin, _)| pin.at);
        let pinned = pins.min().unwrap_or(request.upto);
        let prepared = self.prepared.take();
        let prepared = prepared.filter(|it| request.begins_with(it) && it.upto <= pinned);
        let writer = self.writer.as_mut().filter(|it| it.has_prepared());
        let (Some(prepared), Some(writer)) = (prepared, writer) else {
            return self.apply_and_pin(portion);
        };
        let gate = Arc::clone(&self.gate);
        let mut outcomes = writer.commit_prepared(&mut |change| gate.announce(change))?;
        self.take_pins(prepared.upto);
        if prepared.upto < request.upto {
            portion.after = prepared.upto;
            portion.entries.drain(..prepared.entries.len());
            outcomes.extend(self.apply_and_pin(portion)?);
        }
        Ok(outcomes)
    }

    /// Applies entries, and stops for a moment where a snapshot is wanted.
    fn apply_and_pin(&mut self, mut portion: Portion<'_>) -> Result<Vec<Outcome>, StorageError> {
        self.pins.retain(|(_, reply)| !reply.is_closed());
        let gate = Arc::clone(&self.gate);
        let mut outcomes = Vec::new();
        loop {
            let places = self.pins.iter().map(|(pin, _)| pin.at);
            let place = places.filter(|at| *at < portion.upto).min();
            let writer = self.writer.as_mut();
            let writer = writer.ok_or_else(|| StorageError::failed("the file is not open"))?;
            let Some(at) = place else {
                outcomes.extend(writer.apply(&portion, &mut |change| gate.announce(change))?);
                self.take_pins(portion.upto);
                return Ok(outcomes);
            };
            let before = portion.entries.partition_point(|entry| entry.index <= at);
            let later = portion.entries.split_off(before);
            if !portion.entries.is_empty() {
                let upto = portion.upto;
                portion.upto = at;
                outcomes.extend(writer.apply(&portion, &mut |change| gate.announce(change))?);
                portion.after = at;
                portion.upto = upto;
            }
            portion.entries = later;
            self.take_pins(at);
        }
    }

    /// Takes a snapshot now, later, or never if its place has been passed.
    fn pin(&mut self, pin: Pin, reply: Reply<Pinned>) {
        let refused = match self.position() {
            Err(fault) => fault,
            Ok(position) if position.incarnation != pin.incarnation => {
                Fault::Incarnation(position.incarnation)
            }
            Ok(position) if position.applied > pin.at => Fault::NotThere(Box::new(position)),
            Ok(position) => {
                let is_there = position.applied >= pin.from;
                let at = pin.at;
                self.pins.push((pin, reply));
                if is_there {
                    self.take_pins(at);
                }
                return;
            }
        };
        let _ = reply.send(Err(refused));
    }

    /// All entries up to `at` are applied, and none behind it.
    fn take_pins(&mut self, at: Index) {
        for (pin, reply) in self.pins.extract_if(.., |(pin, _)| pin.at <= at) {
            let _ = reply.send(pin.waiting.pin().map_err(unreadable));
        }
    }

    fn fault(&mut self, error: StorageError) -> Fault {
        match error {
            StorageError::NotThere => match self.position() {
                Ok(position) => Fault::NotThere(Box::new(position)),
                Err(fault) => fault,
            },
            StorageError::Tampered(what) => {
                self.begin_again();
                Fault::Tampered(what)
            }
            StorageError::Failed(message) => Fault::Failed(message),
            StorageError::Unreadable(_) => Fault::Failed(error.to_string()),
            StorageError::Transaction {
                index,
                transaction,
                message,
            } => self.suspect(index, transaction, message),
        }
    }

    fn suspect(&mut self, index: Index, transaction: TransactionId, message: String) -> Fault {
        let times = match &self.suspect {
            Some(known) if known.index == index && known.transaction == transaction => {
                known.times + 1
            }
            _ => 1,
        };
        self.suspect = Some(Suspect {
            index,
            transaction,
            times,
        });
        if times < POISONED_AFTER {
            return Fault::Failed(format!("transaction {transaction}: {message}"));
        }
        Fault::Poisoned {
            index,
            transaction,
            message,
        }
    }

    /// Replaces the file by a copy.
    fn copy_in(&mut self, source: &CopySource) -> Result<Position, Fault> {
        let standing = copy::inspect(&source.path).map_err(failed)?;
        if standing.applied != source.index || standing.chain != source.chain {
            return Err(Fault::Failed("the copy is not what it says".to_owned()));
        }
        self.let_go();
        copy::replace(&self.config.path, &source.path).map_err(failed)?;
        self.position()
    }

    /// Closes all connections; whoever comes next finds another incarnation.
    fn let_go(&mut self) {
        self.gate.begin_incarnation(self.config.born);
        self.reader.file_changed();
        self.checkpointer.lock().take();
        self.writer = None;
        self.term = Term(0);
        self.suspect = None;
        self.prepared = None;
        // Who waits for them hears that the file is gone.
        self.pins.clear();
    }

    /// After a foreign hand: opens what is there now, under a new incarnation
    /// and with a chain that nobody else has.
    fn begin_again(&mut self) {
        let same_file = self
            .writer
            .as_ref()
            .is_some_and(|w| w.watch().is_in_place());
        self.let_go();
        // The log of a file that is gone must not be played into another.
        let cleared = match same_file {
            true => Ok(()),
            false => copy::remove_log(&self.config.path),
        };
        let distrusted = cleared.map_err(failed).and_then(|()| {
            let born = self.config.born;
            let high = u128::from(self.runtime.random_u64());
            let random = (high << 64) | u128::from(self.runtime.random_u64());
            let writer = self.writer()?;
            if writer.standing().applied > born {
                writer.distrust(random).map_err(failed)?;
            }
            Ok(())
        });
        if let Err(fault) = distrusted {
            // Without its mark the file must not be taken for sound.
            self.writer = None;
            tracing::error!(%fault, "replica");
        }
    }

    /// The open file; opens it if it is not.
    fn writer(&mut self) -> Result<&mut Writer, Fault> {
        if self.writer.is_none() {
            self.writer = Some(self.open_file()?);
        }
        self.writer
            .as_mut()
            .ok_or_else(|| Fault::Failed("the file is not open".to_owned()))
    }

    fn open_file(&mut self) -> Result<Writer, Fault> {
        let (path, born) = (&self.config.path, self.config.born);
        let mut writer = match Writer::open(path, born) {
            Ok(writer) => writer,
            Err(error @ StorageError::Unreadable(_)) => {
                tracing::error!(%error, "set aside");
                copy::set_aside(path).map_err(failed)?;
                Writer::open(path, born).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        let checkpointer = Checkpointer::open(path, writer.watch()).map_err(failed)?;
        *self.checkpointer.lock() = Some(checkpointer);
        writer.count_work(self.gate.work()).map_err(failed)?;
        let standing = writer.standing();
        self.term = standing.term;
        self.gate.begin_incarnation(standing.applied);
        self.gate.applied_to(standing.applied);
        Ok(writer)
    }
}

/// A request as the engine takes it.
fn portion(request: &Apply) -> Portion<'_> {
    Portion {
        term: request.term,
        after: request.after,
        upto: request.upto,
        entries: request.entries.iter().map(entry).collect(),
    }
}

/// A delivery as the engine takes it.
fn entry(delivery: &Delivery) -> Entry<'_> {
    let content = match &delivery.content {
        DeliveryContent::Batch(batch) => Content::Transactions {
            schema: batch.schema,
            transactions: &batch.transactions,
            pieces: None,
        },
        DeliveryContent::Pieced(batch, pieces) => Content::Transactions {
            schema: batch.schema,
            transactions: &batch.transactions,
            pieces: Some(&**pieces),
        },
        DeliveryContent::Schema(entry) => Content::Schema {
            id: entry.id,
            before: entry.before,
            changes: &entry.changes,
            writes: &entry.writes,
            then: &entry.then,
            taken_back: delivery.taken_back,
            pieces: None,
        },
        DeliveryContent::PiecedSchema(entry, pieces) => Content::Schema {
            id: entry.id,
            before: entry.before,
            changes: &entry.changes,
            writes: &entry.writes,
            then: &entry.then,
            taken_back: delivery.taken_back,
            pieces: Some(&**pieces),
        },
    };
    Entry {
        index: delivery.index,
        content,
        skip: &delivery.skip,
    }
}
