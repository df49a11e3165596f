/*!
Command-line options of methods, generated from the table of methods.
*/

use std::collections::BTreeMap;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches};

use crate::method::{Kind, METHODS, Method, MethodOption, Settings, Value};

/// Help heading of all options for training a network.
pub const NETWORK: &str = "Options of methods that train a network";

/// Help heading of options of fitted methods.
const FITTED: &str = "Options of methods that are fitted in closed form";

/// The given options of methods that train a network.
#[derive(Debug, Clone, Default)]
pub struct LearnedOptions(Given);

/// The given options of methods that are fitted in closed form.
#[derive(Debug, Clone, Default)]
pub struct FittedOptions(Given);

/// Values by option name.
type Given = BTreeMap<&'static str, Value>;

impl LearnedOptions {
    /// Returns the given options of `method`; those of other methods are ignored.
    pub fn settings(&self, method: &Method) -> Settings {
        settings(&self.0, method)
    }
}

impl FittedOptions {
    /// Returns the given options of `method`; those of other methods are ignored.
    pub fn settings(&self, method: &Method) -> Settings {
        settings(&self.0, method)
    }
}

fn settings(given: &Given, method: &Method) -> Settings {
    let mut settings = Settings::default();
    for option in method.options {
        if let Some(value) = given.get(option.name) {
            settings.set(option.name, *value);
        }
    }
    settings
}

/// Iterates over the methods that train a network, or over the others.
fn methods(network: bool) -> impl Iterator<Item = &'static Method> {
    METHODS.into_iter().filter(move |method| method.trains_network() == network)
}

/// Adds the options of these methods to a command. An option that several methods have is added
/// once, wherever it comes first.
fn augment(command: Command, network: bool) -> Command {
    let options = methods(network).flat_map(|method| method.options);
    options.fold(command, |command, option| {
        let known = command.get_arguments().any(|arg| arg.get_id() == option.name);
        if known { command } else { command.arg(arg(option, network)) }
    })
}

/// Returns the methods that have an option of this name, and their declarations of it.
fn users(name: &str) -> Vec<(&'static Method, &'static MethodOption)> {
    let options =
        METHODS.into_iter().flat_map(|method| method.options.iter().map(move |o| (method, o)));
    options.filter(|(_, option)| option.name == name).collect()
}

/// Returns the default of an option for the help; where methods differ, each with its default.
fn default(users: &[(&Method, &MethodOption)]) -> String {
    let of = |option: &MethodOption| match (option.default, option.paper) {
        (default, None) => default.to_owned(),
        (default, Some(paper)) => format!("{default}; paper {paper}"),
    };
    let mut texts: Vec<String> = users.iter().map(|(_, option)| of(option)).collect();
    texts.dedup();
    match texts.as_slice() {
        [text] if text.is_empty() => String::new(),
        [text] => format!(" [default: {text}]"),
        _ => {
            let each = users.iter().map(|(method, option)| format!("{method} {}", of(option)));
            format!(" [default: {}]", each.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Creates the argument of an option.
fn arg(option: &'static MethodOption, network: bool) -> Arg {
    let users = users(option.name);
    let names: Vec<&str> = users.iter().map(|(method, _)| method.name).collect();
    let (names, default) = (names.join(", "), default(&users));
    let heading = if network { NETWORK } else { FITTED };
    let arg = Arg::new(option.name)
        .long(option.name)
        .help(format!("{names}: {}{default}", lower_first(option.help)))
        .help_heading(heading);
    match option.kind {
        Kind::Flag => arg.action(ArgAction::SetTrue),
        Kind::Choice(words) => {
            arg.value_name(option.value_name).value_parser(PossibleValuesParser::new(
                words.iter().map(|(word, help)| PossibleValue::new(word).help(help)),
            ))
        }
        Kind::Count { .. } | Kind::Number => arg
            .value_name(option.value_name)
            .allow_negative_numbers(true)
            .value_parser(|text: &str| option.parse(text).map(|_| text.to_owned())),
    }
}

/// Lowers the first letter, for text that follows a colon.
fn lower_first(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map(|first| first.to_lowercase().chain(rest).collect()).unwrap_or_default()
}

/// Returns the options that were given on the command line.
fn given(matches: &ArgMatches, network: bool) -> Given {
    let mut given = Given::new();
    for option in methods(network).flat_map(|method| method.options) {
        if matches.value_source(option.name) != Some(ValueSource::CommandLine) {
            continue;
        }
        let value = match option.kind {
            Kind::Flag => Some(Value::Set),
            _ => matches.get_one::<String>(option.name).and_then(|text| option.parse(text).ok()),
        };
        if let Some(value) = value {
            given.insert(option.name, value);
        }
    }
    given
}

/// Implements clap's traits, so that a set of options can be flattened like a struct.
macro_rules! args {
    ($type:ident, $network:literal) => {
        impl FromArgMatches for $type {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                Ok(Self(given(matches, $network)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                self.0.append(&mut given(matches, $network));
                Ok(())
            }
        }

        impl clap::Args for $type {
            fn augment_args(command: Command) -> Command {
                augment(command, $network)
            }

            fn augment_args_for_update(command: Command) -> Command {
                augment(command, $network)
            }
        }
    };
}

args!(LearnedOptions, true);
args!(FittedOptions, false);
