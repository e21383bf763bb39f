//! A layer over SQLite's default VFS: files whose calls a layer changes, with
//! the default VFS's own file behind each.
//!
//! SAFETY, for all that is here and for who builds on it: SQLite calls a
//! layer's functions with a `vfs` that [`register`] made, and with a `file` of
//! at least `szOsFile` bytes that [`open`] and [`set_up`] have set up and
//! [`close`] has not yet taken down; one call at a time per file. The protocol:
//! <https://www.sqlite.org/c3ref/vfs.html>.

use std::ffi::{CStr, c_int, c_void};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

/// Calls a method of the file behind.
macro_rules! behind {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = $crate::engine::sqlite::vfs::real($file);
        match $crate::engine::sqlite::vfs::methods(real).and_then(|methods| methods.$method) {
            Some(method) => method(real $(, $argument)*),
            None => rusqlite::ffi::SQLITE_IOERR,
        }
    }};
}
pub(super) use behind;

/// How a VFS opens a file.
pub(super) type Open = unsafe extern "C" fn(
    *mut sqlite3_vfs,
    ffi::sqlite3_filename,
    *mut sqlite3_file,
    c_int,
    *mut c_int,
) -> c_int;

/// A file as SQLite holds it; the default VFS's own lies behind it.
#[repr(C)]
struct Layered<T> {
    methods: *const sqlite3_io_methods,
    own: *mut T,
}

/// Bytes before the file behind, whatever a layer keeps.
const HEAD: usize = size_of::<Layered<()>>();

/// The calls that most layers hand on as they are.
pub(super) const HANDED_ON: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: None,
    xRead: None,
    xWrite: None,
    xTruncate: None,
    xSync: None,
    xFileSize: None,
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Registers a layer over what is the default now. To be done once for a name.
pub(super) fn register(name: &'static CStr, open: Open, default: bool) -> Result<(), String> {
    // SAFETY: the library initialises itself in these calls. The default VFS
    // and the leaked copy, with the name it points to, live for ever.
    unsafe {
        let real = ffi::sqlite3_vfs_find(std::ptr::null());
        if real.is_null() {
            return Err("SQLite has no default VFS".to_owned());
        }
        let mut ours = *real;
        ours.szOsFile += HEAD as c_int;
        ours.pNext = std::ptr::null_mut();
        ours.zName = name.as_ptr();
        ours.pAppData = real.cast();
        ours.xOpen = Some(open);
        let ours = Box::leak(Box::new(ours));
        match ffi::sqlite3_vfs_register(ours, c_int::from(default)) {
            ffi::SQLITE_OK => Ok(()),
            code => Err(format!("SQLite takes no VFS: {code}")),
        }
    }
}

/// Opens a file as the VFS below does, in the place of ours.
pub(super) unsafe fn open_below(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        let below = (*vfs).pAppData.cast::<sqlite3_vfs>();
        match (*below).xOpen {
            Some(open) => open(below, name, file, flags, out),
            None => ffi::SQLITE_CANTOPEN,
        }
    }
}

/// Opens the file behind ours; the layer sets up its own when that went well.
pub(super) unsafe fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let behind = real(file);
        (*behind).pMethods = std::ptr::null();
        let code = open_below(vfs, name, behind, flags, out);
        if code != ffi::SQLITE_OK
            && let Some(close) = methods(behind).and_then(|methods| methods.xClose)
        {
            close(behind);
        }
        code
    }
}

/// What a layer keeps of an opened file, and its calls.
pub(super) unsafe fn set_up<T>(
    file: *mut sqlite3_file,
    methods: &'static sqlite3_io_methods,
    own: T,
) {
    // SAFETY: see above.
    unsafe {
        let layered = file.cast::<Layered<T>>();
        (*layered).own = Box::into_raw(Box::new(own));
        (*layered).methods = methods;
    }
}

/// Drops what the layer kept (a `T`, as in [`set_up`]) and closes the file behind.
pub(super) unsafe fn close<T>(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see above; nobody uses the file afterwards.
    unsafe {
        drop(Box::from_raw((*file.cast::<Layered<T>>()).own));
        let closed = behind!(file, xClose);
        (*file).pMethods = std::ptr::null();
        closed
    }
}

/// What the layer keeps of a file: a `T`, as in [`set_up`].
pub(super) unsafe fn own<'a, T>(file: *mut sqlite3_file) -> &'a mut T {
    // SAFETY: `set_up` made it, `close` takes it.
    unsafe { &mut *(*file.cast::<Layered<T>>()).own }
}

/// The file behind ours.
pub(super) unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: it begins behind ours; `szOsFile` has room for both.
    unsafe { file.cast::<u8>().add(HEAD).cast() }
}

/// The calls of a file behind.
pub(super) unsafe fn methods<'a>(real: *mut sqlite3_file) -> Option<&'a sqlite3_io_methods> {
    // SAFETY: the VFS below sets this to its static table, or leaves null.
    unsafe { (*real).pMethods.as_ref() }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { behind!(file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: see above.
    unsafe { behind!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: see above.
    unsafe { behind!(file, xCheckReservedLock, held) }
}

unsafe extern "C" fn file_control(
    file: *mut sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: see above.
    unsafe { behind!(file, xFileControl, operation, argument) }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see above.
    unsafe { behind!(file, xSectorSize) }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see above.
    unsafe { behind!(file, xDeviceCharacteristics) }
}
