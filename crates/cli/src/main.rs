/*!
The `barbule` program: parses, dispatches, and turns a failure into one sentence.
*/

use std::process::ExitCode;

use clap::Parser;

use barbule::cli::{Cli, advice, remark, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        // Whoever reads our output has seen enough: `barbule … | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("error: {}", advice::sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}
