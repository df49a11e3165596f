/*!
The folders below the home folder of the user, to choose one from. Nothing else of the disk is
listed: links are followed before a path is judged.
*/

use std::fs::{self, DirEntry};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::app::App;
use super::call::{Answer, Call};
use super::http::Response;
use super::problem::Problem;
use super::request::Ask;
use crate::folder::rule_of_name;
use crate::image::is_image_path;
use crate::index::innermost;

/// Maximum number of folders in one answer.
const MOST: usize = 2000;
/// Maximum number of files and folders that are read to count the images of one folder.
const COUNTED: usize = 5000;
/// Time after which no more images are counted.
const PATIENCE: Duration = Duration::from_millis(300);

/// Returns the home folder of the user, with its links followed.
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().and_then(|home| home.canonicalize().ok()).filter(|home| home.is_dir())
}

impl App {
    /// Lists the folders in a folder.
    pub fn browse(&self, _: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        self.editable()?;
        let home = home().ok_or_else(|| {
            Problem::new(404, "the home folder of this user is not known; give the path instead")
        })?;
        let folder = below(&home, ask.path.as_deref())?;
        let snapshot = self.collection.snapshot();
        let document = listed(&home, &folder, snapshot.catalogue()?.roots())?;
        Ok(Response::json(200, &document))
    }
}

/// Returns the folder to list, if it is the home folder or below.
fn below(home: &Path, path: Option<&str>) -> Result<PathBuf, Problem> {
    let Some(path) = path else { return Ok(home.to_owned()) };
    let outside = || Problem::new(403, "only folders below the home folder are listed");
    let given = Path::new(path);
    let up = given.components().any(|part| part == Component::ParentDir);
    // Before the disk is asked: nobody learns what is outside.
    if up || !given.starts_with(home) {
        return Err(outside());
    }
    let folder = given
        .canonicalize()
        .map_err(|error| Problem::new(404, format!("cannot read {path}: {error}")))?;
    let rest = folder.strip_prefix(home).map_err(|_| outside())?;
    if rest.iter().any(|name| rule_of_name(name).is_some()) {
        return Err(Problem::new(403, format!("{path} is hidden or belongs to the system")));
    }
    if !folder.is_dir() {
        return Err(Problem::new(404, format!("{path} is not a folder")));
    }
    Ok(folder)
}

fn listed(home: &Path, folder: &Path, roots: &[String]) -> Result<Value, Problem> {
    let failed = |error: std::io::Error| {
        Problem::new(404, format!("cannot read {}: {error}", folder.display()))
    };
    let until = Instant::now() + PATIENCE;
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut images = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if rule_of_name(&entry.file_name()).is_some() {
            continue;
        }
        // Links to folders are left out, as an index leaves them out.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path());
        } else if is_image(&entry) {
            images += 1;
        }
    }
    // As people order names: without regard to case.
    folders.sort_by_cached_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (name.to_lowercase(), name.into_owned())
    });
    let all = folders.len();
    folders.truncate(MOST);
    let item = |path: &PathBuf| {
        // No request can name it, and no index has it.
        let text = path.to_str()?;
        let name = path.file_name()?.to_str()?;
        let images = if Instant::now() < until { count(path) } else { None };
        let indexed = innermost(text, roots).is_some();
        Some(json!({ "name": name, "path": text, "images": images, "indexed": indexed }))
    };
    let items: Vec<Value> = folders.iter().filter_map(item).collect();
    let parent = folder.parent().filter(|_| folder != home).and_then(Path::to_str);
    let text = folder.to_string_lossy();
    Ok(json!({
        "home": home.to_string_lossy(), "path": text, "parent": parent, "images": images,
        "indexed": innermost(&text, roots).is_some(), "folders": items,
        "more": all.saturating_sub(MOST),
    }))
}

/// Counts the images directly in a folder; `None` if it is too large or cannot be read.
fn count(folder: &Path) -> Option<usize> {
    let mut images = 0;
    for (number, entry) in fs::read_dir(folder).ok()?.enumerate() {
        if number >= COUNTED {
            return None;
        }
        images += usize::from(is_image(&entry.ok()?));
    }
    Some(images)
}

fn is_image(entry: &DirEntry) -> bool {
    let hidden = rule_of_name(&entry.file_name()).is_some();
    !hidden && is_image_path(&entry.path()) && entry.file_type().is_ok_and(|kind| !kind.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(place: &Path, files: &[&str]) {
        for file in files {
            let path = place.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn folders_are_listed_as_an_index_reads_them() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().canonicalize().unwrap();
        make(&home, &["b/1.png", "b/2.JPG", "b/.3.png", "b/x.txt", "A/c/1.png", ".h/1.png"]);
        make(&home, &["@eaDir/1.png", "top.webp", "note.txt"]);
        let roots = [home.join("b").to_str().unwrap().to_owned()];
        let found = listed(&home, &home, &roots).unwrap();
        let folders: Vec<_> = found["folders"].as_array().unwrap().iter().collect();
        let told: Vec<_> =
            folders.iter().map(|f| (&f["name"], &f["images"], &f["indexed"])).collect();
        assert_eq!(
            told,
            [(&"A".into(), &0.into(), &false.into()), (&"b".into(), &2.into(), &true.into())]
        );
        assert_eq!((&found["images"], &found["more"]), (&1.into(), &0.into()));
        assert!(found["parent"].is_null());
        let inner = listed(&home, &home.join("A"), &roots).unwrap();
        assert_eq!(inner["parent"].as_str(), home.to_str());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_outside_is_listed() {
        use std::os::unix::fs::symlink;

        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        make(&place, &["home/in/1.png", "home/.h/1.png", "out/1.png", "home-side/1.png"]);
        let home = place.join("home");
        symlink(place.join("out"), home.join("link")).unwrap();
        symlink("in", home.join("within")).unwrap();
        symlink(".h", home.join("veiled")).unwrap();
        let path = |text: &str| home.join(text).to_str().unwrap().to_owned();
        let to = |text: &str| below(&home, Some(&path(text))).map_err(|problem| problem.status);
        assert_eq!(below(&home, None).unwrap(), home);
        assert_eq!(
            (to(""), to("in"), to("within")),
            (Ok(home.clone()), Ok(home.join("in")), Ok(home.join("in")))
        );
        for outside in
            ["..", "in/../..", "in/..", "link", "/", "/etc", "../home-side", ".h", "veiled"]
        {
            assert_eq!(to(outside), Err(403), "{outside}");
        }
        assert_eq!(below(&home, Some("in")).unwrap_err().status, 403, "not from its beginning");
        assert_eq!(to("in/1.png"), Err(404));
        assert_eq!(to("none"), Err(404));
        let listed = listed(&home, &home, &[]).unwrap();
        assert_eq!(listed["folders"].as_array().unwrap().len(), 1, "{listed}");
    }
}
