//! Which container a user means: by name, by id, or by the unique beginning of an id.

use super::container::ids;
use super::{StoreError, names};
use crate::api::Layout;
use crate::types::{ContainerId, ContainerName};

/// Finds a container by name, id or unique beginning of an id, in this order (podman-inspect(1)). Its definition may
/// still turn out to be broken.
///
/// # Errors
/// [`StoreError::NoSuchContainer`] or [`StoreError::Ambiguous`].
pub fn lookup(layout: &Layout, text: &str) -> Result<ContainerId, StoreError> {
    let by_name = text
        .parse::<ContainerName>()
        .ok()
        .and_then(|name| names::target(layout, &name));
    let exact = by_name.into_iter().chain(text.parse().ok());
    for id in exact {
        if layout.container(&id).is_dir() {
            return Ok(id);
        }
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(StoreError::NoSuchContainer(text.to_owned()));
    }
    unique_prefix(ids(layout)?, text)
}

/// The one id of many that begins with the text.
///
/// # Errors
/// [`StoreError::NoSuchContainer`] or [`StoreError::Ambiguous`].
pub fn unique_prefix(
    ids: impl IntoIterator<Item = ContainerId>,
    text: &str,
) -> Result<ContainerId, StoreError> {
    let mut matching = ids
        .into_iter()
        .filter(|id| !text.is_empty() && id.as_str().starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(StoreError::NoSuchContainer(text.to_owned())),
        (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
    }
}

/// A name of a container whose definition cannot be read.
pub fn name_of(layout: &Layout, id: &ContainerId) -> Option<ContainerName> {
    names::all_of(layout, id).into_iter().next()
}
