//! `create`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::error::CliError;
use super::{Host, args, output, pull};
use crate::container::create::Wish;
use crate::container::stop::Patience;
use crate::container::{Site, create, remove};
use crate::definition::Definition;
use crate::store;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let mut wish = args::wish(args, &host.layout)?;
    pull::ensure(host, &mut wish)?;
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    replace(args, site, &wish)?;
    let cid = CidFile::reserve(args)?;
    let (definition, lock) = create::create(site, wish)?;
    drop(lock);
    cid.write(site, &definition)?;
    output::say(definition.id.as_str())?;
    Ok(0)
}

/// With `--replace`, removes the container that has the name.
pub(super) fn replace(args: &ArgMatches, site: Site<'_>, wish: &Wish) -> Result<(), CliError> {
    if !args::is_on(args, "replace") {
        return Ok(());
    }
    let Some(name) = &wish.options.name else {
        let text = "cannot replace container without --name being set";
        return Err(CliError::Usage(text.to_owned()));
    };
    match store::lookup(site.layout, name.as_str()) {
        // An id that begins so is another container.
        Ok(id) if store::name_of(site.layout, &id).as_ref() == Some(name) => {
            match remove::remove(site, &id, true, Patience::Own, false) {
                Err(error) if !error.is_not_found() => Err(error.into()),
                _ => Ok(()),
            }
        }
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

/// The file of `--cidfile`: it must not be there before, so that nobody takes an older id for this one.
pub(super) struct CidFile(Option<(PathBuf, std::fs::File)>, bool);

impl CidFile {
    pub(super) fn reserve(args: &ArgMatches) -> Result<Self, CliError> {
        let Some(path) = args.get_one::<PathBuf>("cidfile") else {
            return Ok(Self(None, true));
        };
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(CliError::io("make cidfile", show(path)))?;
        Ok(Self(Some((path.clone(), file)), false))
    }

    /// Writes the id; a container whose id cannot be written is removed.
    pub(super) fn write(mut self, site: Site<'_>, definition: &Definition) -> Result<(), CliError> {
        if let Some((path, file)) = &mut self.0
            && let Err(error) = file.write_all(definition.id.as_str().as_bytes())
        {
            if let Err(error) = remove::remove(site, &definition.id, false, Patience::Own, true) {
                tracing::warn!(name = %definition.name, %error, "not removed");
            }
            return Err(CliError::io("write cidfile", show(path))(error));
        }
        self.1 = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if let (Some((path, _)), false) = (&self.0, self.1) {
            // No container, no file.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
