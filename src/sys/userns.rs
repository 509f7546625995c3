//! User namespaces made for their mapping only, as mount_setattr(2) wants them.

use std::fs::{self, File};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::OwnedFd;

use nix::libc;
use nix::unistd::{setfsgid, setfsuid};

use super::process::{Child, Pidfd};
use super::{check, owned};

/// A new user namespace with these texts as uid_map and gid_map (user_namespaces(7)); nobody is in it, and it is gone with
/// the descriptor. Needs `CAP_SETUID` and `CAP_SETGID`; to be called by a process with one thread.
pub fn user_namespace(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let child = sleeper()?;
    let pid = child.pid;
    let made = || {
        fs::write(format!("/proc/{pid}/uid_map"), uid_map)?;
        fs::write(format!("/proc/{pid}/gid_map"), gid_map)?;
        File::open(format!("/proc/{pid}/ns/user"))
    };
    let made = made();
    child.pidfd.send_signal(libc::SIGKILL)?;
    child.wait()?;
    made.map(OwnedFd::from)
}

/// Keeps capabilities when user ids change (capabilities(7), securebits).
const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;

/// Does something as another user in the eyes of file systems (setfsuid(2)), with all capabilities kept: what is made then
/// belongs to that user. Needs `CAP_SETPCAP`; to be called by a process with one thread.
pub fn as_owner<T>(uid: u32, gid: u32, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // SAFETY: this prctl takes no more arguments.
    let before = check(unsafe { libc::prctl(libc::PR_GET_SECUREBITS) })? as libc::c_ulong;
    let set = |bits: libc::c_ulong| {
        // SAFETY: this prctl takes one integer.
        check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits, 0, 0, 0) }).map(drop)
    };
    set(before | SECBIT_NO_SETUID_FIXUP)?;
    let (old_uid, old_gid) = (setfsuid(uid.into()), setfsgid(gid.into()));
    let done = work();
    setfsuid(old_uid);
    setfsgid(old_gid);
    set(before)?;
    done
}

/// A child in a new user namespace, which does nothing until it is killed.
fn sleeper() -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is a valid clone_args.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = (libc::CLONE_NEWUSER | libc::CLONE_PIDFD) as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    let size = size_of::<libc::clone_args>();
    // SAFETY: without CLONE_VM this is fork(2): the child has a copy of everything, and below it makes system calls only.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) })?;
    if pid == 0 {
        // SAFETY: integers only; the child never comes back from here.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            loop {
                libc::pause();
            }
        }
    }
    // SAFETY: the kernel stored a new descriptor there.
    let pidfd = unsafe { owned(pidfd)? };
    Ok(Child {
        pid: pid as i32,
        pidfd: Pidfd::from_fd(pidfd),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_makes_a_namespace_and_a_bad_one_does_not() {
        let first = user_namespace("0 100000 10\n", "0 200000 10\n").unwrap();
        let link = |fd: &OwnedFd| {
            use std::os::fd::AsRawFd;
            fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
        };
        assert!(link(&first).to_string_lossy().starts_with("user:["));
        assert_ne!(link(&first), fs::read_link("/proc/self/ns/user").unwrap());
        assert!(user_namespace("nonsense", "0 0 1").is_err());
    }
}
