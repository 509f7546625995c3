//! Who tells systemd that a container is ready, and what a payload may not tell it; and the watchdog.

use crate::harness::{Lab, Suite};
use crate::health::sh;
use crate::run::ROOTFS;

/// The root file system of the lab's Busybox with the programs of the lab, systemd-notify(1) and perl(1) among them;
/// `say TEXT...`: sends messages to the socket that NOTIFY_SOCKET names, and lives until they are heard, unless AT_ONCE.
const APP: &str = r#"
A='-v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro -v /opt/seen:/seen --rootfs /usr/share/unitbox-lab/busybox'
mkdir -p /opt/seen; rm -f /opt/seen/*
cat >/opt/seen/say <<'PERL'
use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; my $to = sockaddr_un($ENV{NOTIFY_SOCKET});
for my $text (@ARGV) { $text =~ s/\\n/\n/g; send(S, $text, 0, $to) or print "lost\n"; }
select(undef, undef, undef, 0.7) unless $ENV{AT_ONCE};
PERL
show() { systemctl show -P $2 unitbox-$1; }
"#;

fn app(lab: &Lab, script: &str) -> String {
    sh(lab, &format!("{APP}{script}"))
}

#[test]
fn a_payload_says_itself_that_it_is_ready() {
    let lab = Lab::boot(Suite::Trixie);
    for runtime in ["runc", "crun"] {
        let seen = app(
            &lab,
            &format!(
                "cat >/opt/seen/app <<'SH'
                trap 'systemd-notify --stopping --status=ending; exit 0' TERM
                systemd-notify --status=loading
                while [ ! -e /seen/go ]; do sleep 0.1; done
                systemd-notify --ready --status=serving
                while [ ! -e /seen/reload ]; do sleep 0.1; done
                systemd-notify --reloading; while [ ! -e /seen/reloaded ]; do sleep 0.1; done; systemd-notify --ready
                while :; do sleep 0.1; done
SH
                unitbox create --name app --runtime {runtime} --sdnotify container $A sh /seen/app >/dev/null
                systemctl start --no-block unitbox-app
                until_is loading 'show app StatusText'; show app ActiveState
                unitbox ps --format '{{{{.State}}}}'; unitbox inspect -f '{{{{.Config.SdNotifyMode}}}}' app
                touch /opt/seen/go; until_is active 'show app ActiveState'; show app StatusText
                touch /opt/seen/reload; until_is reloading 'show app ActiveState'
                touch /opt/seen/reloaded; until_is active 'show app ActiveState'
                unitbox exec app systemd-notify --status=inside; show app StatusText
                unitbox stop app; show app Result; show app ExecMainStatus
                unitbox inspect -f '{{{{.State.ExitCode}}}}' app; unitbox rm app >/dev/null"
            ),
        );
        let expected = "activating\nrunning\ncontainer\nserving\ninside\napp\nsuccess\n0\n0";
        assert_eq!(seen, expected, "{runtime}");
    }
}

/// A start ends when the payload is ready, also if that is all that it does; one that ends without a word has failed.
#[test]
fn ready_is_told_before_the_end() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = app(
        &lab,
        "unitbox create --name short --sdnotify container -e AT_ONCE=1 $A perl /seen/say READY=1 >/dev/null
         for i in 1 2 3 4 5; do systemctl start unitbox-short; echo $? $(show short Result); done
         unitbox create --name mute --sdnotify container $A true >/dev/null
         systemctl start unitbox-mute 2>/dev/null; echo $? $(show mute Result)
         unitbox inspect -f '{{.State.ExitCode}}' mute",
    );
    let short = "0 success\n".repeat(5);
    assert_eq!(seen, format!("{short}1 protocol\n0"));
}

#[test]
fn a_payload_cannot_take_the_unit_over() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = app(
        &lab,
        "cat >/opt/seen/evil <<'SH'
            perl /seen/say 'MAINPID=1\\nREADY=1\\nSTATUS=up' 'FDSTORE=1\\nFDNAME=x' NOTIFYACCESS=all MAINPIDFD=1 WATCHDOG_USEC=1 \
                \"STATUS=$(yes long | head -c 8000 | tr -d '\\n')\" \"$(printf 'STATUS=\\377')\"
            perl -e 'use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); my $to = sockaddr_un($ENV{NOTIFY_SOCKET});
                while (1) { send(S, \"STATUS=flood\", 0, $to); }' &
            trap 'exit 0' TERM; while :; do sleep 0.1; done
SH
         unitbox run -d --name evil --sdnotify container $A sh /seen/evil >/dev/null
         until_is flood 'show evil StatusText'
         tr '\\0' ' ' </proc/$(show evil MainPID)/cmdline | grep -o 'unitbox-monitor evil'
         show evil NFileDescriptorStore; show evil NotifyAccess; show evil WatchdogUSec
         unitbox exec evil touch /run/notify/x 2>&1 | sed 's/.*: //'
         unitbox exec evil rm /run/notify/notify.sock 2>&1 | sed 's/.*: //'
         time=$(date +%s); unitbox stop evil; [ $(($(date +%s) - time)) -lt 5 ] && show evil Result
         unitbox create --name good --sdnotify container $A sh -c 'perl /seen/say READY=1; sleep 1000' >/dev/null
         systemctl start unitbox-good
         export NOTIFY_SOCKET=/run/unitbox/$(unitbox inspect -f '{{.Id}}' good)/notify/notify.sock
         perl /opt/seen/say STATUS=outside STOPPING=1; systemd-run -q --wait -p User=nobody perl /opt/seen/say STATUS=outside
         sleep 0.5; show good StatusText; show good ActiveState; unitbox rm -f -t 0 good >/dev/null",
    );
    let expected = "unitbox-monitor evil\n0\nmain\n0\nRead-only file system\nRead-only file system\nevil\nsuccess\n\
        running\nactive";
    assert_eq!(seen, expected);
}

#[test]
fn a_start_waits_for_good_health() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = app(
        &lab,
        "unitbox create --name web --sdnotify healthy --health-interval 200ms --health-cmd 'test -e /seen/ok' $A sleep 1000 >/dev/null
         systemctl start --no-block unitbox-web; sleep 1; show web ActiveState; unitbox ps --format '{{.State}}'
         touch /opt/seen/ok; until_is active 'show web ActiveState'; unitbox rm -f -t 0 web >/dev/null",
    );
    assert_eq!(seen, "activating\nrunning");
    let said = |engine: &str| {
        let flags = "--network none --sdnotify healthy";
        let refused = lab.sh(&format!("{engine} create {flags} {ROOTFS} true"));
        refused.fails(125).err().to_owned()
    };
    assert_eq!(said("unitbox"), said("podman"));
    let modes = |engine: &str| {
        lab.sh(&format!(
            "for mode in conmon container healthy ignore; do
                id=$({engine} create --network none --health-cmd true --sdnotify $mode {ROOTFS} true)
                {engine} inspect -f '{{{{.Config.SdNotifyMode}}}}' $id; {engine} inspect $id | jq -r '.[0].Config.sdNotifyMode'; {engine} rm $id >/dev/null
            done"
        ))
        .ok()
    };
    assert_eq!(modes("unitbox"), modes("podman"));
}

#[test]
fn the_watchdog_hears_of_what_is_well() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = app(
        &lab,
        "for name in own quiet sick; do
            mkdir -p /etc/systemd/system/unitbox-$name.service.d
            printf '[Service]\\nWatchdogSec=2\\n' >/etc/systemd/system/unitbox-$name.service.d/watchdog.conf
         done; systemctl daemon-reload
         beat='trap \"echo heard >>/seen/heard; exit 0\" TERM; systemd-notify --ready
            while :; do [ -e /seen/hang ] || systemd-notify WATCHDOG=1; sleep 0.2; done'
         unitbox create --name own --sdnotify container $A sh -c \"echo \\$WATCHDOG_USEC >/seen/usec; $beat\" >/dev/null
         unitbox create --name quiet $A sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.1; done' >/dev/null
         unitbox create --name sick --health-interval 200ms --health-retries 1 --health-cmd 'test ! -e /seen/hang' $A \
            sh -c 'trap \"echo heard >>/seen/heard; exit 0\" TERM; while :; do sleep 0.1; done' >/dev/null
         systemctl start unitbox-own unitbox-quiet unitbox-sick; sleep 4
         for name in own quiet sick; do echo $name $(show $name ActiveState) $(show $name NRestarts); done; cat /opt/seen/usec
         unitbox pause quiet >/dev/null; sleep 4; show quiet ActiveState; unitbox unpause quiet >/dev/null
         touch /opt/seen/hang
         for name in own sick; do until_is failed 'show '$name' ActiveState'; show $name Result
            unitbox inspect -f '{{.State.ExitCode}}' $name; done
         show quiet ActiveState; cat /opt/seen/heard; unitbox rm -f -t 1 quiet >/dev/null",
    );
    let expected = "own active 0\nquiet active 0\nsick active 0\n2000000\nactive\nwatchdog\n0\nwatchdog\n0\nactive\nheard\nheard";
    assert_eq!(seen, expected);
}

/// systemd's time for a start does not run out while it is worked on, and does while it hangs.
#[test]
fn a_slow_start_is_extended_and_one_that_hangs_is_not() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /opt/hooks /etc/systemd/system/unitbox-.service.d")
        .ok();
    lab.write(
        "/opt/hook",
        "#!/bin/bash\nread -r what </opt/what; [ $what = hangs ] && exec sleep 1000\n\
        while [ $SECONDS -lt 12 ]; do :; done\n",
    );
    lab.write(
        "/opt/hooks/slow.json",
        r#"{"version":"1.0.0","hook":{"path":"/opt/hook"},"when":{"always":true},"stages":["createRuntime"]}"#,
    );
    lab.write(
        "/etc/systemd/system/unitbox-.service.d/time.conf",
        "[Service]\nTimeoutStartSec=6\n",
    );
    let seen = app(
        &lab,
        &format!(
            "chmod 755 /opt/hook; systemctl daemon-reload
            unitbox --hooks-dir /opt/hooks create --name a {ROOTFS} stamp run >/dev/null
            echo works >/opt/what; systemctl start --no-block unitbox-a; sleep 7; show a StatusText
            until_is active 'show a ActiveState'; unitbox stop -t 5 a
            echo hangs >/opt/what; begun=$SECONDS; systemctl start unitbox-a 2>/dev/null; echo $?
            echo $((SECONDS - begun < 20)); show a Result; pgrep -c sleep; unitbox ps -a --format '{{{{.State}}}}'"
        ),
    );
    let expected = "starting: the container is still being prepared\na\n1\n1\ntimeout\n0\ncreated";
    assert_eq!(seen, expected);
}
