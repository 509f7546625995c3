//! The duties of a container engine that runs what nobody trusts, and where each has its test.
//!
//! | what went wrong elsewhere | test |
//! |---|---|
//! | CVE-2019-5736: the runtime's program overwritten by way of /proc/self/exe | `the_runtime_cannot_be_overwritten` |
//! | CVE-2024-21626: descriptors of the host in the container, before its start | `a_created_container_has_no_file_of_the_host` |
//! | the same, in the payload; working directories by way of them | `security::no_descriptor_leads_out`, `isolation::descriptors_of_the_unit_do_not_reach_the_payload` |
//! | CVE-2025-31133, -52565, -52881: known ways out of runc | `a_runc_with_known_ways_out_is_told` |
//! | CVE-2019-19921, CVE-2023-27561: /proc, /sys or /dev is a link | `security::links_in_the_root_lead_nowhere_outside` |
//! | the same as a volume of the image | `mounts::a_volume_of_an_image_on_proc_is_refused` |
//! | CVE-2021-30465, CVE-2024-45310: a mount point is swapped for a link | `mounts::a_mount_point_that_is_swapped_leads_nowhere_outside` |
//! | CVE-2026-55686: the image's working directory leads through a link | `mounts::a_working_directory_through_a_link_stays_inside` |
//! | CVE-2024-9676, -9341, -9675: account files are links, FIFOs, endless | `security::account_files_are_untrusted` |
//! | the same: what is read of them does not fill the memory | `hostile_files_take_no_memory` |
//! | CVE-2026-15809: a home that adds a line to /etc/passwd | `security::a_home_cannot_add_an_account` |
//! | CVE-2022-2989, -2990, -2995: groups of the payload | `process::options_reach_the_process` |
//! | CVE-2024-40635: numbers of users that wrap around | `security::user_numbers_do_not_wrap` |
//! | CVE-2022-27649: capabilities that are inherited | `isolation::a_payload_has_the_default_rights_and_nothing_inherited` |
//! | CVE-2020-14370, CVE-2021-3602: environment of others | `security::the_environment_stays_where_it_belongs` |
//! | CVE-2020-1726: copy-up into a volume in use | `mounts::volumes_are_made_filled_kept_and_removed` |
//! | CVE-2025-9566: a link in the place of a secret | `secrets::a_link_that_a_container_left_for_a_secret_harms_nothing` |
//! | secrets in units, journal, argv, inspect | `secrets::secrets_reach_the_payload_and_nothing_else` |
//! | CVE-2024-25621, CVE-2021-41103: directories open to others | `security::nobody_else_can_look_into_our_directories` |
//! | CVE-2024-3154: annotations that change the unit | `security::no_annotation_changes_the_unit` |
//! | CVE-2022-0811: kernel parameters of the host | `isolation::what_would_change_the_host_is_refused` |
//! | devices of the host | `vm_limits::vm_limits_reach_the_payload_and_hold` |
//! | lines in units by way of values | `text::` (property tests) |
//! | a made-up exit file | `security::an_exit_file_made_by_another_is_no_exit` |

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// CVE-2019-5736: a payload writes to the program of every process that it sees, while runtimes come into its PID
/// namespace, and has itself started as what /proc/self/exe is.
#[test]
fn the_runtime_cannot_be_overwritten() {
    let lab = Lab::boot(Suite::Trixie);
    let sums = "sha256sum $(readlink -f $(which runc crun unitbox)) $(find /usr/libexec/unitbox /usr/lib/unitbox -type f 2>/dev/null)";
    let before = lab.sh(sums).ok();
    lab.sh("cp -a /usr/share/unitbox-lab/busybox /opt/tree; printf '#!/proc/self/exe\\n' >/opt/tree/evil; chmod 755 /opt/tree/evil")
        .ok();
    for runtime in ["runc", "crun"] {
        let attack = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || echo x 2>/dev/null >>$p/exe; done; done";
        lab.sh(&format!(
            "unitbox run -d --name attacker --runtime {runtime} {ROOTFS} sh -c '{attack}' 2>&1
            for i in $(seq 15); do unitbox run --rm --runtime {runtime} --pid container:attacker {ROOTFS} true; done
            for e in /proc/self/exe /evil; do timeout 20 unitbox run --rm --runtime {runtime} --rootfs /opt/tree $e; done
            unitbox rm -f -t 0 attacker"
        ))
        .ok();
        assert_eq!(lab.sh(sums).ok(), before, "{runtime}");
    }
}

/// CVE-2024-21626: what the first process of a container has open before its program starts. The unit brings
/// descriptors of its own, as does who calls.
#[test]
fn a_created_container_has_no_file_of_the_host() {
    let lab = Lab::boot(Suite::Trixie);
    lab.write(
        "/opt/hook",
        // A fixed runc opens a procfs of its own, which is mounted nowhere.
        "#!/bin/sh\npid=$(jq -r .pid)\nfor fd in /proc/$pid/fd/*; do
            [ \"$(readlink $fd) $(stat -L -f -c %T $fd)\" = '/ proc' ] && echo procfs || readlink $fd
        done >>/opt/fds\n",
    );
    lab.sh("chmod 755 /opt/hook; mkdir /opt/hooks").ok();
    lab.write(
        "/opt/hooks/a.json",
        r#"{"version":"1.0.0","hook":{"path":"/opt/hook"},"when":{"always":true},"stages":["createRuntime"]}"#,
    );
    for runtime in ["runc", "crun"] {
        let open = lab.sh(&format!(
            "rm -f /opt/fds; exec 11</ 12</etc 13</etc/shadow
            unitbox --hooks-dir /opt/hooks create --name c --runtime {runtime} {ROOTFS} true >/dev/null
            d=/run/systemd/system/unitbox-c.service.d; mkdir -p $d
            printf '[Service]\\nOpenFile=/etc/shadow:a:read-only\\n' >$d/x.conf
            systemctl daemon-reload; (unitbox start c; unitbox wait c; unitbox rm c; rm -r $d) >/dev/null; cat /opt/fds"
        ));
        let text = open.ok();
        let files: Vec<&str> = text.lines().filter(|line| line.starts_with('/')).collect();
        // The container's own root, and files that the runtime itself needs for its next steps.
        let root = "/usr/share/unitbox-lab/busybox";
        let files_of_runtimes = ["/dev/null", "/exec.fifo", "/runtime.log", "/seccomp.bpf"];
        let own = |file: &str| {
            file.starts_with(root)
                || file.starts_with("/memfd:")
                || files_of_runtimes.iter().any(|name| file.ends_with(name))
        };
        let foreign: Vec<&&str> = files.iter().filter(|file| !own(file)).collect();
        assert!(text.lines().count() > 3, "{runtime}: {text}");
        assert!(foreign.is_empty(), "{runtime}: {text}");
    }
}

/// Files of a container that are as large as one likes: who prepares its start has 160 MB of addresses in all.
#[test]
fn hostile_files_take_no_memory() {
    let lab = Lab::boot(Suite::Trixie);
    for (file, large) in [
        ("etc/passwd", "truncate -s 1G etc/passwd"),
        ("etc/group", "truncate -s 1G etc/group"),
        ("etc/passwd", "ln -s /dev/zero etc/passwd"),
        (
            "etc/passwd",
            "head -c 300M /dev/zero | tr '\\0' x >etc/passwd",
        ),
    ] {
        let run = lab.sh(&format!(
            "rm -rf /opt/tree; cp -a /usr/share/unitbox-lab/busybox /opt/tree; cd /opt/tree; rm -f {file}; {large}
            unitbox create --name c --rootfs --user someone /opt/tree true >/dev/null
            d=/run/systemd/system/unitbox-c.service.d; mkdir -p $d; printf '[Service]\\nLimitAS=160M\\n' >$d/x.conf
            systemctl daemon-reload; unitbox start c; code=$?; unitbox rm c >/dev/null; rm -r $d; exit $code"
        ));
        assert!([125, 126].contains(&run.code), "{large}: {}", run.err());
        let said = ["larger than", "no such", "unable to find", "someone"];
        assert!(
            said.iter().any(|word| run.err().contains(word)),
            "{large}: {}",
            run.err()
        );
        assert!(!run.err().contains("memory"), "{large}: {}", run.err());
    }
}

/// Once each boot, and again for another program.
#[test]
fn a_runc_with_known_ways_out_is_told() {
    let lab = Lab::boot(Suite::Trixie);
    let runs = std::cell::Cell::new(0);
    let warned = |runtime: &str| {
        let name = format!("c{}", runs.replace(runs.get() + 1));
        lab.sh(&format!(
            "unitbox run --rm --name {name} --runtime {runtime} {ROOTFS} true; journalctl --sync
            journalctl -qu unitbox-{name} -o cat | grep -c CVE-2025-31133; true"
        ))
        .ok()
    };
    let runc = |version: &str| {
        lab.write(
            "/opt/runc",
            format!("#!/bin/sh\n[ \"$1\" != --version ] || {{ echo runc version {version}; exit; }}\nexec /usr/bin/crun --cgroup-manager=cgroupfs \"$@\"\n"),
        );
        lab.sh("chmod 755 /opt/runc").ok();
        warned("/opt/runc")
    };
    assert_eq!(warned("crun"), "0");
    assert_eq!(runc("1.3.2"), "1");
    assert_eq!(warned("/opt/runc"), "0");
    assert_eq!(runc("1.3.3 "), "0");
}

/// A tree that was given to the container's user is not gone through again at each start.
#[test]
fn owners_are_changed_once() {
    let lab = Lab::boot(Suite::Trixie);
    let file = || lab.sh("stat -c %u /srv/u/f").ok();
    lab.sh(&format!(
        "mkdir -p /srv/u; touch /srv/u/f; unitbox create --name c --user 7:8 -v /srv/u:/u:U {ROOTFS} true
        unitbox start c; unitbox wait c"
    ))
    .ok();
    assert_eq!(file(), "7");
    lab.sh("chown 99 /srv/u/f; unitbox start c; unitbox wait c")
        .ok();
    assert_eq!(file(), "99");
    // Somebody else was given it in between.
    lab.sh("chown 99 /srv/u; unitbox start c; unitbox wait c")
        .ok();
    assert_eq!(file(), "7");
}
