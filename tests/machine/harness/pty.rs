//! A terminal on a machine: what a user types, and what comes back.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use unitbox::sys::terminal::{self, Size};

use super::Lab;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A script that runs at a terminal of its own.
pub(crate) struct Terminal {
    master: OwnedFd,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Lab {
    /// Runs a bash script as root inside, at a terminal of 24 rows and 80 columns.
    pub(crate) fn terminal(&self, script: &str) -> Terminal {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("there are pseudoterminals");
        let end = || pty.slave.try_clone().expect("a descriptor can be copied");
        let inner = super::lab::script("lab", ["exec", self.name(), "--", "bash", "-c", script]);
        // It makes the terminal the controlling one of a session of its own.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .envs(
                inner
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(end())
            .stdout(end())
            .stderr(end());
        let child = command.spawn().expect("setsid can be executed");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (
            File::from(pty.master.try_clone().expect("a copy")),
            seen.clone(),
        );
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            loop {
                match from.read(&mut buffer) {
                    Ok(count) if count > 0 => to
                        .lock()
                        .expect("nobody panics with it")
                        .extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // EIO: the last process has closed it.
                    Ok(_) | Err(_) => return,
                }
            }
        });
        Terminal {
            master: pty.master,
            child,
            seen,
        }
    }
}

impl Terminal {
    /// Types.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        let master = self.master.try_clone().expect("a copy");
        File::from(master)
            .write_all(bytes.as_ref())
            .expect("a terminal takes what is typed");
    }

    /// Makes it another size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        terminal::set_size(self.master.as_fd(), Size { rows, columns }).expect("it has a size");
    }

    /// Waits until its client takes every key as it is.
    #[track_caller]
    pub(crate) fn until_raw(&self) {
        let lines = || {
            let now = tcgetattr(&self.master).expect("a terminal has settings");
            now.local_flags.contains(LocalFlags::ICANON)
        };
        self.until("raw mode", |_| !lines());
    }

    /// Everything that it has shown so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen.lock().expect("nobody panics with it").clone()
    }

    /// The same as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits until it shows this, after what was waited for before has been taken away with [`Terminal::clear`].
    #[track_caller]
    pub(crate) fn expect(&self, wanted: &str) {
        self.until(wanted, |seen| {
            seen.windows(wanted.len())
                .any(|part| part == wanted.as_bytes())
        });
    }

    /// Waits for anything that can be seen.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, done: impl Fn(&[u8]) -> bool) {
        let begin = Instant::now();
        while !done(&self.bytes()) {
            assert!(
                begin.elapsed() < PATIENCE,
                "no {what:?} on the terminal:\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Forgets what it has shown.
    pub(crate) fn clear(&self) {
        self.seen.lock().expect("nobody panics with it").clear();
    }

    /// Waits for the end of the script; its exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status.code();
            }
            assert!(begin.elapsed() < PATIENCE, "it goes on:\n{}", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The entry into the machine; what runs inside loses its terminal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
