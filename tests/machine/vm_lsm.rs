//! AppArmor and SELinux, each on a kernel that runs it.

use crate::harness::{Oracle, Vm};
use crate::run::ROOTFS;

/// One base for both.
const PACKAGES: &str =
    "apparmor,selinux-policy-default,policycoreutils,selinux-utils,semodule-utils";

#[test]
fn vm_lsm_apparmor_confines_the_payload() {
    let vm = Vm::boot_special(PACKAGES, "security=apparmor apparmor=1");
    let oracle = Oracle::baseline(&vm);
    // Not loaded, as after an installation without a reboot: the first start loads it.
    vm.sh("apparmor_parser -R /etc/apparmor.d/unitbox-default; ! grep unitbox /sys/kernel/security/apparmor/profiles")
        .ok();
    for runtime in ["runc", "crun"] {
        confined(&vm, runtime);
    }
    let inspect = "unitbox inspect aa | jq -r .[0].AppArmorProfile; unitbox rm aa >/dev/null";
    let create = |option: &str| {
        let text = format!("unitbox create --name aa {option} {ROOTFS} true >/dev/null; {inspect}");
        vm.sh(&text).ok()
    };
    assert_eq!(create(""), "unitbox-default");
    assert_eq!(create("--security-opt apparmor=unconfined"), "unconfined");
    assert_eq!(create("--privileged"), "");
    for verb in ["create", "run --rm"] {
        let text = format!("unitbox {verb} --security-opt apparmor=nope {ROOTFS} true");
        let error = vm.sh(&text).fails(125).err();
        assert_eq!(error, "Error: AppArmor profile \"nope\": it is not loaded");
    }
    // One of the administrator's, and gone again before the start.
    let own = "printf 'profile own flags=(attach_disconnected) { file, deny /secret r, }' >/root/own; \
        apparmor_parser -r /root/own; mkdir -p /etc/containers; \
        printf '[containers]\\napparmor_profile=\"own\"\\n' >/etc/containers/containers.conf";
    vm.sh(own).ok();
    let read = "cat /proc/self/attr/current; cat /secret";
    let text = format!(
        "echo x >/root/x; unitbox run --name own -v /root/x:/secret {ROOTFS} sh -c '{read}'"
    );
    let run = vm.sh(&text);
    run.fails(1);
    assert_eq!(run.out(), "own (enforce)");
    assert!(run.err().contains("Permission denied"), "{}", run.err());
    let again = vm.sh("apparmor_parser -R /root/own; unitbox start own");
    let error = again.fails(125).err();
    let expected = "AppArmor profile \"own\": it is not loaded";
    assert!(error.ends_with(expected), "{error}");
    vm.sh("unitbox rm own; rm /etc/containers/containers.conf")
        .ok();
    oracle.assert_clean(&vm);
}

/// The default profile holds where nothing else would; with no profile the same goes through.
fn confined(vm: &Vm, runtime: &str) {
    let tries = "cat /proc/self/attr/current; echo 1 2>&1 >/proc/sys/kernel/panic_on_oops || echo no parameter; \
        mount -t tmpfs x /tmp 2>&1 >/dev/null || echo no mount; echo h >/proc/sys/kernel/hostname && hostname";
    let run = |option: &str| {
        let text = format!(
            "unitbox run --rm --runtime {runtime} --cap-add ALL --security-opt unmask=ALL {option} {ROOTFS} \
             sh -c '{tries}' 2>/dev/null | grep -v denied"
        );
        vm.sh(&text).ok()
    };
    assert_eq!(
        run(""),
        "unitbox-default (enforce)\nno parameter\nno mount\nh",
        "{runtime}"
    );
    assert_eq!(
        run("--security-opt apparmor=unconfined"),
        "unconfined\nh",
        "{runtime}"
    );
    // It is ended in order, which the profile must let systemd and the monitor do.
    let stop = format!(
        "unitbox run -d --name web --runtime {runtime} {ROOTFS} stamp run >/dev/null
        cat /proc/$(unitbox inspect web | jq .[0].State.Pid)/attr/current
        unitbox stop -t 20 web >/dev/null; unitbox inspect web | jq .[0].State.ExitCode
        unitbox start web; systemctl kill -s KILL unitbox-web
        until [ $(systemctl show -P ActiveState unitbox-web) = failed ]; do sleep 0.1; done; unitbox rm web"
    );
    assert_eq!(
        vm.sh(&stop).ok(),
        "unitbox-default (enforce)\n0\nweb\nweb",
        "{runtime}"
    );
    let label = "unitbox-default (enforce)".to_owned();
    assert_eq!(
        of_check(vm, runtime),
        (label, runtime == "crun"),
        "{runtime}"
    );
}

/// The label of a health check, and whether it has entered the container without the runtime.
fn of_check(vm: &Vm, runtime: &str) -> (String, bool) {
    let text = format!(
        "unitbox run -d --name checked --runtime {runtime} --health-cmd 'cat /proc/self/attr/current' \
            --health-interval disable {ROOTFS} sleep 1000 >/dev/null; unitbox healthcheck run checked || echo failed
        unitbox inspect checked | jq -r .[0].State.Health.Log[0].Output | tr -d '\\0' | grep .
        ls -d /run/unitbox/*/probes 2>/dev/null | wc -l; unitbox rm -f -t 0 checked >/dev/null"
    );
    let seen = vm.sh(&text).ok();
    let (label, by_runtime) = seen.split_once('\n').expect("two lines");
    (label.to_owned(), by_runtime == "0")
}

/// Starts are in permissive mode: the policy of this system lets no service start containers. What the payload may do
/// then is asked in enforcing mode.
#[test]
fn vm_lsm_selinux_labels_payload_and_files() {
    let vm = Vm::boot_special(PACKAGES, "security=selinux selinux=1 enforcing=0");
    vm.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar")
        .ok();
    vm.sh("mkdir -p /srv/own /srv/all; echo own >/srv/own/f; echo all >/srv/all/f; ln -s /etc/shadow /srv/own/link")
        .ok();
    let wait = "until [ -e /all/go ]; do sleep 0.1; done; cat /own/f /all/f";
    let mounts = "-v /srv/own:/own:Z -v /srv/all:/all:z -v vol:/vol";
    vm.sh(&format!(
        "unitbox run -d --name a {mounts} --tmpfs /scratch busybox sh -c '{wait}'"
    ))
    .ok();
    let level = labels(&vm, "a");
    let (label, entered) = of_check(&vm, "crun");
    assert!(label.contains(":container_t:s0:c") && entered, "{label}");
    let file = format!("system_u:object_r:container_file_t:{level}");
    let shared = "system_u:object_r:container_file_t:s0";
    let of = |path: &str| {
        let text = format!("stat -c %C {path}");
        vm.sh(&text).ok()
    };
    let root = vm.sh("unitbox inspect a | jq .[0].State.Pid").ok();
    for path in [
        "",
        "bin/busybox",
        "etc/hosts",
        "etc/hostname",
        "run/.containerenv",
        "dev/shm",
        "scratch",
    ] {
        assert_eq!(of(&format!("/proc/{root}/root/{path}")), file, "{path}");
    }
    assert_eq!(of("/srv/own/f"), file);
    assert_eq!(of("/srv/all/f"), shared);
    assert_eq!(of("/var/lib/unitbox/volumes/vol/_data"), shared);
    assert!(
        of("/etc/shadow").contains(":shadow_t:"),
        "a link was followed"
    );
    others(&vm, &level, wait);
    mapped(&vm);
    nested(&vm);
    refusals(&vm);
    enforced(&vm);
    // What it has is its own until it goes.
    let again = "unitbox stop -t 0 a >/dev/null; rm -f /srv/all/go; unitbox start a >/dev/null";
    vm.sh(again).ok();
    assert_eq!(labels(&vm, "a"), level);
    vm.sh("unitbox rm -f -t 0 a b >/dev/null; ! ls /var/lib/unitbox/containers/*/level")
        .ok();
}

/// The level of a container that runs; its label is where it is told and where it holds.
fn labels(vm: &Vm, name: &str) -> String {
    let text = format!(
        "unitbox inspect {name} | jq -r .[0].ProcessLabel
        tr -d '\\0' </proc/$(unitbox inspect {name} | jq .[0].State.Pid)/attr/current"
    );
    let labels = vm.sh(&text).ok();
    let (told, real) = labels.split_once('\n').expect("two lines");
    assert_eq!(told, real);
    let level = real.strip_prefix("system_u:system_r:container_t:");
    level.unwrap_or_else(|| panic!("{real}")).to_owned()
}

/// Containers beside the first one, whose level this is.
fn others(vm: &Vm, level: &str, wait: &str) {
    let mounts = "-v /srv/own:/own -v /srv/all:/all";
    vm.sh(&format!(
        "unitbox run -d --name b --runtime crun {mounts} busybox sh -c '{wait}'"
    ))
    .ok();
    assert_ne!(labels(vm, "b"), level);
    let label = "cat /proc/self/attr/current | tr -d '\\0'";
    let joined = format!("unitbox run --rm --ipc container:a busybox sh -c \"{label}\"");
    let expected = format!("system_u:system_r:container_t:{level}");
    assert_eq!(vm.sh(&joined).ok(), expected);
    let own = format!(
        "unitbox run --rm --security-opt label=level:s0:c5,c6 --security-opt label=type:spc_t \
         busybox sh -c \"{label}\""
    );
    assert_eq!(vm.sh(&own).ok(), "system_u:system_r:spc_t:s0:c5,c6");
    for option in ["--security-opt label=disable", "--privileged"] {
        let text = format!("unitbox run --rm {option} busybox sh -c \"{label}\"");
        let label = vm.sh(&text).ok();
        let ours = label.contains("container_t") || !label.starts_with("system_u:");
        assert!(!ours, "{option}: {label}");
    }
}

/// A container whose root is no user of the host: its files, also those that the runtime cannot make, have its label.
fn mapped(vm: &Vm) {
    let run = "unitbox run -d --name m --uidmap 0:100000:65536 -v mvol:/vol --tmpfs /scratch busybox sleep 1000";
    vm.sh(run).ok();
    let level = labels(vm, "m");
    let text = "pid=$(unitbox inspect m | jq .[0].State.Pid)
        for path in . bin/busybox etc/hosts dev/shm scratch vol; do
            echo $path $(stat -c '%u %C' /proc/$pid/root/$path); done; unitbox rm -f -t 0 m >/dev/null";
    let (own, shared) = (level.as_str(), "s0");
    let expected = [
        (".", own),
        ("bin/busybox", own),
        ("etc/hosts", own),
        ("dev/shm", own),
        ("scratch", own),
        ("vol", shared),
    ]
    .map(|(path, level)| format!("{path} 100000 system_u:object_r:container_file_t:{level}"));
    assert_eq!(vm.sh(text).ok(), expected.join("\n"));
}

/// The files of SELinux are there for who labels containers of its own, and for nobody else.
fn nested(vm: &Vm) {
    let read = |option: &str| {
        let text = format!("unitbox run --rm {option} busybox cat /sys/fs/selinux/enforce");
        vm.sh(&text)
    };
    assert_eq!(read("--security-opt label=nested").ok(), "0");
    let hidden = read("");
    hidden.fails(1);
    assert!(hidden.err().contains("No such file"), "{}", hidden.err());
}

fn refusals(vm: &Vm) {
    for (option, reason) in [
        (
            "--security-opt label=type:nope_t",
            "SELinux: the policy has no context system_u:system_r:nope_t:s0",
        ),
        ("-v /usr:/x:z", "label /usr: relabelling it is not allowed"),
    ] {
        let run = vm.sh(&format!("unitbox run --rm {option} busybox true"));
        run.fails(125);
        assert!(run.err().ends_with(reason), "{option}: {}", run.err());
    }
}

/// What containers a and b read once the policy holds.
fn enforced(vm: &Vm) {
    let text = "setenforce 1; touch /srv/all/go; sleep 8; setenforce 0; \
        for i in a b; do timeout 30 unitbox wait $i >/dev/null; unitbox logs $i 2>&1 | tr -d '\\0' | sed s/^/$i:/; done";
    let said = vm.sh(text).ok();
    let has = |line: &str| said.lines().any(|own| own == line);
    assert!(has("a:own") && has("a:all"), "{said}");
    assert!(has("b:all") && !has("b:own"), "{said}");
}
