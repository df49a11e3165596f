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

/// Adds the options of these methods to a command.
fn augment(command: Command, network: bool) -> Command {
    let options =
        methods(network).flat_map(|method| method.options.iter().map(move |o| (method, o)));
    options.fold(command, |command, (method, option)| command.arg(arg(method, option)))
}

/// Creates the argument of an option.
fn arg(method: &Method, option: &'static MethodOption) -> Arg {
    let default = match (option.default, option.paper) {
        ("", _) => String::new(),
        (default, None) => format!(" [default: {default}]"),
        (default, Some(paper)) => format!(" [default: {default}; paper {paper}]"),
    };
    let heading = if method.trains_network() { NETWORK } else { FITTED };
    let arg = Arg::new(option.name)
        .long(option.name)
        .help(format!("{method}: {}{default}", lower_first(option.help)))
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
