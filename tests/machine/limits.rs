//! Limits are properties of the unit, whichever way it is made.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// Every flag that becomes a property.
const FLAGS: &str = "--memory 64m --memory-reservation 32m --memory-swap 100m --cpu-quota 12345 --cpu-period 50000 \
    --cpu-shares 512 --cpuset-cpus 0-1,3 --cpuset-mems 0 --pids-limit 99 --blkio-weight 500 \
    --cgroup-parent web-front.slice";

const PROPERTIES: &str = "MemoryMax MemoryLow MemorySwapMax CPUQuotaPerSecUSec CPUQuotaPeriodUSec CPUWeight \
    AllowedCPUs AllowedMemoryNodes TasksMax IOWeight Slice";

const EXPECTED: &str =
    "67108864 33554432 37748736 246.900ms 50ms 20 0-1 3 0 163 4950 web-front.slice";

/// A unit file, and a transient unit, on old and new systemd.
#[test]
fn limits_are_the_same_in_a_file_and_on_the_bus() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        for (name, rm) in [("kept", ""), ("gone", "--rm")] {
            lab.sh(&format!(
                "unitbox run -d {rm} --name {name} {FLAGS} {ROOTFS} stamp run 2>&1"
            ))
            .ok();
            let show = lab.sh(&format!(
                "for p in {PROPERTIES}; do systemctl show -P $p unitbox-{name}; done | paste -sd' '"
            ));
            assert_eq!(show.ok(), EXPECTED, "{name}");
            let group = lab.sh(&format!("systemctl show -P ControlGroup unitbox-{name}"));
            let expected = format!("/web.slice/web-front.slice/unitbox-{name}.service");
            assert_eq!(group.ok(), expected);
            // What has no controller here is named, once each.
            let warned = lab.sh(&format!(
                "journalctl --sync; journalctl -qu unitbox-{name} -o cat | grep -o '^.*--cpu-shares: no cpu controller' | wc -l"
            ));
            assert_eq!(warned.ok(), "1");
            lab.sh(&format!("unitbox rm -f {name}")).ok();
        }
        lab.sh("systemctl --failed --no-legend | grep . && exit 1; ls /run/unitbox/*/exit 2>/dev/null | grep . && exit 1; true").ok();
    }
}

/// Cleanup finds the cgroup of a unit that a drop-in has moved to another slice.
#[test]
fn a_killed_monitor_in_another_slice_leaves_nothing() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox create --name web {ROOTFS} stamp run
        mkdir -p /run/systemd/system/unitbox-web.service.d
        printf '[Service]\\nSlice=other.slice\\nTasksMax=77\\n' >/run/systemd/system/unitbox-web.service.d/s.conf
        systemctl daemon-reload
        unitbox start web
        [ $(systemctl show -P TasksMax unitbox-web) = 77 ]
        [ $(systemctl show -P ControlGroup unitbox-web) = /other.slice/unitbox-web.service ]
        unitbox inspect web | jq -e '.[0].State.Running'
        kill -9 $(systemctl show -P MainPID unitbox-web)
        for i in $(seq 100); do [ $(systemctl show -P ActiveState unitbox-cleanup@web) = inactive ] && break; sleep 0.1; done
        unitbox start web && unitbox stop -t 0 web && unitbox rm web
        ! ls -d /sys/fs/cgroup/other.slice/unitbox-web.service 2>/dev/null"
    ))
    .ok();
}

/// A device that is limited must be there and a disk.
#[test]
fn a_limited_device_must_be_a_block_device() {
    let lab = Lab::boot(Suite::Trixie);
    for (device, reason) in [
        ("/dev/nope", "No such file"),
        ("/dev/null", "not a block device"),
    ] {
        let run = lab.sh(&format!(
            "unitbox run --rm --device-read-bps {device}:1m {ROOTFS} true"
        ));
        assert_eq!(run.code, 125);
        assert!(
            run.err().contains(device) && run.err().contains(reason),
            "{}",
            run.err()
        );
    }
    let swap = lab.sh(&format!(
        "unitbox create --memory 64m --memory-swap 32m {ROOTFS} true"
    ));
    assert_eq!(swap.code, 125);
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
}

/// What can change does at once and for good; the rest is refused by name.
#[test]
fn update_changes_limits_and_nothing_else() {
    let lab = Lab::boot(Suite::Trixie);
    let show = || {
        lab.sh("for p in MemoryMax MemorySwapMax TasksMax CPUWeight CPUQuotaPerSecUSec; do systemctl show -P $p unitbox-web; done | paste -sd' '")
            .ok()
    };
    lab.sh(&format!(
        "unitbox run -d --name web --memory 64m --cpu-quota 20000 {ROOTFS} stamp run"
    ))
    .ok();
    let main = lab.sh("systemctl show -P MainPID unitbox-web").ok();
    lab.sh("unitbox update --memory 32m --pids-limit 9 --cpu-shares 2 --cpus 2 web")
        .ok();
    let changed = "33554432 33554432 73 1 2s";
    assert_eq!(show(), changed);
    assert_eq!(lab.sh("systemctl show -P MainPID unitbox-web").ok(), main);
    lab.sh("unitbox stop web && systemctl start unitbox-web")
        .ok();
    assert_eq!(show(), changed);
    lab.sh("unitbox stop web && unitbox update --memory 0 --cpus 0 web && unitbox start web")
        .ok();
    assert_eq!(show(), "infinity infinity 73 1 infinity");
    for (flags, word) in [
        ("--env A=b", "--env cannot be changed"),
        (
            "--memory 1m --cgroup-parent a.slice",
            "--cgroup-parent cannot be changed",
        ),
        ("--memory-swap 1m --memory 2m", "--memory-swap"),
    ] {
        let run = lab.sh(&format!("unitbox update {flags} web"));
        assert_eq!(run.code, 125, "{flags}");
        assert!(run.err().contains(word), "{}", run.err());
    }
    assert_eq!(show(), "infinity infinity 73 1 infinity");
    lab.sh(&format!(
        "unitbox rm -f web && CONTAINERS_CONF=/dev/null unitbox create --name web {ROOTFS} true && [ $(systemctl show -P TasksMax unitbox-web) = 2112 ]"
    ))
    .ok();
}
