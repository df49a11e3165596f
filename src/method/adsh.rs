/*!
ADSH: the asymmetric skeleton, plus a term that pulls each sampled image to its learned code.

After Jiang and Li, "Asymmetric Deep Supervised Hashing" (AAAI 2018); see
[`super::asymmetric`].
*/

use super::asymmetric::{Asymmetric, GAMMA};
use super::definition::{LearnedMethod, Method, Start};
use super::learned_codes::LearnedCodes;
use super::learner::Learner;

/// The method `adsh`.
pub static METHOD: Method = Method {
    // Chosen on the validation split of the Grocery Store data set.
    pretrained_rate: 0.5,
    ..Method::learned(
        "adsh",
        &["a network, trained against discrete codes of all training images"],
        "Jiang and Li, \"Asymmetric Deep Supervised Hashing\", AAAI 2018",
        |_, _| Ok(Box::new(Adsh)),
    )
};

/// The options of ADSH: none.
#[derive(Debug, Clone, Copy)]
struct Adsh;

impl LearnedMethod for Adsh {
    fn learner(&self, Start { groups, bits, seed, init }: Start) -> Box<dyn Learner> {
        let codes = LearnedCodes::first(init, &groups, bits, seed);
        Box::new(Asymmetric::new(groups, codes, GAMMA))
    }
}
