//! The arguments of skopeo(1), and its passwords.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::stage::Stage;
use super::{Access, Origin, Platform};
use crate::image::error::{At, Error, Result};
use crate::image::reference::Reference;

/// The options for one side of a verb: `inspect` has one side, `copy` two.
pub(super) fn side(
    access: &Access,
    prefix: &str,
    origin: &Origin,
    stage: &Stage,
) -> Result<Vec<OsString>> {
    let mut args = Vec::new();
    let option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        let mut arg = OsString::from(format!("--{prefix}{name}="));
        arg.push(value.as_ref());
        arg
    };
    let Origin::Registry(name) = origin else {
        return Ok(args);
    };
    let own = credentials(access, name, stage)?;
    if let Some(file) = own.as_ref().or(access.authfile.as_ref()) {
        args.push(option("authfile", file));
    }
    if let Some(dir) = &access.cert_dir {
        args.push(option("cert-dir", dir));
    }
    if let Some(verify) = access.tls_verify {
        args.push(option("tls-verify", &verify.to_string()));
    }
    Ok(args)
}

/// The options on trying again.
pub(super) fn retries(access: &Access) -> Vec<OsString> {
    let mut args = Vec::new();
    if access.retries > 0 {
        args.push(format!("--retry-times={}", access.retries).into());
    }
    if let Some(delay) = access.retry_delay {
        args.push(format!("--retry-delay={}ms", delay.as_millis()).into());
    }
    args
}

/// The options before the verb.
pub(super) fn platform(platform: &Platform) -> Vec<OsString> {
    let Platform { os, arch, variant } = platform;
    [("os", os), ("arch", arch), ("variant", variant)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        .map(|(name, value)| format!("--override-{name}={value}").into())
        .collect()
}

/// A file with the password for the registry of this image: nobody can read it in a list of processes, and no mirror
/// gets it.
fn credentials(access: &Access, name: &Reference, stage: &Stage) -> Result<Option<PathBuf>> {
    let Some(pair) = &access.credentials else {
        return Ok(None);
    };
    if !pair.contains(':') {
        return Err(Error::Pull(
            "--creds: a password is missing, nobody is asked for it; it is USERNAME:PASSWORD"
                .to_owned(),
        ));
    }
    let registry = name.domain.as_deref().unwrap_or("docker.io");
    let file = serde_json::json!({ "auths": { registry: { "auth": base64(pair.as_bytes()) } } });
    let path = stage.dir.join("auth.json");
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&path)
        .and_then(|mut to| to.write_all(file.to_string().as_bytes()))
        .at("write", &path)?;
    Ok(Some(path))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            match digit <= three.len() {
                true => {
                    let value = bits >> (18 - 6 * digit) & 63;
                    text.push(char::from(DIGITS[value as usize]));
                }
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_the_rfc_has_it() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn options_are_those_that_were_asked_for() {
        let words = |args: Vec<OsString>| -> Vec<String> {
            let words = args.into_iter().map(|arg| arg.into_string().unwrap());
            words.collect()
        };
        let access = Access {
            retries: 2,
            retry_delay: Some(std::time::Duration::from_secs(3)),
            ..Access::default()
        };
        assert_eq!(
            words(retries(&access)),
            ["--retry-times=2", "--retry-delay=3000ms"]
        );
        let arm = Platform {
            arch: Some("arm64".to_owned()),
            ..Platform::default()
        };
        assert_eq!(words(platform(&arm)), ["--override-arch=arm64"]);
    }
}
