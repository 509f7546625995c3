//! Boots and shutdowns with units of the user's that need containers, or that containers need.

use crate::harness::{Guest, Lab, Suite};
use crate::run::ROOTFS;

/// Containers by the unit that has them started: `db` is required, `cache` wanted, `linked` wanted by the target itself;
/// `web` starts by its policy, and ends slowly; `idle` is nobody's. `user NAME CONTAINER LINE...`: a service that starts
/// at boot, behind a container.
const SET_UP: &str = r#"
mkdir -p /opt/boot
for name in db cache linked idle; do unitbox create --name $name $R stamp run >/dev/null; done
unitbox run -d --name web --restart always -v /opt/boot:/seen $R \
    sh -c 'trap "sleep 1; echo >>/seen/stopped; exit 0" TERM; sleep 100000 & wait' >/dev/null
user() {
    local name=$1 container=$2; shift 2
    { echo [Unit]; printf '%s\n' "$@"; printf '%s\n' After=unitbox-$container.service [Service] Type=oneshot RemainAfterExit=yes \
        "ExecStart=/bin/sh -c 'systemctl is-active unitbox-$container >>/opt/boot/$name; true'" [Install] WantedBy=multi-user.target
    } >/etc/systemd/system/$name.service
    systemctl -q enable $name
}
user needs-db db Requires=unitbox-db.service
user needs-more db Requires=needs-db.service After=needs-db.service
user likes-cache cache Wants=unitbox-cache.service
user behind-web web
systemctl -q add-wants multi-user.target unitbox-linked.service
cat >/etc/systemd/system/once.service <<END
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo >>/opt/boot/once'
[Install]
WantedBy=multi-user.target
END
# What brings the network, and takes its time.
cat >/etc/systemd/system/net.service <<END
[Unit]
Wants=network.target
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'sleep 1; date +%%s%%6N >/opt/boot/up'
ExecStop=-/bin/mv /opt/boot/stopped /opt/boot/before-network
[Install]
WantedBy=multi-user.target
END
systemctl -q enable once net; systemctl start net"#;

/// Makes them, to be found by [`check`] after the next boot.
pub(crate) fn set_up(guest: &impl Guest) {
    guest.sh(&format!("R='{ROOTFS}'{SET_UP}")).ok();
}

/// What a boot has made of them; `boots` boots since.
pub(crate) fn check(guest: &impl Guest, boots: usize) {
    let run = guest.sh(
        "cd /opt/boot; tail -n +1 needs-db needs-more likes-cache behind-web | xargs
        systemctl is-active needs-db needs-more likes-cache behind-web unitbox-linked | sort | uniq -c | xargs
        for name in db cache linked web idle; do
            echo $name $(unitbox inspect -f '{{.State.Status}}' $name) $(systemctl show -P NRestarts unitbox-$name)
        done
        wc -l <once; ls before-network
        started=$(date -d \"$(unitbox inspect web | jq -r '.[0].State.StartedAt')\" +%s%6N); [ $started -gt $(cat up) ] && echo behind the network
        systemctl show -P Result -P ActiveState unitbox-restore-early unitbox-restore | xargs",
    );
    let files = ["needs-db", "needs-more", "likes-cache", "behind-web"];
    let active = " active".repeat(boots);
    let files = files.map(|name| format!("==> {name} <=={active}"));
    let expected = format!(
        "{}\n5 active\ndb running 0\ncache running 0\nlinked running 0\nweb running 0\nidle created 0\n{boots}\n\
         before-network\nbehind the network\nsuccess active success active",
        files.join(" ")
    );
    assert_eq!(run.ok(), expected, "{}", run.err());
}

/// Removes all of it.
pub(crate) fn tear_down(guest: &impl Guest) {
    guest
        .sh("cd /etc/systemd/system; units=$(echo needs-more needs-db likes-cache behind-web once net)
            systemctl -q stop $units; systemctl -q disable $units; rm multi-user.target.wants/unitbox-linked.service
            for unit in $units; do rm $unit.service; done; systemctl daemon-reload
            unitbox rm -f -t 0 db cache linked web idle >/dev/null; rm -r /opt/boot")
        .ok();
}

#[test]
fn what_needs_a_container_is_started_at_boot_and_it_ends_before_the_network() {
    boots(&Lab::boot(Suite::Trixie));
}

#[test]
fn what_needs_a_container_is_started_at_boot_on_debian_12() {
    boots(&Lab::boot(Suite::Bookworm));
}

fn boots(lab: &Lab) {
    set_up(lab);
    lab.reboot();
    check(lab, 1);
    lab.power_cut();
    check(lab, 2);
    tear_down(lab);
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
}
