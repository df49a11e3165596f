/*!
Hashing methods: how codes are learned from images and their labels.

One file is one method; none of them knows about images, files or training loops.
*/

pub mod adsh;
pub mod asymmetric;
pub mod centres;
pub mod csq;
pub mod definition;
pub mod dpsh;
pub mod draw;
pub mod dsah;
pub mod dtq;
mod error;
pub mod exchnet;
mod fit;
pub mod groups;
pub mod hashnet;
pub mod itq;
pub mod laps;
pub mod lda;
pub mod learned_codes;
pub mod learner;
mod linalg;
pub mod lsh;
pub(crate) mod names;
pub mod net;
#[cfg(test)]
mod oracle;
pub mod orthohash;
pub mod pairs;
#[cfg(test)]
mod planted;
pub mod plume;
pub mod sdh;
pub mod settings;
pub mod setup;
pub mod table;
pub mod whitened;
mod word_solver;

pub use definition::{
    Ablation, Additions, FitInput, FittedMethod, LearnedMethod, Making, Method, Start,
};
pub use error::{MethodError, OneKind};
pub use settings::{Kind, MethodOption, Settings, Value};
pub use setup::{Init, Recipe, Trained};
pub use table::{METHODS, method};
