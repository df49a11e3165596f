/*!
The images of an index by folder and by label, in memory.

A few bytes per image; paths stay in the index.
*/

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{Filter, Index, IndexError};

/// The label of an image without one.
const NO_LABEL: u32 = u32::MAX;

/// The images of an index by folder and by label.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Ascending.
    ids: Vec<i64>,
    /// Folder and label of each image, as positions in the lists below.
    folder_of: Vec<u32>,
    label_of: Vec<u32>,
    folders: Vec<String>,
    labels: Vec<String>,
    roots: Vec<String>,
}

impl Catalogue {
    /// Reads the paths and labels of all images.
    pub(super) fn read(index: &Index) -> Result<Self, IndexError> {
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

    /// The indexed folders, in the order in which they were added.
    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    /// Returns whether there is an image with this id.
    pub fn has(&self, id: i64) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// Returns every folder with images in it or below, with their number, in the order of paths.
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

    /// Returns every label with the number of its images, in order.
    pub fn labels(&self) -> BTreeMap<&str, usize> {
        let mut all = BTreeMap::new();
        for label in &self.label_of {
            if let Some(label) = self.labels.get(*label as usize) {
                *all.entry(label.as_str()).or_default() += 1;
            }
        }
        all
    }

    /// Returns the ids of the images that `filter` lets through, ascending. Only folders are known
    /// here, so a filter folder that is the path of an image matches nothing.
    pub fn ids(&self, filter: &Filter) -> Vec<i64> {
        let under = |folder: &String| {
            filter.under.is_empty() || filter.under.iter().any(|u| Path::new(folder).starts_with(u))
        };
        let folders: Vec<bool> = self.folders.iter().map(under).collect();
        let passes = |label: Option<&str>| filter.lets_label_through(label);
        let labels: Vec<bool> = self.labels.iter().map(|label| passes(Some(label))).collect();
        let unlabelled = passes(None);
        let rows = self.ids.iter().zip(&self.folder_of).zip(&self.label_of);
        let passing = rows.filter(|((_, folder), label)| {
            folders[**folder as usize]
                && labels.get(**label as usize).copied().unwrap_or(unlabelled)
        });
        passing.map(|((id, _), _)| *id).collect()
    }
}

/// Returns the position of a name in a list; appends a new name.
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
        let list = |texts: &[&str]| texts.iter().map(|t| t.to_string()).collect::<Vec<_>>();
        let ids = |under: &[&str], labels: &[&str], not: &[&str], labelled| {
            let (under, labels, not) = (list(under), list(labels), list(not));
            all.ids(&Filter { under, labels, not, labelled })
        };
        assert_eq!(ids(&[], &[], &[], false), [1, 2, 5, 6, 9]);
        assert_eq!(ids(&["/p/a"], &[], &[], false), [1, 2]);
        assert_eq!(ids(&["/p/b/", "/p/ab"], &[], &[], false), [5, 6, 9]);
        assert_eq!(ids(&["/p/b"], &["wren"], &[], false), [5]);
        assert_eq!(ids(&[], &["wren", "tit"], &["tit"], false), [1, 5]);
        assert_eq!(ids(&[], &[], &["wren"], false), [2, 6, 9]);
        assert_eq!(ids(&[], &[], &[], true), [1, 5, 6]);
        assert!(ids(&[], &["owl"], &[], false).is_empty());
    }
}
