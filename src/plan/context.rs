//! What an expression may know beside its row: settings, time, schema, chance.

use std::sync::Arc;

use parking_lot::Mutex;

use std::collections::BTreeMap;

use crate::catalog::User;
use crate::catalog::schema::Schema;
use crate::error::Result;
use crate::types::id::{ObjectId, UserId};
use crate::types::settings::{Io, Settings};

/// Everything an evaluation sees besides rows and parameters. Pinning makes
/// one per statement, so that every replica is asked with the same.
pub struct Context {
    pub settings: Arc<Settings>,
    /// `now()`: microseconds since 2000-01-01 UTC.
    pub transaction_time: i64,
    pub statement_time: i64,
    /// The session's user and, unless SET ROLE, the current one.
    pub user: Arc<str>,
    /// The data cluster's name.
    pub database: Arc<str>,
    pub database_oid: u32,
    pub schema: Arc<Schema>,
    pub system: Arc<Schema>,
    /// Everybody, for the names of owners.
    pub users: Arc<BTreeMap<UserId, Arc<User>>>,
    /// The state of the generator behind random() and gen_random_uuid().
    pub random: Mutex<RandomState>,
    /// `None` where a sequence must not be moved (checks, index expressions).
    pub sequences: Option<Arc<dyn Sequences>>,
    /// Names and values for `current_setting`.
    pub variables: Arc<dyn Variables>,
}

impl Context {
    /// Where names of objects are looked up.
    pub fn schemas(&self) -> [&Schema; 2] {
        [&self.schema, &self.system]
    }

    /// The same over another schema, as a statement goes on that has changed it.
    pub fn over(&self, schema: &Arc<Schema>) -> Context {
        let sequences = self.sequences.as_ref();
        Context {
            settings: self.settings.clone(),
            transaction_time: self.transaction_time,
            statement_time: self.statement_time,
            user: self.user.clone(),
            database: self.database.clone(),
            database_oid: self.database_oid,
            schema: schema.clone(),
            system: self.system.clone(),
            users: self.users.clone(),
            random: Mutex::new(RandomState(self.random.lock().draw())),
            sequences: sequences.map(|sequences| sequences.over(schema)),
            variables: self.variables.clone(),
        }
    }

    /// What reading and printing values needs to know.
    pub fn io(&self) -> Io<'_> {
        Io {
            settings: &self.settings,
            transaction_time: self.transaction_time,
        }
    }
}

/// A seeded generator; two draws from one seed agree on every machine.
#[derive(Clone, Copy, Debug)]
pub struct RandomState(pub u64);

impl RandomState {
    /// SplitMix64 (Steele, Lea, Flood 2014).
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The counters behind nextval and its kin.
pub trait Sequences: Send + Sync {
    fn next(&self, sequence: ObjectId) -> Result<i64>;
    fn current(&self, sequence: ObjectId) -> Result<i64>;
    fn last(&self) -> Result<i64>;
    fn set(&self, sequence: ObjectId, value: i64, called: bool) -> Result<i64>;
    /// The same, knowing the sequences of another schema.
    fn over(&self, schema: &Arc<Schema>) -> Arc<dyn Sequences>;
}

/// The settings by name, as `current_setting` and SHOW give them.
pub trait Variables: Send + Sync {
    fn get(&self, name: &str) -> Option<String>;
}
