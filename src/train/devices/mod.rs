/*!
Several devices of one machine that share every update.

Each device passes its share of the images through a copy of the network, all at the same time. The
first device collects the gradients, weighted by images, and makes the update; the others get its
weights before the next one. All data go through the host's memory, with one read per device: Burn's
collectives need a transport between devices, which wgpu does not have (docs/SCALE.md).
*/

mod team;

pub(super) use team::{Team, check};
