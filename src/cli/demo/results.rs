/*!
Figures of the methods, and the hits of example queries.
*/

use std::path::Path;

use serde::Serialize;

use crate::dataset::Sample;
use crate::index::Hit;

/// One method on the demo's birds.
#[derive(Debug, Serialize)]
pub struct Row {
    pub method: &'static str,
    /// Seconds to train it.
    pub seconds: f64,
    /// mAP of queries of known species, by the real values of the query, as a search ranks.
    pub known: f64,
    /// The same of queries of held-out species, among all images.
    pub unseen: f64,
    /// The same, where images of known species are ones to which nothing was fitted.
    pub unseen_fresh: f64,
    #[serde(skip)]
    pub curve: Vec<(f64, f64)>,
}

/// A query and its hits.
pub struct Search {
    pub query: Sample,
    /// Whether its species was trained on.
    pub known: bool,
    pub found: Vec<Hit>,
}

impl Search {
    /// Returns the hits except the query itself: file, whether it shows the query's species, and
    /// its distance in the order of the search.
    pub fn neighbours(&self) -> impl Iterator<Item = (&Path, bool, u32)> {
        let own = species(&self.query.path);
        let others = self.found.iter().filter(|found| !found.same);
        others.map(move |found| {
            let path = Path::new(&found.path);
            (path, species(path) == own, found.distance)
        })
    }
}

/// Returns the species of a picture, from the name of its folder (`017.Rusty_Reedling`).
pub fn species(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    folder.split_once('.').map_or(&*folder, |(_, name)| name).replace('_', " ")
}
