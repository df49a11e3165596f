/*!
Species: their traits, and their arrangement in pairs.

Species 2k and 2k + 1 share everything except one part, the telling part. Any other two species
differ in at least two parts, so the partner is always the nearest neighbour. About half of the
pairs are closely related to an earlier pair.
*/

use std::collections::HashSet;

use rand::{Rng, RngExt};

use super::colour::{Colour, Plumage, Tint};
use super::traits::{
    Beak, BeakShape, BreastPattern, CrownPattern, EyePattern, Marking, Tail, TailShape, Traits,
    WingPattern,
};
use super::{Part, names, stream};

/// One species of the aviary.
#[derive(Clone, Debug, PartialEq)]
pub struct Species {
    /// Invented common name, unique in the aviary.
    pub name: String,
    /// The look of each part.
    pub traits: Traits,
    /// The colours, shared with the partner.
    pub plumage: Plumage,
    /// The one part in which the species differs from its partner.
    pub telling: Part,
}

/// Minimum colour distance between a marking and the plumage around it, so that it is visible.
const CONTRAST: f32 = 0.32;
/// Minimum colour distance between two tints, so that poor light does not confuse them.
const TELLING_CONTRAST: f32 = 0.55;
/// Probability that a part has no marking.
const PLAIN: f64 = 0.3;

const BEAKS: [BeakShape; 5] =
    [BeakShape::Fine, BeakShape::Conical, BeakShape::Long, BeakShape::Curved, BeakShape::Hooked];
const BEAK_TINTS: [Tint; 5] = [Tint::Black, Tint::Slate, Tint::Golden, Tint::Orange, Tint::Crimson];
const CROWNS: [CrownPattern; 5] = [
    CrownPattern::Cap,
    CrownPattern::Front,
    CrownPattern::Nape,
    CrownPattern::Brow,
    CrownPattern::Crest,
];
const CROWN_TINTS: [Tint; 8] = [
    Tint::Black,
    Tint::White,
    Tint::Slate,
    Tint::Rusty,
    Tint::Golden,
    Tint::Crimson,
    Tint::Chestnut,
    Tint::Azure,
];
const EYES: [EyePattern; 3] = [EyePattern::Ring, EyePattern::Crescents, EyePattern::Patch];
const EYE_TINTS: [Tint; 5] = [Tint::White, Tint::Golden, Tint::Orange, Tint::Azure, Tint::Crimson];
const WINGS: [WingPattern; 3] = [WingPattern::OneBar, WingPattern::TwoBars, WingPattern::Panel];
const WING_TINTS: [Tint; 5] = [Tint::White, Tint::Buff, Tint::Golden, Tint::Rusty, Tint::Ashy];
const BREASTS: [BreastPattern; 4] =
    [BreastPattern::Streaks, BreastPattern::Spots, BreastPattern::Bib, BreastPattern::Band];
const BREAST_TINTS: [Tint; 5] =
    [Tint::Black, Tint::Chestnut, Tint::Slate, Tint::Rusty, Tint::Crimson];
const TAILS: [TailShape; 3] = [TailShape::Square, TailShape::Forked, TailShape::Rounded];
const TAIL_TINTS: [Tint; 5] = [Tint::White, Tint::Golden, Tint::Rusty, Tint::Buff, Tint::Ashy];

/// Picks a random entry of a list except `taken`; `None` if no entry remains.
fn other<T: Copy + PartialEq>(rng: &mut impl Rng, list: &[T], taken: Option<T>) -> Option<T> {
    let free: Vec<T> = list.iter().copied().filter(|entry| Some(*entry) != taken).collect();
    if free.is_empty() { None } else { free.get(rng.random_range(0..free.len())).copied() }
}

/// Returns the tints that stand out from the plumage around them.
fn standing_out(tints: &[Tint], ground: Colour) -> Vec<Tint> {
    let clear = |tint: &Tint| tint.colour().distance(ground) > CONTRAST;
    tints.iter().copied().filter(clear).collect()
}

/// Returns the tints that cannot be mistaken for `old`.
fn unlike(tints: &[Tint], old: Tint) -> Vec<Tint> {
    let clear = |tint: &Tint| tint.colour().distance(old.colour()) > TELLING_CONTRAST;
    tints.iter().copied().filter(clear).collect()
}

/// Draws a marking that stands out from `ground`; sometimes `None`.
fn draw_marking<P: Copy + PartialEq>(
    rng: &mut impl Rng,
    patterns: &[P],
    tints: &[Tint],
    ground: Colour,
) -> Option<Marking<P>> {
    if rng.random_bool(PLAIN) {
        return None;
    }
    let pattern = other(rng, patterns, None)?;
    let tint = other(rng, &standing_out(tints, ground), None)?;
    Some(Marking { pattern, tint })
}

/// Draws a marking that differs from `old` in one respect: presence, pattern, or tint.
fn vary_marking<P: Copy + PartialEq>(
    rng: &mut impl Rng,
    old: Option<Marking<P>>,
    patterns: &[P],
    tints: &[Tint],
    ground: Colour,
) -> Option<Marking<P>> {
    let Some(Marking { pattern, tint }) = old else {
        let pattern = other(rng, patterns, None)?;
        let tint = other(rng, &standing_out(tints, ground), None)?;
        return Some(Marking { pattern, tint });
    };
    let recoloured = unlike(&standing_out(tints, ground), tint);
    match rng.random_range(0..3) {
        0 => None,
        1 => other(rng, patterns, Some(pattern)).map(|pattern| Marking { pattern, tint }),
        _ => other(rng, &recoloured, None).map(|tint| Marking { pattern, tint }),
    }
}

impl Traits {
    /// Draws the traits of a bird with the given plumage.
    fn draw(rng: &mut impl Rng, coat: &Plumage) -> Self {
        let beak = Beak {
            shape: other(rng, &BEAKS, None).unwrap_or(BeakShape::Fine),
            tint: other(rng, &BEAK_TINTS, None).unwrap_or(Tint::Black),
        };
        let tail = Tail {
            shape: other(rng, &TAILS, None).unwrap_or(TailShape::Square),
            long: rng.random_bool(0.45),
            tip: draw_marking(rng, &[()], &TAIL_TINTS, coat.flight).map(|mark| mark.tint),
        };
        Self {
            beak,
            crown: draw_marking(rng, &CROWNS, &CROWN_TINTS, coat.mantle),
            eye: draw_marking(rng, &EYES, &EYE_TINTS, coat.mantle),
            wing: draw_marking(rng, &WINGS, &WING_TINTS, coat.flight),
            breast: draw_marking(rng, &BREASTS, &BREAST_TINTS, coat.breast),
            tail,
        }
    }

    /// Returns the same traits except `part`, which is drawn again and differs in one respect.
    fn varied(self, rng: &mut impl Rng, part: Part, coat: &Plumage) -> Self {
        let mut new = self;
        match part {
            Part::Beak => new.beak = vary_beak(rng, self.beak),
            Part::Crown => {
                new.crown = vary_marking(rng, self.crown, &CROWNS, &CROWN_TINTS, coat.mantle);
            }
            Part::Eye => new.eye = vary_marking(rng, self.eye, &EYES, &EYE_TINTS, coat.mantle),
            Part::Wing => new.wing = vary_marking(rng, self.wing, &WINGS, &WING_TINTS, coat.flight),
            Part::Breast => {
                new.breast = vary_marking(rng, self.breast, &BREASTS, &BREAST_TINTS, coat.breast);
            }
            Part::Tail => new.tail = vary_tail(rng, self.tail, coat),
        }
        new
    }
}

fn vary_beak(rng: &mut impl Rng, old: Beak) -> Beak {
    if rng.random_bool(0.6) {
        Beak { shape: other(rng, &BEAKS, Some(old.shape)).unwrap_or(old.shape), ..old }
    } else {
        let tints = unlike(&BEAK_TINTS, old.tint);
        Beak { tint: other(rng, &tints, None).unwrap_or(old.tint), ..old }
    }
}

fn vary_tail(rng: &mut impl Rng, old: Tail, coat: &Plumage) -> Tail {
    match rng.random_range(0..3) {
        0 => Tail { shape: other(rng, &TAILS, Some(old.shape)).unwrap_or(old.shape), ..old },
        1 => Tail { long: !old.long, ..old },
        _ if old.tip.is_some() => Tail { tip: None, ..old },
        _ => Tail { tip: other(rng, &standing_out(&TAIL_TINTS, coat.flight), None), ..old },
    }
}

/// Draws the look of a pair's first species. With probability 1/2, the pair is closely related to
/// an earlier one: it has nearly the same colours and most of the same traits.
fn draw_look(rng: &mut impl Rng, before: &[Species]) -> (Traits, Plumage) {
    let kin = if rng.random_bool(0.5) { any_of(rng, before) } else { None };
    let Some(kin) = kin else {
        let plumage = Plumage::draw(rng);
        return (Traits::draw(rng, &plumage), plumage);
    };
    let plumage = kin.plumage.shifted(rng);
    let changed = other(rng, &Part::ALL, None);
    let traits = [changed, other(rng, &Part::ALL, changed)]
        .into_iter()
        .flatten()
        .fold(kin.traits, |traits, part| traits.varied(rng, part, &plumage));
    (traits, plumage)
}

fn any_of<'a>(rng: &mut impl Rng, before: &'a [Species]) -> Option<&'a Species> {
    if before.is_empty() { None } else { before.get(rng.random_range(0..before.len())) }
}

/// Draws the two sets of traits of a pair, each differing from all species `before` in at least two
/// parts.
///
/// A few draws suffice: there are millions of sets, and each earlier species excludes only a few
/// dozen.
fn draw_pair(rng: &mut impl Rng, telling: Part, before: &[Species]) -> (Traits, Traits, Plumage) {
    loop {
        let (first, plumage) = draw_look(rng, before);
        let second = first.varied(rng, telling, &plumage);
        let apart = |new: &Traits| before.iter().all(|b| b.traits.differences(new).len() > 1);
        if first != second && apart(&first) && apart(&second) {
            return (first, second, plumage);
        }
    }
}

/// Returns the first `count` species of a seed; a longer list starts with the shorter one.
pub(super) fn family(seed: u64, count: usize) -> Vec<Species> {
    let mut species: Vec<Species> = Vec::with_capacity(count + 1);
    let mut genera = HashSet::new();
    for pair in 0..count.div_ceil(2) {
        let mut rng = stream(seed, "pair", pair, 0);
        let telling = Part::ALL[(pair + seed as usize) % Part::ALL.len()];
        let (first, second, plumage) = draw_pair(&mut rng, telling, &species);
        let genus = names::genus(&mut rng, &mut genera);
        for (own, partner) in [(first, second), (second, first)] {
            let name = format!("{} {genus}", names::epithet(&own, &partner, telling));
            species.push(Species { name, traits: own, plumage, telling });
        }
    }
    species.truncate(count);
    species
}
