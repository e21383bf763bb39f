//! How keys are claimed, and which claims agree.

/// How a key is claimed. `KeyShare` to `Update` are PostgreSQL's row locks as
/// writes take them; whoever only locks takes the `For…` of the same strength,
/// which say that nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Mode {
    KeyShare = 1,
    Share = 1 << 1,
    NoKeyUpdate = 1 << 2,
    Update = 1 << 3,
    ForNoKeyUpdate = 1 << 4,
    ForUpdate = 1 << 5,
    /// A point write that leaves the key alone; agrees with its like.
    Point = 1 << 6,
    /// A point write that makes or removes the key; agrees with its like.
    PointKey = 1 << 7,
    /// On a table: its rows are being written.
    Intent = 1 << 8,
    /// On a table: its rows are being locked.
    RowShare = 1 << 9,
}

/// How many modes there are.
pub(super) const MODES: usize = 10;

const KEY_SHARE: u16 = Mode::KeyShare as u16;
const SHARE: u16 = Mode::Share as u16;
const NO_KEY: u16 = Mode::NoKeyUpdate as u16 | Mode::ForNoKeyUpdate as u16;
const UPDATE: u16 = Mode::Update as u16 | Mode::ForUpdate as u16;
const POINT: u16 = Mode::Point as u16;
const POINT_KEY: u16 = Mode::PointKey as u16;
const INTENT: u16 = Mode::Intent as u16;

impl Mode {
    /// The modes of others that exclude this one.
    pub(super) fn conflicting(self) -> Modes {
        Modes(match self {
            Mode::KeyShare => UPDATE | POINT_KEY,
            Mode::Share => NO_KEY | UPDATE | POINT | POINT_KEY | INTENT,
            Mode::NoKeyUpdate | Mode::ForNoKeyUpdate => SHARE | NO_KEY | UPDATE | POINT | POINT_KEY,
            Mode::Update | Mode::ForUpdate => u16::MAX,
            Mode::Point => SHARE | NO_KEY | UPDATE,
            Mode::PointKey => KEY_SHARE | SHARE | NO_KEY | UPDATE,
            Mode::Intent => SHARE | UPDATE,
            Mode::RowShare => UPDATE,
        })
    }

    /// Whoever holds it may change what the key names.
    pub(super) fn writes(self) -> bool {
        self == Mode::NoKeyUpdate || self == Mode::Point || self.changes_key()
    }

    /// Whoever holds it may make or remove the key.
    pub(super) fn changes_key(self) -> bool {
        matches!(self, Mode::Update | Mode::PointKey)
    }

    pub(super) fn number(self) -> usize {
        (self as u16).trailing_zeros() as usize
    }
}

/// A set of modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes(pub(super) u16);

impl Modes {
    pub(super) fn of(mode: Mode) -> Modes {
        Modes(mode as u16)
    }

    pub(super) fn conflicts(self, mode: Mode) -> bool {
        self.0 & mode.conflicting().0 != 0
    }

    pub(super) fn has(self, mode: Mode) -> bool {
        self.0 & mode as u16 != 0
    }

    pub(super) fn add(&mut self, mode: Mode) {
        self.0 |= mode as u16;
    }

    /// The places of its modes, as [`Mode::number`] counts.
    pub(super) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..MODES).filter(move |number| self.0 >> number & 1 == 1)
    }
}
