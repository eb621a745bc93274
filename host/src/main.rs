//! The `aquatope` program: parse the arguments, run, print the error and choose the exit code.

fn main() -> std::process::ExitCode {
    aquatope::cli::run(std::env::args_os())
}
