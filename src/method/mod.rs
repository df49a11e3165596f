/*!
Hashing methods: how codes are learned from images and their labels.
*/

mod linear;

pub use linear::{FeatureError, Features, HashError, LinearHash};
