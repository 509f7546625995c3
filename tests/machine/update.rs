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
                 [ $(systemctl show -P LoadState unitbox-web) = not-found ] || echo loaded $i
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
