//! What the bus service tells of each change, in which order and how soon; that it comes back with the truth; and that it
//! says the same as `inspect`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// `note`: keeps in /opt/told what is told from now on. `told N WORDS`: waits until the object `$path` has been told of
/// with these words so often.
const SHELL: &str = r#"
object() { busctl call org.unitbox1 /org/unitbox1 org.unitbox1.Manager GetContainer s $1 | cut -d'"' -f2; }
property() { busctl get-property org.unitbox1 $(object $1) org.unitbox1.Container $2 | tr -d '"' | cut -d' ' -f2-; }
until_is() { # value command: for 20 s
    local i; for i in $(seq 400); do [ "$(eval "$2" 2>/dev/null)" = "$1" ] && return 0; sleep 0.05; done
    echo "not $1: $(eval "$2")" >&2; exit 1; }
note() { busctl monitor --json=short org.unitbox1 >/opt/told & monitor=$!
    trap 'kill $monitor' EXIT
    until_is heard 'busctl call org.unitbox1 /org/unitbox1 org.unitbox1.Manager ListContainers >/dev/null
        grep -q ListContainers /opt/told && echo heard'; }
told() { local i; for i in $(seq 400); do [ "$(grep -F "$path" /opt/told | grep -cF "$2")" -ge $1 ] && return 0; sleep 0.05; done
    echo "$path: not told $1 times of $2" >&2; grep -F "$path" /opt/told | tail -5 >&2; exit 1; }
"#;

/// What every subscriber has to be told within, microseconds.
const SOON: i64 = 200_000;
const ROUNDS: usize = 3;

/// One life after the other, each with all that can change. A check that the kill of the payload hits is one failure, and
/// makes nothing unhealthy.
const LIVES: &str = r#"
mkdir -p /opt/seen; unitbox run -d --name keep $R stamp run >/dev/null; until_is running 'property keep State'; note
for name in w1 w2 w3; do
    touch /opt/seen/good
    unitbox create --name $name --restart always --health-interval 200ms --health-retries 2 --health-cmd 'test -e /seen/good' \
        -v /opt/seen:/seen $R sh -c 'trap "sleep 0.3; exit 0" TERM; sleep 100000 & wait' >/dev/null
    until_is created "property $name State"; path=$(object $name); told 1 InterfacesAdded
    unitbox start $name >/dev/null; told 1 '"data":"healthy"'
    rm /opt/seen/good; told 1 '"data":"unhealthy"'; told 1 '"HealthFailingStreak":{"type":"u","data":3}'
    touch /opt/seen/good; told 2 '"data":"healthy"'
    kill -KILL $(unitbox inspect -f '{{.State.Pid}}' $name); told 3 '"data":"healthy"'
    unitbox stop $name >/dev/null; told 2 '"member":"Exited"'
    unitbox rm $name >/dev/null; told 1 InterfacesRemoved
    echo $name $path
done
sleep 0.5"#;

/// What was told of one object, in order: message by message, without what is not asked for.
#[derive(Debug, Default)]
struct Told {
    /// Coming, going, states and ends.
    life: Vec<(String, i64)>,
    health: Vec<(String, i64)>,
    streaks: Vec<u64>,
    restarts: Vec<u64>,
}

impl Told {
    fn take(&mut self, message: &Value) {
        let at = message["timestamp-realtime"].as_i64().expect("a time");
        let data = &message["payload"]["data"];
        let mut life = |what: String| self.life.push((what, at));
        match message["member"].as_str() {
            Some("InterfacesAdded") => life("added".to_owned()),
            Some("InterfacesRemoved") => life("removed".to_owned()),
            Some("Exited") => life(format!("Exited {} {} {}", data[0], data[1], data[2])),
            Some("PropertiesChanged") => {
                assert_eq!(data[0], "org.unitbox1.Container");
                assert_eq!(data[2], Value::Array(Vec::new()), "{message}");
                let value = |key: &str| data[1].get(key).map(|value| value["data"].clone());
                let text = |value: Value| value.as_str().expect("text").to_owned();
                if let Some(state) = value("State") {
                    life(text(state));
                }
                if let Some(health) = value("Health") {
                    self.health.push((text(health), at));
                }
                let number = |key| value(key).map(|value| value.as_u64().expect("a number"));
                self.streaks.extend(number("HealthFailingStreak"));
                self.restarts.extend(number("RestartCount"));
            }
            _ => {}
        }
    }

    /// When each of these was told.
    fn times(&self, wanted: &str) -> Vec<i64> {
        let told = self.life.iter().chain(&self.health);
        told.filter(|(what, _)| what.starts_with(wanted))
            .map(|(_, at)| *at)
            .collect()
    }
}

#[test]
fn each_change_is_told_once_in_order_and_soon() {
    told_once(&Lab::boot(Suite::Trixie));
}

#[test]
fn each_change_is_told_once_on_debian_12() {
    told_once(&Lab::boot(Suite::Bookworm));
}

fn told_once(lab: &Lab) {
    let objects = lab.sh(&format!("{SHELL}R='{ROOTFS}'{LIVES}")).ok();
    let objects: Vec<(&str, &str)> = objects
        .lines()
        .map(|line| line.split_once(' ').expect("name and path"))
        .collect();
    assert_eq!(objects.len(), ROUNDS);
    let messages = lab.sh("cat /opt/told").ok();
    let messages: Vec<Value> = messages
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let events = events(lab);
    // The least of all rounds: others on the host can only add to it.
    let mut soonest: BTreeMap<&str, i64> = BTreeMap::new();
    for (name, path) in objects {
        let mut told = Told::default();
        for message in messages
            .iter()
            .filter(|message| message["type"] == "signal")
        {
            let manager = message["path"] == "/org/unitbox1";
            let object = &message[if manager { "payload" } else { "path" }];
            let object = if manager { &object["data"][0] } else { object };
            if *object == path {
                told.take(message);
            }
        }
        let all: Vec<&str> = told.life.iter().map(|(what, _)| what.as_str()).collect();
        assert!(all.windows(2).all(|two| two[0] != two[1]), "{all:?}");
        // A start that takes its time is shown as such.
        let life: Vec<&str> = all
            .iter()
            .filter(|what| **what != "created")
            .copied()
            .collect();
        let lived = [
            "added",
            "running",
            "exited",
            "Exited 137 9 false",
            "running",
            "stopping",
            "exited",
            "Exited 0 0 false",
            "removed",
        ];
        assert_eq!(life, lived, "{name}: {all:?}");
        let health: Vec<&str> = told.health.iter().map(|(what, _)| what.as_str()).collect();
        let healths = [
            "starting",
            "healthy",
            "unhealthy",
            "healthy",
            "starting",
            "healthy",
        ];
        assert_eq!(health, healths, "{name}");
        assert_eq!(told.restarts, [1], "{name}");
        assert_eq!(told.streaks[..3], [1, 2, 3], "{name}");
        assert!(told.streaks.windows(2).all(|two| two[0] != two[1]));
        for (event, signal) in [
            ("create", "added"),
            ("start", "running"),
            ("died", "Exited"),
            ("healthy", "healthy"),
            ("unhealthy", "unhealthy"),
            ("remove", "removed"),
        ] {
            let happened = &events[&(name.to_owned(), event.to_owned())];
            let told = told.times(signal);
            assert_eq!(happened.len(), told.len(), "{name} {event}");
            for (happened, told) in happened.iter().zip(told) {
                let soonest = soonest.entry(signal).or_insert(i64::MAX);
                *soonest = (*soonest).min((told - happened).max(0));
            }
        }
    }
    println!("{soonest:?} us");
    assert_eq!(soonest.len(), 6);
    assert!(soonest.values().all(|time| *time <= SOON), "{soonest:?}");
}

/// When what happened, by container and kind, microseconds since the epoch: entries of the journal carry the time at which
/// they were sent.
fn events(lab: &Lab) -> BTreeMap<(String, String), Vec<i64>> {
    let text = lab
        .sh("journalctl --sync; journalctl -q -o json --all UNITBOX_EVENT=create + UNITBOX_EVENT=start + UNITBOX_EVENT=died \
            + UNITBOX_EVENT=remove + UNITBOX_EVENT=health_status")
        .ok();
    let mut found: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).expect(line);
        // What the monitor tells has the name twice: journald adds it too.
        let field = |key: &str| {
            let value = entry[key].get(0).unwrap_or(&entry[key]);
            value.as_str().map(str::to_owned)
        };
        let at = field("_SOURCE_REALTIME_TIMESTAMP").or(field("__REALTIME_TIMESTAMP"));
        let at = at.expect("a time").parse().expect("a number");
        let kind = field("UNITBOX_HEALTH").or(field("UNITBOX_EVENT"));
        let key = (
            field("CONTAINER_NAME").expect("a name"),
            kind.expect("it was asked for"),
        );
        found.entry(key).or_default().push(at);
    }
    found
}

/// With each of these the service loses its bus, or its life, or both.
const ENDS: &[&str] = &[
    "systemctl kill -s KILL dbus",
    "systemctl restart dbus",
    "systemctl kill -s KILL unitbox-bus",
    "systemctl restart unitbox-bus",
    "systemctl kill -s KILL unitbox-bus dbus",
];

#[test]
fn a_bus_that_ends_changes_nothing_and_the_name_comes_back() {
    comes_back(&Lab::boot(Suite::Trixie));
}

#[test]
fn a_bus_that_ends_changes_nothing_on_debian_12() {
    comes_back(&Lab::boot(Suite::Bookworm));
}

fn comes_back(lab: &Lab) {
    lab.sh(&format!(
        "unitbox run -d --name a {ROOTFS} sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done'
        unitbox create --name b {ROOTFS} stamp run"
    ))
    .ok();
    for end in ENDS {
        for (verb, state) in [("start", "running"), ("stop", "exited")] {
            let script = format!(
                "{SHELL}
                facts() {{ systemctl show -P MainPID -P NRestarts -P InvocationID unitbox-a; unitbox inspect -f '{{{{.State.Pid}}}} {{{{.RestartCount}}}}' a; }}
                bus() {{ systemctl show -P MainPID unitbox-bus; }}
                until_is active 'systemctl is-active unitbox-bus'; facts=$(facts); before=$(bus)
                {end}; unitbox {verb} b >/dev/null || echo cannot {verb}
                # Nobody calls it until it is there by itself.
                until_is yes '[ $(bus) != 0 ] && [ $(bus) != '$before' ] && systemctl is-active -q unitbox-bus && echo yes'
                until_is 'b true' 'busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus NameHasOwner s org.unitbox1'
                echo $(property a State) $(property b State)
                [ \"$(property a Pid)\" = \"$(unitbox inspect -f '{{{{.State.Pid}}}}' a)\" ] || echo another pid
                [ \"$(facts)\" = \"$facts\" ] || {{ echo \"$facts\"; facts; }}"
            );
            let run = lab.sh(&script);
            assert_eq!(run.ok(), format!("running {state}"), "{end}, {verb}");
        }
    }
    // It tells those who come to the new bus, also of another name, and no line of the log is missing.
    let after = lab.sh(&format!(
        "{SHELL}note; path=$(object b); unitbox start b >/dev/null; told 1 '\"data\":\"running\"'; unitbox stop a b >/dev/null
        told 1 '\"member\":\"Exited\"'; unitbox rename b c; told 1 '\"Name\":{{\"type\":\"s\",\"data\":\"c\"}}'; property c Unit
        journalctl --sync; unitbox logs a | awk '$1 != NR - 1 {{ print \"line\", NR, $0; exit }}'"
    ));
    assert_eq!(after.ok(), "unitbox-c.service");
}

/// What both say of the restarts, of the end and of its times.
fn compare(lab: &Lab, names: &[&str]) -> Vec<String> {
    let script = format!(
        "{SHELL}
        micros() {{ case $1 in 0001-*) echo 0;; *) date -d \"$1\" +%s%6N;; esac; }}
        for name in {}; do
            said=$(unitbox inspect $name); get() {{ jq -r \".[0].$1\" <<<\"$said\"; }}
            echo $name $(get RestartCount) $(get State.Status) $(get State.OOMKilled) $(micros $(get State.StartedAt)) $(get State.ExitCode) $(micros $(get State.FinishedAt))
            echo $name $(for key in RestartCount State OomKilled StartedAt ExitCode FinishedAt; do property $name $key; done)
        done",
        names.join(" ")
    );
    let said = lab.sh(&script).ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2 * names.len(), "{said}");
    let same = |two: &[&str]| {
        assert_eq!(two[0], two[1], "inspect and the bus");
        two[0].to_owned()
    };
    lines.chunks(2).map(same).collect()
}

/// systemd unloads what has ended well, and forgets all of it.
#[test]
fn the_bus_says_what_inspect_says_of_units_that_systemd_has_forgotten() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "{SHELL}mkdir -p /opt/runs /etc/systemd/system/unitbox-dropped.service.d
        printf '[Service]\\nRestart=on-failure\\nRestartSec=0.1\\n' >/etc/systemd/system/unitbox-dropped.service.d/r.conf
        run='n=$(cat /runs/$0 2>/dev/null || echo 0); echo $((n + 1)) >/runs/$0'
        make() {{ unitbox run -d --name $1 $2 -v /opt/runs:/runs {ROOTFS} sh -c \"$run; $3\" $1 >/dev/null; }}
        make well '--restart on-failure' '[ $n = 1 ]'
        make dropped '' '[ $n = 2 ]'
        make killed '--pid host --restart on-failure:2' 'kill -KILL $$; sleep 1000'
        make once '' 'exit 0'
        for name in well dropped once; do until_is inactive \"systemctl is-active unitbox-$name\"; done
        until_is failed 'systemctl is-active unitbox-killed'
        until_is 0 'systemctl list-units --all --plain --no-legend unitbox-well.service unitbox-dropped.service unitbox-once.service | wc -l'"
    ))
    .ok();
    let names = ["well", "dropped", "killed", "once"];
    let first = compare(&lab, &names);
    for (line, wanted) in first.iter().zip([
        "well 1 exited false ",
        "dropped 2 exited false ",
        "killed 2 exited false ",
        "once 0 exited false ",
    ]) {
        assert!(line.starts_with(wanted), "{line}, not {wanted}");
    }
    lab.sh("systemctl restart unitbox-bus").ok();
    assert_eq!(compare(&lab, &names), first);
    lab.reboot();
    assert_eq!(compare(&lab, &names), first);
}
