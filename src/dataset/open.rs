/*!
Opening a data set: the choice of its layout, and checks that hold for all layouts.
*/

use std::collections::BTreeSet;
use std::path::Path;

use super::{
    Dataset, DatasetError, Layout, Sample, aircraft, cifar10, cub, dogs, flowers, folder, food101,
    grocery, indexed, nabirds, nuswide, vegfru,
};

/// Maximum number of class names in a warning.
const NAMES_SHOWN: usize = 5;

impl Dataset {
    /// Reads the data set in `root`, in the given layout or the one that [`Layout::detect`] finds.
    ///
    /// `split_seed` is used only if splits are random: in a folder of classes without a `train`
    /// level, in an index, and for CIFAR-10 and NUS-WIDE, where retrieval does not use the published split.
    /// Does not check whether listed image files exist; see [`Dataset::missing_files`].
    ///
    /// # Errors
    /// If the folder or a list is missing, a list is malformed or contains a path outside the
    /// folder, a required split is empty, or there is only one class.
    pub fn open(
        root: &Path,
        layout: Option<Layout>,
        split_seed: u64,
    ) -> Result<Self, DatasetError> {
        let detected = Layout::detect(root)?;
        let mut dataset = match layout.unwrap_or(detected) {
            Layout::Grocery => grocery::read(root)?,
            Layout::Folder => folder::read(root, split_seed)?,
            Layout::Photos => folder::read_photos(root)?,
            Layout::Index => indexed::read(root, split_seed)?,
            Layout::Cub => cub::read(root)?,
            Layout::NaBirds => nabirds::read(root)?,
            Layout::Dogs => dogs::read(root)?,
            Layout::Flowers102 => flowers::read_102(root)?,
            Layout::Flowers17 => flowers::read_17(root)?,
            Layout::Aircraft => aircraft::read(root)?,
            Layout::VegFru => vegfru::read(root)?,
            Layout::Food101 => food101::read(root)?,
            Layout::Cifar10 => cifar10::read(root, split_seed)?,
            Layout::NusWide => nuswide::read(root, split_seed)?,
        };
        dataset.check()?;
        dataset.warn();
        Ok(dataset)
    }

    fn check(&self) -> Result<(), DatasetError> {
        let split = if self.train.is_empty() { "train" } else { "test" };
        let used: BTreeSet<u32> = self.samples().flat_map(|s| s.labels.iter().copied()).collect();
        // Checked before the test split: a single class of one image also leaves the test split
        // empty, but the missing second class is the actual problem.
        if let (1, Some(only)) = (used.len(), used.first()) {
            let class = self.classes.get(*only as usize).cloned().unwrap_or_default();
            return Err(DatasetError::OneClass { root: self.root.clone(), class });
        }
        if self.layout == Layout::Photos {
            let none = || DatasetError::NoPhotos(self.root.clone());
            return self.train.first().map(|_| ()).ok_or_else(none);
        }
        if self.layout == Layout::Index && self.classes.is_empty() {
            return Err(DatasetError::NoLabels(self.root.clone()));
        }
        if self.train.is_empty() || self.test.is_empty() {
            return Err(DatasetError::NoImages { split, root: self.root.clone() });
        }
        Ok(())
    }

    fn warn(&mut self) {
        let mut all = vec![0usize; self.classes.len()];
        let mut train = all.clone();
        count(&mut all, self.samples());
        count(&mut train, self.train.iter());
        let named = |wanted: &dyn Fn(usize) -> bool| -> Vec<&str> {
            let classes = self.classes.iter().enumerate();
            classes.filter(|(i, _)| wanted(*i)).map(|(_, name)| name.as_str()).collect()
        };
        let mut warnings = Vec::new();
        let single = named(&|i| all[i] == 1);
        if !single.is_empty() {
            let which = shorten(&single);
            warnings.push(format!("only one image of each of these classes, so their queries have no relevant image: {which}"));
        }
        let none = named(&|i| all[i] == 0);
        if !none.is_empty() {
            warnings.push(format!("no images of these classes: {}", shorten(&none)));
        }
        let unseen = named(&|i| all[i] > 0 && train[i] == 0);
        if !unseen.is_empty() {
            let which = shorten(&unseen);
            warnings.push(format!(
                "no training images of these classes, so the model cannot learn them: {which}"
            ));
        }
        self.warnings.extend(warnings);
    }
}

fn count<'a>(counts: &mut [usize], samples: impl Iterator<Item = &'a Sample>) {
    for label in samples.flat_map(|s| &s.labels) {
        if let Some(n) = counts.get_mut(*label as usize) {
            *n += 1;
        }
    }
}

/// Joins the first names of a list, followed by the number of omitted names.
fn shorten(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_warnings_are_shortened() {
        assert_eq!(shorten(&["a", "b"]), "a, b");
        assert_eq!(shorten(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
