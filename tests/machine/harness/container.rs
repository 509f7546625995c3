//! Containers made by hand, without the command line: record, name and unit file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use unitbox::api::Layout;
use unitbox::definition::{Definition, Options, Source, VERSION};
use unitbox::image::{Images, Source as ImageSource};
use unitbox::plan::unit::{Unit, UnitFacts};
use unitbox::types::ContainerId;

use super::Lab;

/// Where the monitor under test is on the machine.
const MONITOR: &str = "/opt/unitbox-monitor";
/// Read at each start of a container made here.
pub(crate) const ENVIRONMENT: &str = "/opt/environment";
const BUSYBOX: &str = "/usr/share/unitbox-lab/busybox";

/// A payload that says `begin`, makes the file /tmp/ready, and at SIGTERM says `end` and exits with 0.
pub(crate) const PAYLOAD: &str = "trap 'echo end; exit 0' TERM; echo begin; touch /tmp/ready; \
                                  while :; do sleep 1 & wait $!; done";

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    definition: Definition,
}

impl Container {
    /// One with the busybox directory of the machine as its root, which runs [`PAYLOAD`].
    pub(crate) fn new(name: &str) -> Self {
        let random = fs::read("/proc/sys/kernel/random/uuid").expect("there is a uuid");
        let mut bytes = [0; 32];
        bytes[..32].copy_from_slice(&random[..32]);
        let definition = Definition {
            version: VERSION,
            id: ContainerId::from_random(bytes),
            name: name.parse().expect("a name"),
            created: 1,
            source: Source::Rootfs {
                path: BUSYBOX.to_owned(),
            },
            command: ["sh", "-c", PAYLOAD].map(str::to_owned).to_vec(),
            options: Options::default(),
            deployed: None,
        };
        Self { definition }
    }

    pub(crate) fn image(mut self, id: &str) -> Self {
        self.definition.source = Source::Image {
            name: "busybox".to_owned(),
            id: id.to_owned(),
        };
        self
    }

    pub(crate) fn command(mut self, script: &str) -> Self {
        self.definition.command = ["sh", "-c", script].map(str::to_owned).to_vec();
        self
    }

    pub(crate) fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.definition.options);
        self
    }

    /// Writes it down on the machine, replacing what had its name.
    #[track_caller]
    pub(crate) fn create(self, lab: &Lab) -> Self {
        let Self { definition } = &self;
        let (id, name) = (&definition.id, &definition.name);
        let layout = Layout::new("/");
        let version = lab.sh("systemctl --version | sed -n '1s/^systemd \\([0-9]*\\).*/\\1/p'");
        let systemd = version.ok().parse().expect("a number");
        let facts = UnitFacts {
            systemd,
            monitor: Path::new(MONITOR),
            layout: &layout,
            dependencies: &[],
        };
        let unit = Unit::of(definition, &facts).render();
        let directory = layout.container(id).display().to_string();
        lab.sh(&format!(
            "umask 077; mkdir -p {directory} /var/lib/unitbox/names
            cat >{directory}/definition.json <<'JSON'\n{}\nJSON
            ln -sfn ../containers/{id} /var/lib/unitbox/names/{name}
            cat >/run/systemd/system/unitbox-{name}.service <<'UNIT'\n{unit}EnvironmentFile=-{ENVIRONMENT}\nUNIT
            [ \"$(systemctl show -P NeedDaemonReload unitbox-{name})\" = no ] || systemctl daemon-reload",
            String::from_utf8_lossy(&definition.to_json()),
        ))
        .ok();
        self
    }

    /// Shell variables for scripts: unit, id, ready (a file that is there once the payload runs).
    pub(crate) fn variables(&self) -> String {
        let Definition {
            id, name, source, ..
        } = &self.definition;
        let rootfs = match source {
            Source::Rootfs { path } => path.clone(),
            Source::Image { .. } => format!("/var/lib/unitbox/containers/{id}/rootfs/upper"),
        };
        format!("unit=unitbox-{name}.service id={id} name={name} ready={rootfs}/tmp/ready\n")
    }
}

/// Puts a monitor on the machine.
#[track_caller]
pub(crate) fn install_monitor(lab: &Lab, program: &Path) {
    let bytes = fs::read(program).expect("the monitor was built");
    lab.write(MONITOR, bytes);
    lab.sh(&format!("chmod 755 {MONITOR}")).ok();
}

/// The monitor as Cargo has built it for this test.
pub(crate) fn monitor() -> PathBuf {
    env!("CARGO_BIN_EXE_unitbox-monitor").into()
}

/// A monitor with kill points, from the same sources and with the same profile.
pub(crate) fn monitor_with_failpoints() -> PathBuf {
    let plain = monitor();
    let directory = plain.parent().expect("a program is in a directory");
    let release = directory.ends_with("release");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--features", "failpoints"])
        .args(["--bin", "unitbox-monitor-failpoints"])
        .args(release.then_some("--release"))
        .arg("--target-dir")
        .arg(
            directory
                .parent()
                .expect("a profile is in a target directory"),
        )
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be executed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    directory.join("unitbox-monitor-failpoints")
}

/// Loads the machine's busybox image into its store; returns the image's id.
#[track_caller]
pub(crate) fn load_image(lab: &Lab) -> String {
    let directory = PathBuf::from(lab.sh("mktemp -u /tmp/unitbox-image-XXXXXXXX").ok());
    fs::create_dir(&directory).expect("a new name");
    let archive = lab.sh("cat /usr/share/unitbox-lab/busybox.tar").stdout;
    let images = Images::open(&directory).expect("a new store");
    let source = ImageSource::Stream(&mut archive.as_slice(), "busybox.tar");
    let loaded = images.load(source, &mut |_| {}).expect("the image is good");
    let pack = Command::new("tar")
        .args(["--xattrs", "-C"])
        .arg(&directory)
        .args(["-c", "."])
        .output()
        .expect("tar can be executed");
    fs::remove_dir_all(&directory).expect("nothing uses it");
    lab.sh_with_input(
        "mkdir -p /var/lib/unitbox && tar -C /var/lib/unitbox -x",
        &pack.stdout,
    )
    .ok();
    loaded[0].id.clone()
}

/// `KEY=value` lines, as `systemctl show` prints them.
pub(crate) fn values(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .collect()
}
