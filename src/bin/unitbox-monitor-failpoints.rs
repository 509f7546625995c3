//! The `unitbox-monitor` program, which here can be told where to die; for tests only.

fn main() -> std::process::ExitCode {
    unitbox::monitor::main(std::env::args_os())
}
