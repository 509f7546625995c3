//! Process, environment, accounts and the files of /etc, seen from inside; what Podman 5.4.2 shows for the same options.

use crate::harness::{Lab, Suite};

/// A machine with an image, a hosts file and name servers of its own.
fn lab() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar")
        .ok();
    lab.write("/etc/hosts", "127.0.0.1 localhost\n192.0.2.9 base\n");
    lab.write("/etc/resolv.conf", "nameserver 127.0.0.53\n");
    lab.sh("mkdir -p /run/systemd/resolve").ok();
    lab.write(
        "/run/systemd/resolve/resolv.conf",
        "search a.example\nnameserver 192.0.2.53\n",
    );
    lab
}

#[test]
fn options_reach_the_process() {
    let lab = lab();
    let run = |options: &str, script: &str| {
        lab.sh(&format!(
            "export X1=1 X2=2 http_proxy=p; unitbox run --rm {options} busybox sh -c '{script}'"
        ))
        .ok()
    };
    let env = run(
        "-e X* --env-merge PATH=\\$PATH:/foo --unsetenv container -e HOME=/x",
        "env | grep -v -e PWD -e SHLVL -e HOSTNAME | sort",
    );
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/foo";
    let expected = format!("HOME=/x\n{path}\nX1=1\nX2=2\nhttp_proxy=p");
    assert_eq!(env, expected);
    let limits = run(
        "--umask 077 --oom-score-adj 500 --ulimit nofile=100:200",
        "umask; cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn",
    );
    assert_eq!(limits, "0077\n500\n100\n200");
    assert_eq!(run("", "umask; cat /proc/self/oom_score_adj"), "0022\n0");
    let zone = run("--tz Asia/Tokyo", "date +%z");
    assert_eq!(zone, "+0900");
    assert_eq!(
        run("--runtime crun --personality LINUX32", "uname -m"),
        "i686"
    );
    lab.write("/usr/local/bin/init", "#!/bin/sh\nshift\nexec \"$@\"\n");
    lab.sh("chmod 755 /usr/local/bin/init").ok();
    let init = run(
        "--init --init-path /usr/local/bin/init",
        "grep -c podman-init /proc/self/mountinfo",
    );
    assert_eq!(init, "1");
    lab.write("/c.conf", "[containers]\nenv=[\"A=1\"]\numask=\"027\"\n");
    let conf = lab.sh(
        "CONTAINERS_CONF=/c.conf unitbox run --rm --env-merge B=\\$A busybox sh -c 'echo $A $B; umask'",
    );
    assert_eq!(conf.ok(), "1 1\n0027");
    lab.write("/c.conf", "[containers]\nenv=3\n");
    let error = lab.sh("CONTAINERS_CONF=/c.conf unitbox run --rm busybox true");
    let error = error.fails(125).err();
    assert!(
        error.contains("/c.conf") && error.contains("line 2"),
        "{error}"
    );
}

#[test]
fn accounts_are_made_and_stay_inside() {
    let lab = lab();
    lab.sh("useradd -m -c Joe joe; sha256sum /etc/passwd /etc/group > /before")
        .ok();
    let run = |options: &str, script: &str| {
        lab.sh(&format!(
            "unitbox run --rm {options} busybox sh -c '{script}'"
        ))
        .ok()
    };
    assert_eq!(run("", "id"), "uid=0(root) gid=0(root)");
    // The primary group is one of the supplementary ones (CVE-2022-2989).
    assert_eq!(
        run("--user 5:6 --group-add 7", "grep Groups /proc/self/status"),
        "Groups:\t6 7"
    );
    let unknown = run(
        "--user 99 -w /tmp",
        "tail -n1 /etc/passwd /etc/group | grep 99; id; echo $HOME",
    );
    let expected = "99:*:99:0:container user:/tmp:/bin/sh\n99:x:99:99\n\
                    uid=99(99) gid=0(root) groups=0(root)\n/tmp";
    assert_eq!(unknown, expected);
    let read_only = run("--user 99 --read-only", "tail -n1 /etc/passwd");
    assert_eq!(read_only, "99:*:99:0:container user:/:/bin/sh");
    let joe = run("--hostuser joe --user joe", "tail -n1 /etc/passwd; id -u");
    assert_eq!(joe, "joe:*:1000:1000:Joe:/:/bin/sh\n1000");
    // A second start finds what the first one has made.
    lab.sh("unitbox create --name k --user 88 busybox sh -c 'grep -c ^88: /etc/passwd; id'")
        .ok();
    for _ in 0..2 {
        lab.sh("unitbox start k && unitbox wait k").ok();
    }
    let logs = lab.sh("journalctl --sync; unitbox logs k").ok();
    let once = "1\nuid=88(88) gid=0(root) groups=0(root)";
    assert_eq!(logs, format!("{once}\n{once}"));

    // A link that leads out of the root leads to the root's own file, and one to nowhere to none.
    lab.sh(
        "mkdir -p /srv/r/etc /srv/r/bin && cp -L /usr/share/unitbox-lab/busybox/bin/sh /srv/r/bin/sh
         ln -s /../../../etc/passwd.real /srv/r/etc/passwd && echo 'r:x:0:0::/:/' > /srv/r/etc/passwd.real
         ln -s ../../../../../../etc/group /srv/r/etc/group",
    )
    .ok();
    lab.sh("unitbox run --rm --user 99 --rootfs /srv/r /bin/sh -c :")
        .fails(126);
    lab.sh("rm /srv/r/etc/group && echo 'r:x:0:' > /srv/r/etc/group")
        .ok();
    lab.sh("unitbox run --rm --user 99 --rootfs /srv/r /bin/sh -c :")
        .ok();
    assert_eq!(lab.sh("grep -c ^99: /srv/r/etc/passwd.real").ok(), "1");
    lab.sh("sha256sum -c /before").ok();
    lab.sh("rm /srv/r/etc/passwd && mkfifo /srv/r/etc/passwd")
        .ok();
    let fifo = lab.sh("timeout 20 unitbox run --rm --user 99 --rootfs /srv/r /bin/sh -c :");
    let text = fifo.fails(126).err();
    assert!(text.contains("not a regular file"), "{text}");
}

#[test]
fn files_of_etc_are_those_of_podman() {
    let lab = lab();
    let run = |options: &str, script: &str| {
        lab.sh(&format!(
            "unitbox run --rm --name n {options} busybox sh -c '{script}'"
        ))
        .ok()
    };
    let hosts = run(
        "--hostname h --add-host a:192.0.2.1",
        "cat /etc/hosts /etc/hostname",
    );
    let expected = "192.0.2.1\ta\n127.0.0.1\tlocalhost\n192.0.2.9\tbase\n127.0.0.1\th n\nh";
    assert_eq!(hosts, expected);
    let none = run(
        "--no-hosts --no-hostname",
        "ls /etc/hosts /etc/hostname /etc/resolv.conf 2>/dev/null; wc -c < /run/.containerenv",
    );
    assert_eq!(none, "0");
    // Of systemd-resolved the real file, not its stub.
    let resolv = run("--network host", "cat /etc/resolv.conf");
    assert_eq!(resolv, "search a.example\nnameserver 192.0.2.53");
    let own = run(
        "--network host --dns ::1 --dns-search .",
        "cat /etc/resolv.conf",
    );
    assert_eq!(own, "nameserver ::1");
    // What the user mounts there wins.
    lab.write("/mine", "mine\n");
    let mine = run(
        "-v /mine:/etc/hosts -v /mine:/run/.containerenv",
        "cat /etc/hosts /run/.containerenv",
    );
    assert_eq!(mine, "mine\nmine");
    let privileged = run("--privileged", "cat /run/.containerenv");
    assert!(privileged.contains("name=\"n\""), "{privileged}");
    for bad in [
        "--hostname $'a\\nb'",
        "--add-host $'a\\nb:192.0.2.1'",
        "--dns-search $'a\\nb'",
        "--passwd-entry $'a\\nb'",
    ] {
        lab.sh(&format!("unitbox run --rm {bad} busybox true"))
            .fails(125);
    }
}

#[test]
fn systemd_finds_what_it_needs() {
    let lab = lab();
    let inside = lab
        .sh("unitbox run --rm --systemd=always busybox sh -c '
            for d in /run /run/lock /tmp /var/log/journal; do grep -q \" $d tmpfs rw\" /proc/mounts || echo no $d; done
            mkdir /sys/fs/cgroup/x && echo $container_uuid'")
        .ok();
    assert_eq!(inside.len(), 32, "{inside}");
    lab.sh("unitbox run --name s -d --systemd=always busybox sh -c \
            'trap \"\" TERM; trap \"exit 3\" 37; while :; do sleep 0.1; done'")
        .ok();
    lab.sh("sleep 0.5; unitbox stop -t 9 s").ok();
    assert_eq!(lab.sh("unitbox wait s").ok(), "3");
}
