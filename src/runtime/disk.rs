//! The few file operations that the log and the replicas need, durable where they say so.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Files and directories.
#[derive(Clone, Copy, Debug)]
pub struct Disk(());

/// Keeps other processes out of a directory until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl Disk {
    pub(super) fn new() -> Disk {
        Disk(())
    }

    pub fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    pub fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    pub fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    /// Replaces a file by these bytes at once and durably: after a crash it
    /// holds the old or the new ones.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        self.sync_parent(path)
    }

    /// Renames durably.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        self.sync_parent(to)
    }

    /// Removes a file if it is there.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Bytes that may yet be written where a path lies; `None`: nobody says.
    pub fn available(&self, path: &Path) -> Option<u64> {
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: plain numbers, for which zeroes stand until they are filled.
        let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with a zero byte, and `found` is ours.
        let code = unsafe { libc::statvfs(path.as_ptr(), &raw mut found) };
        (code == 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Makes a file take so many bytes of the disk, whatever it held.
    pub fn reserve(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        if file.metadata()?.len() >= bytes {
            return file.set_len(bytes);
        }
        let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the file is open, and of others' memory nothing is touched.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) } {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Lets this process open as many files as it may at most; says how many.
    pub fn raise_file_limit(&self) -> io::Result<u64> {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `limit` is ours.
        if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is only read.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(limit.rlim_max),
            _ => Ok(before),
        }
    }

    /// Makes the names in a file's directory durable.
    pub fn sync_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Claims a directory for this process: fails with `WouldBlock` while another holds it.
    pub fn lock(&self, directory: &Path) -> io::Result<DirectoryLock> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "the directory is in use by another process",
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
