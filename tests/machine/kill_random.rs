//! Real kills at random times: whoever dies whenever, nothing is left after the next good start and stop.

use crate::harness::container::{Container, install_monitor, load_image, monitor, values};
use crate::harness::{Lab, Oracle, Suite};

/// The same kills each time; timing makes them random enough.
const SEED: u64 = 20_261_122;

/// Kills one of the victims in `$victim` after `$delay` seconds of `$phase`, as soon as there is one; then lets systemd
/// come to rest.
const KILL: &str = r#"
    group=/sys/fs/cgroup/system.slice/$unit
    name() { read -r comm 2>/dev/null <"/proc/$1/comm" && [[ $comm == $2 ]]; }
    # The first of the monitor's group is the main process; workers have its name, runtimes their own.
    pick() {
        local pid main
        main=$(head -n 1 $group/monitor/cgroup.procs 2>/dev/null)
        case $victim in
            main) echo $main ;;
            worker) for pid in $(cat $group/monitor/cgroup.procs 2>/dev/null); do
                [[ $pid != "$main" ]] && name $pid 'unitbox-monitor' && echo $pid; done ;;
            runtime) for pid in $(cat $group/{monitor,payload}/cgroup.procs 2>/dev/null); do
                name $pid 'runc*' || name $pid crun && echo $pid; done ;;
            payload) cat $group/payload/cgroup.procs 2>/dev/null ;;
        esac
    }
    rm -f $ready
    systemctl start --no-block $unit
    if [ $phase != start ]; then
        for i in $(seq 200); do [ -e $ready ] && break; sleep 0.02; done
    fi
    [ $phase != stop ] || systemctl stop --no-block $unit
    sleep $delay
    for i in $(seq 20); do
        pid=$(pick | head -n 1)
        [ -n "$pid" ] && kill -9 $pid 2>/dev/null && echo killed=yes && break
        sleep 0.002
    done
    for i in $(seq 400); do
        state=$(systemctl show -P ActiveState $unit)
        [[ $state == activating || $state == deactivating ]] || break
        sleep 0.05
    done
    echo state=$state
    timeout 30 systemctl stop $unit; echo stopped=$?
    echo end=$(systemctl show -P ActiveState $unit)
    systemctl reset-failed $unit 2>/dev/null; true"#;

const GOOD: &str = "
    rm -f $ready
    systemctl start $unit; echo started=$?
    for i in $(seq 200); do [ -e $ready ] && break; sleep 0.02; done
    [ -e $ready ] && echo ready=yes
    systemctl stop $unit; echo result=$(systemctl show -P Result $unit)";

/// xorshift64*: a test needs no better one.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }
}

#[test]
fn killed_at_random() {
    let all = std::env::var_os("UNITBOX_TEST_ALL").is_some_and(|value| value == "1");
    let wanted = if all { 100 } else { 25 };
    let lab = Lab::bare(Suite::Trixie);
    install_monitor(&lab, &monitor());
    let image = load_image(&lab);
    let oracle = Oracle::baseline(&lab);
    let containers = ["runc", "crun"].map(|runtime| {
        Container::new(runtime)
            .image(&image)
            .options(|options| options.runtime = Some(runtime.to_owned()))
            .create(&lab)
    });
    let mut random = Random(SEED);
    let mut kills = 0;
    let mut tries = 0;
    while kills < wanted {
        tries += 1;
        assert!(tries <= 3 * wanted, "only {kills} kills in {tries} tries");
        let variables = containers[usize::from(random.below(2) == 1)].variables();
        // While a container runs, the main process and the payload are all there is.
        let (phase, victims) = random.of(&[
            ("start", &["main", "worker", "runtime", "payload"][..]),
            ("run", &["main", "payload"][..]),
            ("stop", &["main", "worker", "runtime", "payload"][..]),
        ]);
        let (victim, delay) = (
            random.of(victims),
            random.below(if phase == "start" { 150 } else { 60 }),
        );
        let what = format!("{phase} {victim} after 0.{delay:03} s");
        let script =
            format!("{variables} phase={phase} victim={victim} delay=0.{delay:03}\n{KILL}");
        let text = lab.sh(&script).ok();
        let seen = values(&text);
        assert_eq!(seen.get("stopped"), Some(&"0"), "{what}\n{text}");
        let end = seen.get("end").copied();
        assert!(matches!(end, Some("inactive" | "failed")), "{what}\n{text}");
        kills += usize::from(seen.contains_key("killed"));
        let text = lab.sh(&format!("{variables}{GOOD}")).ok();
        let seen = values(&text);
        for (key, value) in [("started", "0"), ("ready", "yes"), ("result", "success")] {
            assert_eq!(seen.get(key), Some(&value), "the run after {what}\n{text}");
        }
        oracle.assert_clean(&lab);
    }
}
