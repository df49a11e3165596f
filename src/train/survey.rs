/*!
A method's survey of all training images.
*/

use super::TrainError;
use super::images::Images;
use super::plan::LearnPlan;
use super::step::read;
use crate::device::Device;
use crate::method::learner::Survey;

/// Images per pass.
const BATCH: usize = 64;

/// Passes all training images, in evaluation views, to `survey` and returns its result.
///
/// # Errors
/// If an image or the device fails.
pub(super) fn run(
    mut survey: Box<dyn Survey>,
    plan: &LearnPlan,
    images: &Images<'_>,
    device: &Device,
) -> Result<Vec<f32>, TrainError> {
    let all: Vec<usize> = (0..images.len()).collect();
    for some in all.chunks(BATCH) {
        let input = images.tensor(images.plain(plan, some)?, some.len(), &device.burn());
        survey.add(some, &read(device, survey.rows(input))?);
    }
    Ok(survey.end())
}
