//! Containers of unit files: the generator, and what their units do.

use std::process::Command;

use crate::harness::{Lab, Run, Suite};

/// A file whose container has the busybox directory of the machine as its root, with a layer of its own.
fn container(lab: &Lab, name: &str, keys: &str) {
    let text = format!(
        "[Container]\nRootfs=/usr/share/unitbox-lab/busybox:O\n\
         Exec=sh -c \"trap 'exit 0' TERM; echo begin $$NAME; while :; do sleep 1 & wait $$!; done\"\n{keys}"
    );
    lab.write(&format!("/etc/unitbox/{name}.container"), text);
}

#[test]
fn systemctl_starts_what_a_file_says() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /etc/unitbox").ok();
    container(
        &lab,
        "web",
        "Environment=NAME=first\nVolume=data.volume:/data\n[Service]\nRestart=on-failure\n[Install]\nWantedBy=multi-user.target\n",
    );
    container(&lab, "net", "Network=web.container\n");
    container(&lab, "many@", "Environment=NAME=%i\n");
    lab.write("/etc/unitbox/data.volume", "[Volume]\n");
    lab.write(
        "/etc/unitbox/bad.container",
        "[Container]\nImgae=x\nImage=y\n",
    );
    lab.sh("systemctl daemon-reload && systemctl start web net many@one")
        .ok();
    let shown = lab.sh(
        "systemctl is-active web net many@one data-volume; systemctl is-enabled web
        systemctl show -P SourcePath web
        unitbox ps --format '{{.Names}} {{.State}}' | sort
        unitbox volume ls -q
        unitbox exec systemd-web sh -c 'echo kept >/kept; echo data >/data/f; hostname >/dev/null; echo $NAME'
        [ $(unitbox exec systemd-net readlink /proc/self/ns/net) = $(unitbox exec systemd-web readlink /proc/self/ns/net) ] && echo joined
        unitbox exec systemd-many_one sh -c 'echo $NAME'
        journalctl -u web -o cat | grep -x 'begin first'
        journalctl CONTAINER_NAME=systemd-web -o cat | grep -c -x 'begin first'",
    );
    assert_eq!(
        shown.ok(),
        "active\nactive\nactive\nactive\ngenerated\n/etc/unitbox/web.container\nsystemd-many_one running\n\
         systemd-net running\nsystemd-web running\nsystemd-data\nfirst\njoined\none\nbegin first\n1"
    );
    // The layer stays as long as the file does.
    let kept = lab.sh(
        "systemctl stop net; systemctl restart web; unitbox exec systemd-web cat /kept
        systemctl stop web; unitbox start systemd-web; unitbox exec systemd-web cat /kept
        unitbox stop systemd-web >/dev/null; systemctl is-active web; systemctl show -P Result web",
    );
    assert_eq!(kept.ok(), "kept\nsystemd-web\nkept\ninactive\nsuccess");
    container(
        &lab,
        "web",
        "Environment=NAME=second\nVolume=data.volume:/data\n",
    );
    let fresh = lab.sh(
        "systemctl daemon-reload; systemctl start web; unitbox exec systemd-web sh -c 'cat /kept 2>/dev/null; cat /data/f; echo $NAME'
        journalctl -u web -o cat | grep 'begins anew'",
    );
    assert_eq!(
        fresh.ok(),
        "data\nsecond\nthe file or its image has changed: container systemd-web begins anew"
    );
    // What the file decides is not for verbs.
    lab.sh("unitbox update --memory 64m systemd-web").fails(125);
    lab.sh("unitbox rename systemd-web other").fails(125);
    let bad = lab.sh(
        "systemctl start bad 2>/dev/null; echo $?; systemctl show -P StatusText bad
        journalctl -u bad -o cat | grep Imgae; systemctl show -P LoadState bad",
    );
    let message = "bad.container:2: unknown key \"Imgae\" (did you mean Image?)";
    assert_eq!(bad.ok(), format!("1\n{message}\n{message}\nloaded"));
    // A removed container is made again.
    let again = lab.sh(
        "unitbox rm -f systemd-web >/dev/null; systemctl start web; systemctl is-active web; unitbox exec systemd-web cat /data/f
        systemctl kill -s KILL --kill-whom=main web; sleep 3; systemctl is-failed web",
    );
    assert_eq!(again.ok(), "active\ndata\nfailed");
    // Enabled ones come with the machine.
    container(
        &lab,
        "web",
        "Environment=NAME=third\n[Install]\nWantedBy=multi-user.target\n",
    );
    lab.reboot();
    let booted = lab.sh("systemctl is-active web; unitbox exec systemd-web sh -c 'echo $NAME'");
    assert_eq!(booted.ok(), "active\nthird");
}

#[test]
fn what_is_installed_is_started_and_one_bad_file_installs_none() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /root/units /etc/unitbox").ok();
    container(&lab, "web", "Volume=data.volume:/data\n");
    lab.sh("mv /etc/unitbox/web.container /root/units; rmdir /etc/unitbox; mkdir /root/units/web.container.d")
        .ok();
    lab.write(
        "/root/units/web.container.d/name.conf",
        "[Container]\nEnvironment=NAME=dropped\n",
    );
    lab.write("/root/units/data.volume", "[Volume]\n");
    lab.write(
        "/root/units/bad.container",
        "[Container]\nImgae=x\nImage=y\n",
    );
    let bad = lab.sh("unitbox install /root/units");
    let text = bad.fails(125).err();
    assert!(
        text.contains("/root/units/bad.container:2: unknown key \"Imgae\""),
        "{text}"
    );
    let shown = lab.sh("ls -d /etc/unitbox 2>/dev/null | wc -l; rm /root/units/bad.container
        unitbox install --dry-run /root/units | wc -l; ls -d /etc/unitbox 2>/dev/null | wc -l
        cd /root; unitbox install units; unitbox install units | wc -l; stat -c %a /etc/unitbox/web.container
        systemctl daemon-reload; systemctl start web; unitbox exec systemd-web sh -c 'echo $NAME'");
    assert_eq!(
        shown.ok(),
        "0\n3\n0\n/etc/unitbox/data.volume\n/etc/unitbox/web.container\n\
         /etc/unitbox/web.container.d/name.conf\n0\n644\ndropped"
    );
    lab.sh("cd /root; echo '#' >>units/data.volume; unitbox install units")
        .fails(125);
}

#[test]
fn what_is_no_file_stalls_no_reload() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(
        "mkdir -p /etc/unitbox; cd /etc/unitbox; mkfifo fifo.container; ln -s /dev/zero zero.container; ln -s loop.container loop.container
        ln -s . itself; head -c 20M /dev/zero | tr '\\0' '#' >large.container; head -c 5000 /dev/urandom >garbage.container
        seq -f 'x%g.txt' 100000 | xargs touch",
    )
    .ok();
    container(&lab, "web", "");
    let seen = lab.sh("timeout 60 systemctl daemon-reload; echo $?
        systemctl show -P LoadState fifo zero loop large garbage web | grep . | paste -sd ' '
        systemctl start web; systemctl is-active web
        systemctl start fifo 2>/dev/null; systemctl show -P StatusText fifo");
    assert_eq!(
        seen.ok(),
        "0\nloaded loaded loaded loaded loaded loaded\nactive\nfifo.container: not a regular file"
    );
}

/// What Podman's units have and ours have not, on purpose: its storage, its monitor, its own names.
const PODMANS: &str = "RequiresMountsFor=%t/containers|SyslogIdentifier=%N|NotifyAccess=all|Environment=PODMAN_SYSTEMD_UNIT=%n";
/// What we make and Podman does not: keys that it does not know yet, keys of others (X-), UpheldBy=, what systemd reads behind a line that
/// goes on at the end of its section, a network of a container that has a name of its own.
const MORE: [&str; 10] = [
    "args-later.service",
    "b.service.upholds",
    "continued-end.service",
    "keys-of-others.service",
    "limits.service",
    "network-of-named.service",
    "reload-command.service",
    "reload.service",
    "security.service",
    "switches.service",
];

/// The corpus without its expectations, as an archive: `good` and `bad` files, each with all drop-ins.
fn packed_corpus() -> Vec<u8> {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/units");
    let script = format!(
        "set -e; dir=$(mktemp -d); trap 'rm -rf \"$dir\"' EXIT; cd \"$dir\"; cp -a '{corpus}' good; cp -a good bad
         (cd good; grep -rl '^## error ' . | xargs -d '\\n' rm)
         (cd bad; grep -rL '^## error ' . | grep -v '\\.d/' | xargs -d '\\n' rm; find . -xtype l -delete)
         grep -rl '^## ' . | xargs -d '\\n' sed -i '/^## /d'; tar -c good bad"
    );
    let packed = Command::new("bash").args(["-c", &script]).output();
    let packed = Run::new("pack", packed.expect("bash can be executed"));
    packed.ok();
    packed.stdout
}

#[test]
fn units_have_what_podmans_have() {
    let lab = Lab::boot(Suite::Trixie);
    let packed = packed_corpus();
    lab.sh_with_input("tar -C /opt -x", &packed).ok();
    let generator = "/usr/lib/systemd/system-generators/unitbox-generator";
    let compared = lab.sh(&format!(
        "mkdir -p /opt/theirs /opt/ours /opt/broken
        QUADLET_UNIT_DIRS=/opt/good /usr/libexec/podman/quadlet -no-kmsg-log /opt/theirs 2>/dev/null
        QUADLET_UNIT_DIRS=/opt/good {generator} -no-kmsg-log /opt/ours 2>&1
        QUADLET_UNIT_DIRS=/opt/bad {generator} --no-kmsg-log /opt/broken 2>/dev/null
        diff <(ls /opt/theirs) <(ls /opt/ours) | sed -n 's/^[<>] //p' | paste -sd ' '
        flat() {{ awk '/^\\[/ {{ s = $0; next }} /^RequiresMountsFor=\"/ {{ gsub(/\"/, \"\"); n = split(substr($0, 19), all, \" \"); for (i = 1; i <= n; i++) print s \"RequiresMountsFor=\" all[i]; next }} /=/ {{ print s $0 }}' $1 | grep -Ev '^.X-|Service.Exec|({PODMANS})$' | sort -u; }}
        for path in /opt/theirs/*.service; do
            diff <(flat $path) <(flat /opt/ours/${{path##*/}}) | sed -n \"s|^<|${{path##*/}}|p\"
        done
        for path in /opt/ours/*.service /opt/broken/*.service; do systemd-analyze verify --man=no $path 2>&1 | sed 's/:[0-9]*:/:/' | sort -u; done
        [ $(ls /opt/broken | wc -l) -ge 30 ] && echo all"
    ));
    let text = compared.ok();
    let mut lines: Vec<&str> = text.lines().collect();
    let mut first: Vec<&str> = lines.remove(0).split(' ').collect();
    first.sort_unstable();
    assert_eq!(first, MORE, "{text}");
    // Limits are the container's, and so is what is confined.
    let expected = [
        "service-limit-empty.service [Service]LimitNOFILE=",
        "service-limit-pairs.service [Service]LimitCORE=0",
        "service-limit-pairs.service [Service]LimitMEMLOCK=64M",
        "service-limit-pairs.service [Service]LimitNPROC=5:6",
        "service-limits.service [Service]LimitNOFILE=1K:infinity",
        "service-limits.service [Service]NoNewPrivileges=yes",
        // Expanded where it is read.
        "volume-specifier.service [Unit]RequiresMountsFor=/srv/%N",
        // What passes through is the user's, and as with Podman.
        "/opt/ours/other-kind.service: Unknown section 'Socket'. Ignoring.",
        "/opt/ours/other-kind.service: Unknown section 'Timer'. Ignoring.",
        "/opt/ours/service-limit-empty.service: Failed to parse ProtectSystem=, ignoring: Invalid argument",
        "/opt/ours/unit-order.service: Failed to add dependency on data.volume, ignoring: Invalid argument",
        "/opt/ours/unit-order.service: Failed to add dependency on plain.container, ignoring: Invalid argument",
        "all",
    ];
    assert_eq!(lines, expected, "{text}");
}

/// The container of a printed file is that of the command line, as the runtime sees it.
#[test]
fn a_container_becomes_a_file_that_makes_it_again() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /etc/unitbox /opt/data; echo x >/opt/file")
        .ok();
    let flags = "--read-only --user 1000:50 --group-add 60 -e 'A=b c' -e 'P=100%n $A' -w /tmp --hostname h --cap-drop all --cap-add CHOWN \
        --label 'k=v w' --annotation a=b --security-opt no-new-privileges --security-opt mask=/proc/keys --ulimit nofile=64:128 \
        --sysctl net.ipv4.ip_forward=1 --tmpfs /t:size=1m,ro -v /opt/data:/data:ro -v vol:/vol --mount type=bind,src=/opt/file,dst=/f,ro \
        --shm-size 1m --stop-signal USR1 --stop-timeout 3 --oom-score-adj 7 --umask 027 --tz UTC --add-host x:192.0.2.1 \
        --uts private --network none --health-cmd 'test -e /f' --health-interval 1h --log-driver journald --restart always \
        --cgroup-parent machine.slice --timeout 600";
    // Files of the run have other paths; what the generator and the command line call the unit is not of the container.
    let look = "jq -S 'del(.root.path, .linux.cgroupsPath, .hooks, .annotations[\"io.container.manager\"], .annotations[\"created\"], .annotations[\"org.opencontainers.image.created\"])
        | .mounts |= map(if .source | startswith(\"/run/unitbox/\") then .source |= sub(\"/run/unitbox/[0-9a-f]*\"; \"\") else . end)' \
        /run/unitbox/$(unitbox inspect -f '{{.Id}}' web)/bundle/config.json";
    let run = lab.sh(&format!(
        "unitbox run -d --name web {flags} --rootfs /usr/share/unitbox-lab/busybox:O sh -c 'trap \"exit 0\" USR1; while :; do sleep 1; done' >/dev/null || exit 9
        {look} >/opt/before; unitbox generate web >/etc/unitbox/web.container || exit 8
        unitbox verify /etc/unitbox/web.container || exit 7
        unitbox rm -f -t 0 web >/dev/null; systemctl daemon-reload; systemctl start web || journalctl -u web -o cat
        {look} >/opt/after; test -s /opt/after || echo nothing; diff /opt/before /opt/after
        unitbox ps --format '{{{{.Names}}}} {{{{.State}}}}'; systemctl show -P Restart -P Slice web"
    ));
    assert_eq!(run.ok(), "web running\nalways\nmachine.slice");
    // Others are named, and what is Podman's own verb is refused with ours.
    let other = lab.sh(&format!(
        "unitbox create --name n --requires web --ipc host {} stamp run >/dev/null; unitbox generate n | grep requires
        unitbox generate systemd; echo $?; unitbox generate nobody; echo $?",
        crate::run::ROOTFS
    ));
    assert_eq!(other.ok(), "PodmanArgs=--requires=web\n125\n125");
    assert!(
        other.err().contains("use unitbox generate CONTAINER"),
        "{}",
        other.err()
    );
    assert!(
        other
            .err()
            .contains("no container with name or ID \"nobody\""),
        "{}",
        other.err()
    );
}

/// Podman's own container, by what it tells of it, and what runs then.
#[test]
fn a_container_of_podmans_becomes_a_file() {
    let lab = Lab::boot(Suite::Trixie);
    let run = lab.sh(
        "mkdir -p /etc/unitbox /opt/data; echo x >/opt/data/f
        podman create --name web --network none -e A=b -v /opt/data:/data:ro --workdir /data --rootfs /usr/share/unitbox-lab/busybox stamp run >/dev/null || exit 9
        podman inspect web | unitbox generate --from-podman - >/etc/unitbox/web.container || exit 8
        systemctl daemon-reload; systemctl start web || journalctl -u web -o cat
        unitbox exec web sh -c 'pwd; cat f; echo $A'
        podman create --name port -p 80:80 --rootfs /usr/share/unitbox-lab/busybox stamp run >/dev/null
        podman inspect port >/opt/port.json; unitbox generate --from-podman /opt/port.json; echo $?
        echo '[]' | unitbox generate --from-podman -; echo $?; unitbox generate --from-podman /nowhere; echo $?",
    );
    assert_eq!(run.ok(), "/data\nx\nb\n125\n125\n125");
    let err = run.err();
    for part in [
        "container port of Podman's: ",
        "0 containers, and a file is for one",
        "/nowhere",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
}
