/*!
The pointing score: how often attention peaks on a part that distinguishes the class.

Follows the pointing game of Zhang et al. ("Top-down Neural Attention by Excitation Backprop",
2016): an image is a hit if the peak of its attention lies in a box of such a part.
*/

use serde::{Deserialize, Serialize};

/// Shares of images in which attention points at a distinguishing part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pointing {
    /// Number of images with a visible distinguishing part.
    pub images: usize,
    /// The share of these images whose attention peaks in a box of a distinguishing part.
    pub share: f64,
    /// The expected share if a random point of each image were chosen.
    pub chance: f64,
}

impl Pointing {
    /// Computes the score of several images, given whether each is a hit and its chance level.
    /// Returns `None` if there are no images.
    pub fn of(looks: &[(bool, f64)]) -> Option<Self> {
        let images = looks.len();
        let mean = |sum: f64| sum / images as f64;
        (images > 0).then(|| Self {
            images,
            share: mean(looks.iter().filter(|(hit, _)| *hit).count() as f64),
            chance: mean(looks.iter().map(|(_, chance)| chance).sum()),
        })
    }
}

/// Returns whether the peak of an image's attention is a hit, and the share of all cells that are
/// hits (the chance level). `counts` decides whether a point is a hit; it receives the centre of a
/// cell as x and y from 0 to 1.
///
/// The peak is the cell that exceeds the mean of its map by the most standard deviations, because
/// maps of different parts have different scales. A constant map has no peak; if all maps are
/// constant, the image is a miss.
pub fn look(maps: &[Vec<f32>], side: usize, counts: impl Fn(f64, f64) -> bool) -> (bool, f64) {
    let middle = |cell: usize| (cell as f64 + 0.5) / side as f64;
    let holds = |place: usize| counts(middle(place % side), middle(place / side));
    let strongest = maps.iter().filter_map(|map| peak(map)).max_by(|a, b| a.0.total_cmp(&b.0));
    let cells = side * side;
    let inside = (0..cells).filter(|place| holds(*place)).count();
    let hit = strongest.is_some_and(|(_, place)| holds(place));
    (hit, inside as f64 / cells.max(1) as f64)
}

/// Returns how many standard deviations a map's maximum exceeds the mean, and its position.
fn peak(map: &[f32]) -> Option<(f32, usize)> {
    let count = map.len() as f32;
    let mean = map.iter().sum::<f32>() / count;
    let spread = (map.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / count).sqrt();
    let (place, value) = map.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    (spread > 0.0).then_some(((value - mean) / spread, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a map of 4 × 4 cells with one high value.
    fn planted(place: usize, value: f32) -> Vec<f32> {
        let mut map = vec![1.0; 16];
        map[place] = value;
        map
    }

    #[test]
    fn a_planted_peak_hits_its_box_alone() {
        // The upper right quarter: cells 2, 3, 6 and 7.
        let quarter = |x: f64, y: f64| x >= 0.5 && y < 0.5;
        for place in 0..16 {
            let hit = [2, 3, 6, 7].contains(&place);
            assert_eq!(look(&[planted(place, 2.0)], 4, quarter), (hit, 0.25), "{place}");
        }
    }

    #[test]
    fn the_map_that_stands_out_most_counts_whatever_its_scale() {
        let left = |x: f64, _: f64| x < 0.5;
        let mut vague: Vec<f32> = (0..16).map(|i| 100.0 + (i % 4) as f32).collect();
        assert!(look(&[vague.clone(), planted(0, 1.5)], 4, left).0);
        assert!(!look(&[vague.clone(), planted(3, 1.5)], 4, left).0);
        vague.fill(5.0);
        assert!(!look(&[vague], 4, |_, _| true).0, "a flat map points nowhere");
        assert!(!look(&[], 4, |_, _| true).0);
    }

    #[test]
    fn random_places_score_as_chance() {
        let corner = |x: f64, y: f64| x < 0.25 && y < 0.25;
        let looks: Vec<_> = (0..16).map(|p| look(&[planted(p, 2.0)], 4, corner)).collect();
        let score = Pointing::of(&looks).unwrap();
        assert_eq!((score.images, score.share, score.chance), (16, 1.0 / 16.0, 1.0 / 16.0));
        assert_eq!(Pointing::of(&[]), None);
    }
}
