/*!
`barbule completions` and `barbule man`: shell completions and manual pages, for packagers.
*/

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{CommandFactory, ValueHint};
use clap_complete::Shell;
use serde_json::json;

use super::{Cli, Context};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: barbule completions bash > /etc/bash_completion.d/barbule\n         \
                  barbule completions zsh > ~/.zfunc/_barbule"
)]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    // Generated in memory first: the generator panics if stdout is a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "barbule", &mut script);
    io::stdout().lock().write_all(&script).context("cannot write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

/// Write a man page for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The output folder
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

pub fn man(context: &Context, args: &ManArgs) -> Result<ExitCode> {
    let failed = || format!("cannot write man pages to {}", args.folder.display());
    fs::create_dir_all(&args.folder).with_context(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).with_context(failed)?;
    if context.json {
        context.print_json(&json!({ "folder": args.folder.display().to_string() }))?;
    } else {
        context.print(format_args!("wrote man pages to {}", args.folder.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
