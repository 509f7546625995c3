//! The k8s-file log driver: `TIME stream F|P text` a line, as Podman and the Kubernetes CRI write it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::sys::time::{Stamp, realtime};

/// A log file that both streams of a container write to.
#[derive(Debug)]
pub(super) struct K8sFile {
    path: PathBuf,
    file: File,
    size: u64,
    max: Option<u64>,
    /// Whether a failed write was already reported.
    failing: bool,
}

impl K8sFile {
    pub(super) fn open(path: &Path, max: Option<u64>) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            // A FIFO that nobody reads must not hold the monitor up.
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(path)?;
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            max,
            failing: false,
        })
    }

    /// Writes what a stream gave; lines that have no end yet are marked `P`, partial.
    pub(super) fn write(&mut self, stream: &str, bytes: &[u8]) {
        let stamp = Stamp::local(realtime());
        let mut text = Vec::with_capacity(bytes.len() + 128);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (tag, line) = match line.strip_suffix(b"\n") {
                Some(line) => ('F', line),
                None => ('P', line),
            };
            text.extend_from_slice(format!("{} {stream} {tag} ", stamp.as_str()).as_bytes());
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        match self.append(&text) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                eprintln!(
                    "<4>write log {}: {error}; lines are lost until it works",
                    self.path.display()
                );
            }
            Err(_) => {}
        }
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let length = text.len() as u64;
        if self
            .max
            .is_some_and(|max| self.size > 0 && self.size + length > max)
        {
            // As conmon does: the log starts again.
            self.file.set_len(0)?;
            self.size = 0;
        }
        self.file.write_all(text)?;
        self.size += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_marked_and_the_file_starts_again_at_its_limit() {
        let path = std::env::temp_dir().join(format!("unitbox-k8s-{}.log", std::process::id()));
        let mut log = K8sFile::open(&path, Some(300)).unwrap();
        log.write("stdout", b"one\ntwo");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].ends_with(" stdout F one") && lines[1].ends_with(" stdout P two"),
            "{text}"
        );
        for _ in 0..20 {
            log.write("stderr", b"0123456789\n");
            assert!(fs::metadata(&path).unwrap().len() <= 300);
        }
        fs::remove_file(&path).unwrap();
    }
}
