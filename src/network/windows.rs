/*!
Windows of a picture that stand out from what is around them, chosen from a map of salience.
*/

use crate::image::Rect;

/// Sides of the windows, as shares of the picture's short side.
const SIDES: [f64; 4] = [1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.5, 1.0 / 6.5];
/// Windows that overlap more than this (intersection over union) are not both chosen.
const OVERLAP: f64 = 0.25;

/// Chooses up to `count` windows of a picture of `width` × `height` pixels, the most salient first.
///
/// `map` is the salience of `side` × `side` equal cells of the whole picture, row by row. A window
/// is scored by how much more salience it has than the ring of half its side around it, per cell,
/// times its own side: like a blob that is looked for at several scales.
pub fn windows(map: &[f32], side: usize, width: u32, height: u32, count: usize) -> Vec<Rect> {
    if side == 0 || map.len() != side * side || width == 0 || height == 0 {
        return Vec::new();
    }
    let sums = Sums::new(map, side);
    let mut scored = Vec::new();
    let mut before = (0, 0);
    for share in SIDES {
        let window = share * f64::from(width.min(height));
        let cells =
            |all: u32| ((window / f64::from(all) * side as f64).round() as usize).clamp(1, side);
        let (across, down) = (cells(width), cells(height));
        // On a coarse map, two shares may be the same window.
        if std::mem::replace(&mut before, (across, down)) == (across, down) {
            continue;
        }
        for top in 0..=side - down {
            for left in 0..=side - across {
                let cells = Cells { left, top, right: left + across, bottom: top + down };
                let score = sums.score(cells);
                if score > 0.0 {
                    scored.push((score, cells));
                }
            }
        }
    }
    // Equal scores stay in the order of the loops.
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut chosen: Vec<Cells> = Vec::new();
    for (_, cells) in scored {
        if chosen.len() == count {
            break;
        }
        if chosen.iter().all(|other| cells.overlap(other) <= OVERLAP) {
            chosen.push(cells);
        }
    }
    chosen.into_iter().map(|cells| cells.rect(side, width, height)).collect()
}

/// A rectangle of cells; right and bottom are the first cells outside.
#[derive(Debug, Clone, Copy)]
struct Cells {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Cells {
    fn area(&self) -> f64 {
        ((self.right - self.left) * (self.bottom - self.top)) as f64
    }

    /// Intersection over union.
    fn overlap(&self, other: &Self) -> f64 {
        let across = self.right.min(other.right).saturating_sub(self.left.max(other.left));
        let down = self.bottom.min(other.bottom).saturating_sub(self.top.max(other.top));
        let both = (across * down) as f64;
        both / (self.area() + other.area() - both)
    }

    /// The pixels of the cells.
    fn rect(&self, side: usize, width: u32, height: u32) -> Rect {
        let pixel = |cell: usize, all: u32| (cell as u64 * u64::from(all) / side as u64) as u32;
        let (x, y) = (pixel(self.left, width), pixel(self.top, height));
        let across = pixel(self.right, width).saturating_sub(x).max(1);
        let down = pixel(self.bottom, height).saturating_sub(y).max(1);
        Rect { x, y, width: across, height: down }
    }
}

/// Sums of a map over all rectangles that begin at its first cell.
struct Sums {
    side: usize,
    sums: Vec<f64>,
}

impl Sums {
    fn new(map: &[f32], side: usize) -> Self {
        let mut sums = vec![0.0; (side + 1) * (side + 1)];
        for (row, values) in map.chunks_exact(side).enumerate() {
            let mut line = 0.0;
            for (column, value) in values.iter().enumerate() {
                // A network with damaged weights may give no number.
                line += if value.is_finite() { f64::from(*value) } else { 0.0 };
                let above = sums[row * (side + 1) + column + 1];
                sums[(row + 1) * (side + 1) + column + 1] = above + line;
            }
        }
        Self { side, sums }
    }

    fn of(&self, cells: Cells) -> f64 {
        let at = |row: usize, column: usize| self.sums[row * (self.side + 1) + column];
        let Cells { left, top, right, bottom } = cells;
        at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    }

    fn score(&self, cells: Cells) -> f64 {
        let (across, down) = (cells.right - cells.left, cells.bottom - cells.top);
        let (beside, above) = ((across / 2).max(1), (down / 2).max(1));
        let around = Cells {
            left: cells.left.saturating_sub(beside),
            top: cells.top.saturating_sub(above),
            right: (cells.right + beside).min(self.side),
            bottom: (cells.bottom + above).min(self.side),
        };
        let (inside, area) = (self.of(cells), cells.area());
        let ring = around.area() - area;
        let outside = if ring > 0.0 { (self.of(around) - inside) / ring } else { 0.0 };
        (inside / area - outside) * area.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blobs_are_found_the_most_salient_first() {
        let mut map = vec![0.1f32; 14 * 14];
        let mut blob = |left: usize, top: usize, side: usize, value: f32| {
            for row in top..top + side {
                map[row * 14 + left..row * 14 + left + side].fill(value);
            }
        };
        blob(2, 3, 3, 1.0);
        blob(9, 8, 3, 2.0);
        let found = windows(&map, 14, 1400, 1400, 2);
        assert_eq!(found[0], Rect { x: 900, y: 800, width: 300, height: 300 });
        assert_eq!(found[1], Rect { x: 200, y: 300, width: 300, height: 300 });
        // Where nothing stands out, nothing is chosen; nor from what is no map.
        assert_eq!(windows(&[1.0; 196], 14, 100, 100, 4), []);
        assert_eq!(windows(&[1.0; 195], 14, 100, 100, 4), []);
        assert_eq!(windows(&[f32::NAN; 196], 14, 100, 100, 4), []);
    }

    proptest! {
        #[test]
        fn windows_lie_in_the_picture_and_apart(
            map in prop::collection::vec(0f32..9.0, 49),
            width in 1u32..4000, height in 1u32..4000, count in 0usize..9,
        ) {
            let found = windows(&map, 7, width, height, count);
            prop_assert!(found.len() <= count);
            for (i, a) in found.iter().enumerate() {
                prop_assert!(a.width >= 1 && a.height >= 1);
                prop_assert!(a.x + a.width <= width && a.y + a.height <= height);
                prop_assert!(!found[..i].contains(a) || width < 7 || height < 7);
            }
        }
    }
}
