/*!
The `barbule` program: parses the command line, runs the command, and prints an error as one line.
*/

use std::process::ExitCode;

use clap::Parser;

use barbule::cli::{Cli, advice, remark, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        // A reader that closes the pipe (`barbule … | head`) is not an error.
        Err(error) if advice::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("error: {}", advice::sentence(&error)));
            ExitCode::FAILURE
        }
    }
}
