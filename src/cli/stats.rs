//! `stats`: what containers use, from the files of their cgroups.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::error::CliError;
use super::template::{Template, Value, is_table};
use super::{Host, args, output, ps, select, table};
use crate::container::Site;
use crate::container::observe::{State, observe, payload_of};
use crate::sys::time::realtime;

/// The grammar.
pub(super) fn command() -> Command {
    let command = Command::new("stats").about("Show what containers use");
    select::by_name(command, "Those that do not run, too")
        .arg(ps::template())
        .arg(
            Arg::new("interval")
                .long("interval")
                .short('i')
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("5")
                .help("Time between two looks"),
        )
        .arg(args::switch(
            "no-reset",
            None,
            "Do not clear the screen in between",
        ))
        .arg(args::switch("no-stream", None, "Look once"))
        .arg(args::switch("no-trunc", None, "Do not shorten ids"))
}

const HEADINGS: &[(&str, &str)] = &[
    ("AVGCPU", "AVG CPU %"),
    ("AvgCPU", "AVG CPU %"),
    ("BlockIO", "BLOCK IO"),
    ("CPU", "CPU"),
    ("CPUPerc", "CPU %"),
    ("ContainerID", "CONTAINER ID"),
    ("ID", "ID"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemUsageBytes", "MEM USAGE / LIMIT"),
    ("Name", "NAME"),
    ("NetIO", "NET IO"),
    ("PIDS", "PIDS"),
    ("UpTime", "CPU TIME"),
];

const TABLE: &str = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDS}}\t{{.UpTime}}\t{{.AVGCPU}}";

/// What one look has found.
#[derive(Clone, Default)]
pub(super) struct Sample {
    pub(super) id: String,
    pub(super) name: String,
    /// When, and when the payload was started, microseconds since the epoch.
    pub(super) at: u64,
    pub(super) started: u64,
    /// Nothing runs: everything is 0.
    pub(super) over: bool,
    /// Processor time, microseconds.
    pub(super) cpu: Option<u64>,
    /// Bytes: used, and the most there may be.
    pub(super) memory: Option<(u64, u64)>,
    /// Bytes received and sent.
    pub(super) network: Option<(u64, u64)>,
    /// Bytes read and written.
    pub(super) block: Option<(u64, u64)>,
    /// Processes.
    pub(super) pids: Option<u64>,
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let once = args.get_flag("no-stream");
    let format = args.get_one::<String>("format").map_or("", String::as_str);
    if let Some(format) = Some(format).filter(|format| !matches!(*format, "" | "json" | "table")) {
        Template::of_rows("stats", format)?;
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let mut before: Vec<Sample> = Vec::new();
    loop {
        let samples = samples(args, host, site)?;
        let text = show(args, format, &samples, &before)?;
        let reset = !once && !args.get_flag("no-reset");
        // Home, and clear from there on (console_codes(4)).
        let clear = if reset { "\x1b[H\x1b[J" } else { "" };
        output::print(&format!("{clear}{text}"))?;
        if once {
            return Ok(0);
        }
        before = samples;
        site.manager.disconnect();
        let seconds = args.get_one::<u64>("interval").copied().unwrap_or(5);
        thread::sleep(Duration::from_secs(seconds));
    }
}

fn samples(args: &ArgMatches, host: &Host, site: Site<'_>) -> Result<Vec<Sample>, CliError> {
    let named = args.get_many::<String>("containers").is_some() || args.get_flag("latest");
    if !named {
        let all = args.get_flag("all");
        let entries = ps::list(site)?.entries.into_iter();
        let wanted = entries.filter(|entry| all || entry.seen.state.has_payload());
        return Ok(wanted
            .map(|entry| sample(host, &entry.definition, entry.seen.state))
            .collect());
    }
    let chosen =
        select::choose(args, host, site, |_| true).map_err(|error| match error.is_not_found() {
            true => CliError::Usage(format!(
                "unable to get list of containers: unable to look up container: {error}"
            )),
            false => error,
        })?;
    let mut samples = Vec::new();
    for one in chosen {
        let definition = one.load(host)?;
        let state = observe(&host.layout, site.manager, &definition)?.state;
        samples.push(sample(host, &definition, state));
    }
    Ok(samples)
}

fn sample(host: &Host, definition: &crate::definition::Definition, state: State) -> Sample {
    let mut sample = Sample {
        id: definition.id.to_string(),
        name: definition.name.to_string(),
        at: realtime().as_micros() as u64,
        over: !state.has_payload(),
        ..Sample::default()
    };
    let payload = payload_of(&host.layout, &definition.id).filter(|_| state.has_payload());
    let Some(payload) = payload else {
        return sample;
    };
    let group = &payload.cgroup;
    sample.started = payload.started;
    sample.cpu = key_of(&group.join("cpu.stat"), "usage_usec");
    sample.memory = number(&group.join("memory.current")).map(|used| (used, limit(group)));
    sample.pids = number(&group.join("pids.current"));
    sample.block = fs::read_to_string(group.join("io.stat"))
        .ok()
        .map(|text| blocks(&text));
    sample.network = fs::read_to_string(format!("/proc/{}/net/dev", payload.pid))
        .ok()
        .map(|text| network(&text));
    sample
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn key_of(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

/// The most memory that the group and those above it allow; the machine's where they do not.
fn limit(group: &Path) -> u64 {
    let mut least = memory_of_machine();
    let mut group: Option<PathBuf> = Some(group.to_owned());
    while let Some(path) = group {
        least = number(&path.join("memory.max")).map_or(least, |limit| limit.min(least));
        group = path
            .parent()
            .filter(|parent| parent.starts_with("/sys/fs/cgroup/"))
            .map(Path::to_owned);
    }
    least
}

fn memory_of_machine() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Bytes read and written, of all devices (cgroup-v2, io.stat).
pub(super) fn blocks(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let words = text.split_whitespace();
        let values = words.filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
        values.fold(0, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

/// Bytes received and sent by all but the loopback device (proc_pid_net(5)).
pub(super) fn network(text: &str) -> (u64, u64) {
    let mut sums = (0u64, 0u64);
    for line in text.lines() {
        let Some((device, rest)) = line.split_once(':') else {
            continue;
        };
        if device.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> = rest
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        if let [received, .., _, _, _, _, _, _, _] = numbers[..]
            && let Some(sent) = numbers.get(8)
        {
            sums.0 = sums.0.saturating_add(received);
            sums.1 = sums.1.saturating_add(*sent);
        }
    }
    sums
}

fn show(
    args: &ArgMatches,
    format: &str,
    samples: &[Sample],
    before: &[Sample],
) -> Result<String, CliError> {
    let whole = args.get_flag("no-trunc");
    let rows = samples.iter().map(|sample| {
        let last = before.iter().find(|other| other.id == sample.id);
        row(sample, last, whole)
    });
    let rows = Value::List(rows.collect());
    let format = match format {
        "json" => return Ok(rows.to_pretty_json(" ") + "\n"),
        "" | "table" => TABLE,
        format => format,
    };
    let template = Template::of_rows("stats", format)?;
    let text = template.render(&rows)?;
    match is_table(format) {
        true => Ok(table::tabbed(&(template.heading(HEADINGS)? + &text))),
        false => Ok(text),
    }
}

/// A value of a controller that is there; `--` of one that is not.
fn known<T>(sample: &Sample, value: Option<T>, zero: &str, show: impl Fn(T) -> String) -> String {
    match value {
        Some(value) => show(value),
        None if sample.over => zero.to_owned(),
        None => "--".to_owned(),
    }
}

pub(super) fn row(sample: &Sample, last: Option<&Sample>, whole: bool) -> Value {
    let percent = |used: u64, of: u64| match of {
        0 => "0.00%".to_owned(),
        of => format!("{:.2}%", used as f64 * 100.0 / of as f64),
    };
    let life = sample.at.saturating_sub(sample.started);
    let average = known(sample, sample.cpu, "0.00%", |cpu| percent(cpu, life));
    // The first look has none before it: then it is what it was on average.
    let now = known(sample, sample.cpu, "0.00%", |cpu| {
        let same = last.filter(|last| last.started == sample.started);
        match same.and_then(|last| Some((last.cpu?, last.at))) {
            Some((used, at)) => percent(cpu.saturating_sub(used), sample.at.saturating_sub(at)),
            None => percent(cpu, life),
        }
    });
    let pair = |value: Option<(u64, u64)>| {
        known(sample, value, "0B / 0B", |(a, b)| {
            format!("{} / {}", table::size(a, ""), table::size(b, ""))
        })
    };
    let binary = known(sample, sample.memory, "0B / 0B", |(used, most)| {
        format!("{} / {}", binary(used), binary(most))
    });
    let memory = known(sample, sample.memory, "0.00%", |(used, most)| {
        percent(used, most)
    });
    let time = known(sample, sample.cpu, "0s", go_duration);
    let pids = known(sample, sample.pids, "0", |pids| pids.to_string());
    let id = match whole {
        true => sample.id.clone(),
        false => sample.id.chars().take(12).collect(),
    };
    let (usage, net, block) = (
        pair(sample.memory),
        pair(sample.network),
        pair(sample.block),
    );
    let json = [
        ("id", &id),
        ("name", &sample.name),
        ("cpu_time", &time),
        ("cpu_percent", &now),
        ("avg_cpu", &average),
        ("mem_usage", &usage),
        ("mem_percent", &memory),
        ("net_io", &net),
        ("block_io", &block),
        ("pids", &pids),
    ];
    let json = json.map(|(key, value)| (key, Value::from(value))).to_vec();
    let fields = [
        ("ID", &id),
        ("ContainerID", &sample.id),
        ("Name", &sample.name),
        ("CPUPerc", &now),
        ("CPU", &now),
        ("AVGCPU", &average),
        ("AvgCPU", &average),
        ("MemUsage", &usage),
        ("MemUsageBytes", &binary),
        ("MemPerc", &memory),
        ("NetIO", &net),
        ("BlockIO", &block),
        ("PIDS", &pids),
        ("UpTime", &time),
    ];
    let fields = fields
        .map(|(key, value)| (key, Value::from(value)))
        .to_vec();
    Value::fields("containers.containerStats", fields).with_json(Value::fields("", json))
}

fn binary(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "B") * 2;
            return format!("{value:.digits$}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.2}TiB")
}

/// A span as Go's `time.Duration` prints it: `1m2.5s`, `209.999ms`.
pub(super) fn go_duration(micros: u64) -> String {
    let trimmed = |number: f64, digits: usize| {
        let text = format!("{number:.digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if micros == 0 {
        return "0s".to_owned();
    }
    if micros < 1000 {
        return format!("{micros}µs");
    }
    if micros < 1_000_000 {
        return trimmed(micros as f64 / 1e3, 3) + "ms";
    }
    let (minutes, rest) = (micros / 60_000_000, micros % 60_000_000);
    let seconds = match rest {
        0 => "0".to_owned(),
        rest => trimmed(rest as f64 / 1e6, 6),
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_that_are_missing_are_dashes() {
        let sample = Sample {
            name: "web".to_owned(),
            at: 2_000_000,
            started: 1_000_000,
            cpu: Some(100_000),
            ..Sample::default()
        };
        let json = row(&sample, None, false).to_json();
        assert!(
            json.contains("\"cpu_percent\":\"10.00%\",\"avg_cpu\":\"10.00%\",\"mem_usage\":\"--\"")
        );
        assert!(json.contains("\"cpu_time\":\"100ms\"") && json.contains("\"pids\":\"--\""));
        let later = Sample {
            at: 3_000_000,
            cpu: Some(600_000),
            memory: Some((500, 1000)),
            ..sample.clone()
        };
        let json = row(&later, Some(&sample), false).to_json();
        assert!(
            json.contains("\"cpu_percent\":\"50.00%\",\"avg_cpu\":\"30.00%\""),
            "{json}"
        );
        assert!(
            json.contains("\"mem_usage\":\"500B / 1kB\",\"mem_percent\":\"50.00%\""),
            "{json}"
        );
        let over = Sample {
            over: true,
            ..Sample::default()
        };
        let json = row(&over, None, false).to_json();
        assert!(
            json.contains("\"mem_usage\":\"0B / 0B\"") && !json.contains("--"),
            "{json}"
        );
    }

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(
            blocks("8:0 rbytes=5 wbytes=7 rios=1\n8:16 rbytes=1 wbytes=0"),
            (6, 7)
        );
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n";
        assert_eq!(network(text), (10, 20));
    }

    #[test]
    fn spans_are_gos() {
        for (micros, want) in [
            (0, "0s"),
            (5, "5µs"),
            (209_999, "209.999ms"),
            (1_500_000, "1.5s"),
            (62_000_000, "1m2s"),
            (3_600_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(micros), want);
        }
    }
}
