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

    /// Whole lines, as many as fit; a file that is full starts again, as conmon's does.
    fn append(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            let max = self.max.unwrap_or(u64::MAX);
            let room = usize::try_from(max.saturating_sub(self.size)).unwrap_or(usize::MAX);
            let fits = &text[..room.min(text.len())];
            let mut piece = fits
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map(|at| at + 1);
            if piece.is_none() {
                self.file.set_len(0)?;
                // A line that is longer than the file may be goes into a file of its own.
                let longer = self.size == 0;
                self.size = 0;
                if !longer {
                    continue;
                }
                piece = text.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            }
            let (now, rest) = text.split_at(piece.unwrap_or(text.len()));
            self.file.write_all(now)?;
            self.size += now.len() as u64;
            text = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_keeps_to_the_limit_and_a_long_line_is_whole() {
        let path = std::env::temp_dir().join(format!("unitbox-flood-{}.log", std::process::id()));
        let mut log = K8sFile::open(&path, Some(8192)).unwrap();
        log.write("stdout", "1\n".repeat(30_000).as_bytes());
        assert!(fs::metadata(&path).unwrap().len() <= 8192);
        log.write("stdout", format!("{}\n", "x".repeat(20_000)).as_bytes());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() == 1 && text.len() > 20_000);
        log.write("stdout", b"end\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" F end\n") && text.lines().count() == 1);
        fs::remove_file(&path).unwrap();
    }

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
