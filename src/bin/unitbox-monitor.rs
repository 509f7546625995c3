//! The `unitbox-monitor` program.

fn main() -> std::process::ExitCode {
    unitbox::monitor::main(std::env::args_os())
}
