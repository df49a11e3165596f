/*! The parts by which species are told apart, and what each of them can be. */

use super::Part;
use super::colour::Tint;

/// A coloured mark on a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marking<P> {
    /// What form it has.
    pub pattern: P,
    /// Its colour.
    pub tint: Tint,
}

/// The form of a beak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeakShape {
    /// Short and thin, as in a warbler.
    Fine,
    /// Short and deep, as in a finch.
    Conical,
    /// Long and straight.
    Long,
    /// Long and bent downwards.
    Curved,
    /// Stout with a hooked tip.
    Hooked,
}

/// A beak: its form and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beak {
    /// Its form.
    pub shape: BeakShape,
    /// Its colour.
    pub tint: Tint,
}

/// Where the crown is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrownPattern {
    /// All above the eye.
    Cap,
    /// The forehead only.
    Front,
    /// The back of the head.
    Nape,
    /// A stripe over the eye.
    Brow,
    /// A cap with feathers that stand up.
    Crest,
}

/// What surrounds the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EyePattern {
    /// A closed ring.
    Ring,
    /// Two arcs, above and below.
    Crescents,
    /// A broad bare patch.
    Patch,
}

/// How the wing is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WingPattern {
    /// Pale tips of the greater coverts.
    OneBar,
    /// Pale tips of the greater and the median coverts.
    TwoBars,
    /// A patch over the closed secondaries.
    Panel,
}

/// How the breast is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreastPattern {
    /// Dark strokes along the feathers.
    Streaks,
    /// Round spots.
    Spots,
    /// One patch from chin to upper breast.
    Bib,
    /// A bar across the breast.
    Band,
}

/// The outline of the tail's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailShape {
    /// Cut straight.
    Square,
    /// Longest at the sides.
    Forked,
    /// Longest in the middle.
    Rounded,
}

/// A tail: its outline, its length, and the colour of its tip, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The outline of its end.
    pub shape: TailShape,
    /// Whether it is long rather than short.
    pub long: bool,
    /// The colour of its tip, if marked.
    pub tip: Option<Tint>,
}

/// The parts by which species are told apart; no marking means a plain part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The beak.
    pub beak: Beak,
    /// The crown.
    pub crown: Option<Marking<CrownPattern>>,
    /// The surround of the eye.
    pub eye: Option<Marking<EyePattern>>,
    /// The wing.
    pub wing: Option<Marking<WingPattern>>,
    /// The breast.
    pub breast: Option<Marking<BreastPattern>>,
    /// The tail.
    pub tail: Tail,
}

impl Traits {
    /// The parts in which two birds differ.
    pub fn differences(&self, other: &Self) -> Vec<Part> {
        let differs = |part: &Part| match part {
            Part::Beak => self.beak != other.beak,
            Part::Crown => self.crown != other.crown,
            Part::Eye => self.eye != other.eye,
            Part::Wing => self.wing != other.wing,
            Part::Breast => self.breast != other.breast,
            Part::Tail => self.tail != other.tail,
        };
        Part::ALL.into_iter().filter(differs).collect()
    }
}
