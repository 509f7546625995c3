//! What a monitor hands to the program that it becomes (`systemctl reload`): one text, and descriptors by their numbers.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::launch::{self, Launch, Said};
use crate::lifecycle::Run;
use crate::types::ContainerId;

/// Version of the text. A program reads its own and the one before; for tests, that with kill points is one ahead.
const VERSION: u32 = 1 + cfg!(feature = "failpoints") as u32;
/// Longest text, bytes: of labels, and what a terminal's pipe has not taken.
const MOST: usize = 1 << 20;
const TITLE: &str = "unitbox-monitor ";
const END: &str = "END\n";

/// Why a text cannot be taken over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum KeptError {
    #[error(
        "what the monitor keeps is of version {0}, this program reads {VERSION} and the one before"
    )]
    Version(String),
    #[error("what the monitor keeps has no usable {0}")]
    Field(&'static str),
    #[error("what the monitor keeps is cut")]
    Cut,
}

/// The whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    pub(super) id: ContainerId,
    pub(super) nonce: String,
    /// As [`Run::render`] has it.
    pub(super) run: String,
    pub(super) launch: Launch,
    /// Process id, and start in microseconds since the epoch.
    pub(super) payload: (i32, u64),
    /// The worker that looks at the health, and since when.
    pub(super) looking: Option<(i32, Duration)>,
    /// How long the last look took.
    pub(super) took: Option<Duration>,
    pub(super) streams: Vec<KeptStream>,
    pub(super) stdin: Option<RawFd>,
    pub(super) console: Option<KeptConsole>,
    pub(super) proxy: Option<RawFd>,
    /// Numbers and sockets.
    pub(super) clients: Vec<(u32, RawFd)>,
    pub(super) next_client: u32,
    /// The client that waits for the successor.
    pub(super) caller: u32,
    /// Files of the unit's cgroup, as they were handed on last.
    pub(super) limits: Vec<(String, String)>,
    /// A file with what changes now: a [`Launch`] record.
    pub(super) change: Option<RawFd>,
}

/// An output of the container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KeptStream {
    pub(super) is_stderr: bool,
    pub(super) source: RawFd,
    pub(super) sink: KeptSink,
    pub(super) taps: Vec<KeptTap>,
}

/// Where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KeptSink {
    /// With the stream, if there is one, and the priority.
    Journal(Option<RawFd>, u8),
    File,
    Null,
}

/// A client's copy of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeptTap {
    pub(super) client: u32,
    pub(super) pipe: RawFd,
    pub(super) has: usize,
    pub(super) patient: bool,
}

/// The container's terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KeptConsole {
    pub(super) master: RawFd,
    pub(super) pipe: RawFd,
    pub(super) peer: Option<RawFd>,
    pub(super) left: Vec<u8>,
}

/// Descriptors that stay open.
#[derive(Debug, Default)]
pub(super) struct Open<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Open<'a> {
    /// Its number.
    pub(super) fn keep(&mut self, fd: &'a impl AsFd) -> RawFd {
        let fd = fd.as_fd();
        self.0.push(fd);
        fd.as_raw_fd()
    }

    pub(super) fn into_inner(self) -> Vec<BorrowedFd<'a>> {
        self.0
    }
}

impl Kept {
    pub(super) fn render(&self) -> String {
        let mut text = format!("{TITLE}{VERSION}\n");
        let mut line = |key: &str, value: &str| {
            text.push_str(key);
            text.push('=');
            text.push_str(&escape(value));
            text.push('\n');
        };
        line("ID", self.id.as_str());
        line("NONCE", &self.nonce);
        line("RUN", &self.run);
        line("LAUNCH", &self.launch.render());
        line("PAYLOAD", &words(&[&self.payload.0, &self.payload.1]));
        if let Some((pid, since)) = self.looking {
            line("LOOKING", &words(&[&pid, &since.as_micros()]));
        }
        if let Some(took) = self.took {
            line("TOOK", &took.as_micros().to_string());
        }
        for stream in &self.streams {
            let sink = match stream.sink {
                KeptSink::Journal(fd, priority) => {
                    format!("journal {} {priority}", fd.unwrap_or(-1))
                }
                KeptSink::File => "file".to_owned(),
                KeptSink::Null => "null".to_owned(),
            };
            line(
                "STREAM",
                &words(&[&stream.is_stderr, &stream.source, &sink]),
            );
            for tap in &stream.taps {
                line(
                    "TAP",
                    &words(&[&tap.client, &tap.pipe, &tap.has, &tap.patient]),
                );
            }
        }
        if let Some(fd) = self.stdin {
            line("STDIN", &fd.to_string());
        }
        if let Some(console) = &self.console {
            let peer = console.peer.unwrap_or(-1);
            let left: String = console
                .left
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            line(
                "CONSOLE",
                &words(&[&console.master, &console.pipe, &peer, &left]),
            );
        }
        if let Some(fd) = self.proxy {
            line("PROXY", &fd.to_string());
        }
        for (number, socket) in &self.clients {
            line("CLIENT", &words(&[number, socket]));
        }
        line("NEXT_CLIENT", &self.next_client.to_string());
        line("CALLER", &self.caller.to_string());
        for (name, content) in &self.limits {
            line("LIMIT", &format!("{name} {content}"));
        }
        if let Some(fd) = self.change {
            line("CHANGE", &fd.to_string());
        }
        text + END
    }

    pub(super) fn parse(text: &str) -> Result<Self, KeptError> {
        let (title, _) = text.split_once('\n').ok_or(KeptError::Cut)?;
        let version = title.strip_prefix(TITLE).unwrap_or(title);
        if version
            .parse()
            .ok()
            .is_none_or(|version: u32| version > VERSION || version + 1 < VERSION)
        {
            return Err(KeptError::Version(version.to_owned()));
        }
        let text = text.strip_suffix(END).ok_or(KeptError::Cut)?;
        let lines: Vec<(&str, String)> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key, unescape(value)))
            .collect();
        let find = |key: &'static str| {
            let found = lines.iter().find(|(other, _)| *other == key);
            found.map(|(_, value)| value.as_str())
        };
        let all = |key: &'static str| {
            let found = lines.iter().filter(move |(other, _)| *other == key);
            found.map(|(_, value)| value.as_str())
        };
        let bad = KeptError::Field;
        let launch = match launch::parse(find("LAUNCH").unwrap_or_default()) {
            Said::Ready(launch) => *launch,
            Said::Failed(..) | Said::Cut => return Err(bad("LAUNCH")),
        };
        let run = find("RUN").unwrap_or_default().to_owned();
        if Run::resume(&run, launch.policy).is_none() {
            return Err(bad("RUN"));
        }
        Ok(Self {
            id: find("ID").and_then(|id| id.parse().ok()).ok_or(bad("ID"))?,
            nonce: find("NONCE").ok_or(bad("NONCE"))?.to_owned(),
            run,
            launch,
            payload: find("PAYLOAD").and_then(pair).ok_or(bad("PAYLOAD"))?,
            looking: optional(find("LOOKING"), pair)
                .ok_or(bad("LOOKING"))?
                .map(|(pid, since)| (pid, Duration::from_micros(since))),
            took: optional(find("TOOK"), number)
                .ok_or(bad("TOOK"))?
                .map(Duration::from_micros),
            streams: streams(&lines).ok_or(bad("STREAM"))?,
            stdin: optional(find("STDIN"), number).ok_or(bad("STDIN"))?,
            console: optional(find("CONSOLE"), console).ok_or(bad("CONSOLE"))?,
            proxy: optional(find("PROXY"), number).ok_or(bad("PROXY"))?,
            clients: all("CLIENT")
                .map(pair)
                .collect::<Option<_>>()
                .ok_or(bad("CLIENT"))?,
            next_client: find("NEXT_CLIENT")
                .and_then(number)
                .ok_or(bad("NEXT_CLIENT"))?,
            caller: find("CALLER").and_then(number).ok_or(bad("CALLER"))?,
            limits: all("LIMIT")
                .map(|line| {
                    let (name, content) = line.split_once(' ')?;
                    Some((name.to_owned(), content.to_owned()))
                })
                .collect::<Option<_>>()
                .ok_or(bad("LIMIT"))?,
            change: optional(find("CHANGE"), number).ok_or(bad("CHANGE"))?,
        })
    }
}

fn streams(lines: &[(&str, String)]) -> Option<Vec<KeptStream>> {
    let mut streams: Vec<KeptStream> = Vec::new();
    for (key, value) in lines {
        let mut words = value.split(' ');
        match *key {
            "STREAM" => streams.push(KeptStream {
                is_stderr: words.next()?.parse().ok()?,
                source: words.next()?.parse().ok()?,
                sink: match words.next()? {
                    "journal" => {
                        let fd: RawFd = words.next()?.parse().ok()?;
                        KeptSink::Journal((fd >= 0).then_some(fd), words.next()?.parse().ok()?)
                    }
                    "file" => KeptSink::File,
                    "null" => KeptSink::Null,
                    _ => return None,
                },
                taps: Vec::new(),
            }),
            "TAP" => streams.last_mut()?.taps.push(KeptTap {
                client: words.next()?.parse().ok()?,
                pipe: words.next()?.parse().ok()?,
                has: words.next()?.parse().ok()?,
                patient: words.next()?.parse().ok()?,
            }),
            _ => {}
        }
    }
    Some(streams)
}

fn console(text: &str) -> Option<KeptConsole> {
    let mut words = text.split(' ');
    let (master, pipe) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let peer: RawFd = words.next()?.parse().ok()?;
    let hex = words.next()?;
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    Some(KeptConsole {
        master,
        pipe,
        peer: (peer >= 0).then_some(peer),
        left: (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?,
    })
}

/// What is there must be right.
fn optional<T>(value: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(text) => parse(text).map(Some),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn pair<A: std::str::FromStr, B: std::str::FromStr>(text: &str) -> Option<(A, B)> {
    let (first, second) = text.split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

fn words(values: &[&dyn std::fmt::Display]) -> String {
    let words: Vec<String> = values.iter().map(|value| value.to_string()).collect();
    words.join(" ")
}

/// One line of any text.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                other => other.unwrap_or('\\'),
            }),
            c => out.push(c),
        }
    }
    out
}

/// A file in memory with this text.
pub(super) fn to_file(text: &str) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create(c"unitbox-monitor", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file.into())
}

/// The text of such a file.
pub(super) fn from_file(file: OwnedFd) -> io::Result<String> {
    let file = std::fs::File::from(file);
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match file.read_at(&mut part, text.len() as u64)? {
            0 => break,
            count if text.len() + count > MOST => {
                return Err(io::Error::other(format!(
                    "more than {MOST} bytes, with {count}"
                )));
            }
            count => text.extend_from_slice(&part[..count]),
        }
    }
    String::from_utf8(text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let record = "STOP_SIGNAL=15\nSTOP_TIMEOUT=10\nNOTIFY=conmon\nHELD=false\nINTERACTIVE=true\nTTY=false\n\
            DRIVER=journald\nSTDERR_PRIORITY=3\nLABELS={\"a\":\"b\\\\n\"}\nHEALTH=0 1 3 5 none\n\
            PROBE_RUNTIME=/usr/bin/crun\nPROBE_LOG=5 500 false\nEND\n";
        let Said::Ready(launch) = launch::parse(record) else {
            panic!("a record");
        };
        Kept {
            id: "ab".repeat(32).parse().unwrap(),
            nonce: "0f".repeat(16),
            run: "--restart=always 3 false none 5 healthy 0 7 - 9 regular 11 true".to_owned(),
            launch: *launch,
            payload: (77, 1_700_000_000_000_000),
            looking: Some((78, Duration::from_micros(11))),
            took: Some(Duration::from_micros(12)),
            streams: vec![
                KeptStream {
                    is_stderr: false,
                    source: 5,
                    sink: KeptSink::Journal(Some(6), 6),
                    taps: vec![
                        KeptTap {
                            client: 0,
                            pipe: 9,
                            has: 4096,
                            patient: true,
                        },
                        KeptTap {
                            client: 3,
                            pipe: 10,
                            has: 0,
                            patient: false,
                        },
                    ],
                },
                KeptStream {
                    is_stderr: true,
                    source: 7,
                    sink: KeptSink::Journal(None, 3),
                    taps: vec![],
                },
            ],
            stdin: Some(8),
            console: Some(KeptConsole {
                master: 11,
                pipe: 12,
                peer: None,
                left: vec![0, 10, 255],
            }),
            proxy: Some(13),
            clients: vec![(0, 14), (3, 15)],
            next_client: 4,
            caller: 3,
            limits: vec![("io.max".to_owned(), "8:0 rbps=1\n8:1 rbps=2\n".to_owned())],
            change: Some(16),
        }
    }

    #[test]
    fn a_successor_reads_what_was_kept_or_says_why_not() {
        let whole = kept();
        let text = whole.render();
        assert_eq!(Kept::parse(&text), Ok(whole.clone()));
        let least = Kept {
            looking: None,
            took: None,
            streams: vec![],
            stdin: None,
            console: None,
            proxy: None,
            clients: vec![],
            limits: vec![],
            change: None,
            ..whole
        };
        assert_eq!(Kept::parse(&least.render()), Ok(least));
        for cut in 0..text.len() {
            assert!(Kept::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        for (from, to, error) in [
            (
                "STREAM=false 5",
                "STREAM=false x",
                KeptError::Field("STREAM"),
            ),
            ("TAP=0 9", "TAP=0", KeptError::Field("STREAM")),
            (
                "RUN=--restart=always 3",
                "RUN=--restart=always x",
                KeptError::Field("RUN"),
            ),
            ("CONSOLE=11", "CONSOLE=", KeptError::Field("CONSOLE")),
            ("000aff", "000af", KeptError::Field("CONSOLE")),
            ("PROXY=13", "PROXY=", KeptError::Field("PROXY")),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text, "{from}");
            assert_eq!(Kept::parse(&bad), Err(error), "{from}");
        }
    }

    #[test]
    fn only_the_version_before_is_read() {
        let text = kept().render();
        let of = |version: u32| {
            text.replacen(
                &format!("{TITLE}{VERSION}\n"),
                &format!("{TITLE}{version}\n"),
                1,
            )
        };
        assert!(Kept::parse(&of(VERSION - 1)).is_ok());
        let newer = Kept::parse(&of(VERSION + 1)).unwrap_err();
        assert_eq!(newer, KeptError::Version((VERSION + 1).to_string()));
        assert!(Kept::parse("something\nEND\n").is_err());
    }

    #[test]
    fn a_file_gives_its_text_as_often_as_it_is_asked() {
        let text = "x".repeat(10_000);
        let file = to_file(&text).unwrap();
        for _ in 0..2 {
            assert_eq!(from_file(file.try_clone().unwrap()).unwrap(), text);
        }
        let long = to_file(&"x".repeat(MOST + 1)).unwrap();
        assert!(from_file(long).is_err());
    }
}
