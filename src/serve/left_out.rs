/*!
What of the indexed folders is not in the index, and why; and the labels of what is, as a table.
*/

use std::cmp::Reverse;
use std::path::Path;

use serde_json::{Value, json};

use super::app::App;
use super::call::{Answer, Call};
use super::http::Response;
use super::problem::Problem;
use super::request::Ask;
use crate::folder::{FileKind, LeftOut};
use crate::index::{LabelTable, innermost};

/// Maximum number of failed files in one answer.
const FAILURES: usize = 300;
/// Maximum number of kinds of other files that are named.
const KINDS: usize = 20;

impl App {
    /// Returns for each indexed folder how many of its files are left out and why, and the files
    /// that could not be used.
    pub fn left_out(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        let catalogue = snapshot.catalogue()?;
        let images = catalogue.folders();
        let (roots, failures) = {
            let index = snapshot.index();
            (index.roots()?, index.failures()?)
        };
        // The innermost: an outer folder does not read the files of one within.
        let root_of = |path: &str| innermost(path, catalogue.roots());
        let folders = roots.iter().map(|root| {
            let own = |path: &str| root_of(path) == Some(root.path.as_str());
            json!({
                "path": root.path, "images": images.get(root.path.as_str()).unwrap_or(&0),
                "there": Path::new(&root.path).is_dir(), "exclude": root.options.exclude,
                "left_out": root.left_out.as_ref().map(counts),
                "failed": failures.iter().filter(|failure| own(&failure.path)).count(),
            })
        });
        let folders: Vec<Value> = folders.collect();
        let named = failures.iter().take(FAILURES).map(|failure| {
            let folder = root_of(&failure.path);
            json!({ "path": failure.path, "folder": folder, "reason": failure.reason })
        });
        let named: Vec<Value> = named.collect();
        let document = json!({ "folders": folders, "failures": named, "failed": failures.len() });
        Ok(Response::json(200, &document))
    }

    /// Returns the paths and labels of all labelled images, as a table that a later update reads.
    pub fn labels_csv(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        let images = self.collection.snapshot().index().labelled()?;
        let mut bytes = Vec::new();
        LabelTable::write(&images, &mut bytes).map_err(|error| {
            Problem::internal(format!("the table could not be written: {error}"))
        })?;
        let field = ("Content-Disposition", "attachment; filename=\"labels.csv\"".to_owned());
        let response = Response::made("text/csv; charset=utf-8", bytes.into());
        Ok(Response { fields: vec![field], ..response })
    }
}

/// The numbers of a folder; pictures and other files by kind, the most frequent first.
fn counts(left_out: &LeftOut) -> Value {
    let photos: Vec<_> = left_out.photos().into_iter().collect();
    let others = left_out.kinds.get(&FileKind::Other).into_iter().flatten();
    let others: Vec<_> = others.map(|(extension, files)| (extension.clone(), *files)).collect();
    json!({
        "total": left_out.total(), "hidden": left_out.hidden, "system": left_out.system,
        "excluded": left_out.excluded, "links": left_out.links, "special": left_out.special,
        "videos": left_out.of_kind(FileKind::Video), "others": left_out.of_kind(FileKind::Other),
        "photos": left_out.of_kind(FileKind::Photo),
        "photo_kinds": ranked(photos, "format"), "other_kinds": ranked(others, "extension"),
    })
}

fn ranked(mut kinds: Vec<(String, usize)>, name: &str) -> Value {
    kinds.sort_by_key(|(_, files)| Reverse(*files));
    let named = kinds.into_iter().take(KINDS);
    named.map(|(kind, files)| json!({ name: kind, "files": files })).collect()
}
