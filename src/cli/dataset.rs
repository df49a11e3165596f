/*!
What is said of a data set before it is used.
*/

use anyhow::Result;

use super::Context;
use crate::dataset::Dataset;
use crate::folder::shown;

/// Prints the warnings about a data set, and how many test images are training images, too; returns
/// this number.
pub fn warn(context: &Context, dataset: &Dataset) -> Result<usize> {
    dataset.warnings.iter().for_each(|warning| context.warn(warning));
    let shared = context.with_progress("comparing splits", |task| dataset.shared(task))?;
    if let Some((test, other)) = &shared.first {
        let (images, test, other) = (shared.images, shown(test), shown(other));
        let of = dataset.test.len();
        context.warn(format_args!(
            "{images} of {of} test images are also among the images to learn from or to find, which makes figures too good; remove one of each pair (first: {test} = {other})"
        ));
    }
    Ok(shared.images)
}
