//! How often systemd has restarted a unit, for workers of the monitor: they have no D-Bus, and ask systemctl(1).

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;

use crate::sys::exec::Exec;
use crate::sys::move_data::pipe;
use crate::sys::process::How;

const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];

/// Automatic restarts since the last start by anybody else (NRestarts).
///
/// # Errors
/// systemctl(1) cannot be run, or does not answer with a number.
pub fn restarts_of(unit: &str) -> io::Result<u32> {
    let program = SYSTEMCTL
        .iter()
        .find(|path| fs::exists(path).unwrap_or(false));
    let program = program.ok_or_else(|| io::Error::other("there is no systemctl"))?;
    let null = fs::File::open("/dev/null")?;
    let (output, write) = pipe()?;
    let child = Exec::new(program)
        .args(["show", "--property=NRestarts", "--value", "--", unit])
        .stdin(null.as_fd())
        .stdout(write.as_fd())
        .spawn()
        .map_err(io::Error::other)?;
    drop(write);
    let mut text = String::new();
    fs::File::from(output).read_to_string(&mut text)?;
    match child.wait()? {
        How::Exited(0) => text.trim().parse().map_err(io::Error::other),
        how => Err(io::Error::other(format!("systemctl ended as {how:?}"))),
    }
}
