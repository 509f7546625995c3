//! Workers: children that go on with this program's own code, without exec.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{self, AssertUnwindSafe};

use nix::libc;

use super::check;
use super::process::{Child, exit_now};
use super::signals::{self, BlockedAll, SignalSet};

/// The exit code of a worker that panicked.
pub const PANICKED: i32 = 125;

/// Forks; the child runs `work` with default signal dispositions and an empty mask and exits with
/// what it returns, without destructors or flushing; a panic is printed and becomes [`PANICKED`].
/// The child has a copy of every open descriptor (fork(2)).
///
/// Only a single-threaded process may do this (locks held by other threads would stay locked in the
/// child for ever); another gets `EDEADLK`. Start programs with [`super::exec::Exec::spawn`] there.
pub fn fork_worker(work: impl FnOnce() -> i32) -> io::Result<Child> {
    // The test harness has threads; its children use only what glibc keeps usable over fork.
    if !cfg!(test) && has_threads() {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    let blocked = BlockedAll::new()?;
    // SAFETY: one thread runs, so that the child's copy of memory is consistent; it leaves by _exit
    // only.
    match check(unsafe { libc::fork() })? {
        0 => run(work),
        pid => {
            drop(blocked);
            Child::adopt(pid as i32)
        }
    }
}

fn run(work: impl FnOnce() -> i32) -> ! {
    signals::set_all_default();
    // It cannot fail, and a worker that cannot be interrupted would still do its work.
    let _ = signals::set_mask(&SignalSet::empty());
    let report = panic::take_hook();
    // The hook ends the process even where panics abort, which would look like a crash and dump
    // core.
    panic::set_hook(Box::new(move |info| {
        report(info);
        exit_now(PANICKED)
    }));
    // resume_unwind goes round the hook, and must not unwind into the parent's frames.
    exit_now(panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED))
}

/// The task directory has a link per thread besides its own two (proc_pid_task(5)). Without /proc
/// nothing is known, and the caller is believed.
fn has_threads() -> bool {
    std::fs::metadata("/proc/self/task").is_ok_and(|task| task.nlink() > 3)
}

#[cfg(test)]
mod tests {
    use super::super::process::How;
    use super::*;

    #[test]
    fn the_worker_exits_with_what_it_returns() {
        for code in [0, 7, 255] {
            assert_eq!(
                fork_worker(|| code).unwrap().wait().unwrap(),
                How::Exited(code)
            );
        }
    }

    #[test]
    fn a_panic_becomes_125_however_it_is_raised() {
        let worker = fork_worker(|| panic!("on purpose, in a worker")).unwrap();
        assert_eq!(worker.wait().unwrap(), How::Exited(PANICKED));
        let worker = fork_worker(|| panic::resume_unwind(Box::new(1))).unwrap();
        assert_eq!(worker.wait().unwrap(), How::Exited(PANICKED));
    }

    #[test]
    fn the_worker_starts_with_clean_signals_and_the_parent_keeps_its_mask() {
        let mine = signals::set_mask(&SignalSet::of(&[libc::SIGTERM]).unwrap()).unwrap();
        let worker = fork_worker(|| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let none = |field: &str| {
                let line = status
                    .lines()
                    .find_map(|line| line.strip_prefix(field))
                    .unwrap();
                // Two are libc's own for its threads, and stay.
                u64::from_str_radix(line.trim_start_matches(":").trim(), 16).unwrap() & !(3 << 31)
                    == 0
            };
            i32::from(!none("SigBlk") || !none("SigIgn") || !none("SigCgt"))
        });
        assert_eq!(worker.unwrap().wait().unwrap(), How::Exited(0));
        let after = signals::set_mask(&mine).unwrap();
        assert!(after.contains(libc::SIGTERM) && !after.contains(libc::SIGINT));
    }

    #[test]
    fn threads_are_noticed() {
        assert!(has_threads(), "the test harness runs a thread per test");
        let alone = fork_worker(|| i32::from(has_threads())).unwrap();
        assert_eq!(alone.wait().unwrap(), How::Exited(0));
    }
}
