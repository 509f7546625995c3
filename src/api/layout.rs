//! Where things are: every path of ours is made here, below a root directory given as argument.

use std::path::{Path, PathBuf};

use crate::types::{ContainerId, ContainerName, UnitName, VolumeName};

/// Begins the name of a file of [`Layout::unit_state`].
pub const LOG_FIELDS: &str = "log-extra-fields:";

/// The socket in [`Layout::notify`].
pub const NOTIFY_SOCKET: &str = "notify.sock";

/// The directories of one installation (`--root` puts them below another directory, for tests).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below this root; `/` is the system's own.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `/var/lib/unitbox`: what survives a reboot.
    pub fn state(&self) -> PathBuf {
        self.root.join("var/lib/unitbox")
    }

    /// `/run/unitbox`: what belongs to this boot.
    pub fn run(&self) -> PathBuf {
        self.root.join("run/unitbox")
    }

    /// Directory of all containers.
    pub fn containers(&self) -> PathBuf {
        self.state().join("containers")
    }

    /// Directory of one container.
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// The definition: what the user asked for.
    pub fn definition(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("definition.json")
    }

    /// The writable layer and its work directory (overlayfs).
    pub fn rootfs(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("rootfs")
    }

    /// A copy of the last exit file; survives a reboot, best effort.
    pub fn last_exit(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("last-exit")
    }

    /// The nonce and boot id of the last start, so that a power cut is told from an end.
    pub fn last_start(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("last-start")
    }

    /// The level of its SELinux label, once it has one.
    pub fn level(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("level")
    }

    /// Directory of the links to the containers that depend on this one.
    pub fn dependents(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("dependents")
    }

    /// Where changes of the overlay mounts of a run go; they end with it.
    pub fn overlays(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("overlays")
    }

    /// Directory of all volumes.
    pub fn volumes(&self) -> PathBuf {
        self.state().join("volumes")
    }

    /// Directory of one volume.
    pub fn volume(&self, name: &VolumeName) -> PathBuf {
        self.volumes().join(name.as_str())
    }

    /// The files of one volume.
    pub fn volume_data(&self, name: &VolumeName) -> PathBuf {
        self.volume(name).join("_data")
    }

    /// Directory of all secrets.
    pub fn secrets(&self) -> PathBuf {
        self.state().join("secrets")
    }

    /// Directory of the links from name to container.
    pub fn names(&self) -> PathBuf {
        self.state().join("names")
    }

    /// The link of one name; to create it is the uniqueness check.
    pub fn name(&self, name: &ContainerName) -> PathBuf {
        self.names().join(name.as_str())
    }

    /// Run directory of one container.
    pub fn run_container(&self, id: &ContainerId) -> PathBuf {
        self.run().join(id.as_str())
    }

    /// Where namespaces of a container are pinned by others that have joined them.
    pub fn pins(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("ns")
    }

    /// The OCI bundle.
    pub fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("bundle")
    }

    /// Where the verb `mount` shows the root of a container.
    pub fn mounted(&self, id: &ContainerId) -> PathBuf {
        self.run().join("mounted").join(id.as_str())
    }

    /// Files that were given to a container to keep.
    pub fn artifacts(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("artifacts")
    }

    /// Where what the runtime is to bind is mounted first: images, parts of volumes, secrets.
    pub fn mounts(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("mounts")
    }

    /// The runtime's own state directory (`runc --root`), one per container, so that it goes with the run directory.
    pub fn runtime_state(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("runtime")
    }

    /// The exit file of the current or last run of this boot.
    pub fn exit_file(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("exit")
    }

    /// Pid, start time and nonce of the running payload.
    pub fn payload_file(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("payload")
    }

    /// What a start that takes its time is at, in words for the unit's status; written again with each step.
    pub fn progress(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("progress")
    }

    /// The stop timeout that the next ordered stop uses instead of the container's own.
    pub fn stop_request(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("stop-timeout")
    }

    /// The signal of a user's `kill` behind which nothing shall be restarted.
    pub fn kill_request(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("killed")
    }

    /// A user has stopped this container: the next boot does not start it, if its policy says so.
    pub fn stopped_mark(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("stopped")
    }

    /// The end of this run is followed by another: a container that removes itself stays.
    pub fn restart_request(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("restarting")
    }

    /// Who wants the container of the next start made only (`init`): PID and start time of a process.
    pub fn hold_request(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("hold")
    }

    /// The number of processes of unit and payload that an update has set in a running container.
    pub fn pids_request(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("pids-limit")
    }

    /// System call filters that crun has compiled, for all containers: one of its own would begin empty at each start.
    pub fn seccomp_cache(&self) -> PathBuf {
        self.run().join("seccomp")
    }

    /// Which runtime was last looked at for known faults.
    pub fn runtime_check(&self) -> PathBuf {
        self.run().join("runtime-check")
    }

    /// What is known of the health, and the last checks; of the run that is, or was last.
    pub fn health_file(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("health.json")
    }

    /// Why the last check that went wrong did so: a short line.
    pub fn health_said(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("health.said")
    }

    /// Somebody wants the health to be looked at now; it goes when that is done.
    pub fn probe_request(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("probe")
    }

    /// The process of a health check, or of the startup check, as the runtime wants it.
    pub fn probe_process(&self, id: &ContainerId, startup: bool) -> PathBuf {
        let name = if startup {
            "startup.json"
        } else {
            "probe.json"
        };
        self.bundle(id).join(name)
    }

    /// Where a client that wants to be attached from the first instruction on listens.
    pub fn client_socket(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("client.sock")
    }

    /// Where one that wants to be attached to a run that goes on listens; the tag is its own.
    pub fn attach_socket(&self, id: &ContainerId, tag: &str) -> PathBuf {
        let name = format!("{}{tag}", super::client::LATER);
        self.run_container(id).join(name)
    }

    /// Directory of the socket on which the payload says that it is ready.
    pub fn notify(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("notify")
    }

    /// That socket.
    pub fn notify_socket(&self, id: &ContainerId) -> PathBuf {
        self.notify(id).join(NOTIFY_SOCKET)
    }

    /// Where the runtime sends the master of the container's terminal to.
    pub fn console_socket(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("tty.sock")
    }

    /// Directory of the sessions of `exec` in the running payload.
    pub fn sessions(&self, id: &ContainerId) -> PathBuf {
        self.run_container(id).join("exec")
    }

    /// Exit files of removed containers, by id, so that a late `wait` still gets the code.
    pub fn exits(&self) -> PathBuf {
        self.run().join("exits")
    }

    /// The exit file of one removed container.
    pub fn removed_exit(&self, id: &ContainerId) -> PathBuf {
        self.exits().join(id.as_str())
    }

    /// The lock that serialises operations on one container.
    pub fn lock(&self, id: &ContainerId) -> PathBuf {
        self.run().join("locks").join(id.as_str())
    }

    /// Where unit files of kept containers are, from `create` to `rm` (systemd.unit(5), "Unit File Load Path").
    pub fn unit_files(&self) -> PathBuf {
        self.root.join("run/systemd/system")
    }

    /// What `systemctl set-property --runtime` has set for a unit.
    pub fn runtime_properties(&self, unit: &UnitName) -> PathBuf {
        let control = self.root.join("run/systemd/system.control");
        control.join(format!("{unit}.d"))
    }

    /// What is said of a transient unit after it was made; systemd removes it with the unit.
    pub fn transient_drop_in(&self, unit: &UnitName) -> PathBuf {
        let transient = self.root.join("run/systemd/transient");
        transient.join(format!("{unit}.d/renamed.conf"))
    }

    /// Where systemd tells journald of its units.
    pub fn unit_state(&self) -> PathBuf {
        self.root.join("run/systemd/units")
    }

    /// What systemd has told journald of the fields of a unit; it forgets to remove that (as of version 257).
    pub fn log_fields(&self, unit: &UnitName) -> PathBuf {
        let name = format!("{LOG_FIELDS}{unit}");
        self.unit_state().join(name)
    }

    /// The unit file of one container.
    pub fn unit_file(&self, unit: &UnitName) -> PathBuf {
        self.unit_files().join(unit.as_str())
    }
}
