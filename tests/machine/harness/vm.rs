//! A virtual machine: all resource controllers, reboots, power cuts; some 20 seconds to boot, and
//! several times slower than the host.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Run;
use super::lab::script;

/// A virtual machine that is on. It is removed when this goes out of scope, and when this process
/// is killed.
#[derive(Debug)]
pub(crate) struct Vm {
    name: String,
}

impl Vm {
    /// Boots a machine in which unitbox is installed, as Cargo has built it for this test.
    ///
    /// # Panics
    /// With the tool's words, if its systemd does not finish booting.
    #[track_caller]
    pub(crate) fn boot() -> Self {
        Self::boot_with(&[])
    }

    /// Boots a machine without unitbox.
    #[track_caller]
    pub(crate) fn bare() -> Self {
        Self::boot_with(&["--no-install"])
    }

    /// Boots a machine with these packages besides (names with commas) and these arguments for its kernel. The first boot
    /// with packages that no test had before builds a base for them.
    #[track_caller]
    pub(crate) fn boot_special(packages: &str, kernel: &str) -> Self {
        Self::boot_with(&["--packages", packages, "--kernel", kernel])
    }

    #[track_caller]
    fn boot_with(options: &[&str]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let owner = process::id().to_string();
        let name = format!("t{owner}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let vm = Self { name };
        vm.tool("new", ["--owner", &owner].iter().chain(options))
            .ok();
        vm.switch_on();
        vm
    }

    /// The name that `tests/lab/vm.sh` knows it by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a bash script as root inside, with no input, to its end. If the machine goes away
    /// before that, the code is 255.
    pub(crate) fn sh(&self, text: &str) -> Run {
        let output = self.command(&[], text).stdin(Stdio::null()).output();
        Run::new(text, output.expect("tests/lab/vm.sh can be executed"))
    }

    /// The same with `input` on its standard input.
    pub(crate) fn sh_with_input(&self, text: &str, input: &[u8]) -> Run {
        let mut child = self.spawn(text);
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let output = thread::scope(|scope| {
            // A script that reads less than all of it is its own business: EPIPE is no failure.
            scope.spawn(move || stdin.write_all(input).ok());
            child.wait_with_output()
        });
        Run::new(text, output.expect("a child can be waited for"))
    }

    /// Writes a file inside; its directory must exist. It is not synced.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        self.sh_with_input(&format!("cat >'{path}'"), content.as_ref())
            .ok();
    }

    /// Starts a bash script as root inside, with pipes on its standard input, output and error.
    pub(crate) fn spawn(&self, text: &str) -> Child {
        self.command(&["-i"], text)
            .stdin(Stdio::piped())
            .spawn()
            .expect("tests/lab/vm.sh can be executed")
    }

    /// Reboots from inside, in an orderly way.
    #[track_caller]
    pub(crate) fn reboot(&self) {
        self.tool("reboot", [""; 0]).ok();
    }

    /// Takes the power away and gives it back. What the machine had not synced is lost.
    #[track_caller]
    pub(crate) fn power_cut(&self) {
        self.tool("cut", [""; 0]).ok();
        self.switch_on();
    }

    #[track_caller]
    fn switch_on(&self) {
        self.tool("boot", [""; 0]).ok();
    }

    fn command(&self, options: &[&str], text: &str) -> Command {
        let mut command = script("vm.sh", ["exec"]);
        command
            .args(options)
            .args([&self.name, "--", "bash", "-c", text])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn tool<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, verb: &str, options: I) -> Run {
        let mut command = script("vm.sh", [verb]);
        let output = command.arg(&self.name).args(options).output();
        let output = output.expect("tests/lab/vm.sh can be executed");
        Run::new(&format!("vm.sh {verb}"), output)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let run = self.tool("rm", [""; 0]);
        // A second panic would hide the first.
        if !thread::panicking() {
            run.ok();
        }
    }
}
