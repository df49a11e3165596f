/*!
The answers that change the index: they add folders and give labels. Every one of them asks
[`App::editable`] first.
*/

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::app::App;
use super::browse::home;
use super::call::{Answer, Call};
use super::http::Response;
use super::problem::Problem;
use super::request::Ask;
use super::work::Job;
use crate::folder::shown;
use crate::index::{Filter, innermost};

/// The body of a request to index a folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    /// The folder; all indexed folders if it is missing.
    #[serde(default)]
    path: Option<String>,
}

/// The body of a request to label images.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labelling {
    ids: Vec<i64>,
    /// `null` removes the labels. It must be there: whoever forgets it must not remove any.
    #[serde(deserialize_with = "Option::deserialize")]
    label: Option<String>,
}

impl App {
    /// Begins to index a folder, or to update all indexed ones.
    pub fn index_folder(&self, call: &mut Call<'_, '_>, _: &Ask) -> Answer {
        self.editable()?;
        let Folder { path } = call.json()?;
        let snapshot = self.collection.snapshot();
        let catalogue = snapshot.catalogue()?;
        let limits = self.limits;
        let job = match path {
            None if catalogue.roots().is_empty() => {
                return Err(Problem::new(400, "no folder is indexed yet; add one"));
            }
            None => Job { folder: None, update: Vec::new(), known: true, limits },
            Some(text) => {
                let (path, folder) = found(&text, home().as_deref())?;
                // A folder whose images an indexed folder around it has brings no images of its
                // own: the folder around it is updated.
                let there = Filter { under: vec![folder.clone()], ..Filter::default() };
                let there = !catalogue.ids(&there).is_empty();
                let around = innermost(&folder, catalogue.roots());
                let around = around.filter(|root| there || *root == folder);
                let update = around.map_or(path, PathBuf::from);
                let known = around.is_some();
                Job { folder: Some(folder), update: vec![update], known, limits }
            }
        };
        let state = self.worker.begin(&self.collection, job)?;
        Ok(Response::json(202, &state))
    }

    /// Returns the state of the work.
    pub fn work(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        Ok(Response::json(200, &self.worker.state()))
    }

    /// Stops the work; what it has written stays.
    pub fn stop_work(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        self.editable()?;
        Ok(Response::json(200, &self.worker.stop()))
    }

    /// Gives images a label, or removes their labels.
    pub fn set_labels(&self, call: &mut Call<'_, '_>, _: &Ask) -> Answer {
        self.editable()?;
        let Labelling { ids, label } = call.json()?;
        if ids.is_empty() {
            return Err(Problem::new(400, "ids names no images"));
        }
        if self.worker.is_running() {
            let sentence =
                "folders are being indexed; labels can be saved when that is done or stopped";
            return Err(Problem::new(409, sentence));
        }
        let label = self.collection.set_labels(&ids, label.as_deref())?;
        Ok(Response::json(200, &json!({ "images": ids.len(), "label": label })))
    }
}

/// Returns the folder that a text names, and the path under which it is indexed.
fn found(text: &str, home: Option<&Path>) -> Result<(PathBuf, String), Problem> {
    let text = text.trim();
    let wrong = |sentence: String| Err(Problem::new(400, sentence));
    let path = match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(text),
    };
    if text.is_empty() {
        return wrong("the path is empty; give the path of a folder".to_owned());
    }
    if !path.is_absolute() {
        let sentence = format!("{text} is not a complete path; give it from its beginning");
        return wrong(sentence);
    }
    let folder = match path.canonicalize() {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Problem::new(404, format!("there is no folder {text}")));
        }
        Err(error) => return wrong(format!("cannot read {text}: {error}")),
    };
    if !folder.is_dir() {
        return wrong(format!("{text} is not a folder; give the folder that it is in"));
    }
    if let Err(error) = fs::read_dir(&folder) {
        return wrong(format!("cannot read {text}: {error}"));
    }
    let Some(stored) = folder.to_str().map(str::to_owned) else {
        let name = shown(&folder);
        return wrong(format!("the name of {name} is not valid Unicode; rename the folder"));
    };
    Ok((folder, stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_folder_is_found_or_refused_in_a_sentence() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().canonicalize().unwrap().join("in");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("a.png"), "x").unwrap();
        let text = inner.to_str().unwrap();
        let home = Some(place.path());
        for text in [text, &format!(" {text} "), &format!("{text}/../in/"), "~/in"] {
            assert_eq!(found(text, home).unwrap(), (inner.clone(), inner.display().to_string()));
        }
        for (text, status, said) in [
            ("", 400, "the path is empty"),
            (" ", 400, "the path is empty"),
            ("Pictures", 400, "Pictures is not a complete path"),
            ("~other/in", 400, "~other/in is not a complete path"),
            (&format!("{text}/none"), 404, "there is no folder"),
            (&format!("{text}/a.png"), 400, &format!("{text}/a.png is not a folder")),
        ] {
            let problem = found(text, home).unwrap_err();
            assert!(problem.status == status && problem.sentence.starts_with(said), "{problem:?}");
        }
        assert_eq!(found("~/in", None).unwrap_err().status, 400);
    }

    #[test]
    fn a_label_must_be_said() {
        let read = |text: &str| serde_json::from_str::<Labelling>(text);
        assert_eq!(read(r#"{"ids":[1],"label":null}"#).unwrap().label, None);
        assert_eq!(read(r#"{"ids":[1],"label":"a"}"#).unwrap().label.as_deref(), Some("a"));
        for wrong in [r#"{"ids":[1]}"#, r#"{"label":"a"}"#, r#"{"ids":[1],"label":"a","x":1}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
