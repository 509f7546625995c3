//! The files of containers.conf(5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::api::Layout;
use crate::definition::{ConfFiles, DefinitionError};
use crate::plan::conf::Conf;

/// Why containers.conf(5) cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// A file or directory of them cannot be read.
    #[error("read {path}", path = path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is malformed, or a value is not good.
    #[error("configuration {0}")]
    Malformed(DefinitionError),
}

/// Reads /usr/share/containers/containers.conf, /etc/containers/containers.conf and its drop-ins, or instead of them the
/// file that the definition names; then the one that it wants on top.
///
/// # Errors
/// One of them cannot be read or is malformed; none there is good, unless the definition names it.
pub fn load(layout: &Layout, files: &ConfFiles) -> Result<Conf, ConfError> {
    let mut conf = Conf::default();
    match &files.only {
        Some(path) => conf.merge(read(Path::new(path))?.ok_or_else(|| missing(path))?),
        None => {
            for path in system(layout.root())? {
                if let Some(later) = read(&path)? {
                    conf.merge(later);
                }
            }
        }
    }
    if let Some(path) = &files.on_top {
        conf.merge(read(Path::new(path))?.ok_or_else(|| missing(path))?);
    }
    Ok(conf)
}

fn missing(path: &str) -> ConfError {
    ConfError::Read {
        path: path.into(),
        source: io::ErrorKind::NotFound.into(),
    }
}

fn system(root: &Path) -> Result<Vec<PathBuf>, ConfError> {
    let mut files = vec![
        root.join("usr/share/containers/containers.conf"),
        root.join("etc/containers/containers.conf"),
    ];
    let drop_ins = root.join("etc/containers/containers.conf.d");
    let error = |source| ConfError::Read {
        path: drop_ins.clone(),
        source,
    };
    let entries = match fs::read_dir(&drop_ins) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(source) => return Err(error(source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            found.push(path);
        }
    }
    found.sort_unstable();
    files.extend(found);
    Ok(files)
}

fn read(path: &Path) -> Result<Option<Conf>, ConfError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(ConfError::Read { path, source });
        }
    };
    let conf = Conf::parse(&text, &path.to_string_lossy());
    conf.map(Some).map_err(ConfError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_come_in_order_and_a_named_file_comes_alone() {
        let root = std::env::temp_dir().join(format!("unitbox-conf-{}", std::process::id()));
        let layout = Layout::new(&root);
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let tz = |files: &ConfFiles| load(&layout, files).map(|conf| conf.containers.tz);
        let usual = ConfFiles::default();
        assert_eq!(tz(&usual).unwrap(), None);
        write(
            "usr/share/containers/containers.conf",
            "[containers]\ntz='a'",
        );
        write(
            "etc/containers/containers.conf.d/20.conf",
            "[containers]\ntz='c'",
        );
        write(
            "etc/containers/containers.conf.d/10.conf",
            "[containers]\ntz='b'",
        );
        write("etc/containers/containers.conf.d/30.txt", "nonsense");
        assert_eq!(tz(&usual).unwrap().as_deref(), Some("c"));
        write("own", "[containers]\numask='0'");
        let own = Some(root.join("own").display().to_string());
        let only = ConfFiles {
            only: own.clone(),
            on_top: None,
        };
        assert_eq!(tz(&only).unwrap(), None);
        let on_top = ConfFiles {
            only: None,
            on_top: own,
        };
        assert_eq!(tz(&on_top).unwrap().as_deref(), Some("c"));
        let gone = ConfFiles {
            only: Some("/nowhere".to_owned()),
            on_top: None,
        };
        assert!(tz(&gone).unwrap_err().to_string().contains("/nowhere"));
        write(
            "etc/containers/containers.conf.d/40.conf",
            "[containers]\ntz=4",
        );
        let error = tz(&usual).unwrap_err().to_string();
        assert!(
            error.contains("40.conf") && error.contains("line 2"),
            "{error}"
        );
        fs::remove_dir_all(root).unwrap();
    }
}
