/*!
The routes and their answers.

[`ROUTES`] is the complete list; `openapi.json` describes it, and a test compares the two.
*/

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use ::image::RgbImage;
use serde_json::{Value, json};

use super::http::{Connection, Request, Response};
use super::pictures::{Kind, Pictures, busy, overlay};
use super::problem::Problem;
use super::request::{Ask, MAX_K};
use super::sample::spread;
use super::semaphore::Semaphore;
use crate::device::Device;
use crate::explain::{Attention, Share};
use crate::image::{self, Limits};
use crate::index::{Collection, DuplicateOptions, Filter, Hit, IndexError, Search, Snapshot};
use crate::model::Model;
use crate::task::Task;

/// The OpenAPI 3.1 description of all routes.
pub const OPENAPI: &str = include_str!("openapi.json");
/// Maximum size of an uploaded file, in bytes.
const MAX_UPLOAD: u64 = 64 << 20;
/// Maximum number of uploads that are decoded and encoded at the same time.
const UPLOADS: usize = 2;
/// Minimum time between two checks whether the index has changed.
const LOOK: Duration = Duration::from_secs(1);

/// A request and its connection.
struct Call<'a, 'b> {
    request: &'a Request,
    connection: &'a mut Connection<'b>,
    /// The `{id}` of the path.
    id: i64,
}

type Answer = Result<Response, Problem>;

/// One route.
struct Route {
    method: &'static str,
    path: &'static str,
    /// The known parameters of its query.
    known: &'static [&'static str],
    answer: fn(&App, &mut Call<'_, '_>, &Ask) -> Answer,
}

const NARROW: [&str; 4] = ["k", "under", "label", "radius"];

const ROUTES: [Route; 18] = [
    Route { method: "GET", path: "/", known: &["id", "duplicates"], answer: |_, _, _| page(PAGE) },
    Route { method: "GET", path: "/page.css", known: &[], answer: |_, _, _| page(STYLE) },
    Route { method: "GET", path: "/page.js", known: &[], answer: |_, _, _| page(SCRIPT) },
    Route { method: "GET", path: "/duplicates.js", known: &[], answer: |_, _, _| page(TWINS) },
    Route { method: "GET", path: "/icon.svg", known: &[], answer: |_, _, _| page(ICON) },
    Route {
        method: "GET",
        path: "/api/openapi.json",
        known: &[],
        answer: |_, _, _| page(("application/json", OPENAPI)),
    },
    Route { method: "GET", path: "/api/status", known: &[], answer: App::status },
    Route { method: "GET", path: "/api/folders", known: &[], answer: App::folders },
    Route { method: "GET", path: "/api/labels", known: &[], answer: App::labels },
    Route {
        method: "GET",
        path: "/api/duplicates",
        known: &["under", "label"],
        answer: App::duplicates,
    },
    Route {
        method: "GET",
        path: "/api/images",
        known: &["k", "under", "label", "order"],
        answer: App::images,
    },
    Route { method: "POST", path: "/api/search", known: &NARROW, answer: App::search },
    Route { method: "GET", path: "/api/images/{id}/similar", known: &NARROW, answer: App::similar },
    Route {
        method: "GET",
        path: "/api/images/{id}/thumbnail",
        known: &[],
        answer: |app, call, _| app.picture(call, Kind::Thumbnail),
    },
    Route {
        method: "GET",
        path: "/api/images/{id}/view",
        known: &[],
        answer: |app, call, _| app.picture(call, Kind::View),
    },
    Route {
        method: "GET",
        path: "/api/images/{id}/explanation",
        known: &["part"],
        answer: |app, call, ask| app.picture(call, Kind::Attention(ask.part)),
    },
    Route {
        method: "GET",
        path: "/api/images/{id}/agreement",
        known: &["with"],
        answer: App::agreement,
    },
    Route { method: "POST", path: "/api/explanation", known: &["part"], answer: App::explain },
];

const PAGE: (&str, &str) = ("text/html; charset=utf-8", include_str!("page/index.html"));
const STYLE: (&str, &str) = ("text/css; charset=utf-8", include_str!("page/page.css"));
const SCRIPT: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("page/page.js"));
const TWINS: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("page/duplicates.js"));
const ICON: (&str, &str) = ("image/svg+xml", include_str!("page/icon.svg"));

/// Returns method and path of every route.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.method, route.path))
}

fn page((kind, text): (&'static str, &'static str)) -> Answer {
    Ok(Response::fixed(kind, text))
}

/// The state of the application: the collection and its pictures.
#[derive(Debug)]
pub struct App {
    collection: Collection,
    limits: Limits,
    /// A description of the model.
    card: Value,
    /// Held while near duplicates are searched for, which uses all cores itself.
    comparing: Mutex<()>,
    /// Held while attention is computed, which uses all cores itself.
    explaining: Mutex<()>,
    /// The earliest moment at which to check again whether the index has changed.
    next_look: Mutex<Instant>,
    /// The error of the last reload, if it failed.
    trouble: Mutex<Option<String>>,
    pictures: Pictures,
    uploads: Semaphore,
}

impl App {
    pub fn new(
        path: PathBuf,
        device: Device,
        model: Model,
        limits: Limits,
    ) -> Result<Self, IndexError> {
        // Absolute, so that the page can show it.
        let path = std::path::absolute(&path).unwrap_or(path);
        let card = model.card();
        let parts = if card.parts > 0 { card.parts } else { usize::from(card.attends()) };
        let card = json!({
            "method": card.method, "trunk": card.trunk.to_string(), "bits": model.bits(),
            "fingerprint": model.fingerprint(), "parts": parts,
        });
        let collection = Collection::with_model(&path, model, &device)?.limited(limits);
        collection.expect_many()?;
        Ok(Self {
            collection,
            limits,
            card,
            comparing: Mutex::default(),
            explaining: Mutex::default(),
            next_look: Mutex::new(Instant::now() + LOOK),
            trouble: Mutex::default(),
            pictures: Pictures::new(limits),
            uploads: Semaphore::new(UPLOADS),
        })
    }

    pub fn index(&self) -> &Path {
        self.collection.path()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.collection.len()
    }

    /// Reads the index again if its files have changed; answers go on with the old state until
    /// then. Checks at most once a second, less often if reading takes long.
    pub fn reload_if_changed(&self) {
        let mut next_look = lock(&self.next_look);
        let begun = Instant::now();
        if begun < *next_look {
            return;
        }
        let changed = !self.collection.is_current();
        // A failed reload is tried again the next time: the file may be half copied.
        let reloaded = if changed { self.collection.reload() } else { Ok(()) };
        *lock(&self.trouble) = reloaded.err().map(|error| error.to_string());
        let pause = if changed { LOOK.max(4 * begun.elapsed()) } else { LOOK };
        *next_look = Instant::now() + pause;
    }

    /// Answers a request that has passed the guard.
    pub fn answer(&self, request: &Request, connection: &mut Connection<'_>) -> Answer {
        let mut other_method = false;
        let method = if request.method == "HEAD" { "GET" } else { &request.method };
        for route in &ROUTES {
            let Some(id) = matching(route.path, &request.path) else { continue };
            if route.method != method {
                other_method = true;
                continue;
            }
            // The query of the page itself is read by its script.
            let query = request.query.as_deref().filter(|_| route.path != "/");
            let ask = Ask::read(query, route.known)?;
            return (route.answer)(self, &mut Call { request, connection, id }, &ask);
        }
        if other_method {
            return Err(Problem::new(405, format!("{} is not allowed here", request.method)));
        }
        Err(Problem::new(404, "no such route; see /api/openapi.json"))
    }

    fn status(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        let catalogue = snapshot.catalogue()?;
        let folders = catalogue.folders();
        let images = |root: &String| folders.get(root.as_str()).copied().unwrap_or_default();
        let roots = catalogue.roots().iter();
        let roots: Vec<_> = roots.map(|r| json!({ "path": r, "images": images(r) })).collect();
        let trouble = lock(&self.trouble).clone();
        Ok(Response::json(
            200,
            &json!({
                "program": env!("CARGO_PKG_VERSION"), "index": self.index().display().to_string(),
                "images": snapshot.len(), "bits": snapshot.bits(), "model": self.card,
                "roots": roots, "labels": catalogue.labels().len(),
                "device": self.collection.device().to_string(),
                "max_upload_bytes": MAX_UPLOAD, "max_k": MAX_K, "trouble": trouble,
            }),
        ))
    }

    fn folders(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        Ok(counted("folders", "path", &self.collection.snapshot().catalogue()?.folders()))
    }

    fn labels(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        Ok(counted("labels", "label", &self.collection.snapshot().catalogue()?.labels()))
    }

    /// Returns groups of near duplicates. Takes a while in a large collection.
    fn duplicates(&self, _: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        check_folder(&snapshot, ask)?;
        let _one = match self.comparing.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(busy()),
        };
        let options = DuplicateOptions::default().among(filter(ask)).with_limits(self.limits);
        let found = snapshot.duplicates(&options, &Task::unwatched())?;
        Ok(Response::json(200, &found.document()))
    }

    fn images(&self, _: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        let ids = snapshot.catalogue()?.ids(&filter(ask));
        let ids = if ask.recent {
            ids.into_iter().rev().take(ask.k).collect()
        } else {
            // The choice is no secret, so a failure of the random source does not matter.
            spread(&ids, ask.k, getrandom::u64().unwrap_or_default())
        };
        let mut images = Vec::new();
        for id in ids {
            let row = snapshot.image(id)?;
            images.push(json!({ "id": row.id, "path": row.path, "label": row.label }));
        }
        Ok(Response::json(200, &json!({ "images": images })))
    }

    /// Searches for the images nearest to the uploaded one.
    fn search(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        check_folder(&snapshot, ask)?;
        let _permit = self.uploads.enter(call.request.deadline).ok_or_else(busy)?;
        let query = self.collection.query_bytes(&sent(call)?)?;
        Ok(self.results("", &snapshot.search(&narrowed(query.nearest(ask.k), ask))?))
    }

    fn similar(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        check_folder(&snapshot, ask)?;
        let (row, code) = (snapshot.image(call.id)?, snapshot.code(call.id)?);
        let search = Search::nearest(&code, ask.k).marking(row.content);
        Ok(self.results(&row.path, &snapshot.search(&narrowed(search, ask))?))
    }

    /// The document of `barbule search --json`.
    fn results(&self, query: &str, hits: &[Hit]) -> Response {
        let (index, bits) = (self.index().display().to_string(), self.collection.bits());
        let document = json!({ "query": query, "index": index, "bits": bits, "results": hits });
        Response::json(200, &document)
    }

    fn picture(&self, call: &mut Call<'_, '_>, kind: Kind) -> Answer {
        let snapshot = self.collection.snapshot();
        let look = |picture: &RgbImage| self.attention(picture);
        let bytes = self.pictures.of(&snapshot, call.id, kind, call.request.deadline, look)?;
        let kind = if matches!(kind, Kind::Attention(_)) { "image/png" } else { "image/jpeg" };
        Ok(Response::made(kind, bytes))
    }

    fn explain(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let _permit = self.uploads.enter(call.request.deadline).ok_or_else(busy)?;
        let picture = image::decode(&sent(call)?, &self.limits)?;
        let attention = self.attention(&picture)?;
        Ok(Response::made("image/png", overlay(&attention, ask.part)?.into()))
    }

    /// Returns how much each part contributes to the distance of two indexed images.
    fn agreement(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let other =
            ask.with.ok_or_else(|| Problem::new(400, "with must be the id of the other image"))?;
        let snapshot = self.collection.snapshot();
        let deadline = call.request.deadline;
        let first = self.pictures.open(&snapshot, call.id, deadline)?;
        let second = self.pictures.open(&snapshot, other, deadline)?;
        let pair = {
            let _one = lock(&self.explaining);
            self.collection.model()?.explain(&first, &second)?
        };
        let last = pair.shares.len().saturating_sub(1);
        let share = |(number, share): (usize, &Share)| {
            // The last share is the whole image.
            let part = (number < last).then_some(number + 1);
            json!({ "part": part, "alone": share.alone, "without": share.without })
        };
        let parts: Vec<_> = pair.shares.iter().enumerate().map(share).collect();
        Ok(Response::json(
            200,
            &json!({ "distance": pair.distance, "bits": pair.bits, "parts": parts }),
        ))
    }

    fn attention(&self, picture: &RgbImage) -> Result<Attention, Problem> {
        let _one = lock(&self.explaining);
        Ok(self.collection.model()?.attention(picture)?)
    }
}

/// Ignores poisoning: a panic leaves no data of [`App`] half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the filter of a request.
fn filter(ask: &Ask) -> Filter {
    Filter {
        under: ask.under.iter().cloned().collect(),
        labels: ask.label.iter().cloned().collect(),
        ..Filter::default()
    }
}

/// Adds the filter and the radius of a request to a search.
fn narrowed(search: Search, ask: &Ask) -> Search {
    let search = search.filtered(filter(ask));
    match ask.radius {
        Some(radius) => search.within(radius),
        None => search,
    }
}

/// Fails if the request has a folder in which no image is indexed.
fn check_folder(snapshot: &Snapshot, ask: &Ask) -> Result<(), Problem> {
    let Some(under) = &ask.under else { return Ok(()) };
    let in_folder = Filter { under: vec![under.clone()], ..Filter::default() };
    if snapshot.catalogue()?.ids(&in_folder).is_empty() {
        return Err(Problem::new(400, format!("no indexed image is under {under}")));
    }
    Ok(())
}

/// Reads the body of a request.
fn sent(call: &mut Call<'_, '_>) -> Result<Vec<u8>, Problem> {
    call.connection.body(call.request, MAX_UPLOAD)
}

/// Returns a list of names with their numbers of images.
fn counted(list: &str, name: &str, counts: &BTreeMap<&str, usize>) -> Response {
    let items = counts.iter().map(|(key, images)| json!({ name: key, "images": images }));
    Response::json(200, &json!({ list: items.collect::<Vec<_>>() }))
}

/// Matches a path with a route and returns the id in it, or 0 if the route has none.
fn matching(route: &str, path: &str) -> Option<i64> {
    if route.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut id = 0;
    for (expected, found) in route.split('/').zip(path.split('/')) {
        if expected == "{id}" {
            let digits = !found.is_empty() && found.bytes().all(|byte| byte.is_ascii_digit());
            id = found.parse().ok().filter(|_| digits)?;
        } else if expected != found {
            return None;
        }
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_addresses_are_described_and_all_that_is_described_is_there() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut described = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                described.push((method.to_uppercase(), path.clone()));
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let named = |place: &str| -> Vec<String> {
                    let here = parameters.iter().filter(|p| p["in"] == place);
                    here.map(|p| p["name"].as_str().unwrap().to_owned()).collect()
                };
                let route = ROUTES.iter().find(|r| r.path == path).expect(path);
                assert_eq!(named("query"), route.known, "{path}");
                let ids = path.matches("{id}").count();
                assert_eq!(named("path"), vec!["id"; ids], "{path}");
                assert!(operation["summary"].is_string(), "{path}");
                assert!(operation["responses"]["200"].is_object(), "{path}");
            }
        }
        let mut there: Vec<_> =
            routes().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
        there.sort();
        described.sort();
        assert_eq!(described, there);
    }

    #[test]
    fn ids_are_digits_and_paths_are_taken_as_they_are() {
        let route = "/api/images/{id}/view";
        assert_eq!(matching(route, "/api/images/17/view"), Some(17));
        assert_eq!(matching("/", "/"), Some(0));
        for path in [
            "/api/images/-1/view",
            "/api/images/+1/view",
            "/api/images//view",
            "/api/images/1/view/",
            "/api/images/../view",
            "/api/images/%31/view",
            "/api/images/99999999999999999999/view",
            "//api/images/1/view",
            "/api/images/1/View",
        ] {
            assert_eq!(matching(route, path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_astray(
            path in prop_oneof![
                "/[a-z0-9./%{}-]{0,40}",
                "/api/images/[0-9a-f+.%]{0,6}/?(view|thumbnail|similar)?",
            ],
        ) {
            for route in ROUTES.iter().filter(|route| matching(route.path, &path).is_some()) {
                prop_assert_eq!(path.split('/').count(), route.path.split('/').count());
                for (asked, known) in path.split('/').zip(route.path.split('/')) {
                    let number = !asked.is_empty() && asked.bytes().all(|b| b.is_ascii_digit());
                    prop_assert!(asked == known || known == "{id}" && number, "{} {}", path, route.path);
                }
            }
        }
    }
}
