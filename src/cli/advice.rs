/*!
Advice for failed commands: options and commands that help.

The library's errors state facts, because other programs show them too. This module adds options and
commands: one function per error type, and one function that assembles the message.
*/

use std::error::Error;
use std::io;

use crate::device::DeviceError;
use crate::encoder::EncodeError;
use crate::image::{DecodeError, ImageError};
use crate::index::IndexError;
use crate::method::MethodError;
use crate::model::ModelError;
use crate::train::{Smaller, TrainError};
use crate::trunk::WeightsError;

/// Returns the sentence to print for a failed command.
///
/// The contexts that a command added come first. A library error contains its causes, so the
/// sentence ends with the first library error and its advice.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        if let Some(advice) = of(cause) {
            return text + &advice;
        }
    }
    text
}

/// Returns whether a command failed because the reader of its output closed the pipe. A pipe that
/// broke below a library error, such as a connection to a server, is a failure of its own.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    let mut own = error.chain().take_while(|cause| of(*cause).is_none());
    own.any(|cause| cause.downcast_ref().is_some_and(closed))
}

/// Returns a library error with its advice.
pub fn told(error: &(dyn Error + 'static)) -> String {
    format!("{error}{}", of(error).unwrap_or_default())
}

/// Returns the advice for a library error, which may be empty, or `None` for other errors.
fn of(error: &(dyn Error + 'static)) -> Option<String> {
    fn cast<T: Error + 'static>(
        error: &(dyn Error + 'static),
        advice: fn(&T) -> String,
    ) -> Option<String> {
        error.downcast_ref().map(advice)
    }
    if let Some(advice) = cast(error, engine) {
        return Some(advice);
    }
    if error.is::<crate::engine::NumpyError>() {
        return Some(String::new());
    }
    if let Some(advice) = cast(error, serve) {
        return Some(advice);
    }
    cast(error, device)
        .or_else(|| cast(error, image))
        .or_else(|| cast(error, decode))
        .or_else(|| cast(error, encode))
        .or_else(|| cast(error, weights))
        .or_else(|| cast(error, model))
        .or_else(|| cast(error, index))
        .or_else(|| cast(error, dataset))
        .or_else(|| cast(error, method))
        .or_else(|| cast(error, train))
        .or_else(|| cast(error, |_: &barbule_aviary::AviaryError| String::new()))
}

fn device(error: &DeviceError) -> String {
    match error {
        DeviceError::NoAdapter(_) => " (--device cpu)",
        DeviceError::AdapterOnCpu => " (--adapter, --device)",
        DeviceError::Open { .. } => " (--adapter, --device cpu)",
        _ => "",
    }
    .into()
}

fn image(error: &ImageError) -> String {
    match error {
        ImageError::Decode { source, .. } => decode(source),
        _ => String::new(),
    }
}

fn decode(error: &DecodeError) -> String {
    match error {
        DecodeError::TooManyPixels { .. } => " (--max-megapixels)",
        _ => "",
    }
    .into()
}

fn encode(error: &EncodeError) -> String {
    match error {
        EncodeError::Device { .. } => " (--device cpu)",
        _ => "",
    }
    .into()
}

fn weights(error: &WeightsError) -> String {
    match error {
        WeightsError::OtherTrunk { found, .. } => format!(" (--trunk {found}, --weights)"),
        WeightsError::Unknown { .. } => " (`barbule weights list`)".to_owned(),
        WeightsError::Several { .. } => " (--trunk)".to_owned(),
        WeightsError::NotShipped(kind) => format!(
            " (`barbule weights import FILE --out {kind}.safetensors`, then --weights {kind}.safetensors)"
        ),
        _ => String::new(),
    }
}

fn model(error: &ModelError) -> String {
    match error {
        ModelError::Unfit { .. } => "; train one with `barbule train`".into(),
        ModelError::NoParts(_) => " (`barbule train exchnet`, `semicon` or `dsah`)".into(),
        ModelError::NotHamming(_) => " (`barbule train exchnet`)".into(),
        ModelError::Write { .. } => "; choose another --out".into(),
        ModelError::Encode(error) => encode(error),
        _ => String::new(),
    }
}

fn index(error: &IndexError) -> String {
    match error {
        IndexError::Missing(_) => "; make one with `barbule index DIR`".into(),
        IndexError::Empty(_) => "; `barbule index` fills it".into(),
        IndexError::OtherModel { .. } => {
            " (--model names a model, and without it the built-in one is used; --index names an index)"
                .into()
        }
        IndexError::Lock { .. } => ", or choose another --index".into(),
        IndexError::NoFeatures(_) => " (`barbule index --keep-features`)".into(),
        IndexError::Model(error) => model(error),
        _ => String::new(),
    }
}

fn dataset(error: &crate::dataset::DatasetError) -> String {
    use crate::dataset::DatasetError;
    match error {
        DatasetError::NoImages { .. } => " (--layout photos)",
        DatasetError::Missing { .. } => " (--layout)",
        _ => "",
    }
    .into()
}

fn method(error: &MethodError) -> String {
    match error {
        MethodError::Bits { .. } => " (--bits)",
        MethodError::FrozenStem => " (--train full)",
        _ => "",
    }
    .into()
}

fn train(error: &TrainError) -> String {
    let less = |way: &Smaller| match way {
        Smaller::Batch { batch, accumulate } => {
            format!("--batch {batch} --accumulate {accumulate}")
        }
        Smaller::Size(pixels) => format!("--size {pixels}"),
    };
    match error {
        TrainError::Cache { .. } => " (--cache)".into(),
        TrainError::Resume { .. } => " (without --resume)".into(),
        TrainError::Vanished { source } => image(source),
        TrainError::NotFinite { .. } | TrainError::Rate(_) => " (--lr)".into(),
        TrainError::Memory { way, .. } => format!(" ({})", less(way)),
        TrainError::OutOfMemory { way, .. } => format!(" (--resume {})", less(way)),
        TrainError::TooManyDevices { .. } => " (--devices, --batch)".into(),
        TrainError::SameDevice(_) => " (--devices)".into(),
        TrainError::NoSplit(_) => " (--split)".into(),
        TrainError::Method(error) => method(error),
        TrainError::Dataset(error) => dataset(error),
        TrainError::Weights(error) => weights(error),
        TrainError::Model(error) => model(error),
        TrainError::Encode(error) => encode(error),
        _ => String::new(),
    }
}

fn engine(error: &crate::engine::EngineError) -> String {
    use crate::engine::{EngineError, Remedy};
    match error {
        EngineError::NotEmpty(_) => " (--index)",
        EngineError::Refused { remedy, .. } => match remedy {
            Remedy::Authority | Remedy::Encryption => " (--ca)",
            Remedy::Password | Remedy::Credentials => " (PGPASSWORD, --password-file)",
            Remedy::Shards => " (`barbule export --help` explains how shards are set up)",
            Remedy::NameShards => " (`barbule export --to` with each --shard)",
            Remedy::Privilege => " that --explain-sql shows",
            Remedy::Time => " (--timeout)",
            Remedy::Export => " (`barbule export --to`)",
            Remedy::Table => " (--table, --replace)",
            Remedy::Replace => " (`barbule export --to` with --replace)",
        },
        EngineError::Index(error) => return index(error),
        EngineError::Model(error) => return model(error),
        _ => "",
    }
    .into()
}

fn serve(error: &crate::serve::ServeError) -> String {
    use crate::serve::ServeError;
    match error {
        ServeError::Listen { .. } => " (--port, --address)".into(),
        ServeError::Index(error) => index(error),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_printed_once() {
        let source = || io::Error::other("no such luck");
        let error: anyhow::Error =
            ImageError::Read { path: "a.png".into(), source: source() }.into();
        assert_eq!(sentence(&error).matches("no such luck").count(), 1);
        assert_eq!(error.chain().count(), 2, "the cause is a source, too");
        // A system error follows the description of the failed operation.
        let error = Err::<(), _>(source()).context("cannot write b.png").unwrap_err();
        assert_eq!(sentence(&error), "cannot write b.png: no such luck");
        let error = error.context("c");
        assert_eq!(sentence(&error), "c: cannot write b.png: no such luck");
    }

    #[test]
    fn what_to_type_is_added_to_the_fact() {
        let missing = || IndexError::Missing("no.db".into());
        let said = "there is no index at no.db; make one with `barbule index DIR`";
        assert_eq!(sentence(&missing().into()), said);
        assert_eq!(told(&missing()), said);
        assert!(!missing().to_string().contains("barbule"));
        let error = anyhow::Error::from(missing()).context("first");
        assert_eq!(sentence(&error), format!("first: {said}"));
    }

    #[test]
    fn advice_is_found_below_other_errors() {
        let limit = DecodeError::TooManyPixels { width: 9, height: 9, limit: 1 };
        let image = ImageError::Decode { path: "a.png".into(), source: limit };
        let error = TrainError::Vanished { source: image };
        assert!(told(&error).ends_with("start again (--max-megapixels)"), "{}", told(&error));
        let device = || EncodeError::Device { device: "card".into(), reason: "lost".into() };
        for error in [
            anyhow::Error::from(device()),
            IndexError::Model(device().into()).into(),
            TrainError::Model(device().into()).into(),
        ] {
            let said = sentence(&error);
            assert!(said.ends_with("lost; use the CPU (--device cpu)"), "{said}");
        }
        let way = Smaller::Batch { batch: 8, accumulate: 4 };
        let said = told(&TrainError::OutOfMemory { device: "card".into(), way, source: device() });
        assert!(said.ends_with("(--resume --batch 8 --accumulate 4)"), "{said}");
    }
}
