//! What a user asks of a new volume (podman-volume-create(1)).

use std::collections::BTreeMap;

/// Settings of a volume, in the form in which they are on record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VolumeOptions {
    /// As the user gave them, and `UID` and `GID` of their own as with Podman.
    pub options: BTreeMap<String, String>,
    /// The user that the volume belongs to, if one is given.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// Whether a container that has the volume first does not fill it with what its image has there.
pub fn has_no_copy(options: &BTreeMap<String, String>) -> bool {
    options.contains_key("nocopy")
}

/// Reads the values of `--opt`.
///
/// # Errors
/// The first that is not known or not done, in one line.
pub fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Result<VolumeOptions, String> {
    let mut read = VolumeOptions::default();
    for text in texts {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        match key {
            "o" => mount_options(value, &mut read)?,
            "copy" | "nocopy" | "noquota" => {}
            "type" | "device" => {
                return Err(format!(
                    "--opt {text}: unitbox mounts nothing on a volume, its files are in a directory; \
                     use --mount=type=bind or --mount=type=tmpfs"
                ));
            }
            _ => {
                return Err(format!(
                    "invalid mount option {key} for driver 'local': invalid argument"
                ));
            }
        }
        read.options.insert(key.to_owned(), value.to_owned());
    }
    if ["copy", "nocopy"]
        .iter()
        .all(|key| read.options.contains_key(*key))
    {
        return Err("--opt copy and --opt nocopy exclude each other".to_owned());
    }
    Ok(read)
}

/// The value of `--opt o=`: words with commas between them, as for mount(8).
fn mount_options(words: &str, read: &mut VolumeOptions) -> Result<(), String> {
    for word in words.split(',') {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let (id, name) = match key {
            "uid" => (&mut read.uid, "UID"),
            "gid" => (&mut read.gid, "GID"),
            "size" | "inodes" => {
                return Err(format!(
                    "--opt o={words}: {key}: unitbox sets no quota on a volume"
                ));
            }
            _ => {
                return Err(format!(
                    "--opt o={words}: {word:?} is an option of mounts, and unitbox mounts nothing on a volume; \
                     only uid= and gid= are known"
                ));
            }
        };
        // (uid_t) -1 stands for "as it is" (chown(2)).
        let number = value.parse().ok().filter(|id| *id != u32::MAX);
        *id = Some(number.ok_or_else(|| format!("--opt o={words}: invalid {key} {value:?}"))?);
        read.options.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_and_shown_as_with_podman() {
        let read = parse(["o=uid=5,gid=7", "nocopy"].into_iter()).unwrap();
        assert_eq!((read.uid, read.gid), (Some(5), Some(7)));
        let pairs: Vec<_> = read.options.iter().collect();
        let texts: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        assert_eq!(
            texts,
            ["GID:7", "UID:5", "nocopy:", "o:uid=5,gid=7"],
            "{read:?}"
        );
        assert!(has_no_copy(&read.options));
        assert_eq!(parse([].into_iter()).unwrap(), VolumeOptions::default());
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (text, want) in [
            ("foo=bar", "invalid mount option foo for driver 'local'"),
            ("type=tmpfs", "--opt type=tmpfs"),
            ("device=/dev/sda", "--opt device=/dev/sda"),
            ("o=uid=x", "invalid uid \"x\""),
            ("o=uid=4294967295", "invalid uid"),
            ("o=gid=", "invalid gid \"\""),
            ("o=size=5M", "size"),
            ("o=uid=1,noexec", "\"noexec\""),
            ("o", "\"\""),
        ] {
            let error = parse([text].into_iter()).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
        assert!(parse(["copy", "nocopy"].into_iter()).is_err());
    }
}
