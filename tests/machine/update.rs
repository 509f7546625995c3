//! What `update` changes besides limits: the restart policy and the health checks.

use crate::harness::{Lab, Suite};
use crate::health::sh;
use crate::run::ROOTFS;

/// `policy NAME`: in the unit and in `inspect`. `hit NAME`: kills the payload as nobody does who wants it stopped.
/// `settles WORDS NAME`: waits until the number of restarts and the unit are so.
const POLICY: &str = r#"
policy() { echo $(systemctl show -P Restart unitbox-$1) \
    $(unitbox inspect -f '{{with .HostConfig.RestartPolicy}}{{.Name}} {{.MaximumRetryCount}}{{end}}' $1); }
hit() { kill -9 $(unitbox inspect -f '{{.State.Pid}}' $1); }
settles() { until_is "$1" "systemctl show -P NRestarts -P ActiveState unitbox-$2 | paste -sd' '"; }
main() { systemctl show -P MainPID unitbox-$1; }
"#;

fn policy(lab: &Lab, script: &str) -> String {
    sh(lab, &format!("{POLICY}{script}"))
}

#[test]
fn a_policy_that_is_changed_while_it_is_stopped() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        let seen = policy(
            &lab,
            &format!(
                "unitbox create --name web {ROOTFS} sleep 1000 >/dev/null; policy web
                 unitbox update --restart on-failure:3 web >/dev/null; policy web
                 systemctl start unitbox-web; hit web; settles '1 active' web
                 unitbox stop -t 0 web >/dev/null
                 unitbox update --restart unless-stopped web >/dev/null; policy web
                 unitbox update --restart no web >/dev/null; policy web
                 unitbox start web >/dev/null; hit web; settles '0 failed' web
                 unitbox update --restart always web >/dev/null; policy web
                 systemctl is-failed unitbox-web
                 systemctl start unitbox-web; hit web; settles '1 active' web
                 systemctl show -P NeedDaemonReload unitbox-web; unitbox rm -f -t 0 web"
            ),
        );
        let expected = "no no 0\non-failure on-failure 3\nalways unless-stopped 0\nno no 0\nalways always 0\nfailed\nno\nweb";
        assert_eq!(seen, expected, "{suite:?}");
    }
}

#[test]
fn a_policy_that_is_changed_while_it_runs() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = policy(
        &lab,
        &format!(
            "unitbox run -d --name web {ROOTFS} sleep 1000 >/dev/null; before=$(main web)
             [ $(unitbox update --restart always web) = $(unitbox inspect -f '{{{{.Id}}}}' web) ] && echo id; policy web
             [ $(main web) = $before ] && echo same
             hit web; settles '1 active' web
             unitbox update --restart no web >/dev/null; policy web
             hit web; settles '1 failed' web; sleep 1; settles '1 failed' web
             unitbox run -d --name retries {ROOTFS} sh -c 'sleep 2; exit 3' >/dev/null
             unitbox update --restart on-failure:2 retries >/dev/null
             settles '2 failed' retries; unitbox inspect -f '{{{{.RestartCount}}}} {{{{.State.ExitCode}}}}' retries
             unitbox run -d --name stopped --stop-timeout 0 {ROOTFS} sleep 1000 >/dev/null
             unitbox update --restart always stopped >/dev/null; unitbox stop stopped >/dev/null; sleep 1
             systemctl is-active unitbox-stopped; true"
        ),
    );
    let expected = "id\nalways always 0\nsame\nno no 0\n2 3\ninactive";
    assert_eq!(seen, expected);
}

/// One that a user had stopped before it got its policy counts as stopped at the next boot.
#[test]
fn a_boot_goes_by_the_policy_that_came_last() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "for name in made stopped ended always; do
            unitbox create --name $name --stop-timeout 0 {ROOTFS} sleep 1000 >/dev/null || exit 1
         done
         unitbox start stopped ended always && unitbox stop stopped always
         kill -9 $(unitbox inspect -f '{{{{.State.Pid}}}}' ended); sleep 1
         unitbox update --restart always always
         for name in made stopped ended; do unitbox update --restart unless-stopped $name || exit 1; done"
    ))
    .ok();
    lab.reboot();
    let running = lab.sh("unitbox ps --format '{{.Names}}' | sort");
    assert_eq!(running.ok(), "always\nended\nmade");
}

#[test]
fn one_that_was_renamed_while_it_runs_keeps_its_unit() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = policy(
        &lab,
        &format!(
            "unitbox run -d --name old {ROOTFS} sleep 1000 >/dev/null; unitbox rename old new
             unitbox update --restart always --pids-limit 50 new >/dev/null; policy new
             systemctl show -P Id -P TasksMax unitbox-new | paste -sd' '
             hit new; settles '1 active' new; systemctl show -P Id unitbox-new
             unitbox stop -t 0 new; unitbox start new; policy new; systemctl show -P Id unitbox-new; unitbox rm -f -t 0 new
             ls /run/systemd/system | grep unitbox-[on]; true"
        ),
    );
    let expected = "always always 0\n114 unitbox-old.service\nunitbox-old.service\nnew\nnew\nalways always 0\nunitbox-new.service\nnew";
    assert_eq!(seen, expected);
}

/// A reload is a job of systemd: its end is waited for, and told.
#[test]
fn a_reload_that_fails_is_an_error() {
    let lab = Lab::boot(Suite::Trixie);
    let reload = |command: &str| {
        format!(
            "mkdir -p /run/systemd/system/unitbox-web.service.d
             printf '[Service]\\nExecReload={command}\\n' >/run/systemd/system/unitbox-web.service.d/reload.conf
             systemctl daemon-reload"
        )
    };
    lab.sh(&format!(
        "unitbox run -d --name web {ROOTFS} sleep 1000; {}",
        reload("/bin/sh -c \"sleep 0.5; echo >>/run/reloads\"")
    ))
    .ok();
    lab.sh("unitbox update --restart always --memory 64m web && [ $(wc -l </run/reloads) = 1 ]")
        .ok();
    // What the monitor has nothing to do with, and what changes nothing.
    lab.sh("unitbox update --memory 32m web && unitbox update --restart always web && unitbox update web && [ $(wc -l </run/reloads) = 1 ]")
        .ok();
    lab.sh(&reload("/bin/false")).ok();
    let failed = lab.sh("unitbox update --restart on-failure web");
    failed.fails(125);
    let words = "container web: update: the change is written and will hold from the next start on";
    assert!(failed.err().contains(words), "{}", failed.err());
    assert_eq!(failed.err().lines().count(), 1, "{}", failed.err());
    let seen = policy(&lab, "policy web; unitbox ps --format '{{.Names}}'");
    assert_eq!(seen, "on-failure on-failure 0\nweb");
}

#[test]
fn one_that_removes_itself_has_no_policy() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox run -d --rm --name web {ROOTFS} sleep 1000"
    ))
    .ok();
    let refused = lab.sh("unitbox update --restart always web");
    refused.fails(125);
    let words = "Error: --rm and --restart cannot be used together";
    assert_eq!(refused.err(), words);
    lab.sh("unitbox update --restart no web").ok();
    lab.sh("unitbox update --health-cmd true web && unitbox inspect -f '{{json .Config.Healthcheck.Test}}' web | grep true && unitbox stop -t 0 web && ! unitbox container exists web")
        .ok();
}

/// Each change holds, whoever else changes what at the same time.
#[test]
fn updates_at_once_add_up() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = policy(
        &lab,
        &format!(
            "unitbox run -d --name web --health-cmd true --health-interval disable {ROOTFS} sleep 1000 >/dev/null
             for i in 1 2 3 4 5; do
                 unitbox update --restart on-failure:$i web & unitbox update --memory ${{i}}0m web &
                 unitbox update --health-retries 1$i web & unitbox update --health-cmd \"echo $i\" web &
                 for job in $(jobs -p); do wait $job || echo failed; done
                 policy web; systemctl show -P MemoryMax unitbox-web
                 unitbox inspect -f '{{{{with .Config.Healthcheck}}}}{{{{.Retries}}}} {{{{index .Test 1}}}}{{{{end}}}}' web
             done 2>/dev/null | grep -v '^[0-9a-f]\\{{64\\}}$'; unitbox rm -f -t 0 web"
        ),
    );
    let round = |i: u64| {
        let memory = i * 10 * 1024 * 1024;
        format!("on-failure on-failure {i}\n{memory}\n1{i} echo {i}\n")
    };
    let expected: String = (1..=5).map(round).collect();
    assert_eq!(seen, format!("{expected}web"));
}

/// Whoever comes first: nothing comes back that was removed, and nobody is told nonsense.
#[test]
fn one_that_is_removed_meanwhile() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        &format!(
            "for i in $(seq 30); do
                 flags=; [ $((i % 3)) = 0 ] && flags=--rm
                 id=$(unitbox create $flags --name web {ROOTFS} sleep 1000)
                 [ $((i % 2)) = 0 ] && unitbox start web >/dev/null
                 (sleep 0.0$((i % 7)); unitbox rm -f -t 0 web >/dev/null || echo not removed) &
                 unitbox update --health-cmd true --memory 6${{i}}m web >/dev/null 2>/tmp/error
                 code=$?; wait
                 if [ $code != 0 ]; then
                     grep -q 'no such container' /tmp/error && [ $code = 125 ] || cat /tmp/error
                 fi
                 [ -z \"$(ls /run/systemd/system /var/lib/unitbox/containers /run/unitbox/locks 2>/dev/null | grep -e unitbox-web -e $id)\" ] || echo left $i
                 for k in $(seq 20); do [ $(systemctl show -P LoadState unitbox-web) = not-found ] && continue 2; sleep 0.1; done
                 echo loaded $i
             done
             rm -f /tmp/error; systemctl --failed --no-legend"
        ),
    );
    assert_eq!(seen, "");
}

/// Needs a monitor that understands a reload.
#[test]
fn health_changes_while_it_runs() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "pids() { echo $(systemctl show -P MainPID unitbox-web) $(unitbox inspect -f '{{.State.Pid}}' web); }
         is() { until_is \"$1\" \"unitbox inspect -f '{{with .State.Health}}{{.Status}}{{end}}' web\"; }
         up web; before=$(pids); is ''
         unitbox update --health-cmd false --health-interval 200ms --health-retries 2 web; is unhealthy
         unitbox update --health-cmd true web; is healthy
         unitbox update --health-cmd 'echo >>/dev/shm/count' --health-interval disable web
         sleep 1; unitbox exec web sh -c ': >/dev/shm/count'; sleep 1; unitbox exec web cat /dev/shm/count
         unitbox update --health-interval 100ms web
         until_is 1 \"echo \\$(( \\$(unitbox exec web wc -l /dev/shm/count | cut -d' ' -f1) > 3 ))\"
         unitbox update --no-healthcheck web; is ''
         unitbox exec web sh -c ': >/dev/shm/count'; sleep 1; unitbox exec web cat /dev/shm/count
         [ \"$(pids)\" = \"$before\" ] && echo same
         unitbox update --health-cmd false --health-interval 200ms --health-retries 1 --health-on-failure kill web
         until_is exited 'unitbox inspect -f {{.State.Status}} web'
         unitbox inspect -f '{{.State.ExitCode}}' web",
    );
    let seen: Vec<&str> = seen.lines().filter(|line| line.len() != 64).collect();
    assert_eq!(seen, ["same", "137"]);
}

/// What containers are made with before they are changed. Podman changes none that was made with `--no-healthcheck`.
const MADE: &[&str] = &[
    "",
    "--restart on-failure:2",
    "--health-cmd 'test -e /x' --health-interval 7s --health-retries 4 --health-on-failure kill",
    "--health-cmd true --health-startup-cmd first --health-startup-success 2 --health-max-log-count 3",
    "--health-cmd none",
];

/// How they are changed. Podman does not understand lists in JSON here, makes a check of an empty command, and does some of
/// what it refuses with `--no-healthcheck`.
const CHANGED: &[&str] = &[
    "",
    "--restart no",
    "--restart always",
    "--restart unless-stopped",
    "--restart on-failure",
    "--restart on-failure:3",
    "--restart on-failure:x",
    "--restart on-failure:-1",
    "--restart always:3",
    "--restart sometimes",
    "--restart never",
    "--restart ''",
    "--health-cmd new",
    "--health-cmd none",
    "--health-cmd 'CMD new x'",
    "--health-cmd '[]'",
    "--health-interval 5s",
    "--health-interval disable",
    "--health-interval 0",
    "--health-interval x",
    "--health-interval -1s",
    "--health-retries 7",
    "--health-retries 0",
    "--health-retries -1",
    "--health-timeout 3s",
    "--health-timeout 0s",
    "--health-timeout x",
    "--health-start-period 3s",
    "--health-start-period -3s",
    "--health-startup-cmd new",
    "--health-startup-cmd ''",
    "--health-startup-cmd none",
    "--health-startup-interval 5s",
    "--health-startup-interval disable",
    "--health-startup-success 3",
    "--health-startup-success 0",
    "--health-startup-retries 3",
    "--health-startup-timeout 5s",
    "--health-on-failure none",
    "--health-on-failure stop",
    "--health-on-failure restart",
    "--health-on-failure nonsense",
    "--health-max-log-count 7",
    "--health-max-log-count 0",
    "--health-max-log-count -1",
    "--health-max-log-size 70",
    "--health-max-log-size x",
    "--health-log-destination /opt",
    "--health-log-destination events_logger",
    "--health-log-destination local",
    "--health-log-destination relative",
    "--health-log-destination /no/such",
    "--no-healthcheck",
    "--no-healthcheck=false",
    "--no-healthcheck=maybe",
    "--no-healthcheck --health-on-failure none",
    "--no-healthcheck --health-max-log-count 2",
    "--no-healthcheck=false --health-cmd new",
    "--no-healthcheck --restart always",
    "--health-cmd new --health-interval 9s --health-retries 9",
    "--health-cmd new --health-startup-cmd first",
    "--health-cmd new --health-on-failure stop",
    "--health-cmd none --health-interval 9s",
    "--env A=b",
    "--restart always --health-cmd new --memory 64m",
];

/// What `create` refuses, of Podman too, or what could never be: an action and a startup check without a check.
const REFUSED: &[&str] = &[
    "--health-startup-cmd new",
    "--health-on-failure stop",
    "--health-on-failure restart",
    "--health-interval -1s",
    "--health-retries 0",
];

/// What Podman shows of checks that there are none of, also of the startup check of one that is none, and the wait of a
/// second that it puts before startup checks.
const PLAIN: &str = r#".[] | [.HostConfig.RestartPolicy] + (.Config
    | .Healthcheck |= if .Test[0]? == "NONE" then { Test } else . end
    | if .Healthcheck.Test[0]? == "NONE" then .StartupHealthCheck = null else . end
    | .StartupHealthCheck |= if . == null or .Test[0] == "NONE" or .Test[1] == "" then null else del(.StartPeriod) | .Successes //= 1 end
    | [.Healthcheck, .StartupHealthCheck, if (.Healthcheck.Test[0]? // "NONE") == "NONE" then null else .HealthcheckOnFailureAction end,
        .HealthLogDestination, .HealthcheckMaxLogCount // 0, .HealthcheckMaxLogSize])"#;

/// The same with both: exit code, what is written, and what `inspect` says then.
#[test]
fn words_and_codes_are_podmans() {
    let lab = Lab::boot(Suite::Trixie);
    let all = MADE.iter().flat_map(|made| {
        CHANGED
            .iter()
            .map(move |changed| format!("{made}|{changed}\n"))
    });
    let every = match std::env::var_os("UNITBOX_TEST_ALL") {
        Some(_) => 1,
        None => 6,
    };
    let cases: Vec<String> = all.step_by(every).collect();
    // Podman takes its time: one look at all of them.
    let seen = |engine: &str| {
        let script = format!(
            "E={engine}; ids=; >/tmp/$E.codes
             while IFS='|' read -r made changed; do
                 id=$(eval \"$E create --network none $made --rootfs /usr/share/unitbox-lab/busybox:O true\" </dev/null)
                 said=$(eval \"$E update $changed $id\" </dev/null 2>/tmp/$E.error); code=$?; ids=\"$ids $id\"
                 [ \"$said\" = $id ] && said=id
                 echo \"$made|$changed|$code $said|$(sed \"s/$id/ID/g\" /tmp/$E.error | paste -sd' ')|\" >>/tmp/$E.codes
             done
             $E inspect $ids | jq -c '{PLAIN}' | paste -d'\\0' /tmp/$E.codes -"
        );
        lab.sh_with_input(&script, cases.concat().as_bytes()).ok()
    };
    let (ours, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| seen("unitbox"));
        let theirs = seen("podman");
        (ours.join().expect("it has not panicked"), theirs)
    });
    assert_eq!(ours.lines().count(), cases.len());
    let mut wrong = Vec::new();
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        // The words of an error are each engine's own.
        let fields = |line: &str| {
            let all: Vec<String> = line.splitn(5, '|').map(str::to_owned).collect();
            [0, 1, 2, 4].map(|at| all[at].clone())
        };
        let (own, other) = (fields(ours), fields(theirs));
        let is_meant = REFUSED.contains(&own[1].as_str()) && own[2].starts_with("125 ");
        if own != other && !is_meant {
            wrong.push(format!("{ours}\n{theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
