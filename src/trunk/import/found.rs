/*!
What the tensors of a published file tell.
*/

use crate::trunk::{Input, TrunkKind};

/// The licence of DINOv3's weights.
pub(super) const DINOV3: &str =
    "DINOv3 License (commercial use is allowed; the licence goes with the weights)";

/// The network in a file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The kinds that have such tensors. They differ in what tensors do not tell.
    pub kinds: Vec<TrunkKind>,
    /// The preparation of images, where the file tells another one than the usual.
    pub input: Option<Input>,
    /// The licence, where the file tells it.
    pub licence: Option<String>,
}

impl Found {
    pub fn of(kind: TrunkKind) -> Self {
        Self { kinds: vec![kind], input: None, licence: None }
    }
}
