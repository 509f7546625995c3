//! Files that refer to others by their names: `Volume=data.volume:/d`.

use std::path::Path;

use super::{Kind, UnitFile};

/// The name of the service of a file: `ServiceName=`, or what Quadlet makes of the file's own name.
pub fn service_of(kind: Kind, file: &UnitFile) -> String {
    if let Some(own) = value(file, kind, "ServiceName") {
        return format!("{own}.service");
    }
    let (stem, suffix) = (stem(&file.path), kind.unit_suffix());
    match stem.split_once('@') {
        // A template stays one.
        Some((prefix, instance)) => format!("{prefix}{suffix}@{instance}.service"),
        None => format!("{stem}{suffix}.service"),
    }
}

/// The name of the volume of a `.volume` file.
pub fn volume_of(file: &UnitFile) -> String {
    value(file, Kind::Volume, "VolumeName")
        .unwrap_or_else(|| format!("systemd-{}", stem(&file.path)))
}

/// The name of the image of a `.image` or `.build` file, if it has one.
pub fn image_of(kind: Kind, file: &UnitFile) -> Option<String> {
    value(file, kind, "ImageTag").or_else(|| value(file, kind, "Image"))
}

/// The name of the container of a `.container` file, as it stands there.
pub(super) fn container_of(file: &UnitFile) -> String {
    let stem = stem(&file.path);
    value(file, Kind::Container, "ContainerName").unwrap_or_else(|| match stem.split_once('@') {
        Some(_) => "systemd-%p_%i".to_owned(),
        None => "systemd-%N".to_owned(),
    })
}

/// The name of a file without its suffix.
pub(super) fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn value(file: &UnitFile, kind: Kind, key: &str) -> Option<String> {
    let entry = file.section(kind.section())?.last(key)?;
    Some(entry.value.clone())
}
