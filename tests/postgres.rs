/*!
A collection on PostgreSQL servers: the same hits as in the local index, from one server and
from shards; loads that change, break off and go on; approximate searches; a shard that is down.
*/
#![cfg(all(unix, feature = "engine"))]

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use barbule::code::BinaryCodes;
use barbule::device::{Device, DeviceChoice};
use barbule::engine::postgres::{Address, Connecting, LoadOptions, Loader, Remote, Table};
use barbule::engine::{self, import};
use barbule::index::{Filter, Index, Query, Searcher};
use barbule::task::Task;
use common::TestEnv;
use common::collection::{Collection, everything};
use common::server::{Server, programs};
use postgres::NoTls;

fn address(server: &Server) -> Address {
    Address::parse(&server.url(), &Connecting::default()).unwrap()
}

fn table(name: &str) -> Table {
    Table::new(name).unwrap()
}

fn open(server: &Server, name: &str) -> Remote {
    Remote::open(address(server), table(name), &Connecting::default()).unwrap()
}

/// Loads a collection; how many images had arrived before.
fn load(to: &Server, name: &str, collection: &Collection, shards: &[&Server]) -> u64 {
    let mut source = collection.clone();
    let shards = shards.iter().map(|server| address(server)).collect();
    let options = LoadOptions { shards, replace: false };
    let loader = Loader::begin(address(to), table(name), &source, &options).unwrap();
    let before = loader.before();
    engine::copy(&mut source, Box::new(loader), &Task::unwatched()).unwrap();
    before
}

/// A collection in the local index.
struct Local {
    index: Index,
    searcher: Searcher,
    _folder: TestEnv,
}

impl Local {
    fn new(collection: &Collection) -> Self {
        let (folder, device) = (TestEnv::new(), Device::open(DeviceChoice::Cpu, None).unwrap());
        let path = folder.path("local.db");
        import(&mut collection.clone(), &path, &Task::unwatched()).unwrap();
        let index = Index::open(&path).unwrap();
        let searcher = Searcher::new(&index, &device).unwrap();
        Self { index, searcher, _folder: folder }
    }

    /// Both have to find the same, id for id and distance for distance.
    #[track_caller]
    fn same(&self, remote: &Remote, query: &Query<'_>) -> usize {
        let (here, there) =
            (self.searcher.find(&self.index, query).unwrap(), remote.find(query).unwrap());
        assert_eq!(here, there);
        there.len()
    }
}

/// Searches of every kind.
fn finds_the_same(local: &Local, remote: &Remote, collection: &Collection, queries: usize) {
    let codes = collection.queries(queries.max(4));
    for code in &codes {
        assert_eq!(local.same(remote, &Query::nearest(code, 20)), 20);
    }
    let text = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let filters = [
        Filter { under: text(&["/photos/folder 1", "/photos/folder 3/"]), ..Filter::default() },
        Filter { labels: text(&["kind 4", "kind 7", ""]), ..Filter::default() },
        Filter { not: text(&["kind 4"]), ..Filter::default() },
        Filter { labelled: true, under: text(&["/photos"]), ..Filter::default() },
        Filter { labels: text(&["it's none"]), ..Filter::default() },
    ];
    let mut found = Vec::new();
    for filter in &filters {
        found.push(local.same(remote, &Query { filter, ..Query::nearest(&codes[0], 30) }));
    }
    assert_eq!(found, [30, 30, 30, 30, 0]);
    for radius in [0, 3, 9] {
        local.same(remote, &Query { radius: Some(radius), ..Query::nearest(&codes[1], 500) });
    }
    let mut several = codes[2].clone();
    several.extend(&codes[3]).unwrap();
    local.same(remote, &Query::nearest(&several, 40));
    local.same(remote, &Query { radius: Some(12), ..Query::nearest(&several, 40) });
    // Two images have the same content; they come first.
    let all = &collection.all.contents;
    let row = (1..all.len()).find(|row| all[*row] == all[row - 1]).unwrap();
    let contents = [blake3::Hash::from_bytes(all[row])];
    let own = collection.all.codes.select(&[row]);
    let query = Query { contents: &contents, ..Query::nearest(&own, 10) };
    local.same(remote, &query);
    assert!(remote.find(&query).unwrap()[..2].iter().all(|hit| hit.same && hit.distance == 0));
    assert_eq!(remote.code_of(&contents[0]).unwrap().unwrap(), own);
    assert_eq!(remote.at_path(&collection.all.paths[row]).unwrap(), Some(contents[0]));
    assert_eq!(remote.at_path("/nowhere").unwrap(), None);
}

#[test]
fn servers_find_what_the_local_index_finds() {
    let Some(programs) = programs() else { return };
    let (coordinator, first) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let mut second = Server::start(&programs, &[]);
    let collection = Collection::random(200_000, 48, 1);
    let local = Local::new(&collection);

    load(&coordinator, "one", &collection, &[]);
    let one = open(&coordinator, "one");
    finds_the_same(&local, &one, &collection, 50);

    load(&coordinator, "many", &collection, &[&first, &second]);
    let many = open(&coordinator, "many");
    finds_the_same(&local, &many, &collection, 50);
    let explained = many.explain(&Query::nearest(&collection.queries(1)[0], 20)).unwrap();
    // Each shard is asked for its twenty and gives no more.
    let remote: Vec<_> = explained.plan.lines().filter(|l| l.contains("Remote SQL")).collect();
    assert!(remote.len() == 2 && remote.iter().all(|l| l.contains("LIMIT 20")), "{explained:?}");
    // Both have about half.
    for shard in [&first, &second] {
        let half = count(shard, "many");
        assert!((90_000..110_000).contains(&half), "{half}");
    }
    assert_eq!(everything(&mut one.rows()).unwrap(), collection.all);
    assert_eq!(everything(&mut open(&coordinator, "many").rows()).unwrap(), collection.all);

    let env = TestEnv::new();
    let hex = collection.queries(1)[0].hex(0);
    let url = coordinator.url();
    let args = ["search", "--engine", &url, "--table", "many", "--code", &hex, "-k", "7"];
    let answer = env.json(&args);
    assert_eq!(answer["results"].as_array().unwrap().len(), 7);
    second.kill();
    // An error, not a list that is shorter.
    let said = env.fails(&args);
    assert!(said.contains("a shard does not answer"), "{said}");
    assert!(many.find(&Query::nearest(&collection.queries(1)[0], 7)).is_err());
    // What is on one server alone is still there.
    finds_the_same(&local, &open(&coordinator, "one"), &collection, 2);
}

fn count(server: &Server, name: &str) -> i64 {
    ask(server, &format!("SELECT count(*) FROM {name}"))
}

fn ask(server: &Server, sql: &str) -> i64 {
    let mut client = postgres::Client::connect(&server.url(), NoTls).unwrap();
    client.query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn loads_change_what_has_changed_and_go_on_where_they_were() {
    let Some(programs) = programs() else { return };
    let (server, shard) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let mut before = Collection::random(20_000, 100, 2);
    load(&server, "a", &before, &[]);
    load(&server, "b", &before, &[&server, &shard]);

    // Some are gone, some moved, some relabelled, some have changed, some are new.
    let all = &mut before.all;
    let rows: Vec<usize> = (0..all.len()).filter(|row| row % 10 != 3).collect();
    let mut after = Collection::of(before.select(&rows));
    for row in (0..after.all.len()).step_by(50) {
        after.all.paths[row] = format!("/elsewhere/{row}.jpg");
        after.all.labels[row] = Some("new".to_owned());
    }
    let new = Collection::random(500, 100, 77);
    let last = *after.all.ids.last().unwrap();
    after.all.ids.extend(new.all.ids.iter().map(|id| id + last));
    after.all.paths.extend(new.all.paths.iter().map(|path| format!("{path}.new")));
    after.all.labels.extend(new.all.labels);
    after.all.contents.extend(&new.all.contents);
    after.all.codes.extend(&new.all.codes).unwrap();
    let after = Collection::of(after.all);
    let written = |name: &str| {
        ask(&server, &format!("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = '{name}'"))
    };
    for (name, shards) in [("a", vec![]), ("b", vec![&server, &shard])] {
        load(&server, name, &after, &shards);
        let all = everything(&mut open(&server, name).rows()).unwrap();
        assert_eq!(all, after.all, "{name}");
    }
    let local = Local::new(&after);
    finds_the_same(&local, &open(&server, "a"), &after, 5);
    finds_the_same(&local, &open(&server, "b"), &after, 5);
    // What had not changed was not written again.
    let changed = after.all.len().div_ceil(50) as i64;
    let mut waited = 0;
    while written("a") == 0 && waited < 50 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        waited += 1;
    }
    assert!(written("a") <= 2 * changed, "{} rows were written again", written("a"));

    // Broken off: what was there stays, and what arrived is not sent again.
    let next = Collection::random(30_000, 100, 5);
    for (name, shards) in [("a", vec![]), ("b", vec![address(&server), address(&shard)])] {
        let stop = AtomicBool::new(false);
        let progress = |done: usize, _: usize| stop.store(done >= 12_000, Ordering::Relaxed);
        let mut source = next.clone();
        let options = LoadOptions { shards: shards.clone(), replace: false };
        let loader = Loader::begin(address(&server), table(name), &source, &options).unwrap();
        let other = Loader::begin(address(&server), table(name), &source, &options);
        assert!(other.err().unwrap().to_string().contains("another program"));
        let stopped = engine::copy(&mut source, Box::new(loader), &Task::new(&progress, &stop));
        assert!(stopped.is_err());
        assert_eq!(everything(&mut open(&server, name).rows()).unwrap(), after.all);
        let mut source = next.clone();
        // The shards are known by now.
        let options = LoadOptions { shards: Vec::new(), replace: false };
        let loader = Loader::begin(address(&server), table(name), &source, &options).unwrap();
        assert_eq!(loader.before(), 12_288);
        engine::copy(&mut source, Box::new(loader), &Task::unwatched()).unwrap();
        assert_eq!(everything(&mut open(&server, name).rows()).unwrap(), next.all);
    }

    // Other models and other layouts are refused, unless they are to take the place.
    let other = Collection::random(100, 64, 3);
    let begin = |name: &str, shards: Vec<Address>, replace: bool| {
        let options = LoadOptions { shards, replace };
        Loader::begin(address(&server), table(name), &other, &options)
    };
    let said = begin("a", Vec::new(), false).err().unwrap().to_string();
    assert!(said.contains("another model") && said.contains("--replace"), "{said}");
    let said = begin("a", vec![address(&shard)], false).err().unwrap().to_string();
    assert!(said.contains("--replace"), "{said}");
    for (name, shards) in [("a", Vec::new()), ("b", vec![address(&shard)])] {
        let loader = begin(name, shards, true).unwrap();
        engine::copy(&mut other.clone(), Box::new(loader), &Task::unwatched()).unwrap();
        assert_eq!(everything(&mut open(&server, name).rows()).unwrap(), other.all);
    }
}

#[test]
fn approximate_searches_say_how_much_they_find() {
    let Some(programs) = programs() else { return };
    let (server, shard) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let collection = Collection::random(6_000, 128, 6);
    let local = Local::new(&collection);
    for (name, shards) in [("one", vec![]), ("many", vec![&server, &shard])] {
        load(&server, name, &collection, &shards);
        let mut remote = open(&server, name);
        assert!(!remote.has_approximate().unwrap());
        remote.approximate().unwrap();
        assert!(remote.has_approximate().unwrap());
        let code = collection.all.codes.select(&[0]);
        let plan = remote.explain(&Query::nearest(&code, 10)).unwrap().plan;
        assert!(name == "many" || plan.contains("_hnsw"), "{plan}");
        let recall = remote.recall().unwrap();
        assert!(recall.share > 0.9 && recall.codes == 100, "{recall:?}");
        let found = remote.find(&Query::nearest(&code, 300)).unwrap();
        assert!(found.len() > 250 && found.is_sorted_by_key(|hit| (hit.distance, hit.id)));
        // Exact searches do not touch the index, although it is there.
        finds_the_same(&local, &open(&server, name), &collection, 5);
    }
}

#[test]
fn the_program_loads_searches_and_takes_in_again() {
    let Some(programs) = programs() else { return };
    let (server, shard) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let env = TestEnv::with_birds(3, 6);
    env.ok(&["index", "birds", "--index", "birds.db", "--labels", "folder"]);
    let (url, other) = (server.url(), shard.url());
    env.ok(&["export", "--index", "birds.db", "--to", &url]);
    let shards = ["--table", "spread", "--shard", &url, "--shard", &other];
    env.ok(&[&["export", "--index", "birds.db", "--to", &url], &shards[..]].concat());
    let same = |args: &[&str]| {
        let here = env.json(&[&["search", "--index", "birds.db"], args].concat());
        for table in ["barbule", "spread"] {
            let there = env.json(&[&["search", "--engine", &url, "--table", table], args].concat());
            assert_eq!(here["results"], there["results"], "{args:?}");
        }
        here
    };
    let image = "birds/class-1/2.png";
    assert_eq!(same(&[image, "-k", "5"])["results"][0]["same"], true);
    same(&[image, "--label", "class-2"]);
    same(&[image, "--not", "class-1", "--under", "birds/class-0"]);
    same(&[image, "birds/class-0/1.png", "--together"]);
    // An image that is not there, encoded by the model that the collection names.
    env.write("new.png", common::png(1, 40));
    same(&["new.png", "-k", "4"]);
    let sql = env.ok(&["search", "--engine", &url, "--table", "spread", image, "--explain-sql"]);
    assert!(sql.contains("UNION ALL") && sql.contains("Remote SQL"), "{sql}");
    let sql =
        env.ok(&[&["export", "--index", "birds.db", "--to", &url, "--explain-sql"], &shards[..]]
            .concat());
    assert!(sql.contains("CREATE SERVER") && sql.contains("CREATE TABLE"), "{sql}");
    env.ok(&["search", "--engine", &url, image, "--approximate"]);

    env.ok(&["import", &url, "--table", "spread", "--index", "again.db"]);
    let (one, two) = (env.ok(&["export", "--index", "birds.db", "--to", "a/"]), env.path("b"));
    assert!(one.is_empty());
    env.ok(&["export", "--index", "again.db", "--to", two.to_str().unwrap()]);
    for file in ["ids.npy", "codes.npy", "paths.txt", "labels.txt"] {
        let read = |folder: &str| std::fs::read(env.path(folder).join(file)).unwrap();
        assert_eq!(read("a"), read("b"), "{file}");
    }

    let said = env.fails(&["search", "--engine", &url, "--table", "nothing", image]);
    assert!(said.contains("barbule export"), "{said}");
    let said = env.fails(&["search", "--engine", "postgres://me:s3cret@127.0.0.1:1/x", image]);
    assert!(said.contains("127.0.0.1:1/x") && !said.contains("s3cret"), "{said}");
    let said = env.fails(&["search", "--engine", &url.replace("/postgres", "/nowhere"), image]);
    assert!(said.contains("nowhere"), "{said}");
    env.misused(&["search", "--engine", &url, image, "--rerank", "5"]);
}

/// What a server with Citus is asked to do. Citus itself is not here: a stand-in takes down the
/// calls and spreads nothing.
#[test]
fn a_server_with_citus_is_asked_to_spread_the_table() {
    let Some(programs) = programs() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let extension = folder.path().join("extension");
    std::fs::create_dir(&extension).unwrap();
    std::fs::write(extension.join("citus.control"), "default_version = '1.0'\n").unwrap();
    let script = "CREATE TABLE pg_dist_partition (logicalrelid regclass, partkey text, beside text);
        CREATE FUNCTION create_distributed_table(text, text, colocate_with text DEFAULT NULL)
        RETURNS void LANGUAGE sql AS 'INSERT INTO pg_dist_partition VALUES ($1::regclass, $2, $3)';";
    std::fs::write(extension.join("citus--1.0.sql"), script).unwrap();
    let path = format!("extension_control_path={}:$system", folder.path().display());
    let server = Server::start(&programs, &[&path]);
    let mut client = postgres::Client::connect(&server.url(), NoTls).unwrap();
    client.batch_execute("CREATE EXTENSION citus").unwrap();
    let collection = Collection::random(3000, 48, 12);
    for _ in 0..2 {
        load(&server, "spread", &collection, &[]);
        finds_the_same(&Local::new(&collection), &open(&server, "spread"), &collection, 3);
    }
    let sql = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = 'spread'::regclass AND partkey = 'content'";
    assert_eq!(ask(&server, sql), 1);
    // Rows of a load have to lie where those that they take the place of are.
    assert_eq!(ask(&server, "SELECT count(*) FROM pg_dist_partition WHERE beside = 'spread'"), 2);
}

/// A query of another length is refused before anything is asked.
#[test]
fn codes_of_another_length_are_refused() {
    let Some(programs) = programs() else { return };
    let server = Server::start(&programs, &[]);
    load(&server, "a", &Collection::random(50, 48, 9), &[]);
    let remote = Arc::new(open(&server, "a"));
    let code = BinaryCodes::from_hex(64, "0011223344556677").unwrap();
    assert!(remote.find(&Query::nearest(&code, 3)).is_err());
}
