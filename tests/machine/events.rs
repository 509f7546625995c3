//! Events and logs, side by side with Podman's.

use crate::harness::{Lab, Suite};

const R: &str = "--network=none --rootfs /usr/share/unitbox-lab/busybox";

/// The same for both engines; each line of it is one verb's.
const SEQUENCE: &str = r#"
$E run -d --name ${E}1 --label a=1 $R sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null
sleep 0.3
$E pause ${E}1; $E unpause ${E}1; $E kill -s USR2 ${E}1; $E exec ${E}1 sh -c 'exit 3'
$E restart ${E}1; sleep 0.3; $E stop ${E}1; $E start ${E}1; sleep 0.3; $E kill ${E}1; $E wait ${E}1; sleep 0.7; $E rm ${E}1
$E run --rm --name ${E}2 $R sh -c 'exit 4'
sleep 0.7
$E create --name ${E}3 $R true; $E rename ${E}3 ${E}4; $E rm ${E}4
$E run -d --name ${E}5 $R no-such-program; $E rm -f ${E}5
$E run -d --name ${E}6 $R sleep 100; $E rm -f -t 0 ${E}6
$E load -i /usr/share/unitbox-lab/busybox.tar
$E create --network=none --name ${E}7 busybox true; $E mount ${E}7; $E unmount ${E}7; $E mount -a; $E unmount -a; $E cp ${E}7:/etc/passwd /tmp/p
$E export ${E}7 >/dev/null; $E diff ${E}7; $E rm ${E}7
"#;

/// What happened with one engine: status, container, exit code, label, in order.
fn told(lab: &Lab, engine: &str) -> Vec<String> {
    let text = lab
        .sh(&format!(
            "E={engine} R='{R}'; T=$(date +%s.%N); ({SEQUENCE}) >/dev/null 2>&1; sleep 1
             $E events --stream=false --since $T --filter type=container \
                --format '{{{{.Status}}}} {{{{.Name}}}} {{{{.ContainerExitCode}}}} {{{{.Attributes}}}}'"
        ))
        .ok();
    let lines = text.lines().map(|line| line.replace(engine, "c"));
    // Podman cleans up between the halves of a restart without a word, and before or after what follows.
    lines.filter(|line| !line.starts_with("cleanup ")).collect()
}

#[test]
fn the_same_happens_as_with_podman() {
    let lab = Lab::boot(Suite::Trixie);
    let podman = told(&lab, "podman");
    assert!(podman.len() > 30, "{podman:#?}");
    let mut expected = podman.clone();
    // It tells the end of a command twice at times.
    expected.dedup();
    let unitbox = told(&lab, "unitbox");
    assert_eq!(
        unitbox, expected,
        "--- unitbox {unitbox:#?}\n--- podman {podman:#?}"
    );

    // The form of a line, of JSON, and what is refused.
    let shape = "sed -E 's/[0-9]{4}-[^U]*UTC/TIME/; s/\"(time|timeNano)\":[0-9]+/\"\\1\":0/g; s/[0-9a-f]{64}/ID/; s/[0-9a-f]{12}/SHORT/; s/(podman|unitbox)/c/g'";
    for args in [
        "--filter event=create --filter label=a=1",
        "--filter event=create --filter label=a=1 --no-trunc=false",
        "--filter event=died --filter container=${E}1 --format json",
        "--filter event=died --filter container=${E}1 --format '{{json .}}'",
        "--filter event=bad",
        "--filter bad=bad",
        "--filter nothing",
        "--filter type=pod",
        "--since nonsense",
        "--format '{{.Foo}}'",
        "word",
    ] {
        let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
            lab.sh(&format!(
                "E={engine}; $E events --stream=false {args} 2>&1 | grep -v level= | {shape}; echo ${{PIPESTATUS[0]}}"
            ))
            .ok()
        });
        assert_eq!(unitbox, podman, "{args}");
    }
}

#[test]
fn events_are_streamed_and_a_restart_of_systemds_is_one() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        let text = lab
            .sh(&format!(
                "unitbox events --format '{{{{.Status}}}} {{{{.Name}}}}' >/tmp/stream & watcher=$!
                 until grep -q . /tmp/stream; do unitbox create --name p {R} true; unitbox rm p; sleep 0.2; done
                 unitbox create --name s {R} sleep 1000; unitbox start s
                 mkdir -p /run/systemd/system/unitbox-s.service.d
                 printf '[Service]\\nRestart=on-failure\\nRestartSec=0\\n' >/run/systemd/system/unitbox-s.service.d/r.conf
                 systemctl daemon-reload; pid=$(unitbox inspect -f '{{{{.State.Pid}}}}' s); kill -9 $pid
                 for i in $(seq 100); do [ $(grep -c '^start' /tmp/stream) = 2 ] && break; sleep 0.1; done
                 unitbox rm -f -t 0 s; sleep 1; kill $watcher; grep -v ^cleanup /tmp/stream"
            ))
            .ok();
        let lines: Vec<&str> = text.lines().filter(|line| line.ends_with(" s")).collect();
        let want = [
            "create s",
            "init s",
            "start s",
            "died s",
            "restart s",
            "init s",
            "start s",
            "died s",
            "remove s",
        ];
        assert_eq!(lines, want, "{suite:?}");
        // It ends by itself at the time given.
        lab.sh("timeout 20 unitbox events --until 1s >/dev/null")
            .ok();
    }
}

#[test]
fn the_end_behind_a_killed_monitor_is_told_once() {
    let lab = Lab::boot(Suite::Trixie);
    for (flags, last) in [("", None), ("--rm", Some("remove k <nil>"))] {
        let text = lab
            .sh(&format!(
                "T=$(date +%s.%N); unitbox run -d {flags} --name k {R} sleep 1000 >/dev/null
                 kill -9 $(unitbox inspect -f '{{{{.State.ConmonPid}}}}' k)
                 for i in $(seq 100); do systemctl -q is-active unitbox-k unitbox-cleanup@k || [ $i -lt 20 ] || break; sleep 0.1; done
                 unitbox container cleanup k >/dev/null
                 unitbox events --stream=false --since $T --format '{{{{.Status}}}} {{{{.Name}}}} {{{{.ContainerExitCode}}}}'
                 unitbox rm -i k >/dev/null"
            ))
            .ok();
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(lines.first(), Some(&"died k 137"), "{flags}: {text}");
        let died = lines.iter().filter(|line| line.starts_with("died")).count();
        let is_last = last.is_none_or(|last| lines.contains(&last));
        assert!(died == 1 && is_last, "{flags}: {text}");
    }
}

/// What both engines' containers write, once all of them are told to: both streams, spread over two seconds.
const PAYLOAD: &str = "sh -c 'until [ -e /go/now ]; do sleep 0.02; done; for i in 1 2 3 4; do echo out$i; echo err$i >&2; sleep 0.5; done; echo end'";

#[test]
fn logs_are_shown_as_podman_shows_them() {
    let lab = Lab::boot(Suite::Trixie);
    // The drivers have other names in another test; both engines write at the same time.
    lab.sh(&format!(
        "mkdir /opt/go; for d in journald k8s-file; do for E in podman unitbox; do
            $E run -d --name $d -v /opt/go:/go --log-driver $d {R} {PAYLOAD} >/dev/null & done; done; wait; touch /opt/go/now
         for E in podman unitbox; do $E wait journald k8s-file; done; sleep 0.5; journalctl --sync"
    ))
    .ok();
    // A time between the second and the third round.
    let at = "M=$(unitbox logs -t k8s-file 2>&1 | awk '$2 == \"out3\" {print $1}'); S=$(date -d \"$M - 0.2 seconds\" +%s.%N); \
              I=$(date -u -d @$S +%Y-%m-%dT%H:%M:%S.%NZ); ";
    let hide = "sed -E 's/[0-9]{4}-[0-9T:.-]+Z/TIME/; s/^(\\x1b\\[[0-9]+m)?[0-9a-f]{12} /\\1ID /; s/^podman/unitbox/'";
    let mut differ = Vec::new();
    for driver in ["journald", "k8s-file"] {
        for args in [
            "",
            "-t",
            "-n",
            "--tail 2",
            "--tail 0",
            "--tail=-1",
            "--color",
            "--since $S",
            "--since $I",
            "--since 1h",
            "--since 1h --until $S",
            "--until $I",
            "--until 1h",
            "--since 2030-01-01",
            "--until 2020-01-01T00:00:00",
            "-f",
            "-f --tail 1",
            "-f --since $S",
            "--since xx",
            "--until xx",
        ] {
            let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
                let verb = format!("{engine} logs {args} {driver}");
                lab.sh(&format!(
                    "{at} timeout 20 {verb} >/tmp/o 2>/tmp/e; echo $?; {hide} /tmp/o; echo --; {hide} /tmp/e"
                ))
                .ok()
            });
            if podman != unitbox {
                differ.push(format!(
                    "{args} {driver}\n--- podman\n{podman}\n--- unitbox\n{unitbox}"
                ));
            }
        }
    }
    for words in ["", "nope", "journald nope", "-l journald"] {
        let [podman, unitbox] = ["podman", "unitbox"]
            .map(|engine| lab.sh(&format!("{engine} logs {words} 2>&1; echo $?")).ok());
        if podman != unitbox {
            differ.push(format!(
                "{words}\n--- podman\n{podman}\n--- unitbox\n{unitbox}"
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
    // Several: Podman shows them in any order.
    for (words, flags) in [
        ("journald k8s-file", "-n"),
        ("journald k8s-file", ""),
        ("journald k8s-file", "-fnt"),
    ] {
        let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
            lab.sh(&format!(
                "timeout 20 {engine} logs {flags} {words} 2>&1 | {hide} | sort"
            ))
            .ok()
        });
        assert_eq!(unitbox, podman, "{flags}");
    }
}

#[test]
fn following_several_ends_with_the_last_and_a_renamed_one_keeps_its_lines() {
    let lab = Lab::boot(Suite::Trixie);
    let write = |name: &str, last: u32| {
        format!(
            "unitbox run -d --name {name} {R} sh -c 'for i in $(seq {last}); do echo {name}$i; sleep 0.2; done' >/dev/null;"
        )
    };
    let text = lab
        .sh(&format!(
            "{}{} timeout 30 unitbox logs -fn a b | sort",
            write("a", 3),
            write("b", 6)
        ))
        .ok();
    let mut want: Vec<String> = (1..=3).map(|i| format!("a a{i}")).collect();
    want.extend((1..=6).map(|i| format!("b b{i}")));
    assert_eq!(text.lines().collect::<Vec<_>>(), want);
    lab.sh("unitbox rename a z").ok();
    assert_eq!(lab.sh("unitbox logs z").ok(), "a1\na2\na3");
    // A reader that is gone ends it.
    lab.sh("timeout 20 unitbox logs z b | head -1").ok();
}

#[test]
fn what_podman_has_is_done_or_refused_by_name() {
    let lab = Lab::boot(Suite::Trixie);
    // Every verb, below groups too, and every flag before the verb, from Podman's own help.
    let script = r#"
list() { podman "$@" --help | sed -n '/^Available Commands:/,/^$/p' | awk 'NF > 1 && $1 != "Available" && $1 != "help" {print $1}'; }
for verb in $(list) play "container checkpoint" "container restore"; do
    echo "$verb"
    for below in $(list $verb); do echo "$verb $below"; done
done | sort -u >/tmp/verbs
while read -r words; do
    said=$(unitbox $words --help 2>&1 </dev/null); code=$?
    case $code:$said in
        0:*) ;;
        125:"Error: "*" is not done by unitbox: "*) ;;
        *) echo "$words: $code $said" ;;
    esac
done </tmp/verbs
podman --help | sed -n '/^Options:/,$p' | grep -oE -- '--[a-z-]+' | sort -u >/tmp/flags
while read -r flag; do
    case $flag in --help | --hooks-dir | --log-level | --root | --version) continue ;; esac
    said=$(unitbox $flag=x ps 2>&1); code=$?
    case $code:$said in 125:"Error: $flag is refused: "*) ;; *) echo "$flag: $code $said" ;; esac
done </tmp/flags
wc -l </tmp/verbs; wc -l </tmp/flags"#;
    let text = lab.sh(script).ok();
    let lines: Vec<&str> = text.lines().collect();
    let [wrong @ .., verbs, flags] = lines.as_slice() else {
        panic!("{text}");
    };
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let counts = [verbs, flags].map(|count| count.parse::<u32>().expect("a number"));
    assert!(counts[0] > 120 && counts[1] > 20, "{counts:?}");
}
