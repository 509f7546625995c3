//! What the container sees of files besides its root.

use serde::{Deserialize, Serialize};

use super::DefinitionError;
use super::mount::{Mount, MountFlag};
use crate::types::SecretName;

/// Mounts, devices, secrets, files of /etc.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileOptions {
    /// What the user wants mounted, in order (`--volume`, `--mount`, `--tmpfs`).
    pub mounts: Vec<Mount>,
    /// Containers whose mounts it gets too: `NAME[:OPTIONS]`.
    pub volumes_from: Vec<String>,
    /// What becomes of the image's volumes.
    pub image_volume: ImageVolumes,
    /// What is mounted in the end: the user's mounts with those of the image and of other containers, made when the
    /// container is; none before.
    pub settled: Option<Vec<Mount>>,
    /// The root is read-only.
    pub read_only: bool,
    /// A read-only root gets no tmpfs at /run, /tmp and /var/tmp, and /dev and /dev/shm are read-only too.
    pub no_read_only_tmpfs: bool,
    /// Size of /dev/shm, bytes; 0: no limit.
    pub shm_size: Option<u64>,
    /// Size of the tmpfs mounts of `--systemd`, bytes; 0: no limit.
    pub shm_size_systemd: Option<u64>,
    /// Directories of the container that get the files of /etc too.
    pub chrootdirs: Vec<String>,
    /// Secrets.
    pub secrets: Vec<Secret>,
    /// `--rootfs DIR:O`: changes go to a layer of the container's own.
    pub rootfs_overlay: bool,
    /// `--rootfs DIR:idmap`: its files belong to other users than on disk, by this mapping; empty: the container's.
    pub rootfs_idmap: Option<String>,
}

/// What becomes of the volumes that an image names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageVolumes {
    /// An anonymous volume each.
    #[default]
    Bind,
    /// A tmpfs each.
    Tmpfs,
    /// Nothing.
    Ignore,
}

/// A secret, and how the payload gets it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Which one.
    pub name: SecretName,
    /// How.
    pub how: SecretUse,
}

/// How the payload gets a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretUse {
    /// As a file.
    Mount {
        /// Path, or a name below /run/secrets; none: the secret's name there.
        target: Option<String>,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Mode.
        mode: u32,
    },
    /// As an environment variable.
    Env {
        /// The variable; none: the secret's name.
        target: Option<String>,
    },
}

impl Secret {
    /// Where the file is mounted; none for a variable.
    pub fn path(&self) -> Option<String> {
        let SecretUse::Mount { target, .. } = &self.how else {
            return None;
        };
        let name = target.as_deref().unwrap_or(self.name.as_str());
        Some(match name.starts_with('/') {
            true => name.to_owned(),
            false => format!("/run/secrets/{name}"),
        })
    }
}

impl FileOptions {
    /// What is mounted: the settled list, or before it is made, what the user asked for.
    pub fn effective(&self) -> &[Mount] {
        self.settled.as_deref().unwrap_or(&self.mounts)
    }

    /// Whether something is mounted at exactly this path of the container, by the user or for the image.
    pub fn mounts_on(&self, target: &str) -> bool {
        self.effective().iter().any(|mount| mount.target == target)
    }

    /// Whether mounts made inside the container must reach the host.
    pub fn shares_mounts(&self) -> bool {
        let shared = |mount: &Mount| mount.has("shared") || mount.has("rshared");
        self.effective().iter().any(shared)
    }

    /// Checks what single options cannot see.
    ///
    /// # Errors
    /// Two mounts at one place.
    pub(super) fn check(&self) -> Result<(), DefinitionError> {
        let mut seen: Vec<&Mount> = Vec::new();
        for mount in self.mounts.iter().filter(|mount| !mount.target.is_empty()) {
            match seen.iter().find(|other| other.target == mount.target) {
                // The same once more is the same.
                Some(other) if *other == mount && mount.flag == MountFlag::Volume => {}
                Some(_) => return Err(DefinitionError::DuplicateMount(mount.target.clone())),
                None => seen.push(mount),
            }
        }
        Ok(())
    }
}
