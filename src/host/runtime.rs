//! The OCI runtime: which program, and how each of its verbs is called.
//!
//! A runtime that finds NOTIFY_SOCKET in its environment becomes a proxy for it and blocks its start (sd_notify(3)), so
//! the environment it gets is made here and holds PATH only.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::api::Layout;
use crate::types::ContainerId;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The wished one is not there.
    #[error("runtime {0}: no such program in {PATH}")]
    Missing(String),
    /// None of the paths that containers.conf(5) has for the wished one.
    #[error("runtime {0}: none of its paths in containers.conf is a program")]
    Unlisted(String),
    /// Neither runc nor crun.
    #[error("no OCI runtime: neither runc nor crun in {PATH}")]
    None,
}

/// A runtime and the container it works for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Runtime {
    /// Absolute path of the program.
    pub program: PathBuf,
}

/// The files of one `exec`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecFiles {
    /// The process, as in config.json.
    pub process: PathBuf,
    /// Where the runtime writes its PID.
    pub pid: PathBuf,
    /// Where it sends the master of a terminal.
    pub console: PathBuf,
    /// Where it writes what went wrong.
    pub log: PathBuf,
}

impl ExecFiles {
    /// Those of a session: an id of 64 digits. A socket's path is short (unix(7)): it has only the first 12.
    pub fn new(directory: &Path, session: &str) -> Self {
        let file = |name: &str, kind: &str| directory.join(format!("{name}.{kind}"));
        Self {
            process: file(session, "json"),
            pid: file(session, "pid"),
            console: file(&session[..session.len().min(12)], "sock"),
            log: file(session, "log"),
        }
    }
}

/// A program with its arguments; the environment is [`Command::ENV`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments after argv\[0\].
    pub args: Vec<OsString>,
}

impl Command {
    /// The whole environment of a runtime.
    pub const ENV: [(&'static str, &'static str); 1] = [("PATH", PATH)];
}

/// What a container gets from its run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// The master of its terminal goes to this socket.
    pub console: Option<&'a Path>,
    /// So many descriptors from 3 on are the payload's.
    pub preserve: Option<i32>,
}

impl Runtime {
    /// Finds the wished runtime, or runc, or crun.
    ///
    /// # Errors
    /// It is not there.
    pub fn find(wish: Option<&str>) -> Result<Self, RuntimeError> {
        let found = match wish {
            Some(path) if path.starts_with('/') => executable(Path::new(path)),
            Some(name) => search(name),
            None => search("runc").or_else(|| search("crun")),
        };
        match (found, wish) {
            (Some(program), _) => Ok(Self { program }),
            (None, Some(wish)) => Err(RuntimeError::Missing(wish.to_owned())),
            (None, None) => Err(RuntimeError::None),
        }
    }

    /// The first of these paths that is a program.
    pub fn first_of(paths: &[String]) -> Option<String> {
        let mut paths = paths.iter();
        paths
            .find(|path| path.starts_with('/') && executable(Path::new(path)).is_some())
            .cloned()
    }

    /// `run --detach`: makes the container, starts its program and leaves it to whoever adopts orphans. `create` and
    /// `start` do the same with one process more, which is a tenth of a start's CPU.
    pub fn run(&self, layout: &Layout, id: &ContainerId, own: Own<'_>) -> Command {
        self.make(&["run", "--detach"], layout, id, own)
    }

    /// `create`: makes the container; its first process waits for [`Runtime::start`].
    pub fn create(&self, layout: &Layout, id: &ContainerId, own: Own<'_>) -> Command {
        self.make(&["create"], layout, id, own)
    }

    /// `start` of what [`Runtime::create`] has made.
    pub fn start(&self, layout: &Layout, id: &ContainerId) -> Command {
        self.command(layout, id, &["start".into(), id.as_str().into()])
    }

    fn make(&self, how: &[&str], layout: &Layout, id: &ContainerId, own: Own<'_>) -> Command {
        let pid_file = layout.run_container(id).join("pid");
        let mut verb: Vec<OsString> = how.iter().map(Into::into).collect();
        verb.extend([
            "--bundle".into(),
            layout.bundle(id).into(),
            "--pid-file".into(),
            pid_file.into(),
        ]);
        if let Some(console) = own.console {
            verb.extend(["--console-socket".into(), console.into()]);
        }
        if let Some(count) = own.preserve {
            verb.extend(["--preserve-fds".into(), count.to_string().into()]);
        }
        verb.push(id.as_str().into());
        self.command(layout, id, &verb)
    }

    /// `exec --detach`: starts a process in a container that runs and leaves it to whoever adopts orphans.
    pub fn exec(
        &self,
        layout: &Layout,
        id: &ContainerId,
        files: &ExecFiles,
        tty: bool,
        preserve: u32,
    ) -> Command {
        let mut verb: Vec<OsString> = vec![
            "exec".into(),
            "--detach".into(),
            "--process".into(),
            files.process.clone().into(),
            "--pid-file".into(),
            files.pid.clone().into(),
        ];
        if tty {
            verb.extend(["--console-socket".into(), files.console.clone().into()]);
        }
        if preserve > 0 {
            verb.extend(["--preserve-fds".into(), preserve.to_string().into()]);
        }
        verb.push(id.as_str().into());
        self.with_log(layout, id, &files.log, &verb)
    }

    /// The same in a group below the payload's, which must be there: whatever it starts can be told from the payload.
    pub fn exec_in(
        &self,
        layout: &Layout,
        id: &ContainerId,
        files: &ExecFiles,
        group: &str,
    ) -> Command {
        let mut command = self.exec(layout, id, files, false, 0);
        let last = command.args.len() - 1;
        command
            .args
            .splice(last..last, ["--cgroup".into(), group.into()]);
        command
    }

    /// Where below its state directory the runtime keeps what it may use again for other containers.
    pub fn cache(&self, layout: &Layout, id: &ContainerId) -> Option<PathBuf> {
        self.is_crun()
            .then(|| layout.runtime_state(id).join(".cache"))
    }

    /// `delete --force`: removes cgroup and state and runs the poststop hooks.
    pub fn delete(&self, layout: &Layout, id: &ContainerId) -> Command {
        self.command(
            layout,
            id,
            &["delete".into(), "--force".into(), id.as_str().into()],
        )
    }

    /// Whether it is crun, going by its name.
    pub fn is_crun(&self) -> bool {
        let name = self.program.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("crun")
    }

    fn command(&self, layout: &Layout, id: &ContainerId, verb: &[OsString]) -> Command {
        self.with_log(layout, id, &log_file(layout, id), verb)
    }

    fn with_log(
        &self,
        layout: &Layout,
        id: &ContainerId,
        log: &Path,
        verb: &[OsString],
    ) -> Command {
        let mut args: Vec<OsString> = vec![
            "--root".into(),
            layout.runtime_state(id).into(),
            "--log".into(),
            log.into(),
            "--log-format".into(),
            "json".into(),
        ];
        if self.is_crun() {
            // Its default driver would make a scope of its own outside the unit.
            args.push("--cgroup-manager=cgroupfs".into());
        }
        args.extend_from_slice(verb);
        Command {
            program: self.program.clone(),
            args,
        }
    }
}

/// Where the runtime writes what went wrong.
pub fn log_file(layout: &Layout, id: &ContainerId) -> PathBuf {
    layout.run_container(id).join("runtime.log")
}

fn search(name: &str) -> Option<PathBuf> {
    PATH.split(':')
        .find_map(|dir| executable(&Path::new(dir).join(name)))
}

fn executable(path: &Path) -> Option<PathBuf> {
    let meta = fs::metadata(path).ok()?;
    (meta.is_file() && meta.permissions().mode() & 0o111 != 0).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crun_is_told_its_cgroup_manager() {
        let id = ContainerId::from_random([1; 32]);
        let layout = Layout::new("/");
        for (program, told) in [("/usr/bin/crun", true), ("/usr/sbin/runc", false)] {
            let command = Runtime {
                program: program.into(),
            }
            .delete(&layout, &id);
            let has = command
                .args
                .iter()
                .any(|arg| arg == "--cgroup-manager=cgroupfs");
            assert_eq!(has, told, "{program}");
        }
    }

    #[test]
    fn a_missing_runtime_is_named() {
        let error = Runtime::find(Some("/no/such/runc"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("runtime /no/such/runc: no such program"),
            "{error}"
        );
    }
}
