/*!
Checks and conversions shared by the methods that are fitted in closed form.
*/

use faer::MatRef;

use super::MethodError;
use crate::code::BinaryCodes;
use crate::hash::{Features, LinearHash};

/// Checks that features are usable, `bits` is valid, and there are at least `least` images.
pub(super) fn check_fit(
    features: Features<'_>,
    bits: usize,
    least: usize,
) -> Result<(), MethodError> {
    features.check()?;
    BinaryCodes::new(bits)?;
    match features.len() {
        found if found < least => Err(MethodError::Images { least, found }),
        _ => Ok(()),
    }
}

/// Returns an error if all images have the same features.
///
/// Their computed variance may differ from zero, because their mean is rounded.
pub(super) fn check_variance<'a>(
    mut rows: impl Iterator<Item = &'a [f32]>,
) -> Result<(), MethodError> {
    let first = rows.next();
    if rows.all(|row| Some(row) == first) {
        return Err(MethodError::NoVariance);
    }
    Ok(())
}

/// Converts `mean` (d numbers) and `projection` (d×c) to a hash in single precision.
pub(super) fn hash(mean: &[f64], projection: MatRef<'_, f64>) -> Result<LinearHash, MethodError> {
    let mean = mean.iter().map(|v| *v as f32).collect();
    let rows = projection.row_iter();
    let weights = rows.flat_map(|row| row.iter().map(|v| *v as f32).collect::<Vec<_>>());
    Ok(LinearHash::new(mean, weights.collect())?)
}
