/*!
Traits: the parts in which species can differ, and the variants of each part.
*/

use super::Part;
use super::colour::Tint;

/// A coloured marking on a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marking<P> {
    /// The pattern.
    pub pattern: P,
    /// The colour.
    pub tint: Tint,
}

/// The shape of a beak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeakShape {
    /// Short and thin, like a warbler's.
    Fine,
    /// Short and deep, like a finch's.
    Conical,
    /// Long and straight.
    Long,
    /// Long and bent downwards.
    Curved,
    /// Stout with a hooked tip.
    Hooked,
}

/// A beak: shape and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beak {
    /// The shape.
    pub shape: BeakShape,
    /// The colour.
    pub tint: Tint,
}

/// The marking of the crown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrownPattern {
    /// Everything above the eye.
    Cap,
    /// The forehead only.
    Front,
    /// The back of the head.
    Nape,
    /// A stripe over the eye.
    Brow,
    /// A cap with raised feathers.
    Crest,
}

/// The marking around the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EyePattern {
    /// A closed ring.
    Ring,
    /// Two arcs, above and below.
    Crescents,
    /// A broad bare patch.
    Patch,
}

/// The marking of the wing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WingPattern {
    /// Pale tips of the greater coverts.
    OneBar,
    /// Pale tips of the greater and the median coverts.
    TwoBars,
    /// A patch on the closed secondaries.
    Panel,
}

/// The marking of the breast.
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

/// The shape of the end of the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailShape {
    /// Cut straight.
    Square,
    /// Longest at the sides.
    Forked,
    /// Longest in the middle.
    Rounded,
}

/// A tail: shape, length and colour of the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The shape of the end.
    pub shape: TailShape,
    /// Whether the tail is long; otherwise it is short.
    pub long: bool,
    /// The colour of the tip, if marked.
    pub tip: Option<Tint>,
}

/// The look of each part in which species can differ; `None` stands for a plain part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The beak.
    pub beak: Beak,
    /// The crown.
    pub crown: Option<Marking<CrownPattern>>,
    /// The marking around the eye.
    pub eye: Option<Marking<EyePattern>>,
    /// The wing.
    pub wing: Option<Marking<WingPattern>>,
    /// The breast.
    pub breast: Option<Marking<BreastPattern>>,
    /// The tail.
    pub tail: Tail,
}

impl Traits {
    /// Returns the parts in which two birds differ.
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
