//! Health checks: what they cost and leave, what they tell, and what is done about them.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// `up NAME FLAG...`: a container that goes on until it is told to stop. `until WORDS COMMAND`: waits for that output.
pub(crate) const SHELL: &str = r#"
up() { name=$1; shift; unitbox run -d --name $name "$@" --rootfs /usr/share/unitbox-lab/busybox \
    sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null; }
until_is() { for i in $(seq 100); do [ "$(eval "$2")" = "$1" ] && return 0; sleep 0.1; done
    echo "not $1: $(eval "$2")"; return 1; }
health() { unitbox inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' $1; }
last() { unitbox inspect -f json $1 | jq -r '.[0].State.Health.Log[-1] | "\(.ExitCode) \(.Output)"'; }
group() { echo /sys/fs/cgroup/system.slice/unitbox-$1.service/payload; }
"#;

pub(crate) fn sh(lab: &Lab, script: &str) -> String {
    lab.sh(&format!("{SHELL}{script}")).ok()
}

#[test]
fn a_check_that_hangs_prints_or_forks_is_bounded() {
    let lab = Lab::boot(Suite::Trixie);
    for runtime in ["runc", "crun"] {
        let with = format!("--runtime {runtime} --health-interval disable --health-cmd");
        // Twice, as the second finds what the first has left.
        let seen = sh(
            &lab,
            &format!(
                "up hangs --health-timeout 1s {with} 'sleep 1000 & sleep 1000'
                 for i in 1 2; do unitbox healthcheck run hangs; echo $?; done 2>&1
                 health hangs; last hangs; pgrep -ax sleep | grep -w 1000; ls -d $(group hangs)/*/ 2>/dev/null | wc -l; true"
            ),
        );
        let error = "Error: healthcheck command exceeded its timeout\n125\n";
        assert_eq!(
            seen,
            format!("{error}{error}starting 2\n-1 \n0"),
            "{runtime}"
        );
        let seen = sh(
            &lab,
            &format!(
                "up prints --health-timeout 60s --health-max-log-size 0 {with} 'dd if=/dev/zero bs=1M count=1000 2>/dev/null'
                 unitbox healthcheck run prints; echo $?
                 unitbox inspect -f json prints | jq '.[0].State.Health.Log[0].Output | length'
                 up forks {with} 'setsid sleep 2000 >/dev/null 2>&1 & (sleep 2000 &) ; echo done'
                 for i in 1 2; do unitbox healthcheck run forks; echo $?; done
                 last forks; pgrep -ax sleep | grep -w 2000; ls -d $(group forks)/*/ 2>/dev/null | wc -l; true"
            ),
        );
        assert_eq!(seen, "0\n1048576\n0\n0\n0 done\n\n0", "{runtime}");
        lab.sh("unitbox rm -f -t 0 hangs prints forks").ok();
    }
}

/// The monitor's own timer: at once, in its rhythm, and not while paused; one line in the journal.
#[test]
fn the_monitor_looks_in_its_rhythm_and_says_what_changes() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "mkdir /opt/seen; up web -v /opt/seen:/seen --health-interval 300ms --health-retries 2 \
            --health-cmd 'echo >>/seen/count; test ! -e /seen/bad'
         unitbox wait --condition healthy web
         unitbox ps --format '{{.Status}}' | grep -o '(.*)'
         systemctl show -P StatusText unitbox-web | sed 's/[0-9][0-9]* ms/N ms/'
         sleep 2; echo looked $(( $(wc -l </opt/seen/count) > 3 ))
         unitbox pause web >/dev/null; sleep 0.5; before=$(wc -l </opt/seen/count); sleep 1
         echo paused $(( $(wc -l </opt/seen/count) - before ))
         unitbox healthcheck run web 2>&1 | sed 's/[0-9a-f]\\{64\\}/ID/'
         unitbox unpause web >/dev/null
         touch /opt/seen/bad; unitbox wait --condition unhealthy web
         systemctl show -P StatusText unitbox-web | sed 's/since [-0-9]* [0-9]*:[0-9]*:[0-9]*/since TIME/'
         unitbox ps --filter health=unhealthy --format '{{.Names}}'
         unitbox ps --filter health=healthy --format '{{.Names}}'
         journalctl --sync; journalctl -o cat -u unitbox-web | grep health
         unitbox events --stream=false --filter event=health_status --format '{{.HealthStatus}}'
         id=$(unitbox inspect -f '{{.Id}}' web); case $id in [0-9]*) id=_3${id};; esac
         busctl get-property org.unitbox1 /org/unitbox1/container/$id org.unitbox1.Container Health
         systemctl list-units --all | grep -cE '[0-9a-f]{64}'; true",
    );
    let expected = "-1\n(healthy)\nrunning, healthy (2/2), N ms\nlooked 1\npaused 0\nError: container ID is not running\n-1\nunhealthy since TIME: exit code 1\nweb\n\
        container health_status web (healthy)\ncontainer health_status web (unhealthy)\nhealthy\nunhealthy\ns \"unhealthy\"\n0";
    assert_eq!(seen, expected);
}

#[test]
fn what_is_done_with_unhealthy_containers() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "bad='--health-interval 300ms --health-retries 2 --health-cmd false --health-start-period 300ms'
         up none $bad; until_is unhealthy 'unitbox inspect -f {{.State.Health.Status}} none'; systemctl --failed --no-legend | wc -l
         up killed $bad --health-on-failure kill
         up stopped $bad --health-on-failure stop --restart always
         up again $bad --health-on-failure restart
         up startup --health-interval 300ms --health-cmd true --health-startup-cmd false \
             --health-startup-interval 300ms --health-startup-retries 2
         until_is exited 'unitbox inspect -f {{.State.Status}} killed'
         until_is exited 'unitbox inspect -f {{.State.Status}} stopped'
         for name in again startup; do
             until_is 1 'echo $(( $(systemctl show -P NRestarts unitbox-'$name') > 0 ))'
             journalctl --sync; journalctl -o cat -u unitbox-$name | grep -o \"Failed with result.*\" | uniq
         done
         # Not while a start is being prepared.
         for name in again startup; do until_is running 'unitbox inspect -f {{.State.Status}} '$name; unitbox stop -t 1 $name >/dev/null; done; sleep 2
         for name in none killed stopped again startup; do
             echo $name $(unitbox inspect -f '{{.State.Status}} {{.State.ExitCode}}' $name)
         done
         for name in none killed stopped; do systemctl show -P NRestarts unitbox-$name; done",
    );
    let watchdog = "Failed with result 'watchdog'.";
    let expected = format!(
        "0\n{watchdog}\n{watchdog}\nnone running 0\nkilled exited 137\nstopped exited 0\nagain exited 0\nstartup exited 0\n0\n0\n0"
    );
    assert_eq!(seen, expected);
}

/// The same with both: what `healthcheck run` says and ends with, and what `inspect` says then.
#[test]
fn words_and_codes_are_podmans() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = |engine: &str| {
        sh(
            &lab,
            &format!(
                "E={engine}
                 go() {{ $E run -d --network none --name $1 --health-interval disable \"${{@:2}}\" \
                    --rootfs /usr/share/unitbox-lab/busybox:O sleep 1000 >/dev/null; }}
                 look() {{ $E healthcheck run $1 2>&1 | sed 's/[0-9a-f]\\{{64\\}}/ID/'; echo ${{PIPESTATUS[0]}}
                    $E inspect -f '{{{{with .State.Health}}}}{{{{.Status}}}} {{{{.FailingStreak}}}} {{{{len .Log}}}}{{{{end}}}}' $1; }}
                 go good --health-cmd 'echo hi' --health-max-log-count 2; for i in 1 2 3; do look good; done
                 go bad --health-cmd false --health-retries 2; for i in 1 2 3; do look bad; done
                 go early --health-cmd false --health-start-period 1m; look early
                 go startup --health-cmd true --health-startup-cmd false --health-startup-interval disable; look startup
                 go without; look without
                 $E pause good >/dev/null; look good; $E unpause good >/dev/null
                 $E healthcheck run nope 2>&1; echo $?
                 for flags in '--no-healthcheck' '--health-cmd none' '--health-cmd CMD\\ true\\ x' '--health-cmd true --health-retries 5 --health-timeout 2s'; do
                     id=$(eval $E create --network none $flags --rootfs /usr/share/unitbox-lab/busybox:O true)
                     $E inspect -f '{{{{json .Config.Healthcheck.Test}}}}' $id
                 done
                 $E create --network none --health-on-failure kill --rootfs /usr/share/unitbox-lab/busybox true 2>&1
                 $E rm -af -t 0 >/dev/null"
            ),
        )
    };
    let (ours, theirs) = (seen("unitbox"), seen("podman"));
    assert_eq!(ours, theirs);
    assert!(ours.contains("unhealthy 3"), "{ours}");
}

/// The keys of a file, and a stop that its own Restart= does not undo.
#[test]
fn a_unit_file_has_the_same() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /etc/unitbox").ok();
    lab.write(
        "/etc/unitbox/sick.container",
        "[Container]\nRootfs=/usr/share/unitbox-lab/busybox\nExec=sleep 1000\nStopTimeout=1\nHealthCmd=false\n\
         HealthInterval=300ms\nHealthRetries=2\nHealthOnFailure=stop\n[Service]\nRestart=always\n",
    );
    let seen = sh(
        &lab,
        "systemctl daemon-reload; systemctl start sick
         until_is exited 'unitbox inspect -f {{.State.Status}} systemd-sick'; sleep 1
         systemctl show -P NRestarts sick; health systemd-sick",
    );
    assert_eq!(seen, "0\nunhealthy 2");
    let error = lab.sh(&format!(
        "unitbox create --rm --health-cmd false --health-on-failure restart {ROOTFS} true"
    ));
    error.fails(125);
}

/// What an image says of its health, over which the user's wishes go.
#[test]
fn an_image_has_a_check() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(
        "podman load -q -i /usr/share/unitbox-lab/busybox.tar >/dev/null
         podman create -q --name base --network none busybox >/dev/null
         podman commit -q --format docker \
            --change 'HEALTHCHECK --interval=1s --timeout=3s --retries=2 --start-period=4s CMD test -e /tmp/ok' base checked >/dev/null
         podman save -q --format oci-dir -o /opt/oci busybox; cd /opt/oci/blobs/sha256
         blob() { set -- $(sha256sum -b $1) $1; mv $3 $1; echo $1 $(stat -c %s $1); }
         manifest=$(jq -r '.manifests[0].digest' ../../index.json | cut -d: -f2); config=$(jq -r .config.digest $manifest | cut -d: -f2)
         jq -c '.config.Healthcheck = {Test: [\"CMD-SHELL\", \"test -e /tmp/ok\"], Interval: 1000000000, Timeout: 3000000000,
            Retries: 2, StartPeriod: 4000000000}' $config >new; set -- $(blob new)
         jq -c \".config.digest = \\\"sha256:$1\\\" | .config.size = $2\" $manifest >new; set -- $(blob new)
         jq -c \".manifests[0].digest = \\\"sha256:$1\\\" | .manifests[0].size = $2
            | .manifests[0].annotations = {\\\"org.opencontainers.image.ref.name\\\": \\\"localhost/checked:latest\\\"}\" ../../index.json >new
         mv new ../../index.json; tar -C /opt/oci -cf /opt/checked.tar .; unitbox load -i /opt/checked.tar >/dev/null",
    )
    .ok();
    let seen = |engine: &str| {
        sh(
            &lab,
            &format!(
                "E={engine}; run() {{ name=$1; shift; $E run -d --network none --name $name \"$@\" localhost/checked sleep 1000 >/dev/null; }}
                 run own; run off --no-healthcheck; run other --health-cmd true --health-retries 7
                 for name in own off other; do $E inspect -f '{{{{json .Config.Healthcheck}}}}' $name; done
                 $E healthcheck run own; echo $?; $E exec own touch /tmp/ok; $E healthcheck run own; echo $?
                 $E healthcheck run off 2>&1 | sed 's/[0-9a-f]\\{{64\\}}/ID/'; $E healthcheck run other; echo $?; $E rm -af -t 0 >/dev/null"
            ),
        )
    };
    let (ours, theirs) = (seen("unitbox"), seen("podman"));
    assert_eq!(ours, theirs);
    assert!(ours.contains("\"Interval\":1000000000"), "{ours}");
}

/// Where the log goes, and that a file of the user's keeps what is asked for.
#[test]
fn the_log_goes_where_it_is_sent() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "mkdir /opt/logs
         up file --health-interval disable --health-cmd 'echo seen' --health-log-destination /opt/logs --health-max-log-count 2
         for i in 1 2 3; do unitbox healthcheck run file; done
         jq -r '[.Status, (.Log | length), .Log[0].Output] | join(\" \")' /opt/logs/*-healthcheck.log
         up lines --health-interval disable --health-cmd 'echo spoken' --health-log-destination events_logger
         unitbox healthcheck run lines; journalctl --sync; journalctl -o cat -u unitbox-lines | grep -c 'exit code 0: spoken'
         unitbox create --health-cmd true --health-log-destination /no/such --rootfs / true 2>&1; echo $?",
    );
    let refused = "Error: look at --health-log-destination /no/such: No such file or directory (os error 2)\n125";
    assert_eq!(seen, format!("healthy 2 seen\n\n1\n{refused}"));
}

/// A worker that is killed in a check: it does not count, and what it had started is gone.
#[test]
fn a_worker_that_is_killed_tells_nothing() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "mkdir /opt/seen
         up web -v /opt/seen:/seen --health-interval 300ms --health-retries 1 --health-timeout 60s \
            --health-cmd 'test ! -e /seen/hang || tail -f /dev/null'
         unitbox wait --condition healthy web; touch /opt/seen/hang
         until_is 1 'pgrep -cx tail'; rm /opt/seen/hang
         monitor=$(systemctl show -P MainPID unitbox-web)
         kill -9 $(pgrep -P $monitor -f unitbox-monitor)
         until_is 0 'pgrep -cx tail'; sleep 1
         health web; unitbox healthcheck run web; echo $?; unitbox rm -f -t 0 web",
    );
    assert_eq!(seen, "-1\nhealthy 0\n0\nweb");
}

/// What a check prints is read and forgotten: the worker holds little of it.
#[test]
fn much_output_takes_little_memory() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "up prints --health-timeout 60s --health-interval disable --health-cmd 'dd if=/dev/zero bs=1M count=1000 2>/dev/null'
         monitor=$(systemctl show -P MainPID unitbox-prints)
         unitbox healthcheck run prints & check=$!; most=0
         while kill -0 $check 2>/dev/null; do
             for pid in $monitor $(pgrep -P $monitor -f unitbox-monitor); do
                 now=$(awk '/VmHWM/ { print $2 }' /proc/$pid/status 2>/dev/null); [ ${now:-0} -gt $most ] && most=$now
             done
         done; wait $check; echo $?; [ $most -gt 0 ] && [ $most -lt 16384 ] && echo little || echo $most KiB
         unitbox rm -f -t 0 prints >/dev/null",
    );
    assert_eq!(seen, "0\nlittle");
}
