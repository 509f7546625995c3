//! `kill -9` of each process of ours after each of its effects, on the real thing.

use std::collections::BTreeMap;

use crate::harness::container::{
    Container, ENVIRONMENT, install_monitor, load_image, monitor, monitor_with_failpoints, values,
};
use crate::harness::{Kind, Lab, Leak, Oracle, Suite, list};

/// More effects than any process has.
const MANY: usize = 100;

/// One run: start, wait for the payload, stop. Prints what there is to know of it.
const CYCLE: &str = "rm -f $ready
    systemctl start $unit; echo started=$?
    before=$(systemctl show -P MainPID $unit); invocation=$(systemctl show -P InvocationID $unit)
    if [ $before != 0 ]; then
        for i in $(seq 200); do [ -e $ready ] && break; sleep 0.02; done
        [ -e $ready ] && echo ready=yes
    fi
    after=$(systemctl show -P MainPID $unit)
    systemctl stop $unit; echo stopped=$?
    [ $before = $after ] && echo same=yes
    systemctl show -p Result,ActiveState,NRestarts,ExecMainCode,ExecMainStatus $unit
    journalctl --sync; journalctl -o cat _SYSTEMD_INVOCATION_ID=$invocation >/opt/log
    echo begins=$(grep -c ^begin$ /opt/log) ends=$(grep -c ^end$ /opt/log)
    tail -n 20 /opt/log | sed 's/^/log: /'
    [ -e /opt/marker ] && echo reached=yes; true";

fn arm(who: &str, effect: usize) -> String {
    format!("rm -f /opt/marker; echo UNITBOX_FAILPOINT={who}:{effect}:/opt/marker >{ENVIRONMENT}\n")
}

/// Kills a worker after each of its effects, one run each: the run must not notice.
fn worker_killed_after_each_effect(suite: Suite, who: &str, remove: bool, runtime: &str) {
    let lab = Lab::bare(suite);
    install_monitor(&lab, &monitor_with_failpoints());
    let image = load_image(&lab);
    let oracle = Oracle::baseline(&lab);
    let create = || {
        let container = Container::new("web").image(&image);
        let options = |options: &mut unitbox::definition::Options| {
            options.remove = remove;
            options.runtime = Some(runtime.to_owned());
        };
        container.options(options).create(&lab)
    };
    let mut container = create();
    let count = (1..MANY).find(|effect| {
        let script = [container.variables(), arm(who, *effect), CYCLE.to_owned()].concat();
        let text = lab.sh(&script).ok();
        let seen = values(&text);
        for (key, value) in [
            ("started", "0"),
            ("ready", "yes"),
            ("same", "yes"),
            ("stopped", "0"),
            ("Result", "success"),
            ("NRestarts", "0"),
            ("ExecMainStatus", "0"),
            ("begins", "1 ends=1"),
        ] {
            assert_eq!(
                seen.get(key),
                Some(&value),
                "{who} killed after {effect}: {key}\n{text}"
            );
        }
        if remove {
            lab.sh("rm /run/systemd/system/unitbox-web.service").ok();
        }
        oracle.assert_clean(&lab);
        if remove {
            container = create();
        }
        !seen.contains_key("reached")
    });
    assert!(count.expect("it ends") > 4, "{who}: only {count:?} effects");
}

#[test]
fn prepare_killed_after_each_effect_harms_nothing() {
    worker_killed_after_each_effect(Suite::Trixie, "prepare", false, "runc");
}

#[test]
fn cleanup_killed_after_each_effect_harms_nothing() {
    worker_killed_after_each_effect(Suite::Trixie, "cleanup", false, "crun");
}

#[test]
fn removal_killed_after_each_effect_harms_nothing() {
    worker_killed_after_each_effect(Suite::Trixie, "cleanup", true, "runc");
}

/// The service has failed, its processes, mounts and cgroups are gone at once, the rest with the next start.
fn main_killed_after_each_effect(suite: Suite, who: &str, runtime: &str) {
    let lab = Lab::bare(suite);
    install_monitor(&lab, &monitor_with_failpoints());
    let image = load_image(&lab);
    let oracle = Oracle::baseline(&lab);
    let container = Container::new("web")
        .image(&image)
        .options(|options| options.runtime = Some(runtime.to_owned()))
        .create(&lab);
    let count = (1..MANY).find(|effect| {
        let script = [container.variables(), arm(who, *effect), CYCLE.to_owned()].concat();
        let text = lab.sh(&script).ok();
        let seen = values(&text);
        let what = format!("{who} killed after {effect}:\n{text}");
        if !seen.contains_key("reached") {
            assert_eq!(seen.get("Result"), Some(&"success"), "{what}");
            oracle.assert_clean(&lab);
            return true;
        }
        assert_killed_by_9(&seen, &what);
        let at_once: Vec<Leak> = oracle
            .check(&lab)
            .into_iter()
            .filter(dies_with_the_unit)
            .collect();
        assert!(
            at_once.is_empty(),
            "{what}\nleft at once:\n{}",
            list(&at_once)
        );
        let again = format!(
            "{}rm {ENVIRONMENT}; systemctl reset-failed\n{CYCLE}",
            container.variables()
        );
        let text = lab.sh(&again).ok();
        let seen = values(&text);
        for (key, value) in [("started", "0"), ("ready", "yes"), ("Result", "success")] {
            assert_eq!(
                seen.get(key),
                Some(&value),
                "the next run; before, {what}\n{text}"
            );
        }
        oracle.assert_clean(&lab);
        false
    });
    assert!(count.expect("it ends") > 8, "only {count:?} effects");
}

#[track_caller]
fn assert_killed_by_9(seen: &BTreeMap<&str, &str>, what: &str) {
    assert_eq!(seen.get("Result"), Some(&"signal"), "{what}");
    assert_eq!(seen.get("ExecMainStatus"), Some(&"9"), "{what}");
}

/// A container that removes itself has no next start: the cleanup unit leaves nothing of it.
fn main_of_a_removed_one_killed_after_each_effect(who: &str) {
    let lab = Lab::boot(Suite::Trixie);
    install_monitor(&lab, &monitor_with_failpoints());
    let image = load_image(&lab);
    let oracle = Oracle::baseline(&lab);
    let count = (1..MANY).find(|effect| {
        let container = Container::new("web").image(&image).options(|options| options.remove = true);
        let container = container.create(&lab);
        let script = [container.variables(), arm(who, *effect), CYCLE.to_owned()].concat();
        let text = lab.sh(&script).ok();
        // It is started by hand here: `unitbox run` would have made a transient unit.
        let rest = "for i in $(seq 200); do
                [ -L /var/lib/unitbox/names/web ] || ls /var/lib/unitbox/containers | grep -q . || break; sleep 0.05
            done; rm -f /run/systemd/system/$unit; systemctl reset-failed; journalctl -q -u unitbox-cleanup@web -o cat -n 5";
        let said = lab.sh(&format!("{}{rest}", container.variables())).ok();
        let mut left = oracle.settle(&lab);
        // Of one that was killed when all else was gone, what systemd leaves waits for the next container that is made.
        left.retain(|leak| leak.kind != Kind::LogFields);
        assert!(left.is_empty(), "{who} killed after {effect}:\n{text}\n{said}\nleft:\n{}", list(&left));
        !values(&text).contains_key("reached")
    });
    assert!(count.expect("it ends") > 8, "only {count:?} effects");
}

#[test]
fn removal_whose_main_process_is_killed_is_ended_by_the_cleanup_unit() {
    main_of_a_removed_one_killed_after_each_effect("cleanup+main");
}

#[test]
fn main_process_of_a_removed_one_killed_after_each_effect() {
    main_of_a_removed_one_killed_after_each_effect("main");
}

#[test]
fn main_process_killed_during_each_effect_of_prepare() {
    main_killed_after_each_effect(Suite::Trixie, "prepare+main", "runc");
}

#[test]
fn main_process_killed_during_each_effect_of_cleanup() {
    main_killed_after_each_effect(Suite::Trixie, "cleanup+main", "crun");
}

fn dies_with_the_unit(leak: &Leak) -> bool {
    match leak.kind {
        Kind::Mount | Kind::Cgroup | Kind::Process | Kind::NetworkNamespace | Kind::Link => true,
        Kind::FailedUnit
        | Kind::RuntimeState
        | Kind::Socket
        | Kind::TemporaryFile
        | Kind::RunFile
        | Kind::NameLink
        | Kind::Container
        | Kind::UnitFile
        | Kind::LogFields => false,
    }
}

#[test]
fn main_process_killed_after_each_effect_under_runc() {
    main_killed_after_each_effect(Suite::Trixie, "main", "runc");
}

#[test]
fn main_process_killed_after_each_effect_under_crun() {
    main_killed_after_each_effect(Suite::Trixie, "main", "crun");
}

#[test]
fn removal_killed_after_each_effect_harms_nothing_on_debian_12() {
    worker_killed_after_each_effect(Suite::Bookworm, "cleanup", true, "crun");
}

#[test]
fn main_process_killed_after_each_effect_on_debian_12() {
    main_killed_after_each_effect(Suite::Bookworm, "main", "runc");
}

#[test]
fn the_shipped_monitor_has_no_kill_points() {
    let has = |path: &std::path::Path| {
        let bytes = std::fs::read(path).expect("it was built");
        bytes
            .windows(17)
            .any(|window| window == b"UNITBOX_FAILPOINT")
    };
    assert!(!has(&monitor()));
    assert!(
        has(&monitor_with_failpoints()),
        "else this test sees nothing"
    );
}
