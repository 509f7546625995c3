//! Rules for devices: the runtime's in the payload's cgroup, the unit's above them. `vm_limits` boots the machine.

use crate::harness::Vm;
use crate::run::ROOTFS;

/// A node of a terminal that the payload makes itself, and the one it was given, if any: what opens for reading and what
/// for writing; the last number is a device that everybody has.
const LOOK: &str = "rm -f /tmp/t; mknod /tmp/t c 4 9; for n in /tmp/t /dev/t; do [ ! -e $n ] || { \
    (: <$n) 2>/dev/null; echo $?; (: >$n) 2>/dev/null; echo $?; }; done; (: >/dev/null); echo $?";

/// Flags, and what is seen with them: 0 opens, 1 does not.
const RULES: &[(&str, &str)] = &[
    ("", "1 1 0"),
    ("--device-cgroup-rule \"c 4:9 rm\"", "0 1 0"),
    ("--device-cgroup-rule \"c 4:* w\"", "1 0 0"),
    ("--device-cgroup-rule \"a *:* rwm\"", "0 0 0"),
    ("--device /dev/tty9:/dev/t:r", "0 1 0 1 0"),
    ("--device /dev/tty9:/dev/t", "0 0 0 0 0"),
    ("--privileged", "0 0 0"),
];

/// What the definition allows is what opens.
pub(crate) fn rules(vm: &Vm, runtime: &str) {
    let mut script = format!("look='{LOOK}'\n");
    for (flags, _) in RULES {
        script += &format!(
            "echo $(unitbox run --rm --runtime {runtime} --cap-add mknod {flags} {ROOTFS} sh -c \"$look\" 2>&1)\n"
        );
    }
    let seen = vm.sh(&script).ok();
    let expected: Vec<&str> = RULES.iter().map(|(_, opens)| *opens).collect();
    let seen: Vec<&str> = seen.lines().collect();
    assert_eq!(seen, expected, "{runtime}");
}

/// The same where Podman runs the container.
pub(crate) fn rules_of_podman(vm: &Vm) {
    let (flags, expected) = RULES[1];
    let script = format!(
        "look='{LOOK}'; echo $(podman run --rm --network none --runtime /usr/sbin/runc --cap-add mknod {flags} \
         {ROOTFS} sh -c \"$look\" 2>&1)"
    );
    assert_eq!(vm.sh(&script).ok(), expected);
}

/// An administrator's policy for the unit holds above what the definition allows, and while the payload runs.
pub(crate) fn policy_of_the_unit(vm: &Vm) {
    let script = format!(
        "unitbox create --name dev --device /dev/tty9:/dev/t {ROOTFS} stamp run >/dev/null
        d=/run/systemd/system/unitbox-dev.service.d; mkdir -p $d
        opens() {{ for m in '<' '>'; do unitbox exec dev sh -c \"(: ${{m}}/dev/t) 2>/dev/null; echo \\$?\"; done; }}
        policy() {{ printf '[Service]\\nDevicePolicy=closed\\n'\"$1\" >$d/x.conf; systemctl daemon-reload; }}
        policy 'DeviceAllow=/dev/tty9 r\\nDeviceAllow=char-* m\\nDeviceAllow=block-* m\\n'
        unitbox start dev >/dev/null; opens
        systemctl set-property --runtime unitbox-dev DeviceAllow='/dev/tty9 rw'; opens
        unitbox rm -f -t 0 dev >/dev/null; rm -r $d; systemctl daemon-reload"
    );
    let opens = vm.sh(&script).ok();
    assert_eq!(opens.replace('\n', " "), "0 1 0 0");
}
