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
}
