/*!
AVIF: AV1 stills in an ISO container. They are read with the feature `avif`, else only recognised.
*/

#[cfg(feature = "avif")]
mod container;
#[cfg(feature = "avif")]
mod planes;
#[cfg(feature = "avif")]
mod reader;
mod recognise;
#[cfg(not(feature = "avif"))]
mod refused;

pub(super) use recognise::is_avif;

#[cfg(feature = "avif")]
pub(super) use reader::read;
#[cfg(not(feature = "avif"))]
pub(super) use refused::read;
