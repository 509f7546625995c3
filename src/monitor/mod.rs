//! `unitbox-monitor`: ExecStart of every container's unit.
//!
//! The main process is tiny and does nothing that can fail: it is the container's parent (child subreaper), moves its
//! output, writes the exit file and ends as the payload did. Everything richer is a worker, forked when needed.

mod client;
mod console;
mod effects;
mod engine;
mod events;
mod health;
mod journal;
mod k8s_file;
mod launch;
mod mirror;
mod notices;
mod notify;
mod output;
mod pid_files;
mod proxy;
mod setup;
mod streams;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the monitor of one container: `unitbox-monitor [--root=DIR] [--unit=UNIT --file=FILE...] NAME`, or `--refuse=REASON`.
///
/// Returns only if the run could not even begin; otherwise the process ends as the payload did.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let request = match setup::parse(args) {
        Ok(setup::Request::Run(request)) => request,
        Ok(setup::Request::Version) => {
            println!("unitbox-monitor {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(setup::Request::Refuse(reason)) => {
            notify::status(&reason);
            eprintln!("<3>{reason}");
            return ExitCode::from(crate::api::ExitCode::Error.number());
        }
        Err(error) => return fail(&error),
    };
    match setup::Context::new(&request).and_then(engine::Monitor::new) {
        Ok(mut monitor) => monitor.run(),
        Err(error) => fail(&error),
    }
}

fn fail(error: &setup::SetupError) -> ExitCode {
    eprintln!("<3>{}", crate::types::chain(error));
    ExitCode::from(crate::api::ExitCode::Error.number())
}
