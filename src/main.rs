//! The `runr` executable: see the library.

fn main() -> std::process::ExitCode {
    runr::cli::main(std::env::args_os().collect())
}
