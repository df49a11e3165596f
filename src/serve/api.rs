/*!
The routes and their answers.

[`ROUTES`] is the complete list; `openapi.json` describes it, and a test compares the two.
*/

use super::app::App;
use super::call::{Answer, Call};
use super::http::{Connection, Request, Response};
use super::pictures::Kind;
use super::problem::Problem;
use super::request::Ask;

/// The OpenAPI 3.1 description of all routes.
pub const OPENAPI: &str = include_str!("openapi.json");

/// One route.
struct Route {
    method: &'static str,
    path: &'static str,
    /// The known parameters of its query.
    known: &'static [&'static str],
    answer: fn(&App, &mut Call<'_, '_>, &Ask) -> Answer,
}

const NARROW: [&str; 6] = ["k", "under", "label", "radius", "order", "crop"];

const ROUTES: [Route; 29] = [
    Route {
        method: "GET",
        path: "/",
        known: &["id", "crop", "duplicates", "folders"],
        answer: |_, _, _| page(PAGE),
    },
    Route { method: "GET", path: "/page.css", known: &[], answer: |_, _, _| page(STYLE) },
    Route { method: "GET", path: "/page.js", known: &[], answer: |_, _, _| page(SCRIPT) },
    Route { method: "GET", path: "/crop.js", known: &[], answer: |_, _, _| page(CROP) },
    Route { method: "GET", path: "/edit.css", known: &[], answer: |_, _, _| page(EDIT_STYLE) },
    Route { method: "GET", path: "/duplicates.js", known: &[], answer: |_, _, _| page(TWINS) },
    Route { method: "GET", path: "/folders.js", known: &[], answer: |_, _, _| page(FOLDERS) },
    Route { method: "GET", path: "/labels.js", known: &[], answer: |_, _, _| page(LABELS) },
    Route { method: "GET", path: "/icon.svg", known: &[], answer: |_, _, _| page(ICON) },
    Route {
        method: "GET",
        path: "/api/openapi.json",
        known: &[],
        answer: |_, _, _| page(("application/json", OPENAPI)),
    },
    Route { method: "GET", path: "/api/status", known: &[], answer: App::status },
    Route { method: "GET", path: "/api/folders", known: &[], answer: App::folders },
    Route { method: "POST", path: "/api/folders", known: &[], answer: App::index_folder },
    Route { method: "GET", path: "/api/left-out", known: &[], answer: App::left_out },
    Route { method: "GET", path: "/api/browse", known: &["path"], answer: App::browse },
    Route { method: "GET", path: "/api/work", known: &[], answer: App::work },
    Route { method: "DELETE", path: "/api/work", known: &[], answer: App::stop_work },
    Route { method: "GET", path: "/api/labels", known: &[], answer: App::labels },
    Route { method: "POST", path: "/api/labels", known: &[], answer: App::set_labels },
    Route { method: "GET", path: "/api/labels.csv", known: &[], answer: App::labels_csv },
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
const CROP: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("page/crop.js"));
const EDIT_STYLE: (&str, &str) = ("text/css; charset=utf-8", include_str!("page/edit.css"));
const TWINS: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("page/duplicates.js"));
const FOLDERS: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("page/folders.js"));
const LABELS: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("page/labels.js"));
const ICON: (&str, &str) = ("image/svg+xml", include_str!("page/icon.svg"));

/// Returns method and path of every route.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.method, route.path))
}

fn page((kind, text): (&'static str, &'static str)) -> Answer {
    Ok(Response::fixed(kind, text))
}

impl App {
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
    use serde_json::Value;

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
                let is_it = |r: &&Route| r.path == path && r.method == method.to_uppercase();
                let route = ROUTES.iter().find(is_it).expect(path);
                assert_eq!(named("query"), route.known, "{path}");
                let ids = path.matches("{id}").count();
                assert_eq!(named("path"), vec!["id"; ids], "{path}");
                assert!(operation["summary"].is_string(), "{path}");
                let good = ["200", "202"].map(|status| operation["responses"][status].is_object());
                assert!(good.contains(&true), "{path}");
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
