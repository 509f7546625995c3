//! The Debian package: what it is made of, and what its scripts do to containers that run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Lab, Run, Suite, binaries, tool};
use crate::health::sh;
use crate::run::ROOTFS;

/// Makes the package of the programs of this build, as another version of itself.
#[track_caller]
fn build(version: &str, output: &Path) -> PathBuf {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/deb.sh"));
    command.args(["--version", version, "--output"]).arg(output);
    command.env("UNITBOX_BIN_DIR", binaries());
    // Small is not what is looked at here.
    command.env("DPKG_DEB_COMPRESSOR_TYPE", "gzip");
    command.env("DPKG_DEB_COMPRESSOR_LEVEL", "1");
    let output = command.output().expect("deb.sh can be executed");
    PathBuf::from(Run::new("deb.sh", output).ok())
}

/// A payload's pid, what program its monitor is (a replaced one is deleted), and whether it was ever restarted.
const SHOWN: &str = r#"
M=/usr/libexec/unitbox/unitbox-monitor
payloads() { unitbox inspect -f '{{.Name}} {{.State.Pid}} {{.State.StartedAt}}' web systemd-file; }
programs() { for unit; do readlink /proc/$(systemctl show -P MainPID $unit)/exe; done | uniq; }
dpkgs() { DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 -qq -y "$@" 2>&1; }
"#;

fn shown(lab: &Lab, script: &str) -> String {
    sh(lab, &format!("{SHOWN}{script}"))
}

#[test]
fn containers_outlive_upgrades_and_the_removal() {
    Run::new(
        "deps",
        tool(["deps", "dpkg-dev", "lintian"])
            .output()
            .expect("a tool"),
    )
    .ok();
    let output = std::env::temp_dir().join(format!("unitbox-package-{}", std::process::id()));
    std::fs::create_dir_all(&output).expect("a new directory");
    let packages = ["0.1.0", "0.1.1"].map(|version| build(version, &output));
    let lintian = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning"])
        .arg(&packages[1])
        .output();
    let lintian = Run::new("lintian", lintian.expect("lintian can be executed"));
    let listed = Command::new("dpkg-deb")
        .arg("--contents")
        .arg(&packages[1])
        .output();
    let listed = Run::new("dpkg-deb", listed.expect("dpkg-deb can be executed")).ok();
    let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let pages = std::fs::read_dir(man).expect("there are pages");
    let pages = pages.map(|page| page.expect("it can be read").file_name());
    let pages: Vec<String> = pages
        .map(|page| format!("/{}.gz", page.to_string_lossy()))
        .collect();
    let contents = packages
        .each_ref()
        .map(|path| std::fs::read(path).expect("it was made"));
    std::fs::remove_dir_all(&output).expect("nothing uses it");
    assert_eq!(lintian.ok(), "");
    assert!(pages.iter().all(|page| listed.contains(page)), "{listed}");

    let lab = Lab::bare(Suite::Trixie);
    for (number, content) in contents.iter().enumerate() {
        lab.write(&format!("/opt/{number}.deb"), content);
    }
    installed(&lab);
    upgraded(&lab);
    removed(&lab);
}

/// Nothing but the package is needed for a container of each kind. The machine's dpkg leaves manuals out.
fn installed(lab: &Lab) {
    lab.sh("mkdir -p /etc/unitbox").ok();
    let file =
        "[Container]\nRootfs=/usr/share/unitbox-lab/busybox:O\nExec=stamp run\nVolume=kept:/kept\n";
    lab.write("/etc/unitbox/file.container", file);
    let seen = shown(
        lab,
        &format!(
            "dpkgs --no-install-recommends install /opt/0.deb | grep -i 'error\\|warn\\|fail'
             dpkg-query -W -f '${{db:Status-Abbrev}} ${{Version}}\\n' unitbox; dpkg --verify unitbox | grep -v ' /usr/share/\\(doc\\|man\\)'
             systemctl is-enabled unitbox-restore-early unitbox-restore unitbox-bus
             unitbox run -d --name web {ROOTFS} stamp run >/dev/null
             unitbox run -d --name ended {ROOTFS} stamp code 0 >/dev/null; unitbox stop ended
             systemctl start file; systemctl is-active unitbox-web file unitbox-bus
             programs unitbox-web file; payloads >/opt/before; wc -l </opt/before"
        ),
    );
    let expected = "ii  0.1.0\nenabled\nenabled\nstatic\nended\nactive\nactive\nactive\n\
                    /usr/libexec/unitbox/unitbox-monitor\n2";
    assert_eq!(seen, expected);
}

/// The monitors are new programs, the payloads the old processes; what does not run is left as it is.
fn upgraded(lab: &Lab) {
    let seen = shown(
        lab,
        "systemctl show -P MainPID unitbox-bus >/opt/bus
         dpkgs --no-install-recommends install /opt/1.deb | grep -i 'error\\|warn\\|fail\\|goes on'
         dpkg-query -W -f '${Version}\\n' unitbox
         payloads | diff /opt/before - && echo same
         programs unitbox-web file
         systemctl is-active unitbox-web file unitbox-bus; systemctl is-active unitbox-ended
         systemctl show -P MainPID unitbox-bus | cmp -s /opt/bus && echo old; systemctl show -P NRestarts unitbox-web file | grep .
         journalctl --sync; journalctl -o cat | grep -c '^Reloaded unitbox-web\\|^Reloaded file'",
    );
    let expected = "0.1.1\nsame\n/usr/libexec/unitbox/unitbox-monitor\nactive\nactive\nactive\ninactive\n0\n0\n2";
    assert_eq!(seen, expected);
}

/// Without the package they run, and can be stopped; what was made stays, and is named.
fn removed(lab: &Lab) {
    let seen = shown(
        lab,
        "pids=$(cut -d ' ' -f 2 /opt/before | paste -sd ' ')
         dpkgs remove unitbox | grep '^unitbox: \\|[Ee]rror'
         kill -0 $pids && echo running; systemctl is-active unitbox-web file; ls $M 2>/dev/null
         systemctl daemon-reload; kill -0 $pids && echo running
         dpkgs purge unitbox | grep '^unitbox: \\|[Ee]rror'; kill -0 $pids && echo running
         ls /var/lib/unitbox/volumes; ls /etc/apparmor.d/unitbox* /etc/systemd/system/*/unitbox* 2>/dev/null
         systemctl stop unitbox-web file; for pid in $pids; do kill -0 $pid 2>/dev/null && echo $pid; done
         systemctl is-failed unitbox-web file
         dpkgs --no-install-recommends install /opt/1.deb | grep -i 'error\\|warn\\|fail'
         unitbox start web; systemctl start file; systemctl is-active unitbox-web file; unitbox volume ls -q",
    );
    let expected = "unitbox: containers that run go on; systemctl stop ends them\nrunning\nactive\nactive\nrunning\n\
        unitbox: kept, as they are yours: images in /var/lib/unitbox/images and /var/lib/unitbox/layers, volumes in /var/lib/unitbox/volumes,\n\
        unitbox: containers in /var/lib/unitbox/containers, secrets in /var/lib/unitbox/secrets; rm -r /var/lib/unitbox removes them all\n\
        running\nkept\ninactive\ninactive\nweb\nactive\nactive\nkept";
    assert_eq!(seen, expected);
}
