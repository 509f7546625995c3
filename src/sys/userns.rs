//! User namespaces made for their mapping only, as mount_setattr(2) wants them.

use std::fs::{self, File};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::libc;
use nix::unistd::{setfsgid, setfsuid};

use super::process::{Child, Pidfd};
use super::time::boottime;
use super::{check, owned};

/// A new user namespace with these texts as uid_map and gid_map (user_namespaces(7)); nobody is in it, and it is gone with
/// the descriptor. Needs `CAP_SETUID` and `CAP_SETGID`; to be called by a process with one thread.
pub fn user_namespace(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let child = child(libc::CLONE_NEWUSER, None)?;
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

/// The texts of uid_map and gid_map of a user namespace, given by its file, as this process reads them. Needs
/// `CAP_SYS_ADMIN` there; to be called by a process with one thread.
pub fn maps_of(namespace: impl AsFd) -> io::Result<(String, String)> {
    let fd = namespace.as_fd().as_raw_fd();
    let inode = |path: &str| fs::metadata(path).map(|about| (about.dev(), about.ino()));
    let wanted = inode(&format!("/proc/self/fd/{fd}"))?;
    if inode("/proc/self/ns/user")? == wanted {
        // Nobody can join the one that they are in (setns(2)).
        let own = |kind: &str| fs::read_to_string(format!("/proc/self/{kind}"));
        return Ok((own("uid_map")?, own("gid_map")?));
    }
    let child = child(0, Some(fd))?;
    let proc = format!("/proc/{}", child.pid);
    let read = || {
        let deadline = boottime() + Duration::from_secs(5);
        while inode(&format!("{proc}/ns/user"))? != wanted {
            if child.try_wait()?.is_some() || boottime() > deadline {
                return Err(io::Error::other("this user namespace cannot be entered"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let map = |kind: &str| fs::read_to_string(format!("{proc}/{kind}"));
        Ok((map("uid_map")?, map("gid_map")?))
    };
    let read = read();
    // It may have ended by itself.
    let _ = child.pidfd.send_signal(libc::SIGKILL);
    let _ = child.wait();
    read
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

/// A child that does nothing until it is killed: in new namespaces (clone(2)), or in a user namespace that is there.
fn child(flags: libc::c_int, join: Option<RawFd>) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is a valid clone_args.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = (flags | libc::CLONE_PIDFD) as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    let size = size_of::<libc::clone_args>();
    // SAFETY: without CLONE_VM this is fork(2): the child has a copy of everything, and below it makes system calls only.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) })?;
    if pid == 0 {
        // SAFETY: integers only; the child never comes back from here.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            if let Some(fd) = join
                && libc::setns(fd, libc::CLONE_NEWUSER) != 0
            {
                libc::_exit(1);
            }
            // Joining changes the credentials, which takes the signal away.
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
        let link =
            |fd: &OwnedFd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        assert!(link(&first).to_string_lossy().starts_with("user:["));
        assert_ne!(link(&first), fs::read_link("/proc/self/ns/user").unwrap());
        assert!(user_namespace("nonsense", "0 0 1").is_err());
        let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (uids, gids) = maps_of(&first).unwrap();
        assert_eq!(
            (words(uids).as_str(), words(gids).as_str()),
            ("0 100000 10", "0 200000 10")
        );
        let own = maps_of(File::open("/proc/self/ns/user").unwrap())
            .unwrap()
            .0;
        assert_eq!(own, fs::read_to_string("/proc/self/uid_map").unwrap());
        assert!(maps_of(File::open("/proc/self/ns/net").unwrap()).is_err());
    }
}
