//! Tests of `exec`: what the program sees, and what its failure says.

use super::super::move_data::pipe;
use super::super::paths::tests::TempDir;
use super::super::process::How;
use super::super::worker::fork_worker;
use super::*;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Runs a shell line and returns what it wrote to standard output, and its end.
fn shell(line: &str, change: impl FnOnce(Exec<'static>) -> Exec<'static>) -> (String, How) {
    let (read, write) = pipe().unwrap();
    let exec: Exec<'_> = change(Exec::new("/bin/sh").args(["-c", line]));
    let child = exec.stdout(write.as_fd()).spawn().unwrap();
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    (text, child.wait().unwrap())
}

fn text_of(result: Result<Child, ExecError>) -> (String, Option<i32>) {
    let err = result.unwrap_err();
    let source = std::error::Error::source(&err)
        .unwrap()
        .downcast_ref::<io::Error>()
        .unwrap();
    (err.to_string(), source.raw_os_error())
}

#[test]
fn arguments_environment_and_code_are_exact() {
    let env = |exec: Exec<'static>| exec.env("A", "1").envs([("B", "x y")]);
    let (text, how) = shell("cat /proc/self/environ; exit 7", env);
    // The shell adds PWD and the like; nothing of ours is there.
    assert!(text.contains("A=1\0") && text.contains("B=x y\0") && !text.contains("CARGO"));
    assert_eq!(how, How::Exited(7));
    let (text, _) = shell("echo $0", |exec| exec.arg("name"));
    assert_eq!(text, "name\n");
}

#[test]
fn only_the_named_descriptors_arrive() {
    // Open without close-on-exec, as a library might.
    let stray = File::open("/dev/null").unwrap();
    // SAFETY: integers only; the copy is closed below.
    let leaky = unsafe { libc::fcntl(stray.as_raw_fd(), libc::F_DUPFD, 50) };
    assert!(leaky >= 50);
    let (text, _) = shell("exec /bin/ls /proc/self/fd", |exec| exec);
    assert_eq!(
        text, "0\n1\n2\n3\n",
        "the last is the directory that is listed"
    );
    // SAFETY: it was made above.
    unsafe { libc::close(leaky) };
}

#[test]
fn descriptors_may_trade_places_and_keep_their_numbers() {
    let ((a, aw), (b, bw), (out, ow)) = (pipe().unwrap(), pipe().unwrap(), pipe().unwrap());
    move_data::write(&aw, b"a").unwrap();
    move_data::write(&bw, b"b").unwrap();
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let exec = Exec::new("/bin/cat")
        .args([path(&a), path(&b), path(&out)])
        .stdout(ow.as_fd());
    let exec = exec
        .fd(a.as_raw_fd(), b.as_fd())
        .fd(b.as_raw_fd(), a.as_fd());
    let null = File::open("/dev/null").unwrap();
    let child = exec.fd(out.as_raw_fd(), null.as_fd()).spawn().unwrap();
    drop((aw, bw, ow));
    let mut text = String::new();
    File::from(out).read_to_string(&mut text).unwrap();
    assert_eq!(
        (text.as_str(), child.wait().unwrap()),
        ("ba", How::Exited(0))
    );
}

#[test]
fn failures_say_the_step_and_the_errno_and_leave_no_child() {
    assert_eq!(
        text_of(Exec::new("/no/such").spawn()),
        ("run /no/such".into(), Some(libc::ENOENT))
    );
    assert_eq!(
        text_of(Exec::new("/etc/passwd").spawn()).1,
        Some(libc::EACCES)
    );
    assert_eq!(
        text_of(Exec::new("/bin/true").cwd("/no/dir").spawn()),
        (
            "change the working directory for /bin/true".into(),
            Some(libc::ENOENT)
        )
    );
    assert_eq!(
        text_of(Exec::new("/bin/true").oom_score_adj(5000).spawn()),
        ("set oom_score_adj for /bin/true".into(), Some(libc::EINVAL))
    );
    assert_eq!(
        text_of(Exec::new("/bin/true").pdeathsig(65).spawn()).1,
        Some(libc::EINVAL)
    );
    assert!(Exec::new("/bin/true").arg("a\0b").spawn().is_err());
    assert!(
        Exec::new("/bin/true")
            .fd(-1, io::stdin().as_fd())
            .spawn()
            .is_err()
    );
    let alone = fork_worker(|| {
        let failed = Exec::new("/no/such").spawn().is_err();
        // SAFETY: NULL is allowed for the status.
        let left = unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) };
        i32::from(!failed || left != -1)
    });
    assert_eq!(alone.unwrap().wait().unwrap(), How::Exited(0));
}

#[test]
fn directory_group_score_and_signals_are_set() {
    let dir = TempDir::new();
    let real = dir.path.canonicalize().unwrap();
    let line = "pwd -P; cat /proc/self/oom_score_adj; cut -d' ' -f5,6 /proc/$$/stat; echo $$; grep -E 'Sig(Blk|Ign)' /proc/self/status";
    let path = OsStr::new("/usr/bin:/bin");
    let (text, _) = shell(line, |exec| {
        exec.env("PATH", path)
            .cwd(&dir.path)
            .oom_score_adj(300)
            .own_session()
            .pdeathsig(9)
    });
    let lines: Vec<_> = text.lines().collect();
    let pid = lines[3];
    assert_eq!(lines[0], real.to_str().unwrap());
    assert_eq!(
        (lines[1], lines[2]),
        ("300", format!("{pid} {pid}").as_str())
    );
    assert!(
        lines[4..]
            .iter()
            .all(|line| line.ends_with("\t0000000000000000")),
        "{text}"
    );
}

#[test]
fn exec_now_becomes_the_program_or_says_why_not() {
    let worker = fork_worker(|| {
        let err = Exec::new("/no/such").exec_now();
        if !matches!(err, ExecError::Exec { .. }) {
            return 1;
        }
        let _ = Exec::new("/bin/sh").args(["-c", "exit 42"]).exec_now();
        2
    });
    assert_eq!(worker.unwrap().wait().unwrap(), How::Exited(42));
}

#[test]
fn pending_signals_survive_an_exec_that_keeps_signals() {
    let worker = fork_worker(|| {
        signals::set_mask(&SignalSet::of(&[libc::SIGTERM]).unwrap()).unwrap();
        // SAFETY: it is blocked and becomes pending.
        unsafe { libc::raise(libc::SIGTERM) };
        // Not a shell: dash unblocks everything when it starts.
        let grep = Exec::new("/bin/grep").args(["-q", "^SigPnd:.*4000$", "/proc/self/status"]);
        let _ = grep.keep_signals().exec_now();
        2
    });
    assert_eq!(worker.unwrap().wait().unwrap(), How::Exited(0));
}
