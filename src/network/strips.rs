/*!
DAHNet's attention: the halves of a map in both directions are boosted, and suppressed for the next
round, so that every round sees something else; rounds then exchange complementary positions.

After Jiang, Tang and Li, "Global Meets Local: Dual Activation Hashing Network for Large-Scale
Fine-Grained Image Retrieval" (TKDE 2024), by the formulas of the authors' code. Norms see whole maps
here, not a half at a time. The channel attention between the blocks of the last layer (CFM) is left
out.
*/

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::{relu, softmax};

use crate::trunk::ConvNorm;

/// Weight of the boost.
const BOOST: f32 = 0.5;
/// Positions whose weight is at least this share of the greatest one are suppressed.
const SHARE: f32 = 0.95;
/// Factor of suppressed positions.
const KEPT: f32 = 0.5;

/// Computes the factors of the stem's feature map in several rounds, which share their weights.
#[derive(Module, Debug)]
pub struct Strips {
    /// 1×1 to one channel: the scores of the upper and the lower half.
    pub rows: ConvNorm,
    /// 1×1 to one channel: the scores of the left and the right half.
    pub columns: ConvNorm,
    #[module(skip)]
    rounds: usize,
}

impl Strips {
    /// Creates `rounds` rounds on a feature map of `channels` channels.
    pub(super) fn new(channels: usize, rounds: usize, device: &Device) -> Self {
        let conv = || ConvNorm::new([channels, 1], 1, 1, 1, device);
        Self { rows: conv(), columns: conv(), rounds }
    }

    /// `[batch, C, H, W]` to `[batch, rounds, H, W]`: what each round multiplies the map by.
    pub fn forward(&self, e: Tensor<4>) -> Tensor<4> {
        let mut left: Option<Tensor<4>> = None;
        let mut factors = Vec::with_capacity(self.rounds);
        for _ in 0..self.rounds {
            let seen = match &left {
                Some(left) => e.clone() * left.clone(),
                None => e.clone(),
            };
            let weights = self.weights(seen);
            let boosted = weights.clone() * BOOST + 1.0;
            let next = suppression(weights);
            let (factor, next) = match left {
                Some(left) => (boosted * left.clone(), next * left),
                None => (boosted, next),
            };
            factors.push(factor);
            left = Some(next);
        }
        Tensor::cat(factors, 1)
    }

    /// Returns the weight of each position, the product of those of its halves: `[batch, C, H, W]`
    /// to `[batch, 1, H, W]`.
    fn weights(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let score = |conv: &ConvNorm| relu(conv.forward(x.clone(), false));
        let rows: Tensor<2> = score(&self.rows).mean_dim(3).reshape([batch, height]);
        let columns: Tensor<2> = score(&self.columns).mean_dim(2).reshape([batch, width]);
        let rows = halves(rows).reshape([batch, 1, height, 1]);
        rows * halves(columns).reshape([batch, 1, 1, width])
    }

    pub(super) fn fold(self) -> Self {
        Self { rows: self.rows.fold(), columns: self.columns.fold(), ..self }
    }
}

/// Weighs the two halves of lines by the softmax of their mean scores, and gives every line the
/// weight of its half: `[batch, lines]` to `[batch, lines]`. The middle one of an odd number of
/// lines belongs to both halves and has their mean weight.
pub fn halves(scores: Tensor<2>) -> Tensor<2> {
    let [_, lines] = scores.dims();
    let device = scores.device();
    let first = lines.div_ceil(2);
    let inside = |half: usize, line: usize| {
        if half == 0 { line < first } else { line >= lines - first }
    };
    let table = |value: &dyn Fn(usize, usize) -> f32| -> Tensor<2> {
        let values = (0..2).flat_map(|half| (0..lines).map(move |line| (half, line)));
        let values = values.map(|(half, line)| value(half, line)).collect::<Vec<_>>();
        Tensor::from_data(TensorData::new(values, [2, lines]), &device)
    };
    let means = table(&|half, line| if inside(half, line) { 1.0 / first as f32 } else { 0.0 });
    let spread = table(&|half, line| match (inside(half, line), inside(1 - half, line)) {
        (true, true) => 0.5,
        (true, false) => 1.0,
        (false, _) => 0.0,
    });
    softmax(scores.matmul(means.transpose()), 1).matmul(spread)
}

/// Returns the factors that suppress the strongest positions of weights `[batch, 1, H, W]`: 0.5
/// where a weight is at least 0.95 of the greatest one of its image, 1 elsewhere. They have no
/// gradient.
pub fn suppression(weights: Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = weights.dims();
    let flat = weights.detach().reshape([batch, height * width]);
    let most = flat.clone().max_dim(1) * SHARE;
    let strong = (flat - most).greater_equal_elem(0.0).float();
    (strong * (KEPT - 1.0) + 1.0).reshape([batch, 1, height, width])
}

/// Exchanges complementary positions between neighbouring rounds. `maps` are
/// `[batch · M, C, H, W]`, the rounds of an image adjacent; so is the result.
///
/// With s the softmax over positions of the cosine of two rounds' features and s' that of 1 − s,
/// the later round gets `o_earlier·s` and the earlier one `o_later·s'`, added to its own. A round
/// between two others gets the mean of what they give.
pub fn complemented(maps: Tensor<4>, rounds: usize) -> Tensor<4> {
    let [all, channels, height, width] = maps.dims();
    if rounds < 2 {
        return maps;
    }
    let (batch, places) = (all / rounds, height * width);
    let o: Tensor<4> = maps.reshape([batch, rounds, channels, places]);
    let length = ((o.clone() * o.clone()).sum_dim(2) + 1e-12).sqrt();
    let unit = o.clone() / length;
    let from = |x: &Tensor<4>, first: usize| x.clone().narrow(1, first, rounds - 1);
    let alike = softmax((from(&unit, 0) * from(&unit, 1)).sum_dim(2), 3);
    let unlike = softmax(alike.clone().neg() + 1.0, 3);
    let (to_later, to_earlier) = (from(&o, 0) * alike, from(&o, 1) * unlike);
    let none = Tensor::zeros([batch, 1, channels, places], &o.device());
    let given = Tensor::cat(vec![to_earlier, none.clone()], 1);
    let given = given + Tensor::cat(vec![none, to_later], 1);
    let shares = (0..rounds).map(|t| if t == 0 || t + 1 == rounds { 1.0 } else { 0.5 });
    let shares = TensorData::new(shares.collect::<Vec<f32>>(), [1, rounds, 1, 1]);
    let shares = Tensor::from_data(shares, &o.device());
    (o + given * shares).reshape([all, channels, height, width])
}
