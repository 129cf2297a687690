//! The one system call that neither std nor rustix offers.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// `fchmodat2(dir, name, mode, AT_SYMLINK_NOFOLLOW)`, Linux 6.6.
pub(crate) fn fchmodat2(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    // SAFETY: `name` is NUL-terminated and lives across the call, `dir` is an open descriptor for as long as it is
    // borrowed, and the kernel writes to no memory of ours.
    let answer =
        unsafe { libc::syscall(libc::SYS_fchmodat2, dir.as_raw_fd(), name.as_ptr(), mode, libc::AT_SYMLINK_NOFOLLOW) };
    if answer == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
