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
mod kept;
mod launch;
mod mirror;
mod notices;
mod notify;
mod output;
mod pid_files;
mod proxy;
mod reload;
mod setup;
mod streams;
mod successor;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the monitor of one container: `unitbox-monitor [--root=DIR] [--unit=UNIT --file=FILE...] NAME`, or `--refuse=REASON`.
/// With `--reload` it has the monitor of its unit become the program that is installed now.
///
/// Returns only if the run could not even begin; otherwise the process ends as the payload did.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let request = match setup::parse(args) {
        Ok(setup::Request::Run(request)) => request,
        Ok(setup::Request::Version) => {
            println!("unitbox-monitor {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(setup::Request::Reload(request)) => match reload::reload(&request) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => return fail(&error),
        },
        Ok(setup::Request::Refuse(reason)) => {
            notify::status(&reason);
            eprintln!("<3>{reason}");
            return ExitCode::from(crate::api::ExitCode::Error.number());
        }
        Err(error) => return fail(&error),
    };
    let begun = match request.resumes {
        None => setup::Context::new(&request)
            .and_then(engine::Monitor::new)
            .map(|mut monitor| monitor.run()),
        Some(state) => engine::Monitor::resume(&request, state).map(|mut monitor| monitor.go_on()),
    };
    begun.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &setup::SetupError) -> ExitCode {
    eprintln!("<3>{}", crate::types::chain(error));
    ExitCode::from(crate::api::ExitCode::Error.number())
}
