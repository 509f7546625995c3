//! Journal fields and message ids (systemd.journal-fields(7)).

/// systemd's own message of an automatic restart; `N_RESTARTS=` says the how many.
pub const MESSAGE_RESTART_SCHEDULED: &str = "5eb03494b6584870a536b337290809b3";

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

/// Marks what came by standard error, whatever its priority: the facility `user` (syslog(3)), as the journal's stream
/// protocol takes it with the priority.
pub const STDERR: u8 = 1 << 3;
/// SYSLOG_FACILITY= of what came by standard error.
pub const STDERR_FACILITY: &str = "1";
/// SYSLOG_FACILITY= of what the monitor says itself: systemd connects it as a daemon.
pub const OWN_FACILITY: &str = "3";
