//! Reads files: regular ones of a bounded size, whatever lies in a directory.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::{FileError, Kind, Position, Specifiers, UnitFile, parse};

/// Largest file, bytes.
pub const MAX_SIZE: u64 = 1 << 20;

/// What became of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// It was read, with its drop-ins.
    File(UnitFile),
    /// It is a link to /dev/null: there shall be no such unit (systemd.unit(5)).
    Masked,
    /// It cannot be used.
    Broken(Vec<FileError>),
}

impl Loaded {
    /// Reads a file and its drop-ins.
    pub fn read(path: &Path, drop_ins: &[PathBuf]) -> Self {
        let mut errors = Vec::new();
        let mut whole: Option<UnitFile> = None;
        for path in std::iter::once(path).chain(drop_ins.iter().map(PathBuf::as_path)) {
            match text(path).map_err(|error| vec![error]) {
                Ok(None) if whole.is_none() && errors.is_empty() => return Self::Masked,
                // A drop-in that is masked is none.
                Ok(None) => {}
                Ok(Some(text)) => match (parse(path, &text), &mut whole) {
                    (Ok(file), Some(whole)) => whole.extend(file),
                    (Ok(file), None) => whole = Some(file),
                    (Err(more), _) => errors.extend(more),
                },
                Err(more) => errors.extend(more),
            }
        }
        match whole {
            Some(file) if errors.is_empty() => Self::File(file),
            _ => Self::Broken(errors),
        }
    }
}

/// The text of a file; none if it is a link to /dev/null.
fn text(path: &Path) -> Result<Option<String>, FileError> {
    let at = Position::whole(path);
    let failed = |error: std::io::Error| FileError::new(&at, format!("read: {error}"));
    // A FIFO would wait for a writer, a terminal would become ours.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = opened.map_err(failed)?;
    let data = file.metadata().map_err(failed)?;
    if data.file_type().is_char_device() && data.rdev() == NULL {
        return Ok(None);
    }
    if !data.is_file() {
        return Err(FileError::new(&at, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(FileError::new(&at, "larger than 1 MiB"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            let at = Position { line, ..at };
            Err(FileError::new(&at, "not UTF-8"))
        }
    }
}

/// Device number of /dev/null: major 1, minor 3.
const NULL: u64 = 0x103;

/// A file with those that it refers to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileSet(BTreeMap<String, UnitFile>);

impl FileSet {
    /// Adds a file.
    pub fn insert(&mut self, name: &str, file: UnitFile) {
        self.0.insert(name.to_owned(), file);
    }

    /// A file by its name.
    pub fn get(&self, name: &str) -> Option<&UnitFile> {
        self.0.get(name)
    }

    /// Reads files whose drop-ins stand behind them: the first is the one that is to be run, of the others it takes
    /// names.
    ///
    /// # Errors
    /// Any of them cannot be used.
    pub fn read(paths: &[PathBuf]) -> Result<(UnitFile, Self), Vec<FileError>> {
        let mut set = Self::default();
        let mut first = None;
        let mut rest = paths;
        while let Some((path, behind)) = rest.split_first() {
            let own = behind
                .iter()
                .take_while(|path| Kind::of(path).is_none())
                .count();
            let file = match Loaded::read(path, &behind[..own]) {
                Loaded::File(file) => file,
                Loaded::Masked => {
                    return Err(vec![FileError::new(&Position::whole(path), "masked")]);
                }
                Loaded::Broken(errors) => return Err(errors),
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            set.insert(&name, file.clone());
            first.get_or_insert(file);
            rest = &behind[own..];
        }
        let none = || vec![FileError::new(&Position::whole(Path::new("")), "no file")];
        Ok((first.ok_or_else(none)?, set))
    }
}

/// The specifiers of this host; `root` is where its files are.
pub fn host_specifiers(root: &Path) -> Specifiers {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy().into_owned();
    let kernel = nix::sys::utsname::uname();
    let kernel = kernel.map(|names| names.release().to_string_lossy().into_owned());
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let release = match read("etc/os-release") {
        text if text.is_empty() => read("usr/lib/os-release"),
        text => text,
    };
    let of_release = |key: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    let short = host.split('.').next().unwrap_or_default().to_owned();
    let fixed = [
        ('C', "/var/cache"),
        ('D', "/usr/share"),
        ('E', "/etc"),
        ('G', "0"),
        ('L', "/var/log"),
        ('S', "/var/lib"),
        ('T', "/tmp"),
        ('U', "0"),
        ('V', "/var/tmp"),
        ('g', "root"),
        ('h', "/root"),
        ('s', "/bin/sh"),
        ('t', "/run"),
        ('u', "root"),
    ];
    let read = [
        ('H', host),
        ('l', short),
        ('m', read("etc/machine-id").trim().to_owned()),
        ('b', boot.trim().replace('-', "")),
        ('v', kernel.unwrap_or_default()),
        ('o', of_release("ID")),
        ('w', of_release("VERSION_ID")),
        ('B', of_release("BUILD_ID")),
        ('W', of_release("VARIANT_ID")),
    ];
    let fixed = fixed.map(|(c, value)| (c, value.to_owned()));
    Specifiers::new(fixed.into_iter().chain(read))
}
