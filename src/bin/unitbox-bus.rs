//! The `unitbox-bus` program.

fn main() -> std::process::ExitCode {
    unitbox::bus::main(std::env::args_os())
}
