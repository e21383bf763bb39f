//! A VFS that gathers what a writer appends to its write-ahead log.
//!
//! SQLite writes each frame of its log with two calls. Here appends stay in
//! memory until SQLite syncs the log, which it does before it tells anyone of
//! a commit, and then go in one call. A commit's own sync writes but does not
//! fsync: commits survive the end of the process, and a loss of power only
//! once [`super::checkpoint`] has made them durable. A checkpoint's sync is a
//! real one. `synchronous = FULL` makes SQLite ask for both, and
//! `checkpoint_fullfsync` tells the one from the other by their flags. With
//! `fullfsync` a commit's sync is a real one too, and the file is filled with
//! zeros some way ahead: a sync of bytes that lie within the file need not wait
//! for the file system to write down that it grew. What SQLite finds behind the
//! last frame it takes for none.
//!
//! All other files are the default VFS's own. The protocol between SQLite and
//! a VFS: <https://www.sqlite.org/c3ref/vfs.html>.
//!
//! Not handled: several writers of one log, which SQLite's locks keep apart.

use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::vfs::{self, behind};

/// The name to open a connection with.
pub const NAME: &CStr = c"pyql-gather";

/// What a connection of this VFS needs set.
pub(super) const PRAGMAS: &str = "PRAGMA synchronous = FULL; PRAGMA checkpoint_fullfsync = ON;";

/// Bytes gathered at most; more are written as they come.
const GATHERED_MAX: usize = 1 << 20;

/// Bytes of one call: what SQLite itself never exceeds by much, since its VFS
/// for Unix counts in 17 bits.
const CALL_MAX: usize = 1 << 16;

/// Bytes that are filled ahead of a log whose commits are real syncs.
const FILLED_AHEAD: sqlite3_int64 = 1 << 20;

/// Registers the VFS, once per process.
pub fn register() -> Result<(), String> {
    static REGISTERED: OnceLock<Result<(), String>> = OnceLock::new();
    REGISTERED.get_or_init(make).clone()
}

fn make() -> Result<(), String> {
    #[cfg(test)]
    super::faults::register();
    vfs::register(NAME, open, false)
}

/// Bytes that go to the file at `start`.
#[derive(Default)]
struct Gathered {
    start: sqlite3_int64,
    bytes: Vec<u8>,
}

impl Gathered {
    fn end(&self) -> sqlite3_int64 {
        self.start.saturating_add(self.bytes.len() as sqlite3_int64)
    }

    fn continues(&self, offset: sqlite3_int64, length: usize) -> bool {
        offset == self.end() && self.bytes.len() + length <= GATHERED_MAX
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    ..vfs::HANDED_ON
};

// SAFETY, for all that follows: see `vfs`.

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        if flags & ffi::SQLITE_OPEN_WAL == 0 {
            return vfs::open_below(vfs, name, file, flags, out);
        }
        let code = vfs::open(vfs, name, file, flags, out);
        if code == ffi::SQLITE_OK {
            vfs::set_up(file, &METHODS, Gathered::default());
        }
        code
    }
}

unsafe fn gathered<'a>(file: *mut sqlite3_file) -> &'a mut Gathered {
    // SAFETY: see above; `open` made one.
    unsafe { vfs::own(file) }
}

/// Writes what was gathered. What cannot be written is dropped with the
/// transaction that the error ends.
unsafe fn flush(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see above.
    unsafe {
        let gathered = gathered(file);
        if gathered.bytes.is_empty() {
            return ffi::SQLITE_OK;
        }
        let mut offset = gathered.start;
        let mut code = ffi::SQLITE_OK;
        for chunk in gathered.bytes.chunks(CALL_MAX) {
            let length = chunk.len() as c_int;
            code = behind!(file, xWrite, chunk.as_ptr().cast(), length, offset);
            if code != ffi::SQLITE_OK {
                break;
            }
            offset += sqlite3_int64::from(length);
        }
        gathered.bytes.clear();
        gathered.start = offset;
        code
    }
}

/// Fills the file behind what was just written, of which this is the one
/// writer. Only a favour: what fails here is left to the next commit.
unsafe fn fill_ahead(file: *mut sqlite3_file) {
    static ZEROS: [u8; CALL_MAX] = [0; CALL_MAX];
    // SAFETY: see above.
    unsafe {
        let written = gathered(file).end();
        let mut size = 0;
        let asked = behind!(file, xFileSize, &raw mut size);
        if asked != ffi::SQLITE_OK || size > written {
            return;
        }
        let mut offset = written;
        while offset < written + FILLED_AHEAD {
            let length = ZEROS.len() as c_int;
            let code = behind!(file, xWrite, ZEROS.as_ptr().cast(), length, offset);
            if code != ffi::SQLITE_OK {
                return;
            }
            offset += sqlite3_int64::from(length);
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see above; nobody uses the file afterwards.
    unsafe {
        let written = flush(file);
        let closed = vfs::close::<Gathered>(file);
        if written == ffi::SQLITE_OK {
            closed
        } else {
            written
        }
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    super::work::note();
    // SAFETY: see above; `bytes` has `length` bytes.
    unsafe {
        let gathered = gathered(file);
        let new = std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize);
        if !gathered.continues(offset, new.len()) {
            let code = flush(file);
            if code != ffi::SQLITE_OK {
                return code;
            }
            gathered.start = offset;
        }
        if new.len() > GATHERED_MAX {
            return behind!(file, xWrite, bytes, length, offset);
        }
        gathered.bytes.extend_from_slice(new);
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    bytes: *mut c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        let gathered = gathered(file);
        if offset < gathered.end() && offset + sqlite3_int64::from(length) > gathered.start {
            let code = flush(file);
            if code != ffi::SQLITE_OK {
                return code;
            }
        }
        behind!(file, xRead, bytes, length, offset)
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: see above.
    unsafe {
        let commits = !gathered(file).bytes.is_empty();
        let code = flush(file);
        let is_real = flags & SYNC_KIND == ffi::SQLITE_SYNC_FULL;
        if code != ffi::SQLITE_OK || !is_real {
            return code;
        }
        if commits {
            fill_ahead(file);
        }
        behind!(file, xSync, flags)
    }
}

/// The part of a sync's flags that says how thorough it is to be.
const SYNC_KIND: c_int = 0x0f;

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: see above.
    unsafe {
        match flush(file) {
            ffi::SQLITE_OK => behind!(file, xTruncate, size),
            code => code,
        }
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    // SAFETY: see above.
    unsafe {
        match flush(file) {
            ffi::SQLITE_OK => behind!(file, xFileSize, size),
            code => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, OpenFlags};

    use super::*;

    fn writer(path: &std::path::Path) -> Connection {
        register().expect("SQLite takes the VFS");
        let connection = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), NAME)
            .expect("the file opens");
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
            .expect("a log");
        connection.execute_batch(PRAGMAS).expect("settings");
        connection
    }

    /// What is committed is seen by others at once, what is not by nobody,
    /// and reading one's own unwritten frames works.
    #[test]
    fn commits_reach_the_file() {
        let directory = tempfile::tempdir().expect("temporary directories can be made");
        let path = directory.path().join("a.db");
        let one = writer(&path);
        // A small cache spills frames into the log before the commit.
        one.execute_batch("PRAGMA cache_size = 8; CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
            .expect("a table");
        let other = Connection::open(&path).expect("the file opens");
        let count = |connection: &Connection| -> i64 {
            connection
                .query_row("SELECT count(b) FROM t", [], |row| row.get(0))
                .expect("a count")
        };
        for round in 1..=20i64 {
            one.execute_batch("BEGIN").expect("begins");
            one.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
                 INSERT INTO t (b) SELECT randomblob(100) FROM n",
                [],
            )
            .expect("rows");
            assert_eq!(count(&one), round * 500);
            assert_eq!(count(&other), (round - 1) * 500);
            one.execute_batch("SAVEPOINT s; UPDATE t SET b = NULL; ROLLBACK TO s; COMMIT")
                .expect("commits");
            assert_eq!(count(&other), round * 500);
            if round % 7 == 0 {
                let checkpoint = "PRAGMA wal_checkpoint(RESTART)";
                one.query_row(checkpoint, [], |_| Ok(())).expect("moves");
            }
        }
        // As after kill -9: another opens what is on disk.
        let check: String = other
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("a check");
        assert_eq!(check, "ok");
        drop(one);
        assert_eq!(count(&other), 10_000);
    }

    /// A log whose commits are real syncs is longer than what is in it; what
    /// lies behind its last frame is not taken for one.
    #[test]
    fn a_log_is_filled_ahead() {
        let directory = tempfile::tempdir().expect("temporary directories can be made");
        let path = directory.path().join("a.db");
        let one = writer(&path);
        one.execute_batch("PRAGMA fullfsync = ON; CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
            .expect("a table");
        let log = || std::fs::metadata(path.with_extension("db-wal")).map_or(0, |it| it.len());
        let filled = log();
        assert!(filled > FILLED_AHEAD as u64, "{filled}");
        let mut sizes = std::collections::BTreeSet::new();
        for round in 1..=300 {
            one.execute("INSERT INTO t (b) VALUES (randomblob(10000))", [])
                .expect("a row");
            sizes.insert(log());
            if round == 150 {
                let copy = directory.path().join("b.db");
                std::fs::copy(&path, &copy).expect("a copy");
                std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal"))
                    .expect("a copy");
                let found = Connection::open(&copy).expect("as after a crash");
                let count: i64 = found
                    .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
                    .expect("a count");
                assert_eq!(count, round);
                let checkpoint = "PRAGMA wal_checkpoint(RESTART)";
                one.query_row(checkpoint, [], |_| Ok(())).expect("moves");
            }
        }
        assert!(sizes.len() <= 4, "it grows in few steps: {sizes:?}");
    }
}
