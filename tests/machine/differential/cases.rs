//! What is tried: every flag with its values, alone and in pairs.

use super::pairs;

/// Values of each flag; `true` stands for the bare switch. The host files are made by setup.sh.
pub(super) const VALUES: &[(&str, &[&str])] = &[
    (
        "add-host",
        &["one.example:192.0.2.1", "two;three:2001:db8::2"],
    ),
    ("annotation", &["org.example/x=a=b c", "empty="]),
    ("cap-add", &["NET_ADMIN", "cap_sys_ptrace,SYS_TIME", "ALL"]),
    ("cap-drop", &["CHOWN", "ALL", "kill,CAP_SETUID"]),
    ("cgroupns", &["host", "private"]),
    ("chrootdirs", &["/srv/chroot"]),
    ("device", &["/dev/full:/dev/renamed:rw", "/dev/zero"]),
    ("device-cgroup-rule", &["c 1:7 rwm"]),
    ("dns", &["192.0.2.53,192.0.2.54", "none"]),
    ("dns-option", &["ndots:3"]),
    ("dns-search", &["example.org", "."]),
    ("entrypoint", &["/view", r#"["/view","a b"]"#]),
    (
        "env",
        &[
            "A=b c",
            "APP=mine",
            "GIVEN",
            "EMPTY=",
            "HOME=/elsewhere",
            "TERM=vt100",
        ],
    ),
    ("env-file", &["/opt/diff/env.list"]),
    ("env-merge", &["PATH=${PATH}:/opt/bin"]),
    ("group-add", &["audio", "5000,wheel", "keep-groups"]),
    ("group-entry", &["extra:x:$GID:"]),
    ("hostname", &["box.example"]),
    ("hosts-file", &["/opt/diff/hosts", "none", "image"]),
    ("http-proxy", &["false", "true"]),
    ("image-volume", &["ignore", "tmpfs", "anonymous"]),
    ("init", &["true"]),
    ("interactive", &["true"]),
    (
        "ipc",
        &["host", "none", "private", "shareable", "container:target"],
    ),
    ("label", &["who=me", "org.example.who"]),
    ("label-file", &["/opt/diff/label.list"]),
    ("log-driver", &["none", "journald"]),
    ("log-opt", &["tag=t"]),
    (
        "mount",
        &[
            "type=bind,source=/opt/diff/host,target=/mnt/bind,ro",
            "type=bind,src=/opt/diff/host,dst=/mnt/shared,bind-propagation=rslave",
            "type=tmpfs,destination=/mnt/tmp,tmpfs-size=1m,tmpfs-mode=0700",
            "type=tmpfs,dst=/mnt/copied,notmpcopyup",
            "type=volume,source=other,target=/mnt/volume",
            "type=devpts,target=/mnt/pts",
            "type=image,source=localhost/plain,target=/mnt/image",
            "type=glob,source=/opt/diff/host/o*,target=/mnt/glob",
            "type=volume,source=given2,target=/mnt/rovolume,ro",
        ],
    ),
    ("network", &["host", "container:target"]),
    ("no-hostname", &["true"]),
    ("no-hosts", &["true"]),
    ("oom-score-adj", &["500", "0"]),
    ("passwd", &["false"]),
    (
        "passwd-entry",
        &["$USERNAME:x:$UID:$GID:made:$HOME:/bin/no"],
    ),
    ("personality", &["LINUX32"]),
    ("pid", &["host", "container:target", "private"]),
    ("privileged", &["true"]),
    ("read-only", &["true"]),
    ("read-only-tmpfs", &["false"]),
    ("requires", &["target"]),
    ("rm", &["true"]),
    ("seccomp-policy", &["default"]),
    (
        "secret",
        &[
            "s1",
            "s1,type=env,target=TOLD",
            "s1,target=/secrets/own,mode=0400,uid=1000",
            "s1,target=named,gid=5",
        ],
    ),
    (
        "security-opt",
        &[
            "no-new-privileges",
            "seccomp=unconfined",
            "unmask=ALL",
            "unmask=/proc/kcore",
            "mask=/proc/version",
            "proc-opts=hidepid=2",
        ],
    ),
    ("shm-size", &["1m", "0"]),
    ("shm-size-systemd", &["2m"]),
    ("sig-proxy", &["false"]),
    ("stop-signal", &["USR1", "9", "SIGRTMIN+3"]),
    ("stop-timeout", &["3"]),
    (
        "sysctl",
        &[
            "net.core.somaxconn=777",
            "kernel.msgmax=9000",
            "fs.mqueue.msg_max=20",
        ],
    ),
    ("systemd", &["always", "false"]),
    (
        "tmpfs",
        &["/mnt/tmpfs", "/tmp:size=1m,mode=0755,ro", "/vol"],
    ),
    ("tty", &["true"]),
    ("tty", &["true"]),
    ("tz", &["Europe/Berlin", "local"]),
    ("ulimit", &["nofile=100:200", "core=0", "nproc=50:60"]),
    ("umask", &["0077"]),
    ("unsetenv", &["LANG", "PATH"]),
    ("unsetenv-all", &["true"]),
    (
        "user",
        &["root", "pg", "lost", "1000:5", "4000", "app:wheel", "0:0"],
    ),
    ("userns", &["host", "nomap"]),
    ("uidmap", &["0:100000:65536"]),
    ("gidmap", &["0:200000:65536"]),
    ("uts", &["host", "private"]),
    (
        "volume",
        &[
            "/opt/diff/host:/mnt/v:ro",
            "/opt/diff/host:/mnt/opts:rw,noexec,nosuid,nodev",
            "/opt/diff/host/one:/mnt/file",
            "fresh:/vol",
            "/opt/diff/host:/mnt/rslave:rslave",
            "data:/srv/app:nocopy",
            "/anonymous",
            "/opt/diff/cache:/mnt/upper:O",
        ],
    ),
    ("volumes-from", &["source", "source:ro"]),
    ("workdir", &["/", "/tmp", "/made/here"]),
    ("env-host", &["true"]),
    ("memory-swappiness", &["10"]),
    ("hostuser", &["nobody"]),
];

/// Limits: the namespace lab has no controllers, so that both engines leave them out with a warning or refuse; what they
/// come to where there are some, `vm_limits` compares.
pub(super) const LIMITS: &[(&str, &str)] = &[
    ("blkio-weight", "200"),
    ("blkio-weight-device", "/dev/zero:100"),
    ("cgroup-conf", "memory.high=100000000"),
    ("cgroup-parent", "machine.slice"),
    ("cgroups", "enabled"),
    ("cpu-period", "50000"),
    ("cpu-quota", "20000"),
    ("cpu-shares", "512"),
    ("cpus", "0.5"),
    ("cpuset-cpus", "0"),
    ("cpuset-mems", "0"),
    ("device-read-bps", "/dev/zero:1mb"),
    ("device-read-iops", "/dev/zero:100"),
    ("device-write-bps", "/dev/zero:1mb"),
    ("device-write-iops", "/dev/zero:100"),
    ("memory", "64m"),
    ("memory-reservation", "32m"),
    ("memory-swap", "128m"),
    ("oom-kill-disable", "true"),
    ("pids-limit", "50"),
];

/// Flags that other tests compare, as they change who prints what, or need words of their own; and one that Podman has
/// not (`machined`).
pub(super) const ELSEWHERE: &[&str] = &[
    "arch",
    "attach",
    "authfile",
    "cidfile",
    "conmon-pidfile",
    "detach",
    "detach-keys",
    "disable-content-trust",
    "health-cmd",
    "health-interval",
    "health-log-destination",
    "health-max-log-count",
    "health-max-log-size",
    "health-on-failure",
    "health-retries",
    "health-start-period",
    "health-startup-cmd",
    "health-startup-interval",
    "health-startup-retries",
    "health-startup-success",
    "health-startup-timeout",
    "health-timeout",
    "init-path",
    "name",
    "no-healthcheck",
    "os",
    "pidfile",
    "platform",
    "preserve-fd",
    "preserve-fds",
    "pull",
    "quiet",
    "register",
    "replace",
    "restart",
    "retry",
    "retry-delay",
    "rmi",
    "rootfs",
    "runtime",
    "sdnotify",
    "subgidname",
    "subuidname",
    "timeout",
    "tls-verify",
    "variant",
];

/// Flags that cannot stand together: one makes the other pointless, or Podman refuses the two.
const APART: &[(&str, &str)] = &[
    ("dns=none", "dns-option"),
    ("dns=none", "dns-search"),
    // runc binds a device by its new name on itself.
    ("device=/dev/full:/dev/renamed:rw", "gidmap"),
    ("device=/dev/full:/dev/renamed:rw", "uidmap"),
    // Podman has no file that it could bind such a secret on.
    ("read-only", "secret=s1"),
    ("read-only", "secret=s1,target=named,gid=5"),
    ("gidmap", "cap-add"),
    ("gidmap", "privileged"),
    ("hosts-file", "no-hosts"),
    ("add-host", "no-hosts"),
    ("hostuser", "userns=nomap"),
    ("ipc=host", "shm-size"),
    ("ipc=none", "shm-size"),
    ("ipc=container:target", "shm-size"),
    ("ipc=host", "sysctl"),
    ("ipc=none", "sysctl"),
    ("ipc=container:target", "sysctl"),
    ("init", "pid=host"),
    ("init", "pid=container:target"),
    ("init", "systemd=always"),
    ("log-driver=none", "log-opt"),
    ("network", "sysctl=net.core.somaxconn=777"),
    ("network=container:target", "dns"),
    ("network=container:target", "dns-option"),
    ("network=container:target", "dns-search"),
    ("network=container:target", "add-host"),
    ("network=container:target", "hosts-file"),
    ("network=container:target", "hostname"),
    ("network=container:target", "no-hosts"),
    ("passwd-entry", "passwd"),
    ("tmpfs=/vol", "volume=fresh:/vol"),
    ("uts=host", "hostname"),
    ("cap-add=ALL", "cap-drop"),
    ("cap-drop=ALL", "cap-add"),
    ("shm-size-systemd", "systemd=false"),
    ("userns", "uidmap"),
    ("userns", "gidmap"),
    ("uidmap", "gidmap"),
];

/// One run of both engines.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What it is about.
    pub(super) name: String,
    /// Flags, image, command.
    pub(super) words: Vec<String>,
}

/// A flag with a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Choice {
    flag: &'static str,
    value: &'static str,
}

impl Choice {
    fn word(self) -> String {
        match self.value {
            "true" => format!("--{}", self.flag),
            value => format!("--{}={value}", self.flag),
        }
    }

    fn is(self, pattern: &str) -> bool {
        match pattern.split_once('=') {
            Some((flag, value)) => self.flag == flag && self.value == value,
            None => self.flag == pattern,
        }
    }

    fn together(self, other: Self) -> bool {
        let apart = |(a, b): &(&str, &str)| self.is(a) && other.is(b) || self.is(b) && other.is(a);
        // One value of a flag is enough in a row, but for those that add up.
        let same = self.flag == other.flag;
        let adds = ["env", "mount", "secret", "volume", "ulimit"].contains(&self.flag);
        (!same || adds) && !APART.iter().any(apart)
    }
}

/// The choices whose flag this version has.
fn choices(known: &dyn Fn(&str) -> bool) -> Vec<Choice> {
    let all = VALUES
        .iter()
        .flat_map(|(flag, values)| values.iter().map(|value| Choice { flag, value }));
    all.filter(|choice| known(choice.flag)).collect()
}

/// A case of these choices. The network is none unless a choice says otherwise: bridges come later.
fn case(choices: &[Choice], image: &str) -> Case {
    let mut words: Vec<String> = choices.iter().map(|choice| choice.word()).collect();
    if !choices.iter().any(|choice| choice.flag == "network") {
        words.push("--network=none".to_owned());
    }
    let name = words.join(" ");
    words.push(format!("localhost/{image}"));
    words.extend(["/view", "word", "two words"].map(str::to_owned));
    Case {
        name: format!("{name} {image}"),
        words,
    }
}

/// Each flag with each value alone, with an image that has much and one that has nothing.
pub(super) fn alone(known: &dyn Fn(&str) -> bool) -> Vec<Case> {
    let mut cases = vec![case(&[], "plain"), case(&[], "rich")];
    for choice in choices(known) {
        cases.push(case(&[choice], "rich"));
        if [
            "user",
            "env",
            "entrypoint",
            "volume",
            "workdir",
            "privileged",
            "read-only",
            "systemd",
        ]
        .contains(&choice.flag)
        {
            cases.push(case(&[choice], "plain"));
        }
    }
    cases
}

/// Rows of a covering array of pairs.
pub(super) fn in_pairs(known: &dyn Fn(&str) -> bool) -> Vec<Case> {
    let choices = choices(known);
    let rows = pairs::rows(choices.len(), 18, 20_240_601, |a, b| {
        choices[a].together(choices[b])
    });
    let rows = rows.iter().enumerate();
    rows.map(|(at, row)| {
        let row: Vec<Choice> = row.iter().map(|at| choices[*at]).collect();
        let mut case = case(&row, if at % 4 == 3 { "plain" } else { "rich" });
        case.words.insert(0, format!("--env=CODE={}", at % 100));
        // A volume of its own: Podman leaves one half made when the start fails, and the next case would see that.
        for word in &mut case.words {
            *word = word.replace("--volume=fresh:", &format!("--volume=fresh{at}:"));
        }
        case
    })
    .collect()
}

/// A flag of `create` or `run`, whichever way this version takes it.
pub(super) fn known(flag: &str) -> bool {
    let cli = unitbox::cli::command();
    let run = cli.find_subcommand("run").expect("a verb");
    run.get_arguments().any(|arg| arg.get_long() == Some(flag))
}

#[test]
fn every_option_is_compared_with_podman() {
    let cli = unitbox::cli::command();
    let run = cli.find_subcommand("run").expect("a verb");
    let flags = run.get_arguments().filter_map(|arg| arg.get_long());
    let tried = |flag: &str| {
        VALUES
            .iter()
            .any(|(name, values)| *name == flag && !values.is_empty())
            || LIMITS.iter().any(|(name, _)| *name == flag)
            || ELSEWHERE.contains(&flag)
    };
    let missing: Vec<&str> = flags
        .filter(|flag| *flag != "help" && !tried(flag))
        .collect();
    assert!(missing.is_empty(), "not compared: {missing:?}");
}

#[test]
fn there_are_enough_combinations() {
    let (alone, pairs) = (alone(&|_| true).len(), in_pairs(&|_| true).len());
    println!("{alone} alone, {pairs} rows of pairs");
    assert!(alone + pairs >= 150, "{alone} {pairs}");
}
