//! `top`: the processes of a container, by Podman's descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use nix::unistd::{Gid, Group, SysconfVar, Uid, User, sysconf};

use super::error::CliError;
use super::stats::go_duration;
use super::{Host, output, ps, table, targets};
use crate::container::observe::{State, observe, payload_of};
use crate::sys::paths::Root;
use crate::sys::time::{Stamp, boottime, realtime};

/// Longest account file of a container that is read, bytes.
const MAX_ACCOUNTS: u64 = 1 << 20;

/// Descriptor and heading.
const COLUMNS: &[(&str, &str)] = &[
    ("args", "COMMAND"),
    ("capamb", "AMBIENT CAPS"),
    ("capbnd", "BOUNDING CAPS"),
    ("capeff", "EFFECTIVE CAPS"),
    ("capinh", "INHERITED CAPS"),
    ("capprm", "PERMITTED CAPS"),
    ("comm", "COMMAND"),
    ("etime", "ELAPSED"),
    ("group", "GROUP"),
    ("groups", "GROUPS"),
    ("hgroup", "HGROUP"),
    ("hpid", "HPID"),
    ("huser", "HUSER"),
    ("label", "LABEL"),
    ("nice", "NI"),
    ("pcpu", "%CPU"),
    ("pgid", "PGID"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("rgroup", "RGROUP"),
    ("rss", "RSS"),
    ("ruser", "RUSER"),
    ("seccomp", "SECCOMP"),
    ("state", "STATE"),
    ("stime", "STIME"),
    ("time", "TIME"),
    ("tty", "TTY"),
    ("user", "USER"),
    ("vsz", "VSZ"),
];

const USUAL: [&str; 8] = [
    "user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args",
];

/// The grammar.
pub(super) fn command() -> Command {
    Command::new("top")
        .about("Show the processes of a container")
        .arg(ps::latest())
        .arg(
            Arg::new("words")
                .value_name("CONTAINER [DESCRIPTOR...]")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let mut words: Vec<String> = targets::texts(args, "words").map(str::to_owned).collect();
    let definition = if args.get_flag("latest") {
        targets::latest(&host.layout)?
    } else if words.is_empty() {
        let text = "you must provide the name or id of a running container";
        return Err(CliError::Usage(text.to_owned()));
    } else {
        let name = words.remove(0);
        targets::find(&host.layout, &name).map_err(|error| match error.is_not_found() {
            true => CliError::Usage(format!("unable to look up requested container: {error}")),
            false => error,
        })?
    };
    let columns = columns(&words)?;
    let systemd = host.systemd()?;
    let seen = observe(&host.layout, &systemd, &definition)?;
    let payload = payload_of(&host.layout, &definition.id);
    let payload = payload.filter(|_| matches!(seen.state, State::Running | State::Stopping));
    let Some(payload) = payload else {
        let text = "top can only be used on running containers";
        return Err(CliError::Usage(text.to_owned()));
    };
    let accounts = Accounts::of(payload.pid);
    let mut lines = vec![
        columns
            .iter()
            .map(|(_, heading)| (*heading).to_owned())
            .collect(),
    ];
    let mut pids = Vec::new();
    collect(&payload.cgroup, &mut pids);
    pids.sort_unstable();
    for pid in pids {
        // One that has ended meanwhile is left out.
        if let Some(process) = Process::read(pid) {
            let line = columns
                .iter()
                .map(|(name, _)| process.show(name, &accounts));
            lines.push(line.collect());
        }
    }
    output::print(&table::columns(&lines))?;
    Ok(0)
}

fn columns(words: &[String]) -> Result<Vec<(&'static str, &'static str)>, CliError> {
    let usual = || USUAL.iter().map(|word| (*word).to_owned()).collect();
    let words: Vec<String> = match words.is_empty() {
        true => usual(),
        false => words
            .iter()
            .flat_map(|word| word.split(','))
            .map(|word| word.to_lowercase())
            .collect(),
    };
    let mut columns = Vec::new();
    for word in words {
        match COLUMNS.iter().find(|(name, _)| *name == word) {
            Some(column) => columns.push(*column),
            None => {
                let text = format!(
                    "unknown descriptor {word:?}; options of ps(1) are not supported, use one of Podman's descriptors"
                );
                return Err(CliError::Usage(text));
            }
        }
    }
    Ok(columns)
}

/// The processes of a group and of those below it.
fn collect(group: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), pids);
        }
    }
}

/// Names of users and groups as the container's own files have them.
#[derive(Default)]
struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Accounts {
    fn of(pid: i32) -> Self {
        let Ok(root) = Root::open(format!("/proc/{pid}/root")) else {
            return Self::default();
        };
        let names = |file: &str| {
            let fd = root.open_in(file, nix::libc::O_RDONLY | nix::libc::O_NONBLOCK, 0);
            let mut text = String::new();
            if let Ok(fd) = fd {
                let file = fs::File::from(fd);
                // What cannot be read has no names.
                let _ = file.take(MAX_ACCOUNTS).read_to_string(&mut text);
            }
            let line = |line: &str| {
                let mut fields = line.split(':');
                let name = fields.next()?.to_owned();
                Some((fields.nth(1)?.parse().ok()?, name))
            };
            // The first of several with one number counts.
            let mut all: Vec<(u32, String)> = text.lines().filter_map(line).collect();
            all.reverse();
            all.into_iter().collect()
        };
        Self {
            users: names("etc/passwd"),
            groups: names("etc/group"),
        }
    }
}

fn name(of: &BTreeMap<u32, String>, id: u32) -> String {
    of.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

/// A process as proc_pid_stat(5) and proc_pid_status(5) have it.
struct Process {
    pid: i32,
    command: String,
    /// The fields of `stat` behind the command: the third is number 0.
    stat: Vec<String>,
    status: BTreeMap<String, String>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let pairs = status.lines().filter_map(|line| line.split_once(':'));
        Some(Self {
            pid,
            command: head.split_once('(')?.1.to_owned(),
            stat: tail.split_whitespace().map(str::to_owned).collect(),
            status: pairs
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                .collect(),
        })
    }

    fn word(&self, field: usize) -> &str {
        self.stat.get(field).map_or("", String::as_str)
    }

    fn number(&self, field: usize) -> u64 {
        self.word(field).parse().unwrap_or(0)
    }

    fn status(&self, key: &str) -> &str {
        self.status.get(key).map_or("", String::as_str)
    }

    /// Real and effective id.
    fn ids(&self, key: &str) -> (u32, u32) {
        let mut numbers = self
            .status(key)
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// PID in its own namespace.
    fn inner_pid(&self) -> &str {
        self.status("NSpid")
            .split_whitespace()
            .next_back()
            .unwrap_or("?")
    }

    /// Processor time, microseconds.
    fn time(&self) -> u64 {
        (self.number(11) + self.number(12)).saturating_mul(1_000_000) / ticks()
    }

    /// Time since its start, microseconds.
    fn age(&self) -> u64 {
        let started = self.number(19).saturating_mul(1_000_000) / ticks();
        (boottime().as_micros() as u64).saturating_sub(started)
    }

    fn show(&self, column: &str, accounts: &Accounts) -> String {
        match column {
            "args" => self.args(),
            "capamb" => capabilities(self.status("CapAmb")),
            "capbnd" => capabilities(self.status("CapBnd")),
            "capeff" => capabilities(self.status("CapEff")),
            "capinh" => capabilities(self.status("CapInh")),
            "capprm" => capabilities(self.status("CapPrm")),
            "comm" => self.command.clone(),
            "etime" => go_duration(self.age()),
            "group" => name(&accounts.groups, self.ids("Gid").1),
            "groups" => {
                let ids = self.status("Groups").split_whitespace();
                let ids = ids.filter_map(|word| word.parse().ok());
                let names: Vec<String> = ids.map(|id| name(&accounts.groups, id)).collect();
                names.join(",")
            }
            "hgroup" => {
                let id = self.ids("Gid").1;
                let group = Group::from_gid(Gid::from_raw(id)).ok().flatten();
                group.map_or_else(|| id.to_string(), |group| group.name)
            }
            "hpid" => self.pid.to_string(),
            "huser" => {
                let id = self.ids("Uid").1;
                let user = User::from_uid(Uid::from_raw(id)).ok().flatten();
                user.map_or_else(|| id.to_string(), |user| user.name)
            }
            "label" => fs::read_to_string(format!("/proc/{}/attr/current", self.pid)).map_or_else(
                |_| "?".to_owned(),
                |text| text.trim_matches(['\0', '\n']).to_owned(),
            ),
            "nice" => self.word(16).to_owned(),
            "pcpu" => {
                let share = self.time() as f64 * 100.0 / (self.age().max(1)) as f64;
                format!("{share:.3}")
            }
            "pgid" => inner(self.word(2)),
            "pid" => self.inner_pid().to_owned(),
            "ppid" => inner(self.word(1)),
            "rgroup" => name(&accounts.groups, self.ids("Gid").0),
            "rss" => self.status("VmRSS").trim_end_matches(" kB").to_owned(),
            "ruser" => name(&accounts.users, self.ids("Uid").0),
            "seccomp" => match self.status("Seccomp") {
                "0" => "disabled",
                "1" => "strict",
                "2" => "filter",
                _ => "?",
            }
            .to_owned(),
            "state" => self.word(0).to_owned(),
            "stime" => {
                let since = std::time::Duration::from_micros(self.age());
                let text = Stamp::local(realtime().saturating_sub(since));
                text.as_str()
                    .get(..19)
                    .unwrap_or_default()
                    .replace('T', " ")
            }
            "time" => go_duration(self.time()),
            "tty" => terminal(self.number(4)),
            "user" => name(&accounts.users, self.ids("Uid").1),
            "vsz" => self.status("VmSize").trim_end_matches(" kB").to_owned(),
            other => unreachable!("{other} is no column"),
        }
    }

    fn args(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        match text.trim_end() {
            "" => format!("[{}]", self.command),
            text => text.to_owned(),
        }
    }
}

fn ticks() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    ticks
        .and_then(|ticks| u64::try_from(ticks).ok())
        .unwrap_or(100)
        .max(1)
}

/// The PID that a process of the host has in its own namespace; 0 if that is the host's.
fn inner(pid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let pids: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    match pids[..] {
        [_, .., last] => last.to_owned(),
        _ => "0".to_owned(),
    }
}

/// The name of a terminal by its number (proc_pid_stat(5), `tty_nr`).
fn terminal(number: u64) -> String {
    let (major, minor) = (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0xfff00),
    );
    match major {
        0 => "?".to_owned(),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// Names of a set, as proc_pid_status(5) has it in hexadecimal.
fn capabilities(hex: &str) -> String {
    let set = u64::from_str_radix(hex, 16).unwrap_or(0);
    let all = (1u64 << NAMES.len()) - 1;
    if set & all == all {
        return "full".to_owned();
    }
    let named = NAMES.iter().enumerate();
    let held: Vec<&str> = named
        .filter(|(bit, _)| set & (1 << bit) != 0)
        .map(|(_, name)| *name)
        .collect();
    match held.is_empty() {
        true => "none".to_owned(),
        false => held.join(","),
    }
}

/// By the number of their bit (include/uapi/linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_capabilities_have_names() {
        assert_eq!(capabilities("0000000000000003"), "CHOWN,DAC_OVERRIDE");
        assert_eq!(capabilities("0000000000000000"), "none");
        assert_eq!(capabilities("000001ffffffffff"), "full");
    }

    #[test]
    fn terminals_have_names() {
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(0x8803), "pts/3");
        assert_eq!(terminal(0x0401), "tty1");
    }

    #[test]
    fn descriptors_are_podmans() {
        assert_eq!(columns(&[]).unwrap().len(), 8);
        assert_eq!(
            columns(&["pid,ARGS".to_owned()]).unwrap()[1],
            ("args", "COMMAND")
        );
        let error = columns(&["aux".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("aux"), "{error}");
    }

    #[test]
    fn this_process_is_shown_in_every_column() {
        let own = Process::read(std::process::id() as i32).unwrap();
        for (column, _) in COLUMNS {
            own.show(column, &Accounts::default());
        }
        assert_eq!(
            own.show("pid", &Accounts::default()),
            std::process::id().to_string()
        );
    }
}
