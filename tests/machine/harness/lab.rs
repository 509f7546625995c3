//! A namespace container that boots systemd: half a second, native speed, no resource controllers.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Run;

/// The Debian release that a machine runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Suite {
    /// Debian 13: systemd 257, runc 1.1.15, crun 1.21, podman 5.4.
    Trixie,
    /// Debian 12: systemd 252, runc 1.1.5, crun 1.8; no podman.
    Bookworm,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Bookworm => "bookworm",
        }
    }
}

/// A running machine. It is stopped and removed when this goes out of scope, or by the next boot if
/// this process is killed.
#[derive(Debug)]
pub(crate) struct Lab {
    name: String,
}

impl Lab {
    /// Boots a machine in which unitbox is installed, as Cargo has built it for this test.
    ///
    /// # Panics
    /// With the tool's words, if it does not reach `running`.
    #[track_caller]
    pub(crate) fn boot(suite: Suite) -> Self {
        Self::boot_with(suite, &[])
    }

    /// Boots a machine without unitbox.
    #[track_caller]
    pub(crate) fn bare(suite: Suite) -> Self {
        Self::boot_with(suite, &["--no-install"])
    }

    #[track_caller]
    fn boot_with(suite: Suite, options: &[&str]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let owner = process::id().to_string();
        let name = format!("t{owner}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let output = tool(["boot", &name, "--suite", suite.name(), "--owner", &owner])
            .args(options)
            .output()
            .expect("tests/lab/lab can be executed");
        Run::new("lab boot", output).ok();
        Self { name }
    }

    /// The name, which is the host name inside too.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a bash script as root inside, with no input, to its end.
    pub(crate) fn sh(&self, script: &str) -> Run {
        let output = self.command(script).stdin(Stdio::null()).output();
        Run::new(script, output.expect("tests/lab/lab can be executed"))
    }

    /// The same with `input` on its standard input.
    pub(crate) fn sh_with_input(&self, script: &str, input: &[u8]) -> Run {
        let mut child = self.spawn(script);
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let output = thread::scope(|scope| {
            // A script that reads less than all of it is its own business: EPIPE is no failure.
            scope.spawn(move || stdin.write_all(input).ok());
            child.wait_with_output()
        });
        Run::new(script, output.expect("a child can be waited for"))
    }

    /// Writes a file inside; its directory must exist.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        self.sh_with_input(&format!("cat >'{path}'"), content.as_ref())
            .ok();
    }

    /// Starts a bash script as root inside, with pipes on its standard input, output and error.
    ///
    /// To kill the child harms the entry into the machine only, not the script: signal that from
    /// inside.
    pub(crate) fn spawn(&self, script: &str) -> Child {
        self.command(script)
            .spawn()
            .expect("tests/lab/lab can be executed")
    }

    /// Shuts down in an orderly way and boots again from the same disk.
    #[track_caller]
    pub(crate) fn reboot(&self) {
        self.restart(&[]);
    }

    /// Kills everything at once and boots again from the same disk. What was written stays, synced
    /// or not: a machine that loses its page cache too has to be virtual.
    #[track_caller]
    pub(crate) fn power_cut(&self) {
        self.restart(&["--kill"]);
    }

    #[track_caller]
    fn restart(&self, options: &[&str]) {
        let output = tool(["reboot"]).args(options).arg(&self.name).output();
        Run::new("lab reboot", output.expect("tests/lab/lab can be executed")).ok();
    }

    /// Stops the machine in an orderly way and removes it.
    ///
    /// # Panics
    /// If anything of it cannot be removed.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.end().ok();
    }

    fn command(&self, script: &str) -> Command {
        let mut command = tool(["exec", &self.name, "--", "bash", "-c", script]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn end(&self) -> Run {
        let output = tool(["stop", &self.name]).output();
        Run::new("lab stop", output.expect("tests/lab/lab can be executed"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let run = self.end();
        // A second panic would hide the first.
        if !thread::panicking() {
            run.ok();
        }
    }
}

/// `tests/lab/lab` with arguments.
pub(crate) fn tool<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    script("lab", args)
}

/// A script of `tests/lab`, told to install the binaries of this very build unless the caller chose
/// others.
pub(super) fn script<I, S>(name: &str, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(checkout.join("tests/lab").join(name));
    command.args(args).env("UNITBOX_BIN_DIR", binaries());
    command
}

/// Where the programs are that are tested.
pub(crate) fn binaries() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_unitbox")).parent();
    let built = built.expect("an executable is in a directory").to_owned();
    std::env::var_os("UNITBOX_BIN_DIR").map_or(built, PathBuf::from)
}
