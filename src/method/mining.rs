/*!
AGMH's attention to projections, in training only: it finds where each projection looks, so that a
term of the loss can move them apart.

After Lu, Chen, Cao, Zhou and Lu, "Attributes Grouping and Mining Hashing for Fine-Grained Image
Retrieval" (ACM MM 2023).
*/

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::{relu, softmax};

use crate::network::Projections;
use crate::trunk::ConvNorm;

/// Queries of a branch.
const QUERIES: usize = 4;
/// Slots of a query.
const SLOTS: usize = 128;

/// The attention of one projection. Linear layers work on the channels of each position.
#[derive(Module, Debug)]
pub struct Branch {
    /// On the map, before the queries.
    pub enter: Linear,
    /// To the slots of each query.
    pub queries: Vec<Linear>,
    /// Joins the queries so far with the next one.
    pub join: Vec<Linear>,
    /// From slots back to channels.
    pub leave: Linear,
    /// On the result, before the map is added.
    pub last: ConvNorm,
}

impl Branch {
    fn new(width: usize, device: &Device) -> Self {
        let plain =
            |from: usize, to: usize| LinearConfig::new(from, to).with_bias(false).init(device);
        let mut enter = plain(width, width);
        enter.bias = Some(Param::from_tensor(Tensor::zeros([width], device)));
        Self {
            enter,
            queries: (0..QUERIES).map(|_| plain(width, SLOTS)).collect(),
            join: (1..QUERIES).map(|_| plain(2 * SLOTS, SLOTS)).collect(),
            leave: plain(SLOTS, width),
            last: ConvNorm::new([width, width], 1, 1, 1, device),
        }
    }

    /// Computes the attended map of a projection, `[batch, C, H, W]`, of the same shape.
    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = map.dims();
        let places = height * width;
        let x: Tensor<3> = map.clone().reshape([batch, channels, places]);
        let x = self.enter.forward(x.swap_dims(1, 2));
        let mut queries = self.queries.iter().map(|query| query.forward(x.clone()));
        let Some(mut joined) = queries.next() else { return map };
        for (query, join) in queries.zip(&self.join) {
            joined = join.forward(Tensor::cat(vec![joined, query], 2));
        }
        let found = self.leave.forward(attention(joined)).swap_dims(1, 2);
        let found = self.last.forward(found.reshape([batch, channels, height, width]), false);
        relu(found + map)
    }
}

/// Computes the attention of queries `[batch, positions, slots]`: the softmax over positions,
/// divided by its sum over slots.
pub fn attention(queries: Tensor<3>) -> Tensor<3> {
    let attention = softmax(queries, 1);
    let sum = attention.clone().sum_dim(2) + 1e-9;
    attention / sum
}

/// The attention of all projections.
#[derive(Module, Debug)]
pub struct Mining {
    /// A branch for each projection.
    pub branches: Vec<Branch>,
}

impl Mining {
    /// Creates attention to `projections` projections of a map of `channels` channels.
    pub fn new(channels: usize, projections: usize, device: &Device) -> Self {
        let width = Projections::width(channels);
        Self { branches: (0..projections).map(|_| Branch::new(width, device)).collect() }
    }

    /// Computes the attended maps of the projections.
    pub fn forward(&self, maps: &[Tensor<4>]) -> Vec<Tensor<4>> {
        let branches = self.branches.iter().zip(maps);
        branches.map(|(branch, map)| branch.forward(map.clone())).collect()
    }

    /// Returns the number of activations at one position of an image.
    pub fn activations(channels: usize, projections: usize) -> usize {
        let width = Projections::width(channels);
        projections * (5 * width + QUERIES * 4 * SLOTS)
    }
}

/// L_ADL: the mean over pairs of maps `[batch, C, H, W]` and over images of `Σ s_i·s_j` over
/// positions, where s is the softmax over positions of a map's maximum over channels.
pub fn dispersion(maps: &[Tensor<4>]) -> Tensor<1> {
    let strengths: Vec<Tensor<2>> = maps
        .iter()
        .map(|map| {
            let [batch, _, height, width] = map.dims();
            softmax(map.clone().max_dim(1).reshape([batch, height * width]), 1)
        })
        .collect();
    let pairs = (0..maps.len()).flat_map(|i| (i + 1..maps.len()).map(move |j| (i, j)));
    let count = pairs.clone().count().max(1) as f32;
    let shared =
        pairs.map(|(i, j)| (strengths[i].clone() * strengths[j].clone()).sum_dim(1).mean());
    let sum: Option<Tensor<1>> = shared.reduce(|sum, shared| sum + shared);
    sum.map_or_else(|| Tensor::zeros([1], &maps[0].device()), |sum| sum / count)
}
