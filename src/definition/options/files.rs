//! Mounts, volumes, secrets and what else there is of files.

use super::OptionSpec;
use super::mount_text::{mount, mount_text, tmpfs, tmpfs_text, volume, volume_text};
use super::parse::{Done, absolute, clean, shown, shown_one, switch};
use super::secret_text::{secret, secret_text};
use crate::definition::mount::{Mount, MountFlag};
use crate::definition::{ImageVolumes, Options};
use crate::types::{ContainerName, parse_size};

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "chrootdirs",
        "DIR",
        "Directory of the container that gets /etc/hosts and the like too",
        chrootdirs,
        |options| options.files.chrootdirs.clone(),
    ),
    OptionSpec::one(
        "image-volume",
        "bind|tmpfs|ignore",
        "What the volumes of the image become (bind)",
        image_volume,
        shown_image_volume,
    ),
    OptionSpec::many(
        "mount",
        "type=TYPE,KEY=VALUE[,...]",
        "Mount something",
        |options, value| push(options, mount(value)),
        |options| of_flag(options, MountFlag::Mount, mount_text),
    )
    .key("Mount"),
    OptionSpec::switch(
        "read-only",
        "Make the root read-only",
        |options, value| switch(&mut options.files.read_only, value),
        |options| shown(options.files.read_only),
    )
    .key("ReadOnly"),
    OptionSpec::switch(
        "read-only-tmpfs",
        "With --read-only, mount a tmpfs on /run, /tmp and /var/tmp (true)",
        read_only_tmpfs,
        |options| match options.files.no_read_only_tmpfs {
            true => vec!["false".to_owned()],
            false => Vec::new(),
        },
    )
    .key("ReadOnlyTmpfs"),
    OptionSpec::many(
        "secret",
        "NAME[,OPTION...]",
        "Give the container a secret, as a file or a variable",
        |options, value| {
            options.files.secrets.push(secret(value)?);
            Ok(())
        },
        |options| options.files.secrets.iter().map(secret_text).collect(),
    )
    .key("Secret"),
    OptionSpec::one(
        "shm-size",
        "SIZE",
        "Size of /dev/shm (64000k); 0: no limit",
        |options, value| size(&mut options.files.shm_size, value),
        |options| shown_one(options.files.shm_size.as_ref()),
    )
    .key("ShmSize"),
    OptionSpec::one(
        "shm-size-systemd",
        "SIZE",
        "Size of each tmpfs of --systemd (half the memory); 0: no limit",
        |options, value| size(&mut options.files.shm_size_systemd, value),
        |options| shown_one(options.files.shm_size_systemd.as_ref()),
    ),
    OptionSpec::many(
        "tmpfs",
        "DIR[:OPTION,...]",
        "Mount a tmpfs",
        |options, value| push(options, tmpfs(value)),
        |options| of_flag(options, MountFlag::Tmpfs, tmpfs_text),
    )
    .key("Tmpfs"),
    OptionSpec::many(
        "volume",
        "[SOURCE:]DIR[:OPTION,...]",
        "Mount a directory of the host, or a volume",
        |options, value| push(options, volume(value)),
        |options| of_flag(options, MountFlag::Volume, volume_text),
    )
    .short('v')
    .key("Volume"),
    OptionSpec::many(
        "volumes-from",
        "CONTAINER[:OPTION,...]",
        "Mount what another container has mounted",
        volumes_from,
        |options| options.files.volumes_from.clone(),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("chrootdirs", "/jail,/other"),
    ("image-volume", "ignore"),
    ("mount", "type=bind,src=/a,dst=/b,ro=true,relabel=shared"),
    ("mount", "type=volume,src=v,target=/b,subpath=a/b,nocopy"),
    (
        "mount",
        "type=devpts,destination=/dev/pts,uid=1,mode=620,max=3",
    ),
    ("mount", "type=image,src=busybox,dst=/i,rw=true"),
    ("mount", "type=glob,src=/etc/a*"),
    ("mount", "type=ramfs,dst=/r"),
    ("read-only", "true"),
    ("read-only-tmpfs", "false"),
    ("secret", "s"),
    ("secret", "s,type=env,target=S"),
    ("secret", "s,target=/a/b,uid=5,gid=6,mode=0440"),
    ("shm-size", "10m"),
    ("shm-size-systemd", "10m"),
    ("tmpfs", "/t"),
    ("tmpfs", "/t:size=64k,mode=1777,noexec"),
    ("volume", "/d"),
    ("volume", "v:/d:ro"),
    ("volume", "./x:/d:O,upperdir=/u,workdir=/w"),
    ("volumes-from", "other:ro,z"),
];

fn push(options: &mut Options, mount: Result<Mount, String>) -> Done {
    options.files.mounts.push(mount?);
    Ok(())
}

fn of_flag(options: &Options, flag: MountFlag, text: fn(&Mount) -> String) -> Vec<String> {
    let mounts = options.files.mounts.iter();
    mounts
        .filter(|mount| mount.flag == flag)
        .map(text)
        .collect()
}

fn chrootdirs(options: &mut Options, value: &str) -> Done {
    for dir in value.split(',') {
        options.files.chrootdirs.push(absolute(dir)?);
    }
    Ok(())
}

fn image_volume(options: &mut Options, value: &str) -> Done {
    options.files.image_volume = match value {
        // Podman's older name.
        "bind" | "anonymous" => ImageVolumes::Bind,
        "tmpfs" => ImageVolumes::Tmpfs,
        "ignore" => ImageVolumes::Ignore,
        _ => return Err("it must be bind, tmpfs, or ignore".to_owned()),
    };
    Ok(())
}

fn shown_image_volume(options: &Options) -> Vec<String> {
    match options.files.image_volume {
        ImageVolumes::Bind => Vec::new(),
        ImageVolumes::Tmpfs => vec!["tmpfs".to_owned()],
        ImageVolumes::Ignore => vec!["ignore".to_owned()],
    }
}

fn read_only_tmpfs(options: &mut Options, value: &str) -> Done {
    let mut on = true;
    switch(&mut on, value)?;
    options.files.no_read_only_tmpfs = !on;
    Ok(())
}

fn size(field: &mut Option<u64>, value: &str) -> Done {
    *field = Some(parse_size(value).map_err(|error| error.to_string())?);
    Ok(())
}

fn volumes_from(options: &mut Options, value: &str) -> Done {
    clean(value)?;
    let (name, words) = value.split_once(':').unwrap_or((value, ""));
    let parsed: Result<ContainerName, _> = name.parse();
    parsed.map_err(|error| error.to_string())?;
    let mut words: Vec<&str> = words.split(',').filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    if words.contains(&"ro") && words.contains(&"rw") {
        return Err("only one of ro and rw may be given".to_owned());
    }
    if words.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("an option is given twice".to_owned());
    }
    if let Some(bad) = words.iter().find(|word| !["ro", "rw", "z"].contains(word)) {
        return Err(format!(
            "invalid option {bad:?}, we only accept ro, rw and z"
        ));
    }
    options.files.volumes_from.push(value.to_owned());
    Ok(())
}
