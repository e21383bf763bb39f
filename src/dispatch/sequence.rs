//! Generated keys: counters that the leader draws from and the log carries.
//!
//! A value is drawn in memory and its counter marked; the next entry of the
//! cluster carries all marked counters. A statement that gave out values and
//! wrote nothing sends an entry of its own before it answers, so that no value
//! a client has seen comes again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::catalog::Counter;
use crate::catalog::schema::{Schema, Sequence};
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Sequences;
use crate::types::id::ObjectId;

/// The counters of one data cluster at the leader.
#[derive(Default)]
pub struct Counters {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: BTreeMap<ObjectId, Counter>,
    dirty: BTreeSet<ObjectId>,
}

impl Counters {
    pub fn new(values: BTreeMap<ObjectId, Counter>) -> Counters {
        Counters {
            state: Mutex::new(State {
                values,
                dirty: BTreeSet::new(),
            }),
        }
    }

    /// The counters that moved since the last call, for an entry to carry.
    pub fn take_moved(&self) -> Vec<(ObjectId, Counter)> {
        let mut state = self.state.lock();
        if state.dirty.is_empty() {
            return Vec::new();
        }
        let dirty = std::mem::take(&mut state.dirty);
        dirty
            .into_iter()
            .filter_map(|id| Some((id, *state.values.get(&id)?)))
            .collect()
    }

    /// The entry that carried them was not logged: they are to be carried again.
    pub fn put_back(&self, moved: &[(ObjectId, Counter)]) {
        self.state
            .lock()
            .dirty
            .extend(moved.iter().map(|(id, _)| *id));
    }

    fn next(&self, sequence: &Sequence) -> Result<i64> {
        let mut state = self.state.lock();
        let counter = state.values.entry(sequence.id);
        let counter = counter.or_insert_with(|| Counter::before_first(sequence));
        let value = draw(sequence, counter)?;
        state.dirty.insert(sequence.id);
        Ok(value)
    }

    /// Moves a counter so that `value` was given out (`called`) or comes next.
    pub fn set(&self, sequence: ObjectId, value: i64, called: bool) {
        let mut state = self.state.lock();
        state.values.insert(
            sequence,
            Counter {
                last_value: value,
                is_called: called,
            },
        );
        state.dirty.insert(sequence);
    }

    /// Takes over what a transaction that enters the log made of its own sequences.
    pub fn adopt(&self, counters: &[(ObjectId, Counter)]) {
        let mut state = self.state.lock();
        state.values.extend(counters.iter().copied());
        state.dirty.extend(counters.iter().map(|(id, _)| *id));
    }

    pub fn get(&self, sequence: ObjectId) -> Option<Counter> {
        self.state.lock().values.get(&sequence).copied()
    }
}

/// The sequences that an open transaction has made or started again: nobody
/// else draws from them, and ROLLBACK gives them up.
///
/// Each restart lies over what was before it, so that ROLLBACK TO uncovers
/// that; what was drawn in between stays drawn, as nextval promises.
///
/// Not handled: others who draw from a restarted sequence meanwhile get values
/// of the old one, where PostgreSQL has them wait.
#[derive(Debug, Default)]
pub struct OwnSequences {
    layers: Mutex<Vec<(ObjectId, Counter)>>,
}

impl OwnSequences {
    /// From here on the transaction counts for itself, from `counter` on.
    pub fn own(&self, sequence: ObjectId, counter: Counter) {
        self.layers.lock().push((sequence, counter));
    }

    pub fn owns(&self, sequence: ObjectId) -> bool {
        self.layers.lock().iter().any(|(id, _)| *id == sequence)
    }

    pub fn is_empty(&self) -> bool {
        self.layers.lock().is_empty()
    }

    /// A place to return to.
    pub fn mark(&self) -> usize {
        self.layers.lock().len()
    }

    pub fn undo_to(&self, mark: usize) {
        self.layers.lock().truncate(mark);
    }

    /// What becomes of the sequences when the transaction is committed.
    pub fn moved(&self) -> Vec<(ObjectId, Counter)> {
        let layers = self.layers.lock();
        let last: BTreeMap<ObjectId, Counter> = layers.iter().copied().collect();
        last.into_iter().collect()
    }

    fn next(&self, sequence: &Sequence) -> Option<Result<i64>> {
        let mut layers = self.layers.lock();
        let mut own = layers.iter_mut().rev();
        let (_, counter) = own.find(|(id, _)| *id == sequence.id)?;
        Some(draw(sequence, counter))
    }

    /// `false` when the sequence is not its own.
    fn set(&self, sequence: ObjectId, counter: Counter) -> bool {
        let mut layers = self.layers.lock();
        let mut own = layers.iter_mut().rev();
        let own = own.find(|(id, _)| *id == sequence);
        own.map(|layer| layer.1 = counter).is_some()
    }
}

fn draw(sequence: &Sequence, counter: &mut Counter) -> Result<i64> {
    if counter.is_called {
        counter.last_value = advance(sequence, counter.last_value)?;
    }
    counter.is_called = true;
    Ok(counter.last_value)
}

fn advance(sequence: &Sequence, last: i64) -> Result<i64> {
    let next = last.checked_add(sequence.increment);
    match next.filter(|next| (sequence.min..=sequence.max).contains(next)) {
        Some(next) => Ok(next),
        None if sequence.cycle && sequence.increment > 0 => Ok(sequence.min),
        None if sequence.cycle => Ok(sequence.max),
        None => {
            let (end, bound) = match sequence.increment > 0 {
                true => ("maximum", sequence.max),
                false => ("minimum", sequence.min),
            };
            let message = format!(
                "nextval: reached {end} value of sequence \"{}\" ({bound})",
                sequence.name
            );
            Err(Error::new(SqlState(*b"2200H"), message))
        }
    }
}

/// What a session remembers of the values it drew.
#[derive(Debug, Default)]
pub struct Drawn {
    last: Mutex<(BTreeMap<ObjectId, i64>, Option<i64>)>,
}

impl Drawn {
    /// DISCARD SEQUENCES.
    pub fn clear(&self) {
        *self.last.lock() = (BTreeMap::new(), None);
    }
}

/// The counters as one statement of one session sees them.
#[derive(Clone)]
pub struct SessionSequences {
    pub counters: Arc<Counters>,
    /// Those of the open transaction go before.
    pub own: Option<Arc<OwnSequences>>,
    pub drawn: Arc<Drawn>,
    pub schema: Arc<Schema>,
    /// The statement moved a counter.
    pub moved: Arc<AtomicBool>,
}

impl SessionSequences {
    fn sequence(&self, id: ObjectId) -> Result<&Arc<Sequence>> {
        self.schema.sequences.get(&id).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_TABLE,
                format!("could not open sequence with OID {id}"),
            )
        })
    }

    fn remember(&self, sequence: ObjectId, value: i64) {
        let mut drawn = self.drawn.last.lock();
        drawn.0.insert(sequence, value);
        drawn.1 = Some(value);
        self.moved.store(true, Ordering::Relaxed);
    }
}

impl Sequences for SessionSequences {
    fn over(&self, schema: &Arc<Schema>) -> Arc<dyn Sequences> {
        Arc::new(SessionSequences {
            schema: schema.clone(),
            ..self.clone()
        })
    }

    fn next(&self, id: ObjectId) -> Result<i64> {
        let sequence = self.sequence(id)?;
        let own = self.own.as_ref().and_then(|own| own.next(sequence));
        let value = own.unwrap_or_else(|| self.counters.next(sequence))?;
        self.remember(id, value);
        Ok(value)
    }

    fn current(&self, id: ObjectId) -> Result<i64> {
        let name = &self.sequence(id)?.name;
        self.drawn.last.lock().0.get(&id).copied().ok_or_else(|| {
            Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("currval of sequence \"{name}\" is not yet defined in this session"),
            )
        })
    }

    fn last(&self) -> Result<i64> {
        self.drawn.last.lock().1.ok_or_else(|| {
            Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "lastval is not yet defined in this session",
            )
        })
    }

    fn set(&self, id: ObjectId, value: i64, called: bool) -> Result<i64> {
        let sequence = self.sequence(id)?;
        if !(sequence.min..=sequence.max).contains(&value) {
            let (name, min, max) = (&sequence.name, sequence.min, sequence.max);
            let message = format!(
                "setval: value {value} is out of bounds for sequence \"{name}\" ({min}..{max})"
            );
            return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
        }
        let counter = Counter {
            last_value: value,
            is_called: called,
        };
        if !self.own.as_ref().is_some_and(|own| own.set(id, counter)) {
            self.counters.set(id, value, called);
        }
        if called {
            self.remember(id, value);
        }
        self.moved.store(true, Ordering::Relaxed);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    fn sequence(min: i64, max: i64, increment: i64, cycle: bool) -> Sequence {
        Sequence {
            id: ObjectId(1),
            name: "s".to_owned(),
            ty: Type::Int8,
            start: if increment > 0 { min } else { max },
            increment,
            min,
            max,
            cycle,
            owner: None,
            hidden: false,
        }
    }

    #[test]
    fn counts_to_its_end() {
        let counters = Counters::default();
        let s = sequence(1, 3, 2, false);
        assert_eq!(counters.next(&s).unwrap(), 1);
        assert_eq!(counters.next(&s).unwrap(), 3);
        assert_eq!(counters.next(&s).unwrap_err().state(), SqlState(*b"2200H"));
        let down = sequence(1, 2, -1, true);
        let counters = Counters::default();
        let drawn: Vec<_> = (0..3).map(|_| counters.next(&down).unwrap()).collect();
        assert_eq!(drawn, [2, 1, 2]);
    }

    #[test]
    fn moved_counters_are_carried_once() {
        let counters = Counters::default();
        counters.next(&sequence(1, 9, 1, false)).unwrap();
        let moved = counters.take_moved();
        assert_eq!(
            moved,
            vec![(
                ObjectId(1),
                Counter {
                    last_value: 1,
                    is_called: true
                }
            )]
        );
        assert!(counters.take_moved().is_empty());
        counters.put_back(&moved);
        assert_eq!(counters.take_moved(), moved);
        counters.set(ObjectId(1), 7, false);
        assert_eq!(counters.next(&sequence(1, 9, 1, false)).unwrap(), 7);
    }
}
