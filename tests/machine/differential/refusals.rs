//! What Podman refuses, we refuse, with the same exit code and without a trace.

use super::{cases, lab};

/// A bad value of a flag.
const BAD: &[(&str, &str)] = &[
    ("add-host", "nocolon"),
    ("add-host", "x:not-an-address"),
    ("annotation", "nokey"),
    ("blkio-weight-device", "/dev/zero"),
    ("cap-add", "NO_SUCH"),
    ("cap-drop", "NO_SUCH"),
    ("cgroup-conf", "novalue"),
    ("cgroupns", "sideways"),
    ("cgroups", "sometimes"),
    ("cpu-period", "-1"),
    ("cpu-shares", "many"),
    ("cpus", "lots"),
    ("device", "/dev/no-such-device"),
    ("device", "/dev/zero:/dev/x:q"),
    ("device-cgroup-rule", "x 1:3 rwm"),
    ("device-cgroup-rule", "c 1:3 q"),
    ("device-read-bps", "/dev/zero"),
    ("device-write-iops", "/dev/zero:-1"),
    ("dns", "not-an-address"),
    ("env", "=x"),
    ("env-file", "/no/such/file"),
    ("group-add", "no-such-group"),
    ("hostuser", "no-such-user"),
    ("hosts-file", "/no/such/file"),
    ("image-volume", "sometimes"),
    ("ipc", "sideways"),
    ("ipc", "container:no-such"),
    ("ipc", "ns:/no/such/file"),
    ("label-file", "/no/such/file"),
    ("log-driver", "no-such-driver"),
    ("memory", "lots"),
    ("memory-swap", "lots"),
    ("mount", "type=nonsense,target=/x"),
    ("mount", "type=bind,source=/no/such/file,target=/x"),
    ("mount", "type=bind,source=/opt"),
    ("mount", "type=tmpfs,target=/x,nonsense=1"),
    ("mount", "type=tmpfs"),
    ("network", "container:no-such"),
    ("network", "ns:/no/such/file"),
    ("oom-score-adj", "1001"),
    ("oom-score-adj", "-1001"),
    ("personality", "NONSENSE"),
    ("pid", "sideways"),
    ("pid", "container:no-such"),
    ("pids-limit", "lots"),
    ("requires", "no-such"),
    ("rm", "maybe"),
    ("secret", "no-such"),
    ("secret", "s1,type=nonsense"),
    ("seccomp-policy", "nonsense"),
    ("security-opt", "apparmor=nope"),
    ("security-opt", "label=nested"),
    ("security-opt", "nonsense=1"),
    ("security-opt", "seccomp=/no/such/file"),
    ("shm-size", "lots"),
    ("shm-size", "-1"),
    ("stop-signal", "NOSUCH"),
    ("stop-signal", "70"),
    ("stop-timeout", "-5"),
    ("sysctl", "kernel.core_pattern=|/x"),
    ("sysctl", "kernel.shm_rmid_forced=1+kernel.core_pattern=|/x"),
    ("sysctl", "novalue"),
    ("systemd", "sometimes"),
    ("tmpfs", "relative"),
    ("tmpfs", "/x:nonsense"),
    ("tty", "maybe"),
    ("tz", "No/Such"),
    ("uidmap", "nonsense"),
    ("gidmap", "0:1"),
    ("ulimit", "nonsense=1"),
    ("ulimit", "nofile=20:10"),
    ("umask", "9999"),
    ("user", "no-such-user"),
    ("user", "root:no-such-group"),
    ("userns", "sideways"),
    ("userns", "nomap"),
    ("userns", "private"),
    ("userns", "keep-id:size=100"),
    ("userns", "keep-id:nonsense=1"),
    ("userns", "container:no-such"),
    ("userns", "ns:/no/such"),
    ("volume", "/opt:/x:idmap=nonsense"),
    ("mount", "type=image,source=localhost/plain,target=/x,idmap"),
    ("uts", "sideways"),
    ("volume", "/no/such/directory:/x"),
    ("volume", "relative:relative"),
    ("volume", "/opt:/x:nonsense"),
    ("volume", "/opt:/x:ro,rw"),
    ("volume", "/"),
    ("volumes-from", "no-such"),
    ("workdir", "relative"),
];

#[test]
fn what_podman_refuses_is_refused() {
    let lab = lab();
    let bad = BAD.iter().filter(|(flag, _)| cases::known(flag));
    let mut script = String::from("cd /opt/diff\n");
    for (flag, value) in bad.clone() {
        for engine in super::ENGINES {
            script += &format!(
                "timeout 20 {engine} run --rm --network=none '--{flag}={value}' localhost/rich true </dev/null >o 2>e; \
                 echo \"{engine} $? $(wc -l <e) $(head -c 300 e | tr '\\n' ' ')\"\n"
            );
        }
    }
    let out = lab.sh_with_input("bash -s", script.as_bytes()).ok();
    let lines: Vec<&str> = out.lines().collect();
    let mut wrong = Vec::new();
    for ((flag, value), pair) in bad.zip(lines.chunks(2)) {
        let code = |line: &str| line.split(' ').nth(1).unwrap_or("").to_owned();
        let (podman, unitbox) = (code(pair[0]), code(pair[1]));
        // What Podman finds out at the start only, we may refuse before.
        let early = ["126", "127"].contains(&&*podman) && unitbox == "125";
        if podman != unitbox && !early || podman == "0" {
            wrong.push(format!(
                "--{flag}={value}\n    {}\n    {}",
                pair[0], pair[1]
            ));
        }
        let lines_said = pair[1].split(' ').nth(2).unwrap_or("");
        if unitbox != "0" && lines_said != "1" {
            wrong.push(format!("--{flag}={value}: {lines_said} lines: {}", pair[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        lab.sh("unitbox ps -a --format json | jq -r '.[].Names[]' | sort")
            .ok(),
        "mapped\nsource\ntarget"
    );
}
