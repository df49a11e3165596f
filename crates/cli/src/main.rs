/*!
The `barbule` program: parses the command line, runs the command, and prints an error as one line.
*/

use std::env;
use std::process::ExitCode;

use clap::Parser;

use barbule::cli::{Cli, advice, remark, run};

fn main() -> ExitCode {
    keep_quiet_without_a_desktop();
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

/// Keeps a driver from asking the window system which device it prefers where there is none, as in
/// containers and cron jobs. It would print `error: XDG_RUNTIME_DIR is invalid`, and nothing else.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn keep_quiet_without_a_desktop() {
    const LAYER: &str = "NODEVICE_SELECT";
    if env::var_os("XDG_RUNTIME_DIR").is_none() && env::var_os(LAYER).is_none() {
        // SAFETY: main has just begun, so no other thread reads the environment.
        unsafe { env::set_var(LAYER, "1") };
    }
}

#[cfg(not(target_os = "linux"))]
fn keep_quiet_without_a_desktop() {}
