/*!
Invented species names in the style of field guides.

The two species of a pair share the last word, which is unique to the pair. The first word
describes the part in which they differ.
*/

use std::collections::HashSet;

use rand::{Rng, RngExt};

use super::Part;
use super::traits::{
    Beak, BeakShape, BreastPattern, CrownPattern, EyePattern, Marking, Tail, TailShape, Traits,
    WingPattern,
};

const PLACES: [&str; 26] = [
    "Reed", "Thorn", "Moss", "Willow", "Heath", "Fern", "Bramble", "Marsh", "Alder", "Birch",
    "Sedge", "Hazel", "Ivy", "Larch", "Bracken", "Gorse", "Rowan", "Elder", "Clover", "Juniper",
    "Thistle", "Briar", "Meadow", "Cedar", "Brook", "Dune",
];

const KINDS: [&str; 12] = [
    "ling", "finch", "chat", "creeper", "flit", "warbler", "hopper", "bunting", "wren", "singer",
    "thrush", "wing",
];

const RANGES: [&str; 8] =
    ["Hill", "Island", "Forest", "Upland", "Coastal", "Valley", "Garden", "Steppe"];

/// Draws a last word that is not in `taken`, and adds it there.
pub(super) fn genus(rng: &mut impl Rng, taken: &mut HashSet<String>) -> String {
    let mut tries = 0_usize;
    loop {
        let place = PLACES[rng.random_range(0..PLACES.len())];
        let kind = KINDS[rng.random_range(0..KINDS.len())];
        let plain = format!("{place}{kind}");
        // A large aviary runs out of plain words: later tries add a region, then a number.
        let word = match tries {
            0..400 => plain,
            400..4000 => format!("{} {plain}", RANGES[tries % RANGES.len()]),
            _ => format!("{plain} {}", taken.len()),
        };
        tries += 1;
        if taken.insert(word.clone()) {
            return word;
        }
    }
}

/// Returns the first word: the look of the part `telling`, compared with the partner's.
pub(super) fn epithet(own: &Traits, partner: &Traits, telling: Part) -> String {
    match telling {
        Part::Beak => beak(own.beak, partner.beak),
        Part::Crown => marked(own.crown, "Plain-crowned", crown),
        Part::Eye => marked(own.eye, "Plain-faced", eye),
        Part::Wing => wing(own.wing, partner.wing),
        Part::Breast => marked(own.breast, "Plain-breasted", breast),
        Part::Tail => tail(own.tail, partner.tail),
    }
}

/// Returns the tint and a word for the pattern, or `plain` if there is no marking.
fn marked<P: Copy>(
    marking: Option<Marking<P>>,
    plain: &str,
    word: impl Fn(P) -> &'static str,
) -> String {
    match marking {
        Some(mark) => format!("{}-{}", mark.tint.name(), word(mark.pattern)),
        None => plain.to_owned(),
    }
}

fn crown(pattern: CrownPattern) -> &'static str {
    match pattern {
        CrownPattern::Cap => "capped",
        CrownPattern::Front => "fronted",
        CrownPattern::Nape => "naped",
        CrownPattern::Brow => "browed",
        CrownPattern::Crest => "crested",
    }
}

fn eye(pattern: EyePattern) -> &'static str {
    match pattern {
        EyePattern::Ring => "ringed",
        EyePattern::Crescents => "lidded",
        EyePattern::Patch => "spectacled",
    }
}

fn wing(own: Option<Marking<WingPattern>>, partner: Option<Marking<WingPattern>>) -> String {
    let Some(mark) = own else { return "Plain-winged".to_owned() };
    let same_tint = partner.is_some_and(|other| other.tint == mark.tint);
    match mark.pattern {
        WingPattern::OneBar if same_tint => "One-barred".to_owned(),
        WingPattern::TwoBars if same_tint => "Two-barred".to_owned(),
        WingPattern::Panel => format!("{}-winged", mark.tint.name()),
        _ => format!("{}-barred", mark.tint.name()),
    }
}

fn breast(pattern: BreastPattern) -> &'static str {
    match pattern {
        BreastPattern::Streaks => "streaked",
        BreastPattern::Spots => "spotted",
        BreastPattern::Bib => "bibbed",
        BreastPattern::Band => "banded",
    }
}

fn beak(own: Beak, partner: Beak) -> String {
    if own.tint != partner.tint {
        return format!("{}-billed", own.tint.name());
    }
    let word = match own.shape {
        BeakShape::Fine => "Fine",
        BeakShape::Conical => "Thick",
        BeakShape::Long => "Long",
        BeakShape::Curved => "Curve",
        BeakShape::Hooked => "Hook",
    };
    format!("{word}-billed")
}

fn tail(own: Tail, partner: Tail) -> String {
    if own.long != partner.long {
        return if own.long { "Long-tailed" } else { "Short-tailed" }.to_owned();
    }
    if own.tip != partner.tip {
        let tint = own.tip.map(|tint| format!("{}-tipped", tint.name()));
        return tint.unwrap_or_else(|| "Plain-tailed".to_owned());
    }
    let word = match own.shape {
        TailShape::Square => "Square",
        TailShape::Forked => "Fork",
        TailShape::Rounded => "Round",
    };
    format!("{word}-tailed")
}
