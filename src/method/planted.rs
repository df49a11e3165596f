/*!
Test data: labelled features around planted class centres.
*/

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::hash::Features;

/// Generated features with labels.
pub struct Set {
    pub dim: usize,
    pub values: Vec<f32>,
    pub labels: Vec<Vec<u32>>,
}

impl Set {
    pub fn features(&self) -> Features<'_> {
        Features { dim: self.dim, values: &self.values }
    }
}

/// Generates `per_class` images around each of `classes` centres. The centres differ only along the
/// first half of the axes. The variance within classes is largest there too: along the first eighth
/// of the axes it is scaled by `nuisance`.
pub fn planted(classes: u32, per_class: usize, dim: usize, nuisance: f32, seed: u64) -> Set {
    let noise = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    // All seeds share the centres, so two seeds give two samples of the same classes.
    let mut rng = ChaCha8Rng::seed_from_u64(1000);
    let spread = |j: usize| if j < dim / 2 { 2.0 } else { 0.0 };
    let mut centre = || (0..dim).map(|j| spread(j) * noise(&mut rng)).collect();
    let centres: Vec<Vec<f32>> = (0..classes).map(|_| centre()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut set = Set { dim, values: Vec::new(), labels: Vec::new() };
    for image in 0..classes as usize * per_class {
        let class = image % classes as usize;
        for (j, centre) in centres[class].iter().enumerate() {
            let scale = if j < dim / 8 { nuisance } else { 1.0 };
            set.values.push(centre + 3.0 + 2.0 * scale * noise(&mut rng));
        }
        set.labels.push(vec![class as u32]);
    }
    set
}
