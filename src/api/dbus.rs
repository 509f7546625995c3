//! Names on the system bus.

/// The well-known name of the bus service.
pub const NAME: &str = "org.unitbox1";
/// The manager object; also the root of the ObjectManager.
pub const MANAGER_PATH: &str = "/org/unitbox1";
/// The manager's interface.
pub const MANAGER_INTERFACE: &str = "org.unitbox1.Manager";
/// Parent of all container objects; the last element is the escaped id.
pub const CONTAINER_PATH: &str = "/org/unitbox1/container";
/// A container's interface.
pub const CONTAINER_INTERFACE: &str = "org.unitbox1.Container";
