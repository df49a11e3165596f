/*!
Colours: the named tints of markings, and the plumages that a pair of species shares.

Plumages come from a few families with small random shifts. Many species therefore look alike at
first sight, and only their markings distinguish them.
*/

use rand::{Rng, RngExt};

/// A colour with channels from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colour {
    /// Red.
    pub r: f32,
    /// Green.
    pub g: f32,
    /// Blue.
    pub b: f32,
}

/// Returns a colour given in bytes.
pub const fn rgb(r: u8, g: u8, b: u8) -> Colour {
    Colour { r: r as f32 / 255.0, g: g as f32 / 255.0, b: b as f32 / 255.0 }
}

impl Colour {
    /// Returns the mixture that lies `share` of the way to `other`.
    pub fn mix(self, other: Self, share: f32) -> Self {
        let blend = |a: f32, b: f32| a + (b - a) * share;
        Self { r: blend(self.r, other.r), g: blend(self.g, other.g), b: blend(self.b, other.b) }
    }

    /// Multiplies every channel by `factor` and clamps it.
    pub fn scaled(self, factor: f32) -> Self {
        let scale = |c: f32| (c * factor).clamp(0.0, 1.0);
        Self { r: scale(self.r), g: scale(self.g), b: scale(self.b) }
    }

    /// Desaturates the colour: mixes it with a grey of equal brightness.
    pub fn muted(self, share: f32) -> Self {
        let grey = 0.3 * self.r + 0.6 * self.g + 0.1 * self.b;
        self.mix(Self { r: grey, g: grey, b: grey }, share)
    }

    /// Computes the distance to `other`, weighted by the influence of the channels on brightness.
    pub fn distance(self, other: Self) -> f32 {
        let (r, g, b) = (self.r - other.r, self.g - other.g, self.b - other.b);
        (r * r + 1.3 * g * g + 0.7 * b * b).sqrt()
    }

    /// Returns the colour with a random shift of at most `reach` per channel, mostly in brightness.
    pub fn jittered(self, rng: &mut impl Rng, reach: f32) -> Self {
        let light = rng.random_range(-reach..=reach);
        let shift = |c: f32, own: f32| (c + 0.7 * light + 0.3 * own).clamp(0.0, 1.0);
        let (r, g, b) = (
            rng.random_range(-reach..=reach),
            rng.random_range(-reach..=reach),
            rng.random_range(-reach..=reach),
        );
        Self { r: shift(self.r, r), g: shift(self.g, g), b: shift(self.b, b) }
    }
}

/// A named colour of a marking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tint {
    /// Soot.
    Black,
    /// Off-white.
    White,
    /// Dark blue-grey.
    Slate,
    /// Light grey.
    Ashy,
    /// Dark red-brown.
    Chestnut,
    /// Bright red-brown.
    Rusty,
    /// Pale brown-yellow.
    Buff,
    /// Deep yellow.
    Golden,
    /// Deep orange.
    Orange,
    /// Dark red.
    Crimson,
    /// Clear blue.
    Azure,
}

impl Tint {
    /// Returns the name, as used at the start of a species name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Black => "Black",
            Self::White => "White",
            Self::Slate => "Slate",
            Self::Ashy => "Ashy",
            Self::Chestnut => "Chestnut",
            Self::Rusty => "Rusty",
            Self::Buff => "Buff",
            Self::Golden => "Golden",
            Self::Orange => "Orange",
            Self::Crimson => "Crimson",
            Self::Azure => "Azure",
        }
    }

    /// Returns the colour in even light.
    pub fn colour(self) -> Colour {
        match self {
            Self::Black => rgb(34, 32, 33),
            Self::White => rgb(242, 240, 232),
            Self::Slate => rgb(82, 94, 108),
            Self::Ashy => rgb(158, 160, 160),
            Self::Chestnut => rgb(104, 52, 32),
            Self::Rusty => rgb(178, 90, 42),
            Self::Buff => rgb(224, 192, 142),
            Self::Golden => rgb(236, 186, 48),
            Self::Orange => rgb(232, 128, 40),
            Self::Crimson => rgb(176, 38, 40),
            Self::Azure => rgb(72, 124, 176),
        }
    }
}

/// The colours of a whole bird, without its markings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plumage {
    /// Back, nape and crown.
    pub mantle: Colour,
    /// Throat and breast.
    pub breast: Colour,
    /// Belly and the feathers under the tail.
    pub belly: Colour,
    /// Wing and tail feathers.
    pub flight: Colour,
    /// The pale rims of wing and tail feathers.
    pub edging: Colour,
    /// Legs.
    pub leg: Colour,
}

/// Mantle, breast, belly, flight feathers and edging of each family.
const FAMILIES: [[Colour; 5]; 9] = [
    // Olive and lemon, like a warbler.
    [rgb(110, 117, 68), rgb(216, 194, 92), rgb(238, 229, 178), rgb(70, 69, 56), rgb(158, 160, 102)],
    // Brown and buff, like a pipit.
    [
        rgb(128, 101, 74),
        rgb(210, 186, 150),
        rgb(234, 223, 203),
        rgb(80, 64, 50),
        rgb(178, 148, 110),
    ],
    // Ash and off-white, like a tit.
    [
        rgb(124, 132, 140),
        rgb(208, 208, 204),
        rgb(238, 236, 230),
        rgb(68, 72, 80),
        rgb(168, 174, 180),
    ],
    // Russet and cream.
    [rgb(146, 92, 58), rgb(222, 188, 146), rgb(240, 228, 204), rgb(92, 62, 44), rgb(190, 136, 92)],
    // Slate blue and apricot, like a nuthatch.
    [
        rgb(92, 112, 136),
        rgb(220, 164, 116),
        rgb(240, 222, 194),
        rgb(60, 68, 82),
        rgb(130, 150, 170),
    ],
    // Moss and grey.
    [
        rgb(104, 112, 84),
        rgb(182, 184, 168),
        rgb(220, 219, 204),
        rgb(64, 66, 58),
        rgb(142, 150, 118),
    ],
    // Grey-brown and rose, like a finch.
    [
        rgb(124, 106, 98),
        rgb(214, 160, 150),
        rgb(236, 214, 204),
        rgb(78, 67, 64),
        rgb(172, 146, 136),
    ],
    // Green and gold.
    [rgb(128, 126, 58), rgb(228, 186, 74), rgb(242, 225, 152), rgb(72, 67, 48), rgb(178, 168, 96)],
    // Teal and sand.
    [
        rgb(82, 110, 106),
        rgb(212, 188, 160),
        rgb(236, 227, 210),
        rgb(54, 66, 68),
        rgb(122, 150, 142),
    ],
];

const LEGS: [Colour; 4] = [rgb(66, 58, 56), rgb(150, 106, 88), rgb(112, 92, 76), rgb(88, 92, 98)];

impl Plumage {
    /// Draws a random plumage: a family, with a small shift of each colour.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let family = FAMILIES[rng.random_range(0..FAMILIES.len())];
        let [mantle, breast, belly, flight, edging] =
            family.map(|colour| colour.muted(0.16).jittered(rng, 0.035));
        Self { mantle, breast, belly, flight, edging, leg: LEGS[rng.random_range(0..LEGS.len())] }
    }

    /// Returns the plumage of a closely related species: every colour slightly shifted.
    pub fn shifted(&self, rng: &mut impl Rng) -> Self {
        let mut shift = |colour: Colour| colour.jittered(rng, 0.02);
        Self {
            mantle: shift(self.mantle),
            breast: shift(self.breast),
            belly: shift(self.belly),
            flight: shift(self.flight),
            edging: shift(self.edging),
            leg: self.leg,
        }
    }
}
