//! A VFS that fails when a test tells it to: the n-th call of one kind on the
//! files of one database. Once registered it lies under all connections of a
//! test's process.

use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::vfs::{self, behind};

/// Calls that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Open,
    Read,
    Write,
    Sync,
    Truncate,
    Size,
    Lock,
    Unlock,
    ShmMap,
    ShmLock,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Nothing was done.
    Before,
    /// It was done all the same.
    After,
    /// Half of what was to be written was.
    Torn,
    /// This call and all later ones, nothing done.
    Lasting,
}

/// What is to fail.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// The database; its log's name begins alike.
    pub(super) path: String,
    pub(super) operation: Operation,
    /// So many calls go well before.
    pub(super) after: usize,
    pub(super) code: c_int,
    pub(super) manner: Manner,
}

struct Plan {
    number: usize,
    fault: Fault,
    left: usize,
    hits: usize,
}

static PLANS: Mutex<Vec<Plan>> = Mutex::new(Vec::new());
static ARMED: AtomicUsize = AtomicUsize::new(0);
static NUMBERS: AtomicUsize = AtomicUsize::new(0);

/// A fault for as long as this is kept.
pub(super) struct Armed(usize);

pub(super) fn arm(fault: Fault) -> Armed {
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let left = fault.after;
    PLANS.lock().push(Plan {
        number,
        fault,
        left,
        hits: 0,
    });
    ARMED.fetch_add(1, Ordering::SeqCst);
    Armed(number)
}

impl Armed {
    /// How often it has struck.
    pub(super) fn hits(&self) -> usize {
        let plans = PLANS.lock();
        let plan = plans.iter().find(|plan| plan.number == self.0);
        plan.map_or(0, |plan| plan.hits)
    }
}

impl Armed {
    /// It strikes no more.
    pub(super) fn disarm(&self) {
        let mut plans = PLANS.lock();
        for plan in plans.iter_mut().filter(|plan| plan.number == self.0) {
            plan.left = usize::MAX;
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        PLANS.lock().retain(|plan| plan.number != self.0);
        ARMED.fetch_sub(1, Ordering::SeqCst);
    }
}

fn strike(path: &str, operation: Operation) -> Option<(c_int, Manner)> {
    if ARMED.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let mut plans = PLANS.lock();
    let plan = plans
        .iter_mut()
        .find(|plan| plan.fault.operation == operation && path.starts_with(&plan.fault.path))?;
    if plan.left > 0 {
        plan.left -= 1;
        return None;
    }
    if plan.hits > 0 && plan.fault.manner != Manner::Lasting {
        return None;
    }
    plan.hits += 1;
    Some((plan.fault.code, plan.fault.manner))
}

/// Makes this the default VFS, once per process.
pub(super) fn register() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        vfs::register(c"pyql-faults", open, true).expect("SQLite takes the VFS");
    });
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
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
    // SAFETY: see above; a name ends with NUL.
    unsafe {
        let path = match name.is_null() {
            true => String::new(),
            false => CStr::from_ptr(name).to_string_lossy().into_owned(),
        };
        (*file).pMethods = std::ptr::null();
        if let Some((code, _)) = strike(&path, Operation::Open) {
            return code;
        }
        let code = vfs::open(vfs, name, file, flags, out);
        if code == ffi::SQLITE_OK {
            vfs::set_up(file, &METHODS, path);
        }
        code
    }
}

unsafe fn path<'a>(file: *mut sqlite3_file) -> &'a str {
    // SAFETY: see above; `open` made one.
    unsafe { vfs::own::<String>(file) }
}

/// Calls it unless a test wants it to fail.
macro_rules! perhaps {
    ($operation:ident, $file:expr, $method:ident $(, $argument:expr)*) => {
        match strike(path($file), Operation::$operation) {
            None => behind!($file, $method $(, $argument)*),
            Some((code, Manner::After)) => match behind!($file, $method $(, $argument)*) {
                ffi::SQLITE_OK => code,
                other => other,
            },
            Some((code, _)) => code,
        }
    };
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see above; nobody uses the file afterwards.
    unsafe { vfs::close::<String>(file) }
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    bytes: *mut c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: see above.
    unsafe { perhaps!(Read, file, xRead, bytes, length, offset) }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: see above; half of the bytes are there if all are.
    unsafe {
        match strike(path(file), Operation::Write) {
            None => behind!(file, xWrite, bytes, length, offset),
            Some((code, manner)) => {
                let written = match manner {
                    Manner::Before | Manner::Lasting => 0,
                    Manner::After => length,
                    Manner::Torn => length / 2,
                };
                if written > 0 {
                    behind!(file, xWrite, bytes, written, offset);
                }
                code
            }
        }
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: see above.
    unsafe { perhaps!(Truncate, file, xTruncate, size) }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { perhaps!(Sync, file, xSync, flags) }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    // SAFETY: see above.
    unsafe { perhaps!(Size, file, xFileSize, size) }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { perhaps!(Lock, file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { perhaps!(Unlock, file, xUnlock, level) }
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: see above. A map that fails gives no address.
    unsafe {
        match strike(path(file), Operation::ShmMap) {
            None => behind!(file, xShmMap, page, size, extend, out),
            Some((code, _)) => {
                *out = std::ptr::null_mut();
                code
            }
        }
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: see above. SQLite does not look at what unlocking answers.
    unsafe {
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            return behind!(file, xShmLock, offset, count, flags);
        }
        match strike(path(file), Operation::ShmLock) {
            None => behind!(file, xShmLock, offset, count, flags),
            Some((code, _)) => code,
        }
    }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: see above.
    unsafe {
        let real = vfs::real(file);
        if let Some(barrier) = vfs::methods(real).and_then(|it| it.xShmBarrier) {
            barrier(real);
        }
    }
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { behind!(file, xShmUnmap, delete) }
}

#[cfg(test)]
mod tests;
