//! Health checks that enter the container without its runtime: as whom, and when not.

use crate::harness::{Lab, Suite};
use crate::health::sh;
use crate::run::ROOTFS;

/// What a process can see of itself, but for what differs from one to the next.
const ALL: &str = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Spec|Umask|Sig[BIC]|CoreD)' /proc/self/status; \
    cat /proc/self/limits /proc/self/oom_score_adj /proc/self/attr/current 2>&1; echo; grep ^0:: /proc/self/cgroup; \
    readlink /proc/self/ns/*; pwd; env | sort; cat; for fd in 1 2 3 4 5; do readlink /proc/self/fd/$fd | tr -d 0-9; done; \
    ls -n /proc/self/root/dev/null; echo x >/dev/stderr; cut -d ' ' -f 7,8 /proc/self/stat";

/// Flags, and whether we enter it ourselves. It is the runtime's where the payload could take over who enters, and where
/// only that knows the filter of system calls (runc).
const CASES: [(&str, &str, bool); 18] = [
    ("crun", "", true),
    ("crun", "--user 1000:1000 --group-add 77", true),
    ("crun", "--user 1000 --cap-add net_raw --workdir /tmp", true),
    ("crun", "--cap-drop all", true),
    ("crun", "--cap-drop all --cap-add net_bind_service", true),
    ("crun", "--userns auto", true),
    ("crun", "--uidmap 0:100000:1000 --user 7:8", true),
    (
        "crun",
        "--ulimit nofile=100:200 --ulimit core=0:0 --ulimit stack=100000:200000",
        true,
    ),
    ("crun", "--security-opt no-new-privileges", true),
    ("crun", "--security-opt no-new-privileges --user 5", true),
    ("crun", "--security-opt seccomp=unconfined", true),
    (
        "crun",
        "--pid host --network host --ipc host --uts host --cgroupns host",
        true,
    ),
    (
        "crun",
        "--oom-score-adj 100 --read-only -e A=b=c --umask 0077",
        true,
    ),
    ("crun", "--cap-add sys_ptrace", false),
    ("crun", "--cap-add sys_ptrace --userns auto", true),
    ("crun", "--privileged", false),
    ("runc", "", false),
    ("runc", "--security-opt seccomp=unconfined --user 3:4", true),
];

#[test]
fn a_check_is_what_the_runtime_makes_of_it() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        for runtime in ["crun", "runc"] {
            let counting = format!(
                "#!/bin/sh\ncase \"$*\" in *' exec '*) echo >>/opt/execs;; esac\nexec {runtime} \"$@\"\n"
            );
            lab.write(&format!("/opt/{runtime}-counting"), &counting);
        }
        lab.sh("chmod 755 /opt/*-counting; echo containers:200000:200000 | tee -a /etc/subuid >>/etc/subgid").ok();
        for (runtime, flags, own) in CASES {
            let seen = sh(
                &lab,
                &format!(
                    "rm -f /opt/execs; unitbox run -d --name c {flags} --runtime /opt/{runtime}-counting --health-interval disable \
                        --health-max-log-size 0 --health-cmd '{}' {ROOTFS} stamp run >/dev/null
                    unitbox healthcheck run c; echo $?; cat /opt/execs 2>/dev/null | wc -l
                    id=$(unitbox inspect -f '{{{{.Id}}}}' c); mkdir $(group c)/unitbox-probe
                    unitbox inspect -f json c | jq -j '.[0].State.Health.Log[0].Output' >/opt/own
                    # The runtime leaves that as it is.
                    choom -n $(jq .oomScoreAdj /run/unitbox/$id/bundle/probe.json) -- {runtime} --root /run/unitbox/$id/runtime exec --cgroup unitbox-probe --process /run/unitbox/$id/bundle/probe.json $id </dev/null 2>&1 | cat >/opt/theirs
                    # What this shell ignores.
                    sed -i 's/^SigIgn.*/SigIgn:\t0000000000000000/' /opt/theirs
                    # Where ids are mapped the runtime leaves the output to root, who is nobody there.
                    sed -i 's/^.* create .dev.stderr: Permission denied/x/' /opt/theirs
                    # runc copies both outputs, each at its own time.
                    sort -o /opt/own /opt/own; sort -o /opt/theirs /opt/theirs; diff /opt/own /opt/theirs && wc -l </opt/own; unitbox rm -f -t 0 c >/dev/null",
                    ALL.replace('\'', "'\\''"),
                ),
            );
            println!("{suite:?} {runtime} {flags}: {seen}");
            let lines: Vec<_> = seen.lines().collect();
            // That machine has no profile for a filter.
            let own = own || (matches!(suite, Suite::Bookworm) && runtime == "runc");
            let execs = if own { "0" } else { "1" };
            assert_eq!(
                lines[..2],
                ["0", execs],
                "{suite:?} {runtime} {flags}: {seen}"
            );
            assert_eq!(lines.len(), 3, "{suite:?} {runtime} {flags}: {seen}");
            let count: u32 = lines[2].parse().expect("a number of lines");
            assert!(count > 50, "{seen}");
        }
    }
}
