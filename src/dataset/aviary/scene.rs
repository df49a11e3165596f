/*! Everything that varies from picture to picture and says nothing of the species.

It is drawn here without any knowledge of the species. */

use rand::{Rng, RngExt};

use super::plane::{At, at};

/// How the bird holds itself, and where it sits in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Stance {
    pub faces_left: bool,
    /// Radians by which the whole bird leans forward.
    pub tilt: f32,
    /// Radians by which the head is lowered.
    pub nod: f32,
    /// How much of the head's width is left when it turns from pure profile.
    pub turn: f32,
    /// Radians by which the wing hangs off the back.
    pub lift: f32,
    /// Radians by which the tail is lowered.
    pub cock: f32,
    /// How far the tail is spread; 1 is usual.
    pub spread: f32,
    /// How thick the body looks; 1 is usual.
    pub fluff: f32,
    /// The share of the picture's width that the bird fills.
    pub fill: f32,
    /// Where the bird sits in the room that is left, from 0 to 1.
    pub place: At,
}

/// What lies behind the bird.
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

/// What the bird sits or stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Perch {
    Branch,
    Twig,
    Reed,
    Stone,
    Ground,
}

/// What hides a part of the bird.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    Leaf,
    Twig,
    Blades,
}

/// The light on the whole picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Light {
    /// Where it comes from.
    pub from: At,
    /// From -1, cold, to 1, warm.
    pub warmth: f32,
    pub exposure: f32,
    /// How strongly light and shade part.
    pub hardness: f32,
    pub vignette: f32,
}

/// The flaws of camera and file.
#[derive(Clone, Debug, PartialEq)]
pub struct Flaws {
    /// Blur of the picture in pixels at 256.
    pub blur: f32,
    /// Standard deviation of the noise in levels.
    pub noise: f32,
    /// The JPEG quality to write at.
    pub quality: u8,
}

/// One draw of everything around the species.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// How the bird holds itself.
    pub stance: Stance,
    /// What lies behind it.
    pub backdrop: Backdrop,
    /// What it sits on.
    pub perch: Perch,
    /// What hides a part of it.
    pub cover: Option<Cover>,
    /// The light on all.
    pub light: Light,
    /// The flaws of camera and file.
    pub flaws: Flaws,
}

/// A value that is likelier near the middle of its range.
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
    /// Draws an environment.
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
