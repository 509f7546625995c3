//! A user's terminal emulator: tmux on this host, whose one window is a shell on a machine.

use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Lab, Run};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A window with a shell whose prompt is `$ `. It is closed when this goes out of scope.
pub(crate) struct Tmux {
    socket: String,
}

impl Lab {
    /// Opens a window of this size.
    #[track_caller]
    pub(crate) fn tmux(&self, rows: u16, columns: u16) -> Tmux {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let socket = format!("unitbox-{}-{number}", process::id());
        let shell = [
            "exec",
            self.name(),
            "--",
            "env",
            "PS1=$ ",
            "bash",
            "--norc",
            "-i",
        ];
        let inner = super::lab::script("lab", shell);
        let window = Tmux { socket };
        let size = [rows, columns].map(|number| number.to_string());
        let mut command = window.command();
        command.args([
            "-f",
            "/dev/null",
            "start-server",
            ";",
            "set",
            "-g",
            "status",
            "off",
            ";",
        ]);
        command.args(["set", "-g", "history-limit", "100000", ";"]);
        command.args(["set", "-s", "escape-time", "0", ";"]);
        command.args(["new-session", "-d", "-y", &size[0], "-x", &size[1]]);
        command.arg(inner.get_program()).args(inner.get_args());
        Run::new("tmux new-session", run(&mut command)).ok();
        window.expect("$");
        window
    }
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .expect("tmux is installed (tests/lab/lab deps)")
}

impl Tmux {
    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).env_remove("TMUX");
        command
    }

    #[track_caller]
    fn tell(&self, args: &[&str]) -> String {
        Run::new(&args.join(" "), run(self.command().args(args))).ok()
    }

    /// Types a line and presses Enter.
    #[track_caller]
    pub(crate) fn line(&self, text: &str) {
        self.text(text);
        self.keys(&["Enter"]);
    }

    /// Types.
    #[track_caller]
    pub(crate) fn text(&self, text: &str) {
        self.tell(&["send-keys", "-l", "--", text]);
    }

    /// Presses keys by tmux's names, such as `C-c`.
    #[track_caller]
    pub(crate) fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        self.tell(&args);
    }

    /// Pastes all of this at once.
    #[track_caller]
    pub(crate) fn paste(&self, text: &str) {
        let path = std::env::temp_dir().join(&self.socket);
        std::fs::write(&path, text).expect("the temporary directory can be written");
        self.tell(&[
            "load-buffer",
            path.to_str().expect("its name is text"),
            ";",
            "paste-buffer",
            "-r",
        ]);
        std::fs::remove_file(&path).expect("it is there");
    }

    /// Makes the window another size.
    #[track_caller]
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let [rows, columns] = [rows, columns].map(|number| number.to_string());
        self.tell(&["resize-window", "-y", &rows, "-x", &columns]);
    }

    /// What is on the screen.
    #[track_caller]
    pub(crate) fn screen(&self) -> String {
        self.tell(&["capture-pane", "-p"])
    }

    /// Everything that was ever on it, wrapped lines joined.
    #[track_caller]
    pub(crate) fn history(&self) -> String {
        self.tell(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// Waits for a line of the screen that is this, without the white space around it.
    #[track_caller]
    pub(crate) fn expect(&self, line: &str) {
        self.until(line, |screen| screen.lines().any(|one| one.trim() == line));
    }

    /// Waits for anything on the screen.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, done: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if done(&screen) {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "no {what:?} on the screen:\n{screen}"
            );
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// An empty screen, with the shell's prompt on it.
    #[track_caller]
    pub(crate) fn clear(&self) {
        self.line("clear");
        self.until("an empty screen", |screen| screen.trim() == "$");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // One whose window has closed is gone already.
        let _ = self.command().arg("kill-server").output();
    }
}
