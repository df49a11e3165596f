use std::collections::HashSet;

use super::*;

#[test]
fn the_same_input_gives_the_same_picture() {
    let (first, second) = (Aviary::new(5, 6), Aviary::new(5, 6));
    assert_eq!(first.specimen(3, 8, 96), second.specimen(3, 8, 96));
    assert_ne!(first.specimen(3, 8, 96), first.specimen(3, 9, 96));
    assert_ne!(first.specimen(3, 8, 96), Aviary::new(6, 6).specimen(3, 8, 96));
}

#[test]
fn a_picture_does_not_depend_on_how_many_species_there_are() {
    let (small, large) = (Aviary::new(11, 24), Aviary::new(11, 60));
    assert_eq!(small.species(), &large.species()[..24]);
    assert_eq!(small.specimen(23, 4, 96), large.specimen(23, 4, 96));
    assert_eq!(Aviary::new(11, 7).species(), &large.species()[..7]);
}

#[test]
fn partners_differ_in_one_part_only() {
    let aviary = Aviary::new(2, 60);
    let mut telling = HashSet::new();
    for pair in aviary.species().chunks_exact(2) {
        let [first, second] = pair else { continue };
        assert_eq!(first.traits.differences(&second.traits), [first.telling]);
        assert_eq!(first.telling, second.telling);
        assert_eq!(first.plumage, second.plumage);
        telling.insert(first.telling);
    }
    assert_eq!(telling.len(), Part::ALL.len());
}

#[test]
fn strangers_differ_in_two_parts_at_least() {
    let aviary = Aviary::new(9, 200);
    for (i, one) in aviary.species().iter().enumerate() {
        for (j, other) in aviary.species().iter().enumerate().skip(i + 1) {
            let least = if i / 2 == j / 2 { 1 } else { 2 };
            assert!(one.traits.differences(&other.traits).len() >= least, "{i} and {j}");
        }
    }
}

#[test]
fn names_are_unique() {
    for seed in [0, 7, u64::MAX] {
        let aviary = Aviary::new(seed, 460);
        let names: HashSet<_> = aviary.species().iter().map(|bird| &bird.name).collect();
        assert_eq!(names.len(), 460);
    }
}

#[test]
fn visible_parts_lie_inside_the_picture() {
    let aviary = Aviary::new(3, 24);
    let size = 96;
    let (mut seen, mut all) = (0, 0);
    for (species, image) in (0..24).flat_map(|s| (0..6).map(move |i| (s, i))) {
        let specimen = aviary.specimen(species, image, size);
        assert_eq!(specimen.picture.dimensions(), (size, size));
        assert_eq!(specimen.parts.len(), Part::ALL.len());
        assert!(!specimen.bird.is_empty());
        for part in &specimen.parts {
            all += 1;
            if part.visible {
                seen += 1;
                assert!(!part.area.is_empty(), "{:?}", part.part);
                assert!(part.area.right <= size && part.area.bottom <= size);
            }
        }
    }
    assert!(seen * 10 > all * 8, "only {seen} of {all} parts can be seen");
    assert!(seen < all, "nothing is ever covered");
}

#[test]
fn the_surroundings_do_not_know_the_species() {
    let aviary = Aviary::new(4, 8);
    let other = Aviary { seed: 4, species: Aviary::new(99, 8).species };
    // Other birds with the same numbers have the same surroundings.
    assert_ne!(aviary.species(), other.species());
    for (species, image) in (0..8).flat_map(|s| (0..8).map(move |i| (s, i))) {
        assert_eq!(aviary.environment(species, image), other.environment(species, image));
    }
    assert_ne!(aviary.environment(0, 1), aviary.environment(1, 1));
    let mean = |species: usize, value: fn(&Environment) -> f32| {
        (0..2000).map(|i| value(&aviary.environment(species, i))).sum::<f32>() / 2000.0
    };
    for value in [
        (|e| f32::from(u8::from(e.stance.faces_left))) as fn(&Environment) -> f32,
        |e| e.stance.fill,
        |e| e.light.exposure,
        |e| f32::from(e.flaws.quality) / 100.0,
        |e| f32::from(u8::from(e.cover.is_some())),
    ] {
        assert!((mean(0, value) - mean(5, value)).abs() < 0.06);
    }
}

#[test]
fn odd_requests_are_answered() {
    assert!(Aviary::new(1, 0).specimen(0, 0, 32).parts.is_empty());
    let aviary = Aviary::new(1, 3);
    assert_eq!(aviary.species().len(), 3);
    assert_eq!(aviary.specimen(4, 2, 48), aviary.specimen(1, 2, 48));
    assert_eq!(aviary.specimen(0, 0, 1).picture.width(), 16);
}
