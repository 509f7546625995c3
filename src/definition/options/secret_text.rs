//! The text of `--secret`, read and written.

use crate::definition::{Secret, SecretUse, mount};

use super::parse::clean;

/// `NAME[,type=mount|env][,target=...][,uid=...][,gid=...][,mode=...]` of `--secret`.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    clean(text)?;
    let mut parts = text.split(',').peekable();
    let mut name = parts.next_if(|part| !part.contains('='));
    let (mut kind, mut target) = ("mount", None);
    let (mut uid, mut gid, mut mode) = (None, None, None);
    for part in parts {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("option {part} must be in form option=value"))?;
        let id = || {
            value
                .parse::<u32>()
                .map_err(|_| format!("{key} {value} must be an id"))
        };
        match key {
            "source" if name.is_none() => name = Some(value),
            "type" if matches!(value, "mount" | "env") => kind = value,
            "type" => return Err(format!("type {value} is invalid, must be mount or env")),
            "target" if value.is_empty() => return Err("the target is empty".to_owned()),
            "target" => target = Some(value.to_owned()),
            "uid" | "UID" => uid = Some(id()?),
            "gid" | "GID" => gid = Some(id()?),
            "mode" => {
                let bits = u32::from_str_radix(value, 8)
                    .ok()
                    .filter(|bits| *bits <= 0o7777);
                mode = Some(bits.ok_or_else(|| format!("mode {value} must be octal"))?);
            }
            _ => return Err(format!("{part} is not a valid option")),
        }
    }
    let name = name
        .ok_or("no secret name given")?
        .parse()
        .map_err(|error: crate::types::ObjectNameError| error.to_string())?;
    let how = match kind {
        "env" if uid.is_some() || gid.is_some() || mode.is_some() => {
            return Err("uid, gid and mode cannot be set with secret type env".to_owned());
        }
        "env" if target.as_deref().is_some_and(|name| name.contains('=')) => {
            return Err("a variable's name has no =".to_owned());
        }
        "env" => SecretUse::Env { target },
        _ => SecretUse::Mount {
            target: target.map(file_target).transpose()?,
            uid: uid.unwrap_or(0),
            gid: gid.unwrap_or(0),
            mode: mode.unwrap_or(0o444),
        },
    };
    Ok(Secret { name, how })
}

/// A path, or a name below /run/secrets that does not lead out of it.
fn file_target(target: String) -> Result<String, String> {
    if target.starts_with('/') {
        return mount::target(&target);
    }
    match mount::clean(&target) {
        path if path == "/" || target.split('/').any(|part| part == "..") => {
            Err(format!("{target:?} is no file below /run/secrets"))
        }
        path => Ok(path[1..].to_owned()),
    }
}

/// What `--secret` reads as this secret.
pub(super) fn secret_text(secret: &Secret) -> String {
    let target = |target: &Option<String>| {
        target
            .as_ref()
            .map_or_else(String::new, |text| format!(",target={text}"))
    };
    match &secret.how {
        SecretUse::Env { target: to } => format!("{},type=env{}", secret.name, target(to)),
        SecretUse::Mount {
            target: to,
            uid,
            gid,
            mode,
        } => {
            format!(
                "{}{},uid={uid},gid={gid},mode={mode:04o}",
                secret.name,
                target(to)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_secret_is_said() {
        for bad in [
            "",
            "type=mount",
            "s,type=x",
            "s,mode=9",
            "s,uid=-1",
            "s,x",
            "s,type=env,uid=3",
            "s,target=../x",
            "s,target=/proc/x",
            "s,target=",
            "s,type=env,target=A=B",
            "s,mode=77777",
        ] {
            assert!(secret(bad).is_err(), "{bad:?}");
        }
        let path = |text| secret(text).unwrap().path();
        assert_eq!(path("s").as_deref(), Some("/run/secrets/s"));
        assert_eq!(
            path("source=s,target=a//b").as_deref(),
            Some("/run/secrets/a/b")
        );
        assert_eq!(path("s,target=/etc/x").as_deref(), Some("/etc/x"));
        assert_eq!(path("s,type=env"), None);
    }
}
