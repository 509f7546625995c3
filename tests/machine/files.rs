//! `cp`, `diff`, `export`, `mount`, artifacts: the same trees with Podman and with unitbox, and what hostile ones try.

use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::harness::{Lab, Oracle, Suite};
use crate::mounts::IMAGE;

/// An image of both engines, and trees of the host to copy.
const SETUP: &str = r#"
set -e
image files '.config.User = "app"' '
    mkdir -p d/sub vol etc; echo hi >d/f; ln -s /etc etclink; ln -s f d/l; ln d/f d/hard; chown 5:6 d/f; mkdir d/empty
    echo old >gone; mkdir gonedir; echo x >gonedir/x
    printf "root:x:0:0::/:/bin/sh\napp:x:1000:1001:App:/:/bin/sh\n" >etc/passwd
    find . -exec touch -h -d @1000000 {} +'
tar -C /opt/image-files -cf /opt/files.tar . && podman load -q -i /opt/files.tar >/dev/null
mkdir -p /opt/h/dir/s /opt/h/clash /opt/bind && cd /opt/h
echo x >file; echo y >dir/s/y; ln -s /etc/hostname link; ln -s s dir/dl; ln -s /nowhere dir/dead; mkfifo dir/pipe
chown -R 7:8 dir; chmod 4755 file; chmod 1770 dir/s; truncate -s 10M sparse; echo end >>sparse; echo >clash/sub
mkdir -p two; echo a >two/a; ln two/a two/b; printf 'odd\n' >"$(printf 'two/new\nline')"
find . -exec touch -h -d @2000000 {} +
"#;

fn lab() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("{IMAGE}{SETUP}")).ok();
    lab
}

/// What is copied, between `$c`, a container in some state, and the host, on which `o` is empty.
const COPIES: &[&str] = &[
    "h/file $c:/new",
    "h/file $c:/d",
    "h/file $c:/d/",
    "h/file $c:/nodir/",
    "h/file $c:/nodir/x",
    "h/dir $c:/d",
    "h/dir $c:/d2",
    "h/dir/. $c:/d3",
    "h/dir/ $c:/d4",
    "h/dir $c:/new",
    "h/dir $c:/d/f",
    "h/clash/. $c:/d",
    "--overwrite h/clash/. $c:/d",
    "h/link $c:/fromlink",
    "h/link $c:/d2",
    "h/nosuch $c:/a",
    "h/dir/s/y $c:/etclink",
    "h/file $c:/d/l",
    "-a=false h/dir $c:/kept",
    "--archive=false h/file $c:/keptfile",
    "h/two $c:/srv-no/x",
    "h/two $c:/",
    "$c:/d o",
    "$c:/d o/new",
    "$c:/d/. o/dot",
    "$c:/d/l o/l",
    "$c:/etclink o/el",
    "$c:/kept o",
    "$c:/d2/dead o",
    "$c:/nosuch o",
    "$c:/d o/l",
    "$c:/d/f o/no/",
    "$c:/d/f o/no/x",
    "$c:d/f o/relative",
    "$c:/d2 other:/fromc",
    "$c:/d/f other:/fromcf",
    "$c:/d/f other:/no/",
    "$c: o",
    "o $c:",
    "o o",
    "- -",
    "nosuch:/a o",
    "o nosuch:/a",
];

/// Podman's error is the dump of a request; ours says what is the matter.
const TALKATIVE: &[&str] = &["h/clash/. $c:/d", "$c:/d2/dead o"];

fn side_by_side(lab: &Lab, state: &str, make: &str) {
    let mut steps = String::new();
    for copy in COPIES {
        let errors = match TALKATIVE.contains(copy) {
            true => "2>/dev/null",
            false => "2>&1",
        };
        steps.push_str(&format!(
            "echo '{copy}'; timeout 20 $E cp {copy} {errors} </dev/null; echo \"code $?\"\n"
        ));
    }
    let script = |engine: &str| {
        format!(
            r#"cd /opt; rm -rf o; mkdir o; E={engine} c=c
            $E create --name other --network none localhost/files sleep 1000 >/dev/null
            {make}
            {steps}
            for x in /d /d/. /d/l /kept/s /etclink/passwd /sparse-no; do
                echo "stream $x"
                timeout 20 $E cp c:$x - 2>/dev/null | tar -tv --numeric-owner --full-time 2>/dev/null
            done
            tar -C h -c dir | timeout 20 $E cp - c:/d2 2>&1; echo "code $?"
            tar -C h -cz two | timeout 20 $E cp -a=false - c:/d3 2>&1; echo "code $?"
            for x in /d/l /no /d/f; do tar -C h -c dir | timeout 20 $E cp - c:$x 2>&1; echo "code $?"; done
            echo nonsense | timeout 20 $E cp - c:/d 2>&1; echo "code $?"
            timeout 20 $E cp - c:/d 2>&1 </dev/null; echo "code $?"
            $E unpause c >/dev/null 2>&1
            for one in c other; do
                $E export $one >/opt/{engine}.$one.tar; echo "code $?"
                tar -tv --numeric-owner --full-time -f /opt/{engine}.$one.tar |
                    grep -E ' (d|d2|d3|d4|new|fromlink|kept|keptfile|two|etclink|fromc|fromcf|etc/y|etc/passwd)(/|$| ->)'
                $E diff $one | grep -vE ' /(etc|run|dev|proc|sys|tmp)(/|$)'
            done
            # What a start makes in /etc has the time of the start, and Podman makes a link more.
            rm -f o/el/hosts o/el/hostname o/el/resolv.conf o/el/mtab
            (cd o && find . -mindepth 1 -exec stat -c '%n %F %a %u:%g %s %N' {{}} + | sort)
            (cd o && find . -mindepth 1 ! -type d -exec stat -c '%n %Y' {{}} + | sort)
            $E rm -f -t 0 c other >/dev/null"#
        )
    };
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let text = lab.sh(&script(engine)).ok();
        // Podman's archives have no slash behind directories here, and there they have.
        let text = text.replace(engine, "ENGINE").replace("/\n", "\n");
        // What was made by the test itself has the time of the test.
        let now = Regex::new(r"20[2-9]\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? *").expect("a pattern");
        let blanks = Regex::new(" +").expect("a pattern");
        blanks
            .replace_all(&now.replace_all(&text, "NOW "), " ")
            .into_owned()
    });
    assert!(podman.lines().count() > 200, "{podman}");
    let (ours, theirs): (BTreeSet<&str>, BTreeSet<&str>) =
        (unitbox.lines().collect(), podman.lines().collect());
    let only = |one: &BTreeSet<&str>, other: &BTreeSet<&str>| {
        let lines: Vec<&str> = one.difference(other).copied().collect();
        lines.join("\n")
    };
    assert!(
        podman == unitbox,
        "{state}\n--- only podman\n{}\n--- only unitbox\n{}\n--- podman\n{podman}\n--- unitbox\n{unitbox}",
        only(&theirs, &ours),
        only(&ours, &theirs)
    );
}

const CREATE: &str =
    "$E create --name c --network none -v /opt/bind:/vol localhost/files sleep 1000 >/dev/null";

#[test]
fn copies_are_podmans_where_nothing_ran() {
    side_by_side(&lab(), "created", CREATE);
}

#[test]
fn copies_are_podmans_while_it_runs() {
    let make = format!("{CREATE}; $E start c >/dev/null");
    side_by_side(&lab(), "running", &make);
}

#[test]
fn copies_are_podmans_while_it_is_paused() {
    let make = format!("{CREATE}; $E start c >/dev/null; $E pause c >/dev/null");
    side_by_side(&lab(), "paused", &make);
}

#[test]
fn copies_are_podmans_after_its_end() {
    let make = format!("{CREATE}; $E start c >/dev/null; $E stop -t 0 c >/dev/null");
    side_by_side(&lab(), "exited", &make);
}

#[test]
fn what_podman_loses_is_kept() {
    let lab = lab();
    let oracle = Oracle::baseline(&lab);
    lab.sh("cd /opt; unitbox create --name c -v given:/vol -v /opt/bind:/d/sub localhost/files sleep 1000")
        .ok();
    for state in ["created", "running"] {
        // Hard links in a directory that gets another name, holes, odd names, files of volumes and binds.
        let seen = lab.sh(
            r#"cd /opt; rm -rf out
            unitbox cp h/two c:/renamed$$ && unitbox cp h/sparse c:/ && unitbox cp h/file c:/vol/ && unitbox cp h/file c:/d/sub/
            unitbox cp c:/renamed$$ out && stat -c '%h %n' out/a out/b && ls -b out
            unitbox cp c:/sparse out/ && [ $(stat -c %b out/sparse) -lt 1000 ] && cmp h/sparse out/sparse && echo holes
            unitbox cp c:/vol/file out/ && stat -c %a out/file
            cat /var/lib/unitbox/volumes/given/_data/file /opt/bind/file; rm /opt/bind/file
            unitbox cp c:/d c:/d/f2 2>&1 | grep -o 'into itself'; echo more >note; unitbox cp note c:/d/note2
            unitbox cp c:/d/note2 c:/d/note3 && unitbox cp c:/d/note3 - | tar -xO"#,
        );
        assert_eq!(
            seen.ok(),
            "2 out/a\n2 out/b\na\nb\nnew\\nline\nholes\n4755\nx\nx\ninto itself\nmore",
            "{state}: {}",
            seen.err()
        );
        lab.sh("unitbox start c").ok();
    }
    lab.sh("unitbox stop -t 0 c && unitbox start c && unitbox exec c cat /sparse | tail -n 1")
        .ok();
    lab.sh("unitbox rm -f -t 0 c && unitbox volume rm given")
        .ok();
    oracle.assert_clean(&lab);
}

#[test]
fn nothing_leads_out_of_a_container() {
    let lab = lab();
    lab.sh("mkdir -p /opt/prey && echo safe >/opt/prey/f && cp -a /opt/prey /opt/before && unitbox run -d --name c --user 0 \
        localhost/files sh -c 'ln -s /opt/prey /out; mkdir -p /opt/prey /x /t; ln -s ../../../../opt/prey /x/up; mkfifo /pipe;
            ln -s /opt/prey/f /file; ln -s /proc/self/root /magic; echo inside >/opt/prey/f; touch /t/f; sleep 1000'")
        .ok();
    lab.sh("until unitbox exec c test -e /t/f; do sleep 0.1; done")
        .ok();
    for state in ["running", "stopped"] {
        lab.sh("cd /opt; rm -rf got; mkdir got").ok();
        assert_eq!(
            lab.sh("cd /opt; unitbox cp c:/out/f got/ && cat got/f")
                .ok(),
            "inside",
            "{state}"
        );
        assert_eq!(
            lab.sh("cd /opt; unitbox cp c:/file got/g && cat got/g")
                .ok(),
            "inside"
        );
        lab.sh("cd /opt; unitbox cp h/file c:/out/g && unitbox cp h/file c:/x/up/new && unitbox cp h/dir c:/out/")
            .ok();
        assert_eq!(
            lab.sh("diff -r /opt/prey /opt/before && echo same").ok(),
            "same",
            "{state}"
        );
        lab.sh("timeout 10 unitbox cp c:/pipe /opt/got/ && test -p /opt/got/pipe")
            .ok();
        let device = match state {
            "running" => "/dev/null",
            _ => "/etc/null",
        };
        assert!(
            lab.sh(&format!("[ {state} = running ] || mknod $(unitbox mount c)/etc/null c 1 3; unitbox umount c >/dev/null
                timeout 10 unitbox cp c:{device} /opt/got/"))
                .fails(125)
                .err()
                .contains("device")
        );
        lab.sh("unitbox cp c:/magic/t /opt/got/ ; test ! -e /opt/got/t/prey")
            .ok();
        // A link of the host below the destination is not followed, though a container says that a directory is there.
        lab.sh("cd /opt; rm -rf got/d; mkdir -p got/d; ln -s /opt/prey got/d/sub; unitbox cp --overwrite c:/d got/ ; true").ok();
        lab.sh("cd /opt; unitbox cp h/file c:/d/sub/ ; unitbox cp c:/d got/ ; diff -r prey before")
            .ok();
        // Archives: a path that climbs, an absolute one, one that goes through a link, a hard link to an absolute path.
        for (make, code) in [
            (
                "tar -cP --transform 's,^,../../../opt/prey/,' file >/opt/a.tar",
                125,
            ),
            ("tar -cP /opt/h/file >/opt/a.tar", 0),
            (
                "ln -sfn /opt/prey /opt/link; tar -cf /opt/a.tar -C /opt link; tar -rf /opt/a.tar --transform 's,^,link/,' file",
                0,
            ),
            (
                "tar -cP --transform 's,two/a$,/opt/prey/f,' two/a two/b >/opt/a.tar",
                0,
            ),
        ] {
            let line = format!("cd /opt/h; {make} 2>/dev/null; unitbox cp - c:/t </opt/a.tar");
            lab.sh(&line).fails(code);
            lab.sh("diff -r /opt/prey /opt/before").ok();
        }
        assert_eq!(
            lab.sh("unitbox cp c:/opt/prey/file - | tar -t").ok(),
            "file",
            "{state}"
        );
        lab.sh("unitbox stop -t 0 c").ok();
    }
}

#[test]
fn a_directory_that_is_swapped_leads_nowhere() {
    let lab = lab();
    lab.sh("mkdir -p /opt/prey && echo safe >/opt/prey/f && unitbox run -d --name c --user 0 localhost/files sh -c '
        mkdir -p /a/d /opt/prey; echo inside >/a/d/f; ln -s /opt/prey /l
        while :; do mv /a/d /a/x; mv /l /a/d; mv /a/d /l; mv /a/x /a/d; done'")
        .ok();
    let seen = lab.sh(
        "cd /opt; mkdir got; echo evil >evil
        for i in $(seq 50); do
            unitbox cp c:/a/d/f got/f$i 2>/dev/null; unitbox cp evil c:/a/d/e 2>/dev/null; unitbox cp c:/a got/a$i 2>/dev/null
        done
        find got -type f -name 'f*' -exec cat {} + | sort -u; ls prey; cat prey/f",
    );
    assert_eq!(seen.ok(), "inside\nf\nsafe");
}

#[test]
fn changes_are_podmans() {
    let lab = lab();
    let script = "rm -r /gone /gonedir /d/empty; mkdir /gonedir; touch /gonedir/y; echo >>/d/f; mv /d/l /d/m; mkdir -p /n/e/w; \
        rm /etclink; mkdir /etclink; chmod 700 /vol; mkfifo /d/p";
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        lab.sh(&format!(
            "{engine} run --name c --user 0 --network none localhost/files sh -c '{script}'
            {engine} diff c | grep -vE ' /etc(/|$)' | sort; {engine} diff --format json c | jq -S 'map_values(map(select(test(\"^/etc(/|$)\") | not)) | sort)'
            {engine} diff --format x c 2>&1; {engine} diff 2>&1 | sed s/{engine}/E/
            {engine} create --name e --network none localhost/files true >/dev/null; {engine} diff e; {engine} rm c e >/dev/null"
        ))
        .ok()
    });
    assert!(
        podman.contains("D /gone\n") && podman.contains("A /n/e/w"),
        "{podman}"
    );
    assert_eq!(unitbox, podman);
}

#[test]
fn an_export_is_the_tree() {
    let lab = lab();
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        lab.sh(&format!(
            "{engine} create --name c --network none -v /opt/h:/vol localhost/files true >/dev/null
            {engine} export c | tar -tv --numeric-owner --full-time | grep -vE ' (etc/(hosts|hostname|resolv.conf|mtab)|dev/|proc/|sys/|run/.*)$'
            {engine} export -o /opt/e.tar c; tar -xOf /opt/e.tar d/f; stat -c %a /opt/e.tar; rm /opt/e.tar; {engine} export -o /no/dir c 2>&1; {engine} export -o a:b c 2>&1
            {engine} export nosuch 2>&1; script -qec '{engine} export c' /dev/null; {engine} rm c >/dev/null"
        ))
        .ok()
    });
    assert!(
        podman.contains("d/hard") && podman.contains("refusing"),
        "{podman}"
    );
    let (ours, theirs): (BTreeSet<&str>, BTreeSet<&str>) =
        (unitbox.lines().collect(), podman.lines().collect());
    let more: Vec<_> = ours.symmetric_difference(&theirs).collect();
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn a_mount_is_one_whatever_runs() {
    let lab = lab();
    let oracle = Oracle::baseline(&lab);
    lab.sh("unitbox create --name c -v /opt/bind:/vol localhost/files sleep 1000")
        .ok();
    let place = lab.sh("unitbox mount c").ok();
    assert_eq!(lab.sh("unitbox mount c").ok(), place);
    lab.sh(&format!(
        "test -e {place}/d/f && echo host >{place}/fromhost"
    ))
    .ok();
    // A start goes on with what is mounted, and both see the same files.
    lab.sh("unitbox start c").ok();
    assert_eq!(lab.sh("unitbox exec c cat /fromhost").ok(), "host");
    lab.sh("unitbox exec -u 0 c sh -c 'echo inside >/frominside'")
        .ok();
    assert_eq!(lab.sh(&format!("cat {place}/frominside")).ok(), "inside");
    assert_eq!(lab.sh("unitbox mount c; unitbox mount --no-trunc | cut -d ' ' -f 3; unitbox mount --format json | jq -r '.[].mountpoint'").ok(),
        format!("{place}\n{place}\n{place}"));
    // Taken away from the host, it stays with the payload; and the other way round.
    lab.sh("unitbox umount c && unitbox exec c cat /fromhost && unitbox umount c")
        .ok();
    lab.sh(&format!(
        "test ! -e {place}/d && unitbox mount c && cat {place}/frominside"
    ))
    .ok();
    lab.sh(&format!("unitbox stop -t 0 c && echo after >{place}/after && unitbox start c && unitbox exec c cat /after")).ok();
    // Somebody works there.
    lab.sh(&format!(
        "cd {place} && (sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/opt/pid)"
    ))
    .ok();
    lab.sh("unitbox umount c").fails(125);
    lab.sh("unitbox umount -f c && kill $(cat /opt/pid)").ok();
    // A killed monitor, and a removal while it is mounted.
    lab.sh("unitbox mount c && systemctl kill -s KILL --kill-whom=main unitbox-c; sleep 1; unitbox mount c").ok();
    lab.sh("unitbox rm -f -t 0 c").ok();
    assert_eq!(
        lab.sh("unitbox mount; grep -c unitbox/mounted /proc/self/mountinfo || true")
            .ok(),
        "0"
    );
    lab.sh("unitbox create --name e localhost/files true && unitbox mount e && unitbox umount -a && unitbox mount -a && unitbox rm e").ok();
    oracle.assert_clean(&lab);
}

#[test]
fn artifacts_go_with_their_container() {
    let lab = lab();
    let oracle = Oracle::baseline(&lab);
    lab.sh("unitbox create --name c localhost/files true").ok();
    lab.sh("echo one | unitbox container artifact add c a.txt - && echo two >/opt/two && unitbox container artifact add c b /opt/two").ok();
    assert_eq!(
        lab.sh("unitbox container artifact ls c; unitbox container artifact get c b")
            .ok(),
        "a.txt\nb\ntwo"
    );
    lab.sh("echo new | unitbox container artifact add c b -")
        .ok();
    assert_eq!(lab.sh("unitbox container artifact get c b").ok(), "new");
    assert_eq!(lab.sh("stat -c '%a %u' /var/lib/unitbox/containers/*/artifacts/* /var/lib/unitbox/containers/*/artifacts").ok(),
        "600 0\n600 0\n700 0");
    for name in [
        "../x",
        "a/b",
        ".hidden",
        "''",
        "\"$(printf 'a\\nb')\"",
        "-x",
    ] {
        lab.sh(&format!(
            "unitbox container artifact add c -- {name} /opt/two"
        ))
        .fails(125);
        lab.sh(&format!("unitbox container artifact get c -- {name}"))
            .fails(125);
    }
    lab.sh("unitbox container artifact rm c b").ok();
    assert!(
        lab.sh("unitbox container artifact rm c b")
            .fails(125)
            .err()
            .contains("no such artifact")
    );
    lab.sh("unitbox container artifact get c b").fails(125);
    lab.sh("unitbox container artifact add nosuch b /opt/two")
        .fails(125);
    lab.sh("unitbox rm c").ok();
    oracle.assert_clean(&lab);
}
