//! The D-Bus service: what it shows, how soon it tells, who may ask, and what it costs.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// `since MARK` prints how long after the mark a signal with the wanted text came, milliseconds; fails if none came.
///
/// dbus-monitor stamps a message as it arrives. `mark` is taken just before the fact is made, so that the time to make it
/// counts too.
const WATCH: &str = r#"
exec {never}<> <(:)
nap() { read -r -t $1 -u $never || :; }
watch() { :> /opt/signals; dbus-monitor --system "type='signal',path_namespace='/org/unitbox1'" > /opt/signals & watcher=$!
    trap 'kill $watcher' EXIT
    until grep -q NameLost /opt/signals; do nap 0.02; done; }
mark() { mark=${EPOCHREALTIME/./}; }
since() { # pattern: of a line of a signal
    local i at
    for i in {1..300}; do
        at=$(awk -v mark=$mark -v want="$1" '
            /^signal time=/ { split($2, t, /[=.]/); at = t[2] t[3] }
            $0 ~ want && at >= mark { printf "%d", (at - mark) / 1000; exit }' /opt/signals)
        [ -z "$at" ] || { echo $at; return; }
        nap 0.01
    done
    echo "no signal with $1 came" >&2; tail -40 /opt/signals >&2; exit 1
}
begin() { # systemd would refuse the sixth start within ten seconds
    systemctl reset-failed unitbox-a 2>/dev/null; unitbox start a >/dev/null
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
object() { busctl call org.unitbox1 /org/unitbox1 org.unitbox1.Manager GetContainer s $1 | cut -d'"' -f2; }
pid() { # of a payload that the bus knows to run; kill(2) takes 0 for all who share the group
    local i
    for i in {1..50}; do pid=$(property $1 Pid); [ "$pid" = 0 ] || return 0; nap 0.02; done
    echo "$1 has no pid on the bus" >&2; ls -la /run/unitbox/*/ >&2; tail -40 /opt/signals >&2; exit 1
}
property() { busctl get-property org.unitbox1 $(object $1) org.unitbox1.Container $2 | tr -d '"' | cut -d' ' -f2-; }
"#;

/// What every subscriber has to be told within, milliseconds.
const SOON: u64 = 200;

/// The properties of a container, by one call for all containers.
fn properties(lab: &Lab, id: &str) -> Value {
    let call = "busctl --json=short call org.unitbox1 /org/unitbox1 \
                org.freedesktop.DBus.ObjectManager GetManagedObjects";
    let objects: Value = serde_json::from_str(&lab.sh(call).ok()).expect("JSON");
    let first = id.as_bytes()[0];
    let path = match first.is_ascii_digit() {
        true => format!("/org/unitbox1/container/_{first:02x}{}", &id[1..]),
        false => format!("/org/unitbox1/container/{id}"),
    };
    objects["data"][0][&path]["org.unitbox1.Container"].clone()
}

fn inspect(lab: &Lab, name: &str) -> Value {
    let text = lab.sh(&format!("unitbox inspect {name}")).ok();
    let list: Value = serde_json::from_str(&text).expect("JSON");
    list[0].clone()
}

#[test]
fn every_property_is_right() {
    every_property(&Lab::boot(Suite::Trixie));
}

#[test]
fn every_property_is_right_on_debian_12() {
    every_property(&Lab::boot(Suite::Bookworm));
}

fn every_property(lab: &Lab) {
    let begin: u64 = lab
        .sh("echo ${EPOCHREALTIME/./}")
        .ok()
        .parse()
        .expect("it is there");
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar")
        .ok();
    let image = lab.sh("unitbox images --format '{{.Repository}}:{{.Tag}}'");
    let image = match image.code {
        0 => image.out(),
        _ => lab
            .sh("unitbox images | awk 'NR == 2 { print $1 \":\" $2 }'")
            .ok(),
    };
    lab.sh(&format!(
        "unitbox create --name never {ROOTFS} true
        unitbox run -d --name running -e PASSWORD=hush {image} stamp run
        unitbox run --name seven -e PASSWORD=hush {ROOTFS} sh -c 'exit 7 # hush'
        unitbox run -d --name killed {ROOTFS} stamp run; unitbox kill -s KILL killed; unitbox wait killed
        unitbox run --name absent {ROOTFS} no-such-command
        unitbox run -d --name paused {ROOTFS} stamp run
        echo 1 > /sys/fs/cgroup/system.slice/unitbox-paused.service/payload/cgroup.freeze; sleep 0.5"
    ));
    let end: u64 = lab
        .sh("echo ${EPOCHREALTIME/./}")
        .ok()
        .parse()
        .expect("it is there");
    for (name, state, code, signal) in [
        ("never", "created", 256, 0),
        ("running", "running", 256, 0),
        ("seven", "exited", 7, 0),
        ("killed", "exited", 137, 9),
        ("absent", "created", 127, 0),
        ("paused", "paused", 256, 0),
    ] {
        let inspect = inspect(lab, name);
        let id = inspect["Id"].as_str().expect("text");
        let shown = properties(lab, id);
        let get = |key: &str| shown[key]["data"].clone();
        assert_eq!(shown.as_object().expect(name).len(), 14, "{shown}");
        assert_eq!(get("Name"), name);
        assert_eq!(get("Id"), id);
        assert_eq!(get("Unit"), format!("unitbox-{name}.service"));
        assert_eq!(get("State"), state, "{name}");
        assert_eq!(get("State"), inspect["State"]["Status"], "{name}");
        assert_eq!(
            (get("Health"), get("HealthFailingStreak")),
            ("".into(), 0.into())
        );
        assert_eq!(
            (get("RestartCount"), get("OomKilled")),
            (0.into(), false.into())
        );
        assert_eq!(
            (get("ExitCode"), get("ExitSignal")),
            (code.into(), signal.into()),
            "{name}"
        );
        assert_eq!(
            get("Image"),
            if name == "running" {
                image.as_str()
            } else {
                ""
            }
        );
        let pid = inspect["State"]["Pid"].as_u64().expect("a number");
        assert_eq!(get("Pid"), pid, "{name}");
        assert_eq!(pid != 0, matches!(state, "running" | "paused"), "{name}");
        let (started, finished) = (get("StartedAt").as_u64(), get("FinishedAt").as_u64());
        let (started, finished) = (
            started.expect("it is there"),
            finished.expect("it is there"),
        );
        let inside = |time: u64| (begin..=end).contains(&time);
        assert_eq!(
            inside(started),
            !matches!(name, "never" | "absent"),
            "{name} {started}"
        );
        assert_eq!(inside(finished), code != 256, "{name} {finished}");
        assert!(finished == 0 || started <= finished, "{name}");
    }
    only_what_is_public(lab);
}

/// No word of an environment or command line, in no answer; all containers are in the list.
fn only_what_is_public(lab: &Lab) {
    let manager = "org.unitbox1 /org/unitbox1 org.unitbox1.Manager";
    let list = lab
        .sh(&format!("busctl call {manager} ListContainers"))
        .ok();
    let all = lab.sh(&format!(
        "busctl call org.unitbox1 /org/unitbox1 org.freedesktop.DBus.ObjectManager GetManagedObjects
        busctl introspect org.unitbox1 $(busctl call {manager} GetContainer s seven | cut -d'\"' -f2)"
    ));
    let all = all.ok() + &list;
    for word in ["hush", "PASSWORD", "stamp", "no-such-command", "/usr/share"] {
        assert!(!all.contains(word), "{word} in {all}");
    }
    assert!(list.starts_with("a(ssso) 6 "), "{list}");
    for row in [
        "\"never\" \"created\" \"/org",
        "\"seven\" \"exited\" \"/org",
    ] {
        assert!(list.contains(row), "{row} in {list}");
    }
    let by = |what: &str| lab.sh(&format!("busctl call {manager} GetContainer s {what}"));
    let id = inspect(lab, "seven")["Id"]
        .as_str()
        .expect("text")
        .to_owned();
    let path = by("seven").ok();
    assert_eq!((by(&id).ok(), by(&id[..12]).ok()), (path.clone(), path));
    assert!(by("no-such").fails(1).err().contains("no-such"));
}

#[test]
fn subscribers_are_told_soon() {
    told_soon(&Lab::boot(Suite::Trixie));
}

#[test]
fn subscribers_are_told_soon_on_debian_12() {
    told_soon(&Lab::boot(Suite::Bookworm));
}

fn told_soon(lab: &Lab) {
    // Medians of five: others use this machine too.
    let script = format!(
        "{WATCH}
        payload=/sys/fs/cgroup/system.slice/unitbox-a.service/payload
        unitbox create --name a {ROOTFS} stamp run >/dev/null; unitbox create --name i --stop-timeout 2 {ROOTFS} stamp ignore >/dev/null
        unitbox start i >/dev/null; watch
        for i in 1 2 3 4 5; do
            begin; mark=$(property a StartedAt); since '\"running\"' >> /opt/started
            pid a
            mark; echo 1 > $payload/cgroup.freeze; since '\"paused\"' >> /opt/paused
            mark; echo 0 > $payload/cgroup.freeze; since '\"running\"' >> /opt/thawed
            nap 0.2; mark; kill -KILL $pid; since '\"exited\"' >> /opt/killed; since 'member=Exited' >> /opt/killed-signal
            grep -A1 'member=Exited' /opt/signals | tail -1 | grep -q 'uint32 137' || echo wrong code >&2
            until [ \"$(systemctl show -P ActiveState unitbox-a)\" = failed ]; do nap 0.05; done
            begin; nap 0.2; pid a
            mark; kill -TERM $pid; since '\"exited\"' >> /opt/ended; since 'member=Exited' >> /opt/ended-signal
            until [ \"$(systemctl show -P ActiveState unitbox-a)\" = inactive ]; do nap 0.05; done
            begin; nap 0.2; pid=$(systemctl show -P MainPID unitbox-a)
            mark; kill -KILL $pid; since '\"exited\"' >> /opt/monitor; since 'member=Exited' >> /opt/monitor-signal
            [ \"$(property a ExitCode)\" = 137 ] || echo wrong code of a killed monitor >&2
            until [ \"$(systemctl show -P ActiveState unitbox-a)\" = failed ]; do nap 0.05; done
        done
        mark; systemctl stop --no-block unitbox-i; since '\"stopping\"' > /opt/stopping
        systemctl stop unitbox-i
        mark; unitbox run --rm --name r {ROOTFS} true; since 'member=InterfacesAdded' >/dev/null
        since 'member=Exited' >/dev/null; since 'member=InterfacesRemoved' >/dev/null
        for what in started paused thawed killed killed-signal ended ended-signal monitor monitor-signal stopping; do
            [ $what = stopping ] || [ $(wc -l < /opt/$what) = 5 ] || exit 1
            echo $what $(median < /opt/$what); done"
    );
    let run = lab.sh(&script);
    let medians = run.ok();
    println!("{medians}");
    assert_eq!(run.err(), "");
    assert_eq!(medians.lines().count(), 10, "{medians}");
    for line in medians.lines() {
        let (fact, after) = line.split_once(' ').expect("two words");
        assert!(
            after.parse::<u64>().expect("a number") <= SOON,
            "{fact}: {after} ms"
        );
    }
}

#[test]
fn no_event_starts_a_process_nor_leaves_anything() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "{WATCH}
        unitbox create --name a {ROOTFS} stamp run >/dev/null; unitbox run -d --name keep {ROOTFS} stamp run >/dev/null
        begin; unitbox stop a >/dev/null; nap 0.5
        bus=$(systemctl show -P MainPID unitbox-bus); begin=$(systemctl show -P InvocationID unitbox-bus)
        open() {{ ls /proc/$bus/fd | wc -l; cat /proc/$bus/fdinfo/* | grep -c ^inotify; ls /proc/$bus/task | wc -l; }}
        before=$(open | xargs)
        strace -f -p $bus -o /opt/trace -e trace=fork,vfork,clone,clone3,execve,execveat,sendmsg,sendto,write,writev & tracer=$!
        until grep -q '^TracerPid:.*[1-9]' /proc/$bus/status; do nap 0.02; done
        for i in 1 2 3 4 5 6 7 8; do begin; unitbox stop a >/dev/null; done; nap 0.5
        kill $tracer; wait $tracer
        [ \"$bus $begin\" = \"$(systemctl show -P MainPID unitbox-bus) $(systemctl show -P InvocationID unitbox-bus)\" ] || echo another service
        grep -cE '(send|write)[a-z]*\\(' /opt/trace; grep -cE '(fork|clone3?|execve(at)?)\\(' /opt/trace
        echo $before; open | xargs"
    );
    let said = lab.sh(&script).ok();
    let [sent, forks, before, after] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("{said}")
    };
    // The tracer did see it speak: two starts and ends at least tell of themselves each time.
    assert!(sent.parse::<u32>().expect("it is there") >= 16, "{said}");
    assert_eq!(forks, "0");
    assert_eq!(before, after, "files, watches, threads");
}

#[test]
fn it_is_there_while_containers_run_and_when_called() {
    let lab = Lab::boot(Suite::Trixie);
    let service = || {
        lab.sh("systemctl show -P ActiveState -P MainPID unitbox-bus | xargs")
            .ok()
    };
    let state = || {
        service()
            .split(' ')
            .next_back()
            .expect("it is there")
            .to_owned()
    };
    let active = |text: &str| text.contains("active") && !text.contains("inactive");
    assert!(!active(&service()), "{}", state());
    // Called: the bus starts it.
    let list = "busctl call org.unitbox1 /org/unitbox1 org.unitbox1.Manager ListContainers";
    assert_eq!(lab.sh(list).ok(), "a(ssso) 0");
    assert!(active(&service()), "{}", service());
    ends_when_idle(&lab);
    // Wanted by a container.
    lab.sh(&format!("unitbox run -d --name a {ROOTFS} stamp run"))
        .ok();
    lab.sh("for i in $(seq 100); do systemctl is-active -q unitbox-bus && exit; sleep 0.05; done; exit 1")
        .ok();
    let before = service();
    thread::sleep(Duration::from_secs(33));
    assert_eq!(service(), before);
    // Killed: systemd starts it again.
    lab.sh(
        "systemctl kill -s KILL unitbox-bus; sleep 0.5
        for i in $(seq 100); do systemctl is-active -q unitbox-bus && exit; sleep 0.1; done; exit 1",
    )
    .ok();
    assert_ne!(service(), before);
    assert!(lab.sh(list).ok().contains("\"a\" \"running\""));
    lab.sh("unitbox stop a").ok();
    ends_when_idle(&lab);
    assert_eq!(lab.sh("systemctl is-system-running").ok(), "running");
}

fn ends_when_idle(lab: &Lab) {
    lab.sh("for i in $(seq 45); do systemctl is-active -q unitbox-bus || exit 0; sleep 1; done; exit 1")
        .ok();
    assert_eq!(
        lab.sh("systemctl show -P Result unitbox-bus").ok(),
        "success"
    );
}

#[test]
fn others_may_read_and_nothing_else() {
    policy(&Lab::boot(Suite::Trixie));
}

#[test]
fn others_may_read_and_nothing_else_on_debian_12() {
    policy(&Lab::boot(Suite::Bookworm));
}

fn policy(lab: &Lab) {
    lab.sh(&format!(
        "useradd -u 1000 other; unitbox run -d --name a {ROOTFS} stamp run"
    ))
    .ok();
    let object = "busctl call org.unitbox1 /org/unitbox1 org.unitbox1.Manager GetContainer s a | cut -d'\"' -f2";
    let object = lab.sh(object).ok();
    let other = |call: &str| {
        lab.sh(&format!(
            "setpriv --reuid 1000 --regid 1000 --clear-groups busctl {call}"
        ))
    };
    let manager = "org.unitbox1 /org/unitbox1 org.unitbox1.Manager";
    let state = other(&format!(
        "get-property org.unitbox1 {object} org.unitbox1.Container State"
    ));
    assert_eq!(state.ok(), "s \"running\"");
    for allowed in [
        format!("call {manager} ListContainers"),
        format!("call {manager} GetContainer s a"),
        "call org.unitbox1 /org/unitbox1 org.freedesktop.DBus.ObjectManager GetManagedObjects"
            .into(),
        format!(
            "call org.unitbox1 {object} org.freedesktop.DBus.Properties GetAll s org.unitbox1.Container"
        ),
        format!("introspect org.unitbox1 {object}"),
    ] {
        other(&allowed).ok();
    }
    let bus = "org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus";
    for denied in [
        format!("call {bus} RequestName su org.unitbox1 0"),
        format!("call {bus} RequestName su org.unitbox1 2"),
        format!("call {manager} Stop s a"),
        format!("call org.unitbox1 {object} org.unitbox1.Container Stop"),
        format!("set-property org.unitbox1 {object} org.unitbox1.Container State s exited"),
        format!(
            "call org.unitbox1 {object} org.freedesktop.DBus.Properties Set ssv org.unitbox1.Container State s exited"
        ),
    ] {
        let run = other(&denied);
        let said = run.fails(1).err();
        let refused = ["Access denied", "not allowed", "rejected"];
        assert!(
            refused.iter().any(|word| said.contains(word)),
            "{denied}: {said}"
        );
    }
}

#[test]
fn a_broken_definition_hides_no_other() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "for name in a b c; do unitbox create --name $name {ROOTFS} stamp run; done; unitbox start a c"
    ))
    .ok();
    let call = "busctl call org.unitbox1 /org/unitbox1 org.unitbox1.Manager";
    lab.sh(&format!("{call} ListContainers")).ok();
    lab.sh("echo '{' > /var/lib/unitbox/names/b/definition.json")
        .ok();
    for restart in [false, true] {
        if restart {
            lab.sh("systemctl restart unitbox-bus").ok();
        }
        lab.sh("unitbox stop a; sleep 0.3").ok();
        let list = lab.sh(&format!("{call} ListContainers")).ok();
        for row in ["\"a\" \"exited\"", "\"c\" \"running\""] {
            assert!(list.contains(row), "{row} in {list}");
        }
        lab.sh("unitbox start a; sleep 0.3").ok();
        assert!(
            lab.sh(&format!("{call} ListContainers"))
                .ok()
                .contains("\"a\" \"running\"")
        );
        lab.sh(&format!("{call} GetContainer s c")).ok();
    }
    lab.sh(&format!("{call} GetContainer s b")).fails(1);
    lab.sh(&format!(
        "unitbox rm b && unitbox create --name d {ROOTFS} true; sleep 0.3"
    ))
    .ok();
    assert!(
        lab.sh(&format!("{call} ListContainers"))
            .ok()
            .starts_with("a(ssso) 3 ")
    );
}

#[test]
fn restarts_are_counted_and_a_freeze_of_the_unit_is_seen() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "{WATCH}
        mkdir -p /etc/systemd/system/unitbox-a.service.d
        printf '[Unit]\\nStartLimitBurst=3\\nStartLimitIntervalSec=60\\n[Service]\\nRestart=on-failure\\nRestartSec=0.3\\n' \
            > /etc/systemd/system/unitbox-a.service.d/restart.conf
        unitbox create --name a {ROOTFS} sh -c 'sleep 0.2; exit 3' >/dev/null; systemctl daemon-reload; watch
        systemctl start unitbox-a
        for i in {{1..100}}; do [ $(systemctl show -P NRestarts unitbox-a) -ge 2 ] && break; nap 0.1; done; nap 1.5
        echo $(unitbox inspect -f '{{{{.RestartCount}}}}' a) $(property a RestartCount) $(property a State) $(property a ExitCode)
        grep -A1 '^         string \"RestartCount\"' /opt/signals | grep -o 'uint32 .*' | xargs; grep -c member=Exited /opt/signals
        unitbox run -d --name f {ROOTFS} stamp run >/dev/null
        mark; systemctl freeze unitbox-f; since '\"paused\"' >/dev/null; property f State
        mark; systemctl thaw unitbox-f; since '\"running\"' >/dev/null; property f State"
    );
    let said = lab.sh(&script).ok();
    let said: Vec<_> = said.lines().collect();
    let [first, told, ends, frozen, thawed] = said[..] else {
        panic!("{said:?}")
    };
    let words: Vec<_> = first.split(' ').collect();
    assert_eq!(words[0], words[1], "{first}");
    assert_eq!(words[1..], ["2", "exited", "3"]);
    // Three runs, of a drop-in that the definition knows nothing of: each restart and each end is told.
    assert_eq!((told, ends), ("uint32 1 uint32 2", "3"));
    assert_eq!((frozen, thawed), ("paused", "running"));
}
