//! Units and links into the directory, messages to where somebody reads them.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::Arguments;
use crate::plan::unit::Deployed;

/// The kernel's log at boot, when nothing else takes messages; standard error otherwise.
pub(super) struct Log {
    kernel: Option<RefCell<File>>,
    verbose: bool,
}

impl Log {
    pub(super) fn open(arguments: &Arguments) -> Self {
        let asked = arguments.dry_run || arguments.no_kmsg;
        let kernel = (!asked).then(|| OpenOptions::new().write(true).open("/dev/kmsg").ok());
        Self {
            kernel: kernel.flatten().map(RefCell::new),
            verbose: arguments.verbose,
        }
    }

    pub(super) fn error(&self, text: &str) {
        self.say(3, text);
    }

    pub(super) fn info(&self, text: &str) {
        if self.verbose {
            self.say(6, text);
        }
    }

    /// The priority is syslog(3)'s, of the facility daemon.
    fn say(&self, priority: u8, text: &str) {
        let written = self.kernel.as_ref().is_some_and(|kernel| {
            let line = format!("<{}>unitbox-generator: {text}\n", 24 + priority);
            kernel.borrow_mut().write_all(line.as_bytes()).is_ok()
        });
        if !written {
            eprintln!("unitbox-generator: {text}");
        }
    }
}

/// Writes a unit and its links; whether all went well.
pub(super) fn write(directory: &Path, unit: &Deployed, log: &Log) -> bool {
    let path = directory.join(&unit.service);
    let mut good = true;
    let mut note = |path: &Path, result: io::Result<()>| {
        if let Err(error) = result {
            log.error(&format!("write {}: {error}", path.display()));
            good = false;
        }
    };
    note(&path, replace(&path, &unit.text));
    for (name, target) in &unit.links {
        let path = directory.join(name);
        note(&path, link(&path, target));
    }
    good
}

/// Half a unit is never seen under its name.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

fn link(path: &Path, target: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match std::os::unix::fs::symlink(target, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}
