//! `info`: what this host has for containers.

use std::fs;
use std::path::Path;

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::template::{Template, Value};
use super::{Host, inspect, output, ps};
use crate::container::observe::State;
use crate::host::runtime::Runtime;
use crate::host::systemd::Manager;
use crate::image::Images;
use crate::sys::time::boottime;

/// The grammar.
pub(super) fn command() -> Command {
    Command::new("info")
        .about("Show what this host has for containers")
        .arg(inspect::format())
}

/// A value with its names in templates and in JSON.
enum Fact {
    One(&'static str, &'static str, Value),
    Group(&'static str, &'static str, Vec<Fact>),
}

fn value(facts: &[Fact], json: bool) -> Value {
    let field = |fact: &Fact| match fact {
        Fact::One(go, name, value) => (if json { *name } else { *go }, value.clone()),
        Fact::Group(go, name, facts) => (if json { *name } else { *go }, value(facts, json)),
    };
    let whole = Value::fields("*define.Info", facts.iter().map(field).collect());
    match json {
        true => whole,
        false => whole.with_json(value(facts, true)),
    }
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let list = ps::list(host.site(&systemd))?;
    let count = |wanted: &[State]| {
        let all = list.entries.iter();
        Value::from(
            all.filter(|entry| wanted.contains(&entry.seen.state))
                .count() as u64,
        )
    };
    let images = Images::open(&host.layout.state())?.list()?.len() as u64;
    let shown = |path: &Path| Value::from(path.display().to_string());
    let layout = &host.layout;
    let containers = vec![
        Fact::One("Number", "number", (list.entries.len() as u64).into()),
        Fact::One("Paused", "paused", count(&[State::Paused])),
        Fact::One(
            "Running",
            "running",
            count(&[State::Running, State::Stopping]),
        ),
        Fact::One(
            "Stopped",
            "stopped",
            count(&[State::Created, State::Initialized, State::Exited]),
        ),
    ];
    let store = vec![
        Fact::Group("ContainerStore", "containerStore", containers),
        Fact::One("GraphDriverName", "graphDriverName", "overlay".into()),
        Fact::One("GraphRoot", "graphRoot", shown(&layout.state())),
        Fact::Group(
            "ImageStore",
            "imageStore",
            vec![Fact::One("Number", "number", images.into())],
        ),
        Fact::One("RunRoot", "runRoot", shown(&layout.run())),
        Fact::One("VolumePath", "volumePath", shown(&layout.volumes())),
    ];
    let version = vec![
        Fact::One(
            "OsArch",
            "OsArch",
            format!("linux/{}", output::arch()).into(),
        ),
        Fact::One("Version", "Version", env!("CARGO_PKG_VERSION").into()),
    ];
    let facts = [
        Fact::Group("Host", "host", machine(systemd.version()?)),
        Fact::Group("Store", "store", store),
        Fact::Group("Version", "version", version),
    ];
    match args.get_one::<String>("format").map(String::as_str) {
        None => output::print(&as_yaml(&value(&facts, true), 0))?,
        Some("json") => output::say(&value(&facts, true).to_pretty_json("  "))?,
        Some(format) => {
            let template = Template::of_one("info", format)?;
            output::print(&template.render(&value(&facts, false))?)?;
        }
    }
    Ok(0)
}

fn machine(systemd: u32) -> Vec<Fact> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let meminfo = read("/proc/meminfo");
    let memory = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u64>().ok());
        Value::from(kib.unwrap_or(0).saturating_mul(1024))
    };
    let kernel = nix::sys::utsname::uname().ok();
    let kernel = kernel.map(|name| name.release().to_string_lossy().into_owned());
    let hostname = nix::unistd::gethostname().ok();
    let hostname = hostname.map(|name| name.to_string_lossy().into_owned());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Runtime::find(None).ok();
    let name = runtime.as_ref().and_then(|runtime| {
        let name = runtime.program.file_name()?;
        Some(name.to_string_lossy().into_owned())
    });
    let path = runtime.map(|runtime| runtime.program.display().to_string());
    let controllers = read("/sys/fs/cgroup/cgroup.controllers");
    let there = |path: &str| Value::from(Path::new(path).exists());
    let security = vec![
        Fact::One(
            "AppArmorEnabled",
            "apparmorEnabled",
            there("/sys/kernel/security/apparmor"),
        ),
        Fact::One("Rootless", "rootless", false.into()),
        Fact::One(
            "SECCOMPEnabled",
            "seccompEnabled",
            there("/proc/sys/kernel/seccomp"),
        ),
        Fact::One(
            "SELinuxEnabled",
            "selinuxEnabled",
            there("/sys/fs/selinux/enforce"),
        ),
    ];
    vec![
        Fact::One("Arch", "arch", output::arch().into()),
        Fact::One(
            "CgroupControllers",
            "cgroupControllers",
            Value::list(controllers.split_whitespace()),
        ),
        Fact::One("CgroupManager", "cgroupManager", "systemd".into()),
        Fact::One("CgroupsVersion", "cgroupVersion", "v2".into()),
        Fact::One("CPUs", "cpus", (cpus as u64).into()),
        Fact::One("Hostname", "hostname", hostname.unwrap_or_default().into()),
        Fact::One("Kernel", "kernel", kernel.unwrap_or_default().into()),
        Fact::One("LogDriver", "logDriver", "journald".into()),
        Fact::One("MemFree", "memFree", memory("MemFree")),
        Fact::One("MemTotal", "memTotal", memory("MemTotal")),
        Fact::Group(
            "OCIRuntime",
            "ociRuntime",
            vec![
                Fact::One("Name", "name", name.unwrap_or_default().into()),
                Fact::One("Path", "path", path.unwrap_or_default().into()),
            ],
        ),
        Fact::One("OS", "os", "linux".into()),
        Fact::Group("Security", "security", security),
        Fact::One("SwapFree", "swapFree", memory("SwapFree")),
        Fact::One("SwapTotal", "swapTotal", memory("SwapTotal")),
        Fact::One("SystemdVersion", "systemdVersion", systemd.into()),
        Fact::One(
            "Uptime",
            "uptime",
            super::stats::go_duration(boottime().as_secs() * 1_000_000).into(),
        ),
    ]
}

/// Structs as YAML: what else there is fits on one line, as JSON does.
fn as_yaml(value: &Value, depth: usize) -> String {
    let Value::Struct(of) = value else {
        return String::new();
    };
    let mut text = String::new();
    for (name, value) in &of.fields {
        let indent = "  ".repeat(depth);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
        match value {
            Value::Struct(_) => {
                text.push_str(&format!("{indent}{name}:\n{}", as_yaml(value, depth + 1)));
            }
            Value::Str(word)
                if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
                    && word.chars().all(plain) =>
            {
                text.push_str(&format!("{indent}{name}: {word}\n"));
            }
            other => text.push_str(&format!("{indent}{name}: {}\n", other.to_json())),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_has_two_names() {
        let runtime = vec![Fact::One("Name", "name", "runc".into())];
        let facts = [Fact::Group(
            "Host",
            "host",
            vec![
                Fact::Group("OCIRuntime", "ociRuntime", runtime),
                Fact::One("CPUs", "cpus", 2.into()),
                Fact::One("Kernel", "kernel", "6.1 x".into()),
            ],
        )];
        let template =
            Template::of_one("info", "{{.Host.OCIRuntime.Name}} {{json .Host.CPUs}}").unwrap();
        assert_eq!(template.render(&value(&facts, false)).unwrap(), "runc 2\n");
        let template = Template::of_one("info", "{{json .}}").unwrap();
        let json = template.render(&value(&facts, false)).unwrap();
        assert!(
            json.starts_with("{\"host\":{\"ociRuntime\":{\"name\":\"runc\"}"),
            "{json}"
        );
        let yaml = as_yaml(&value(&facts, true), 0);
        assert_eq!(
            yaml,
            "host:\n  ociRuntime:\n    name: runc\n  cpus: 2\n  kernel: \"6.1 x\"\n"
        );
    }
}
