//! The `unitbox-generator` program.

fn main() -> std::process::ExitCode {
    unitbox::generator::main(std::env::args_os())
}
