/*!
Fitting models to labelled photos, and measuring them.

This module contains what methods share: features of a data set, the training loop, the model card,
the evaluation. The methods are in [`method`](crate::method).
*/

mod build;
mod cache;
mod checkpoint;
mod compare;
mod data_card;
mod devices;
mod error;
mod evaluate;
mod features;
mod images;
mod learn;
mod memory;
mod optimiser;
#[cfg(test)]
mod oracle;
mod own_hash;
mod plan;
mod prepared;
mod random_part;
mod run;
mod shallow;
mod sides;
mod split_features;
mod step;
mod survey;
mod timing;
mod watch;

pub use crate::method::{Init, Recipe, Trained};
pub use compare::{Comparison, Contender, Measured, Setting};
pub use error::{Smaller, TrainError};
pub use evaluate::{Evaluation, Ranking, Split, evaluate};
pub use learn::{Learned, checkpoint_path, learn};
pub use own_hash::OwnHash;
pub use plan::{LearnPlan, Optimiser, Schedule};
pub use shallow::{Fitted, ShallowPlan, fit_shallow};
pub use split_features::Unreadable;
pub use timing::{StepTimes, time_training};
pub use watch::{EpochReport, Outlook, Watcher};
