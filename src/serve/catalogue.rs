/*!
What an index holds, by folder and by label: for the page's choices and its first sight.

A few bytes for each image; paths stay in the index.
*/

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::index::{Index, IndexError};

/// An image without a label.
const NO_LABEL: u32 = u32::MAX;

/// Which images there are.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Ascending.
    ids: Vec<i64>,
    /// The folder and the label of each, by their places in the lists below.
    folder_of: Vec<u32>,
    label_of: Vec<u32>,
    folders: Vec<String>,
    labels: Vec<String>,
    roots: Vec<String>,
}

impl Catalogue {
    pub fn read(index: &Index) -> Result<Self, IndexError> {
        let roots = index.roots()?.into_iter().map(|root| root.path).collect();
        let mut all = Self { roots, ..Self::default() };
        let (mut folders, mut labels) = (HashMap::new(), HashMap::new());
        index.each_image(|id, path, label| all.add(id, path, label, &mut folders, &mut labels))?;
        Ok(all)
    }

    fn add(
        &mut self,
        id: i64,
        path: &str,
        label: Option<&str>,
        folders: &mut HashMap<String, u32>,
        labels: &mut HashMap<String, u32>,
    ) {
        let folder = Path::new(path).parent().and_then(Path::to_str).unwrap_or_default();
        self.ids.push(id);
        self.folder_of.push(place(&mut self.folders, folders, folder));
        let label = label.map_or(NO_LABEL, |label| place(&mut self.labels, labels, label));
        self.label_of.push(label);
    }

    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    pub fn has(&self, id: i64) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// Every folder with images in it or below, and how many; in the order of paths.
    pub fn folders(&self) -> BTreeMap<&str, usize> {
        let mut direct = vec![0; self.folders.len()];
        self.folder_of.iter().for_each(|folder| direct[*folder as usize] += 1);
        let mut all = BTreeMap::new();
        for (folder, images) in self.folders.iter().zip(direct) {
            let above = Path::new(folder).ancestors();
            let inside =
                above.take_while(|above| self.roots.iter().any(|root| above.starts_with(root)));
            inside
                .filter_map(Path::to_str)
                .for_each(|above| *all.entry(above).or_default() += images);
        }
        all
    }

    /// Every label and how many images have it, in the order of their names.
    pub fn labels(&self) -> BTreeMap<&str, usize> {
        let mut all = BTreeMap::new();
        for label in &self.label_of {
            if let Some(label) = self.labels.get(*label as usize) {
                *all.entry(label.as_str()).or_default() += 1;
            }
        }
        all
    }

    /// Images from everywhere, evenly over the order of ids, by a number that should be
    /// random: each stretch of the ids gives one.
    pub fn mixed(
        &self,
        k: usize,
        under: Option<&str>,
        label: Option<&str>,
        random: u64,
    ) -> Vec<i64> {
        let some = self.some(under, label);
        let k = k.min(some.len());
        let from = |i: usize| i * some.len() / k;
        let mut number = random;
        let mut next = || {
            // Weyl's sequence, mixed: any sequence will do.
            number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (number ^ (number >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 29)) as usize
        };
        (0..k).map(|i| some[from(i) + next() % (from(i + 1) - from(i))]).collect()
    }

    /// The images that were indexed last, the newest first.
    pub fn recent(&self, k: usize, under: Option<&str>, label: Option<&str>) -> Vec<i64> {
        self.some(under, label).into_iter().rev().take(k).collect()
    }

    /// The ids in a folder and with a label, ascending.
    fn some(&self, under: Option<&str>, label: Option<&str>) -> Vec<i64> {
        let inside = |folder: &String| under.is_none_or(|u| Path::new(folder).starts_with(u));
        let folders: Vec<bool> = self.folders.iter().map(inside).collect();
        let label = label.map(|label| self.labels.iter().position(|known| known == label));
        let labelled = |of: u32| label.is_none_or(|l| l.is_some_and(|l| l as u32 == of));
        let rows = self.ids.iter().zip(&self.folder_of).zip(&self.label_of);
        let rows = rows.filter(|((_, folder), of)| folders[**folder as usize] && labelled(**of));
        rows.map(|((id, _), _)| *id).collect()
    }
}

/// The place of a name in a list, at its end if it is new.
fn place(list: &mut Vec<String>, known: &mut HashMap<String, u32>, name: &str) -> u32 {
    if let Some(place) = known.get(name) {
        return *place;
    }
    let place = list.len() as u32;
    list.push(name.to_owned());
    known.insert(name.to_owned(), place);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let mut all =
            Catalogue { roots: vec!["/p".into(), "/p/b/in".into()], ..Default::default() };
        let (mut folders, mut labels) = (HashMap::new(), HashMap::new());
        let images = [
            (1, "/p/a/1.png", Some("wren")),
            (2, "/p/a/2.png", None),
            (5, "/p/b/in/1.png", Some("wren")),
            (6, "/p/b/in/deep/1.png", Some("tit")),
            (9, "/p/ab/1.png", None),
        ];
        for (id, path, label) in images {
            all.add(id, path, label, &mut folders, &mut labels);
        }
        all
    }

    #[test]
    fn folders_count_what_is_below() {
        let all = catalogue();
        let folders: Vec<_> = all.folders().into_iter().collect();
        let expected = [
            ("/p", 5),
            ("/p/a", 2),
            ("/p/ab", 1),
            ("/p/b", 2),
            ("/p/b/in", 2),
            ("/p/b/in/deep", 1),
        ];
        assert_eq!(folders, expected);
        assert_eq!(all.labels().into_iter().collect::<Vec<_>>(), [("tit", 1), ("wren", 2)]);
        assert!(all.has(5) && !all.has(3));
    }

    #[test]
    fn images_are_chosen_by_folder_and_label() {
        let all = catalogue();
        assert_eq!(all.recent(2, None, None), [9, 6]);
        assert_eq!(all.recent(9, Some("/p/a"), None), [2, 1]);
        assert_eq!(all.recent(9, Some("/p/b"), Some("wren")), [5]);
        assert!(all.recent(9, None, Some("owl")).is_empty());
        for random in 0..20 {
            assert_eq!(all.mixed(9, None, None, random), [1, 2, 5, 6, 9]);
            let two = all.mixed(2, None, None, random);
            assert!([1, 2].contains(&two[0]) && [5, 6, 9].contains(&two[1]), "{two:?}");
            assert!(all.mixed(3, Some("/none"), None, random).is_empty());
        }
    }
}
