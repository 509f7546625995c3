//! The `unitbox` program.

fn main() -> std::process::ExitCode {
    unitbox::cli::main(std::env::args_os())
}
