//! `systemctl reload`: the monitor becomes the program that is installed now, and takes over what has changed.

use std::fs;

use crate::harness::container::{monitor, monitor_with_failpoints};
use crate::harness::{Lab, Suite};
use crate::health::sh;
use crate::run::ROOTFS;

/// Functions of the scripts: `monitors NAME...` tells MainPID, payload and restarts of each; `installed NAME...` whether
/// each runs what is installed.
const RELOAD: &str = r#"
M=/usr/libexec/unitbox/unitbox-monitor
install_as() { cp $1 $M.new && chmod 755 $M.new && mv $M.new $M; }
show() { systemctl show -P $2 unitbox-$1; }
monitors() { for n; do echo $n $(show $n MainPID) $(unitbox inspect -f '{{.State.Pid}} {{.RestartCount}}' $n) $(show $n NRestarts); done; }
installed() { for n; do cmp /proc/$(show $n MainPID)/exe $M || echo $n; done; }
"#;

/// Both monitors; the second one keeps what it hands on in a version that is one higher.
fn lab_with_both(suite: Suite) -> Lab {
    let lab = Lab::boot(suite);
    for (name, program) in [("this", monitor()), ("next", monitor_with_failpoints())] {
        let program = fs::read(program).expect("it was built");
        lab.write(&format!("/opt/{name}"), program);
    }
    lab
}

fn run(lab: &Lab, script: &str) -> String {
    sh(lab, &format!("{RELOAD}{script}"))
}

/// Twenty that print, answer, are looked at, have a terminal, and log to files, on both runtimes.
#[test]
fn an_upgrade_under_load_is_not_noticed() {
    let lab = lab_with_both(Suite::Trixie);
    let seen = run(
        &lab,
        &format!(
            r#"
            install_as /opt/this; mkdir -p /opt/serve; mkfifo /opt/serve/in
            all=$(seq -f u%g 20)
            for i in $(seq 20); do
                runtime=runc; [ $((i % 2)) = 0 ] && runtime=crun
                more=; case $i in 3|4) more='--log-driver k8s-file';; 5|6) more=-t;; 7|8) more='--health-cmd true --health-interval 300ms';; esac
                unitbox run -d --name u$i --runtime $runtime --restart always $more {ROOTFS} \
                    sh -c "trap 'exit $i' TERM; n=0; while :; do echo line \$n; n=\$((n+1)); sleep 0.05; done" >/dev/null
            done
            unitbox run -d --name flood {ROOTFS} stamp lines 400000 100 >/dev/null
            unitbox run -i --name serve {ROOTFS} cat </opt/serve/in >/opt/serve/out & client=$!
            exec 7>/opt/serve/in; echo before >&7
            until_is before 'cat /opt/serve/out'
            unitbox wait --condition healthy u7 u8 >/dev/null
            monitors $all serve flood >/opt/before
            install_as /opt/next
            systemctl reload $(for n in $all serve flood; do echo unitbox-$n; done); echo reloaded $?
            monitors $all serve flood | diff /opt/before - && installed $all serve flood && echo same
            echo after >&7; until_is 'before after' 'echo $(cat /opt/serve/out)'
            unitbox ps -q --filter health=healthy | wc -l
            sleep 1; exec 7>&-; wait $client; echo served $?
            unitbox wait flood; journalctl --sync
            unitbox logs flood | awk '$1 + 0 != NR - 1 {{ print "lost", NR; exit }} END {{ print NR }}'
            for n in $all; do
                unitbox stop -t 5 $n >/dev/null; journalctl --sync
                unitbox logs $n | tr -d '\r' | awk -v n=$n '$2 != NR - 1 {{ print n, "lost", NR, $0; exit }} END {{ if (NR < 40) print n, "has only", NR }}'
                echo $n $(unitbox inspect -f '{{{{.State.ExitCode}}}} {{{{.State.Status}}}}' $n)
            done
            "#
        ),
    );
    let mut expected = "reloaded 0\nsame\n2\nserved 0\n0\n400000".to_owned();
    for number in 1..=20 {
        expected.push_str(&format!("\nu{number} {number} exited"));
    }
    assert_eq!(seen, expected);
}

#[test]
fn a_program_that_cannot_take_over_does_not() {
    let lab = lab_with_both(Suite::Trixie);
    let seen = run(
        &lab,
        &format!(
            r#"
            install_as /opt/next
            unitbox run -d --name a {ROOTFS} sh -c 'trap "exit 7" TERM; while :; do sleep 0.1; done' >/dev/null
            monitors a >/opt/before
            said() {{ journalctl --sync; journalctl -u unitbox-a -o cat --after-cursor "$(cat /opt/cursor)" | grep -v '^unitbox-a.service: \|^Reload'; journalctl -q -n 0 --show-cursor | sed 's/^-- cursor: //' >/opt/cursor; }}
            journalctl -q -n 0 --show-cursor | sed 's/^-- cursor: //' >/opt/cursor
            again() {{ systemctl reload unitbox-a 2>/dev/null; echo $? $(show a ActiveState); said; monitors a | diff /opt/before -; }}
            # A library that is not there; no program; one that is older.
            sed 's/libc\.so\.6/libx.so.6/' /opt/next >/opt/broken; install_as /opt/broken; again 2>&1 | sed 's/.*\(libx.so.6\).*/\1/'
            echo nothing >/opt/broken; install_as /opt/broken; again | grep -v "step EXEC\|Failed to execute"
            install_as /opt/this; again
            install_as /opt/next; systemctl reload unitbox-a; echo $?; installed a
            unitbox stop a; unitbox inspect -f '{{{{.State.ExitCode}}}}' a
            systemctl reload unitbox-a 2>&1 | sed 's/^Job.*/not active/; s/.*is not active.*/not active/'
            "#
        ),
    );
    let expected = "1 active\nlibx.so.6\n1 active\n1 active\n\
        reload: what the monitor keeps is of version 2, this program reads 1 and the one before\n0\na\n7\nnot active";
    assert_eq!(seen, expected);
}

/// What has been built for an older systemd, whose ExecReload= runs in another place.
#[test]
fn an_older_systemd_reloads_too() {
    let lab = lab_with_both(Suite::Bookworm);
    let seen = run(
        &lab,
        &format!(
            "install_as /opt/this
            unitbox run -d --name a {ROOTFS} stamp code 7 >/dev/null; monitors a >/opt/before
            install_as /opt/next; systemctl reload unitbox-a; echo $?; monitors a | diff /opt/before -; installed a
            unitbox stop a; unitbox inspect -f '{{{{.State.ExitCode}}}}' a"
        ),
    );
    assert_eq!(seen, "0\na\n7");
}

/// Of a unit file only what may change is taken over; the rest waits for the next start.
#[test]
fn a_changed_unit_file_is_read() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = run(
        &lab,
        "mkdir -p /etc/unitbox; file=/etc/unitbox/web.container
        printf '%s\\n' '[Container]' 'Rootfs=/usr/share/unitbox-lab/busybox' 'Exec=stamp hups' 'ReloadSignal=HUP' >$file
        systemctl daemon-reload; systemctl start web
        name=$(unitbox ps --format '{{.Names}}')
        unitbox inspect -f '{{.State.Pid}} {{.State.StartedAt}}' $name >/opt/before
        systemctl show -P StatusText web
        printf '%s\\n' HealthCmd=true HealthInterval=300ms Environment=A=b >>$file
        systemctl daemon-reload; systemctl reload web; echo $?
        until_is healthy \"unitbox inspect -f '{{.State.Health.Status}}' $name\"
        unitbox inspect -f '{{.State.Pid}} {{.State.StartedAt}}' $name | diff /opt/before -
        sed -i 's/^Health/#Health/' $file
        systemctl daemon-reload; systemctl reload web; echo $?; systemctl show -P StatusText web
        echo 'HealthInterval=soon' >>$file; systemctl reload web 2>/dev/null; echo $?; systemctl is-active web
        journalctl --sync; unitbox logs $name",
    );
    assert_eq!(
        seen,
        "running\n0\n0\nrunning\n1\nactive\nready\nHUP 1\nHUP 2"
    );
}

/// A reload that is overtaken by a stop is no failure of the unit.
#[test]
fn a_stop_ends_a_reload_that_goes_on() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = run(
        &lab,
        &format!(
            "unitbox run -d --name a {ROOTFS} stamp run >/dev/null; monitor=$(show a MainPID)
            kill -STOP $monitor; systemctl reload --no-block unitbox-a
            until_is reloading 'show a ActiveState'; sleep 0.3
            systemctl stop unitbox-a
            show a ActiveState; show a Result"
        ),
    );
    assert_eq!(seen, "inactive\nsuccess");
}
