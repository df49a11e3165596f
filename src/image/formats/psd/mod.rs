/*!
PSD and PSB of Photoshop: the flat picture that stands behind the layers.
*/

mod flat;
mod parts;
mod reader;

pub(super) use reader::{is_psd, read};
