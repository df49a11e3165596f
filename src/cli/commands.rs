/*!
The commands of the program, and their choice by the arguments.
*/

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::context::{Context, Global};
use super::{
    aviary, bench, compare, completions, data, demo, doctor, duplicates, encode, eval, explain,
    export, forget, index, label, prune, search, serve, status, train, weights,
};

/// The `barbule` command line. Its description in `--help` is that of the crate.
#[derive(Debug, Parser)]
#[command(
    name = "barbule",
    version,
    about,
    after_help = "Example: barbule train lda-itq --data birds/ --bits 48 --out birds.safetensors\n         \
                  barbule index ~/Pictures --model birds.safetensors\n         \
                  barbule search bird.jpg --model birds.safetensors -k 10"
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Doctor(doctor::Args),
    Train(Box<train::Args>),
    Eval(eval::Args),
    Compare(Box<compare::Args>),
    Encode(encode::Args),
    Explain(explain::Args),
    Index(index::Args),
    Status(status::Args),
    Prune(prune::Args),
    Forget(forget::Args),
    Search(Box<search::Args>),
    Duplicates(duplicates::Args),
    Label(label::Args),
    Export(Box<export::ExportArgs>),
    Import(export::ImportArgs),
    Serve(serve::Args),
    Data(data::Args),
    Aviary(aviary::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(completions::ManArgs),
    Weights(weights::Args),
}

/// Runs the selected command.
///
/// # Errors
/// The message to print if the command fails.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = Context::new(cli.global)?;
    match cli.command {
        Command::Demo(args) => demo::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::Train(args) => train::run(&context, *args),
        Command::Eval(args) => eval::run(&context, &args),
        Command::Compare(args) => compare::run(&context, &args),
        Command::Encode(args) => encode::run(&context, &args),
        Command::Explain(args) => explain::run(&context, &args),
        Command::Index(args) => index::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Prune(args) => prune::run(&context, &args),
        Command::Forget(args) => forget::run(&context, &args),
        Command::Duplicates(args) => duplicates::run(&context, &args),
        Command::Label(args) => label::run(&context, &args),
        Command::Export(args) => export::run(&context, &args),
        Command::Import(args) => export::import(&context, &args),
        Command::Search(args) => search::run(&context, &args),
        Command::Serve(args) => serve::run(&context, &args),
        Command::Data(args) => data::run(&context, &args),
        Command::Aviary(args) => aviary::run(&context, &args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::man(&context, &args),
        Command::Bench(args) => bench::run(&context, &args),
        Command::Weights(args) => weights::run(&context, &args),
    }
}
