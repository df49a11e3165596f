/*!
The aviary: a procedural, seeded, fine-grained data set of rendered birds.

Species come in pairs that differ in exactly one part: beak, crown, eye, wing, breast or tail.
Pose, light, surroundings, occlusion and noise vary from picture to picture, independently of the
species. Each picture depends only on the seed, the species number and the picture number.
*/

mod anatomy;
mod backdrop;
mod brush;
mod colour;
mod head;
mod lens;
mod names;
mod paint;
mod perch;
mod plane;
mod pose;
mod scene;
mod species;
mod specimen;
#[cfg(test)]
mod tests;
mod traits;
mod wing;
mod write;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use colour::{Colour, Plumage, Tint};
pub use scene::Environment;
pub use species::Species;
pub use specimen::{PartBox, PixelBox, Specimen};
pub use traits::{
    Beak, BeakShape, BreastPattern, CrownPattern, EyePattern, Marking, Tail, TailShape, Traits,
    WingPattern,
};
pub use write::{AviaryError, Writing};

/// A part of a bird in which species can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Both halves from root to tip.
    Beak,
    /// From forehead to nape, with the crest.
    Crown,
    /// The eye with its ring.
    Eye,
    /// The folded wing.
    Wing,
    /// From throat to flank.
    Breast,
    /// From root to tip.
    Tail,
}

impl Part {
    /// All parts, in the order in which they are assigned to pairs of species.
    pub const ALL: [Self; 6] =
        [Self::Beak, Self::Crown, Self::Eye, Self::Wing, Self::Breast, Self::Tail];

    /// Returns the name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Beak => "beak",
            Self::Crown => "crown",
            Self::Eye => "eye",
            Self::Wing => "wing",
            Self::Breast => "breast",
            Self::Tail => "tail",
        }
    }
}

/// A seeded family of bird species.
#[derive(Clone, Debug)]
pub struct Aviary {
    seed: u64,
    species: Vec<Species>,
}

impl Aviary {
    /// Creates an aviary with the given number of species. A larger aviary with the same seed
    /// starts with the species of a smaller one.
    pub fn new(seed: u64, species: usize) -> Self {
        Self { seed, species: species::family(seed, species) }
    }

    /// Returns the species; numbers 2k and 2k + 1 form a pair.
    pub fn species(&self) -> &[Species] {
        &self.species
    }

    /// Returns the environment of one picture of a species.
    pub fn environment(&self, species: usize, image: usize) -> Environment {
        Environment::draw(&mut stream(self.seed, "scene", species, image))
    }

    /// Renders a picture of a species, `size` pixels on each side (at least 16). Species numbers
    /// wrap around after the last species. In an aviary without species, the picture is black.
    pub fn specimen(&self, species: usize, image: usize, size: u32) -> Specimen {
        let number = species % self.species.len().max(1);
        // Separate streams, so that the bird's markings cannot influence its surroundings.
        let mut scene = stream(self.seed, "scene", number, image);
        let mut plumes = stream(self.seed, "plumes", number, image);
        self.species
            .get(number)
            .and_then(|bird| Specimen::render(bird, size.max(16), &mut scene, &mut plumes))
            .unwrap_or_else(|| Specimen::blank(size.max(1)))
    }
}

/// Returns the random generator of one purpose, one species (or pair) and one image. Streams are
/// independent, so no draw depends on what else was drawn.
fn stream(seed: u64, purpose: &str, number: usize, image: usize) -> ChaCha8Rng {
    let mut key = [0_u8; 32];
    let words = [seed.to_le_bytes(), (number as u64).to_le_bytes(), (image as u64).to_le_bytes()];
    for (slot, byte) in key.iter_mut().zip(words.into_iter().flatten()) {
        *slot = byte;
    }
    for (slot, byte) in key.iter_mut().skip(24).zip(purpose.bytes()) {
        *slot = byte;
    }
    ChaCha8Rng::from_seed(key)
}
