//! Journal fields and message ids (systemd.journal-fields(7)).

/// The container's name.
pub const CONTAINER_NAME: &str = "CONTAINER_NAME";
/// The first 12 digits of the container's id.
pub const CONTAINER_ID: &str = "CONTAINER_ID";
/// The container's whole id.
pub const CONTAINER_ID_FULL: &str = "CONTAINER_ID_FULL";
/// The tag of `--log-opt tag=`.
pub const CONTAINER_TAG: &str = "CONTAINER_TAG";
/// The image's name.
pub const IMAGE_NAME: &str = "IMAGE_NAME";
