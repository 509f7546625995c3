//! The image that a container needs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ContainerError;
use super::create::Wish;
use crate::api::Layout;
use crate::definition::{DefinitionError, OptionError, PullOptions};
use crate::image::pull::{Access, Fetched, Note, Platform, RETRIES, Request};
use crate::image::{self, Images, Progress};
use crate::store;
use crate::types::ContainerId;

/// Sees to it that the image of a wish is here, as its policy says, and puts its full name into the wish.
///
/// # Errors
/// It is not here, and must not or cannot be fetched.
pub fn ensure(
    layout: &Layout,
    wish: &mut Wish,
    terminal: bool,
    report: &mut dyn FnMut(Note),
) -> Result<(), ContainerError> {
    let request = request(&wish.options.pull, terminal)?;
    if wish.rootfs {
        return Ok(());
    }
    let images = Images::open(&layout.state())?;
    let policy = wish.options.pull.policy.unwrap_or_default();
    let found = images.obtain(&wish.from, policy, &request, report)?;
    wish.from = match found {
        Fetched {
            name: Some(name), ..
        } => name,
        // What is here is called what the user calls it.
        Fetched { id, .. } => match images.exists(&wish.from) {
            Ok(true) => return Ok(()),
            _ => id,
        },
    };
    Ok(())
}

/// How often the status of a unit changes.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The fetch that a start waits for, told in the file that its monitor reads: each change of it lets the start take longer.
#[derive(Debug)]
pub struct Status {
    path: PathBuf,
    next: Instant,
    layers: u64,
}

impl Status {
    /// Of the start of this container.
    pub fn of(layout: &Layout, id: &ContainerId) -> Self {
        Self {
            path: layout.progress(id),
            next: Instant::now(),
            layers: 0,
        }
    }

    /// Tells what happens; gives what is to be warned of.
    pub fn tell(&mut self, note: Note) -> Option<String> {
        let text = match note {
            Note::Warning(text) => return Some(text),
            Note::Line(_) => return None,
            Note::Fetched { layers, bytes } => {
                let layers = layers.map(|(done, all)| format!("layer {done}/{all}, "));
                let mib = bytes >> 20;
                format!("pulling the image, {}{mib} MiB", layers.unwrap_or_default())
            }
            Note::Unpacking(Progress::Layer { .. }) => {
                self.layers += 1;
                format!("unpacking the image, layer {}", self.layers)
            }
            _ => return None,
        };
        if Instant::now() >= self.next {
            self.next = Instant::now() + STATUS_EVERY;
            // Without it the start has its usual time.
            if let Err(error) = store::write_atomic(&self.path, text.as_bytes(), 0o600) {
                tracing::debug!(%error, "the status is not told");
            }
        }
        None
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        // There is none if nothing was fetched.
        let _ = fs::remove_file(&self.path);
    }
}

/// What options ask for.
///
/// # Errors
/// They contradict each other, or name a file that is not there.
pub fn request(options: &PullOptions, terminal: bool) -> Result<Request, ContainerError> {
    Ok(Request {
        access: Access {
            authfile: authfile(options.authfile.as_deref())?,
            credentials: None,
            cert_dir: None,
            tls_verify: options.tls_verify,
            retries: options.retries.unwrap_or(RETRIES),
            retry_delay: options.retry_delay,
        },
        platform: platform(options)?,
        quiet: options.quiet,
        terminal: terminal && !options.quiet,
    })
}

/// The file of passwords that was named, or that of the environment; absolute, as skopeo has another working directory.
fn authfile(named: Option<&str>) -> Result<Option<PathBuf>, ContainerError> {
    let Some(path) = named else {
        let path = std::env::var_os("REGISTRY_AUTH_FILE").filter(|path| !path.is_empty());
        return Ok(path.and_then(|path| std::path::absolute(path).ok()));
    };
    readable("--authfile", path).map(Some)
}

/// An absolute path to what is there.
///
/// # Errors
/// It is not there; the option is named.
pub fn readable(option: &str, path: &str) -> Result<PathBuf, ContainerError> {
    let found = std::path::absolute(path).and_then(|full| full.metadata().map(|_| full));
    found.map_err(|error: io::Error| wrong(option, path, error.to_string()))
}

fn platform(options: &PullOptions) -> Result<Platform, ContainerError> {
    let PullOptions {
        os, arch, variant, ..
    } = options.clone();
    let Some(platform) = &options.platform else {
        return Ok(Platform { os, arch, variant });
    };
    if os.is_some() || arch.is_some() {
        let text = "--platform option can not be specified with --arch or --os";
        return Err(image::Error::Pull(text.to_owned()).into());
    }
    let mut words = platform.splitn(3, '/').map(str::to_owned);
    let (os, arch) = (words.next(), words.next());
    Ok(Platform {
        os,
        arch,
        variant: words.next().or(variant),
    })
}

fn wrong(option: &str, value: &str, reason: String) -> ContainerError {
    let error = OptionError {
        option: option.to_owned(),
        value: value.chars().take(120).collect(),
        reason,
    };
    DefinitionError::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_given_in_one_way() {
        let options = |platform: Option<&str>, arch: Option<&str>| PullOptions {
            platform: platform.map(str::to_owned),
            arch: arch.map(str::to_owned),
            ..PullOptions::default()
        };
        let both = options(Some("linux/arm64"), Some("arm64"));
        assert!(request(&both, false).is_err());
        let whole = request(&options(Some("linux/arm/v7"), None), false).unwrap();
        let words = [
            whole.platform.os,
            whole.platform.arch,
            whole.platform.variant,
        ];
        assert_eq!(words.map(Option::unwrap), ["linux", "arm", "v7"]);
        assert!(
            !request(&options(None, None), false)
                .unwrap()
                .platform
                .is_wished()
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let options = PullOptions {
            authfile: Some("/no/such".to_owned()),
            ..PullOptions::default()
        };
        let error = request(&options, false).unwrap_err().to_string();
        assert!(
            error.contains("/no/such") && error.contains("--authfile"),
            "{error}"
        );
    }
}
