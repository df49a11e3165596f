/*!
The environment of a picture: everything that varies independently of the species.

The draws here have no access to the species.
*/

use rand::{Rng, RngExt};

use super::plane::{At, at};

/// The posture of the bird, and its position in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Stance {
    pub faces_left: bool,
    /// Forward lean of the whole bird in radians.
    pub tilt: f32,
    /// Lowering of the head in radians.
    pub nod: f32,
    /// Width of the head relative to a pure profile; less than 1 if the head is turned.
    pub turn: f32,
    /// Angle between wing and back in radians.
    pub lift: f32,
    /// Lowering of the tail in radians.
    pub cock: f32,
    /// Spread of the tail; 1 is normal.
    pub spread: f32,
    /// Thickness of the body; 1 is normal.
    pub fluff: f32,
    /// Share of the picture's width that the bird fills.
    pub fill: f32,
    /// Position of the bird within the remaining space, from 0 to 1 in each direction.
    pub place: At,
}

/// The kind of background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backdrop {
    Foliage,
    Bokeh,
    Sky,
    Branches,
    Grass,
    Haze,
    Water,
}

/// The kind of perch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Perch {
    Branch,
    Twig,
    Reed,
    Stone,
    Ground,
}

/// The kind of foreground object that hides part of the bird.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    Leaf,
    Twig,
    Blades,
}

/// The light on the whole picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Light {
    /// Direction that the light comes from.
    pub from: At,
    /// Colour of the light, from -1 (cold) to 1 (warm).
    pub warmth: f32,
    pub exposure: f32,
    /// Contrast between lit and shaded sides.
    pub hardness: f32,
    pub vignette: f32,
}

/// Imperfections of camera and file.
#[derive(Clone, Debug, PartialEq)]
pub struct Flaws {
    /// Blur in pixels, for a picture of 256 × 256 pixels.
    pub blur: f32,
    /// Standard deviation of the noise in levels of a channel.
    pub noise: f32,
    /// JPEG quality of the file.
    pub quality: u8,
}

/// One random environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// The posture of the bird.
    pub stance: Stance,
    /// The background.
    pub backdrop: Backdrop,
    /// The perch.
    pub perch: Perch,
    /// The foreground object that hides part of the bird, if any.
    pub cover: Option<Cover>,
    /// The light on the whole picture.
    pub light: Light,
    /// Imperfections of camera and file.
    pub flaws: Flaws,
}

/// Draws a value with a triangular distribution, most likely in the middle of its range.
fn middling(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    let share = (rng.random::<f32>() + rng.random::<f32>()) / 2.0;
    low + (high - low) * share
}

impl Stance {
    fn draw(rng: &mut impl Rng) -> Self {
        Self {
            faces_left: rng.random_bool(0.5),
            tilt: middling(rng, -0.42, 0.52),
            nod: middling(rng, -0.30, 0.42),
            turn: 1.0 - 0.30 * rng.random::<f32>().powi(2),
            lift: if rng.random_bool(0.2) {
                rng.random_range(-0.02..0.34)
            } else {
                rng.random_range(-0.03..0.08)
            },
            cock: middling(rng, -0.30, 0.34),
            spread: middling(rng, 0.35, 1.25),
            fluff: middling(rng, 0.90, 1.15),
            fill: 0.36 + 0.44 * rng.random::<f32>().sqrt(),
            place: at(middling(rng, 0.0, 1.0), middling(rng, 0.05, 1.0)),
        }
    }
}

impl Light {
    fn draw(rng: &mut impl Rng) -> Self {
        let side: f32 = rng.random_range(-0.9..0.9);
        Self {
            from: at(side, -(1.0 - side * side * 0.7).sqrt()),
            warmth: middling(rng, -0.9, 1.0),
            exposure: middling(rng, 0.80, 1.22),
            hardness: rng.random_range(0.5..1.25),
            vignette: rng.random_range(0.0..0.35),
        }
    }
}

impl Environment {
    /// Draws a random environment.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let backdrop = match rng.random_range(0..16) {
            0..5 => Backdrop::Foliage,
            5..8 => Backdrop::Bokeh,
            8..10 => Backdrop::Sky,
            10..12 => Backdrop::Branches,
            12..14 => Backdrop::Grass,
            14 => Backdrop::Haze,
            _ => Backdrop::Water,
        };
        let perch = match rng.random_range(0..10) {
            0..4 => Perch::Branch,
            4..6 => Perch::Twig,
            6 => Perch::Reed,
            7 => Perch::Stone,
            _ => Perch::Ground,
        };
        let cover = match rng.random_range(0..12) {
            0..2 => Some(Cover::Leaf),
            2 => Some(Cover::Twig),
            3 => Some(Cover::Blades),
            _ => None,
        };
        Self {
            stance: Stance::draw(rng),
            backdrop,
            perch,
            cover,
            light: Light::draw(rng),
            flaws: Flaws {
                blur: if rng.random_bool(0.35) { rng.random_range(0.4..1.2) } else { 0.0 },
                noise: rng.random_range(0.5_f32..2.3).powi(2),
                quality: rng.random_range(62..=95),
            },
        }
    }
}
