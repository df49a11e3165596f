/*!
Hashing methods: learning codes from images and their labels.

A method is one file: its [`Method`] with help and options, its loss and its updates. ExchNet has a
folder. [`METHODS`] lists the methods. Methods do not depend on files, training loops or the command
line.
*/

pub mod a2net;
pub mod adsh;
pub mod agmh;
mod anchors;
#[doc(hidden)]
pub mod asymmetric;
#[doc(hidden)]
pub mod centres;
#[doc(hidden)]
pub mod classes;
pub mod csq;
pub mod dahnet;
pub mod dch;
#[doc(hidden)]
pub mod definition;
mod discriminant;
pub mod dpsh;
#[doc(hidden)]
pub mod draw;
pub mod dsah;
pub mod dsh;
pub mod dtq;
mod error;
pub mod exchnet;
mod favour;
mod fit;
#[doc(hidden)]
pub mod groups;
pub mod hashnet;
pub mod itq;
pub mod klda;
#[doc(hidden)]
pub mod laps;
pub mod lda;
#[doc(hidden)]
pub mod learned_codes;
#[doc(hidden)]
pub mod learner;
mod linalg;
#[doc(hidden)]
pub mod lookup;
pub mod lsh;
#[doc(hidden)]
pub mod mining;
pub(crate) mod names;
#[doc(hidden)]
pub mod net;
mod on_codes;
#[cfg(test)]
mod oracle;
pub mod orthohash;
#[doc(hidden)]
pub mod pairs;
#[cfg(test)]
mod planted;
pub mod plume;
mod proxies;
pub mod sdh;
mod sdh_solver;
pub mod semicon;
#[doc(hidden)]
pub mod settings;
#[doc(hidden)]
pub mod setup;
mod space;
mod split;
pub mod whitened;
mod word_solver;
pub mod words;

pub use definition::{
    Ablation, Additions, FitInput, FittedMethod, LearnedMethod, Making, Method, Start,
};
pub use error::{MethodError, OneKind};
pub use lookup::method;
pub use settings::{Kind, MethodOption, Settings, Value};
pub use setup::{Init, Recipe, Trained};

/// All methods: first those that are fitted in closed form, then those that train a network.
pub static METHODS: [&Method; 25] = [
    &lsh::METHOD,
    &whitened::METHOD,
    &itq::METHOD,
    &lda::METHOD,
    &sdh::METHOD,
    &klda::METHOD,
    &words::LDA_OPQ,
    &words::LDA_WORDS,
    &words::KLDA_WORDS,
    &adsh::METHOD,
    &exchnet::METHOD,
    &a2net::METHOD,
    &semicon::METHOD,
    &agmh::METHOD,
    &dahnet::METHOD,
    &dpsh::METHOD,
    &hashnet::METHOD,
    &dch::METHOD,
    &dtq::METHOD,
    &csq::METHOD,
    &orthohash::METHOD,
    &dsah::METHOD,
    &plume::METHOD,
    &plume::WORDS,
    &dsh::METHOD,
];
