/*!
ExchNet: the asymmetric skeleton, with attention to parts that it learns without part labels.

After Cui, Jiang, Wei, Li and Yoshie, "ExchNet: A Unified Hashing Network for Large-Scale
Fine-Grained Image Retrieval" (ECCV 2020). Where the paper does not specify the input of a term,
this code follows the re-implementations of the authors' group: channel mean of the refined maps,
margin 0.4, weights 1, exchange in the last eighth. The asymmetric loss is in
[`asymmetric`](super::asymmetric).
*/

mod diversity;
mod evidence;
mod exchange;
mod guide;
mod learner;
mod options;

pub use diversity::{channel_diversity, diversity, spatial_diversity};
pub use exchange::{Exchange, exchange};
#[cfg(test)]
pub(crate) use learner::look;
pub use learner::terms;
pub(in crate::method) use options::{ATTENTION_GAIN, CLASSIFIER, PARTS};
pub use options::{Options, Spatial};

use super::definition::Method;

/// The method `exchnet`.
pub static METHOD: Method = Method {
    options: &options::OPTIONS,
    ablations: &options::ABLATIONS,
    ..Method::learned(
        "exchnet",
        &["like adsh, with attention to parts that it discovers by itself"],
        "Cui, Jiang, Wei, Li and Yoshie, \"ExchNet: A Unified Hashing Network for Large-Scale \
         Fine-Grained Image Retrieval\", ECCV 2020",
        |settings, _| Ok(Box::new(Options::new(settings)?)),
    )
};
