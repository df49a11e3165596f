/*!
PostgreSQL servers: hits equal those of the local index, on one server and on shards; loads update,
are interrupted and resume; approximate searches; failed shards.
*/
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::TestEnv;
use crate::common::collection::{Collection, Numbers, everything};
use crate::common::server::{Server, programs};
use barbule::code::{BinaryCodes, Code};
use barbule::device::{Device, DeviceChoice};
use barbule::engine::postgres::{Address, Connecting, LoadOptions, Loader, Remote, Table};
use barbule::engine::{self, EngineError, Sink, Source, import};
use barbule::index::{self, Filter, Search};
use barbule::task::Task;
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

/// Loads a collection and returns the number of images that an earlier load had copied.
fn load(to: &Server, name: &str, collection: &Collection, shards: &[&Server]) -> u64 {
    let mut source = collection.clone();
    let shards = shards.iter().map(|server| address(server)).collect();
    let options = LoadOptions::new(shards, false);
    let loader = Loader::begin(address(to), table(name), &source, &options).unwrap();
    let before = loader.before();
    engine::copy(&mut source, Box::new(loader), &Task::unwatched()).unwrap();
    before
}

/// A collection in a local index.
struct Local {
    index: index::Collection,
    _folder: TestEnv,
}

impl Local {
    fn new(collection: &Collection) -> Self {
        let (folder, device) = (TestEnv::new(), Device::open(DeviceChoice::Cpu, None).unwrap());
        let path = folder.path("local.db");
        import(&mut collection.clone(), &path, &Task::unwatched()).unwrap();
        let index = index::Collection::open_lazily(&path, &device).unwrap();
        Self { index, _folder: folder }
    }

    /// Checks that both find the same hits, and returns their number.
    #[track_caller]
    fn same(&self, remote: &Remote, search: &Search) -> usize {
        let (mut here, there) = (self.index.search(search).unwrap(), remote.find(search).unwrap());
        // No file of these collections exists, which a server does not know.
        for hit in &mut here {
            assert!(std::mem::take(&mut hit.gone), "{hit:?}");
        }
        assert_eq!(here, there);
        there.len()
    }
}

/// Compares searches of every kind.
fn finds_the_same(local: &Local, remote: &Remote, collection: &Collection, queries: usize) {
    let codes = collection.queries(queries.max(4));
    for code in &codes {
        assert_eq!(local.same(remote, &Search::nearest(code, 20)), 20);
    }
    let filters = [
        Filter::default().under("/photos/folder 1").under("/photos/folder 3/"),
        Filter::default().labelled_as("kind 4").labelled_as("kind 7").labelled_as(""),
        Filter::default().not_labelled_as("kind 4"),
        Filter::default().with_any_label().under("/photos"),
        Filter::default().labelled_as("it's none"),
    ];
    let mut found = Vec::new();
    for filter in filters {
        found.push(local.same(remote, &Search::nearest(&codes[0], 30).filtered(filter)));
    }
    assert_eq!(found, [30, 30, 30, 30, 0]);
    for radius in [0, 3, 9] {
        local.same(remote, &Search::nearest(&codes[1], 500).within(radius));
    }
    let mut several = BinaryCodes::from(&codes[2]);
    several.push(&codes[3]).unwrap();
    let together = Search::nearest_to_all(several, 40);
    local.same(remote, &together);
    local.same(remote, &together.clone().within(12));
    // Values of the signs of two codes, as sure as a random number says.
    let mut numbers = Numbers(7);
    let mut values: Vec<f32> = [codes[2].signs(), codes[3].signs()].concat();
    values.iter_mut().for_each(|value| *value *= (numbers.next() >> 40) as f32);
    for candidates in [1, 25, 300] {
        local.same(remote, &together.clone().by_values(candidates, values.clone()));
        let one = Search::nearest(&codes[2], 40);
        let one = one.by_values(candidates, values[..codes[2].bits()].to_vec());
        local.same(remote, &one);
        local.same(remote, &one.within(9));
    }
    let short = Search::nearest(&codes[2], 40).by_values(9, vec![1.0]);
    assert!(remote.find(&short).is_err() && local.index.search(&short).is_err());
    // Two images have the same content; they come first.
    let all = &collection.all.contents;
    let row = (1..all.len()).find(|row| all[*row] == all[row - 1]).unwrap();
    let content = blake3::Hash::from_bytes(all[row]);
    let own = collection.all.codes.get(row).unwrap();
    let query = Search::nearest(&own, 10).marking(content);
    local.same(remote, &query);
    local.same(remote, &query.clone().by_values(20, values[..own.bits()].to_vec()));
    assert!(remote.find(&query).unwrap()[..2].iter().all(|hit| hit.same && hit.distance == 0));
    assert_eq!(remote.code_of(&content).unwrap().unwrap(), own);
    assert_eq!(remote.at_path(&collection.all.paths[row]).unwrap(), Some(content));
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
    let explained = many.explain(&Search::nearest(&collection.queries(1)[0], 20)).unwrap();
    // Each shard returns only its nearest 20.
    let remote: Vec<_> = explained.plan.lines().filter(|l| l.contains("Remote SQL")).collect();
    assert!(remote.len() == 2 && remote.iter().all(|l| l.contains("LIMIT 20")), "{explained:?}");
    // Each shard stores about half.
    for shard in [&first, &second] {
        let half = count(shard, "many");
        assert!((90_000..110_000).contains(&half), "{half}");
    }
    assert_eq!(everything(&mut one.rows()).unwrap(), collection.all);
    assert_eq!(everything(&mut open(&coordinator, "many").rows()).unwrap(), collection.all);

    let env = TestEnv::new();
    let hex = collection.queries(1)[0].hex();
    let url = coordinator.url();
    let args = ["search", "--engine", &url, "--table", "many", "--code", &hex, "-k", "7"];
    let answer = env.json(&args);
    assert_eq!(answer["results"].as_array().unwrap().len(), 7);
    second.kill();
    // A failed shard is an error, not a shorter list.
    let said = env.fails(&args);
    assert!(said.contains("the shard that does not answer"), "{said}");
    assert!(many.find(&Search::nearest(&collection.queries(1)[0], 7)).is_err());
    // A collection without shards is unaffected.
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

    // Some images are deleted, some moved, some relabelled and some new.
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
    // Unchanged rows are not rewritten.
    let changed = after.all.len().div_ceil(50) as i64;
    let mut waited = 0;
    while written("a") == 0 && waited < 50 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        waited += 1;
    }
    assert!(written("a") <= 2 * changed, "{} rows were rewritten", written("a"));

    // An interrupted load keeps the old collection, and does not send images twice.
    let next = Collection::random(30_000, 100, 5);
    for (name, shards) in [("a", vec![]), ("b", vec![address(&server), address(&shard)])] {
        let stop = AtomicBool::new(false);
        let progress = |done: usize, _: usize| stop.store(done >= 12_000, Ordering::Relaxed);
        let mut source = next.clone();
        let options = LoadOptions::new(shards.clone(), false);
        let loader = Loader::begin(address(&server), table(name), &source, &options).unwrap();
        let other = Loader::begin(address(&server), table(name), &source, &options);
        assert!(other.err().unwrap().to_string().contains("another program"));
        let stopped = engine::copy(&mut source, Box::new(loader), &Task::new(&progress, &stop));
        assert!(stopped.is_err());
        assert_eq!(everything(&mut open(&server, name).rows()).unwrap(), after.all);
        let mut source = next.clone();
        // The shards are already registered.
        let options = LoadOptions::new(Vec::new(), false);
        let loader = Loader::begin(address(&server), table(name), &source, &options).unwrap();
        assert_eq!(loader.before(), 12_288);
        engine::copy(&mut source, Box::new(loader), &Task::unwatched()).unwrap();
        assert_eq!(everything(&mut open(&server, name).rows()).unwrap(), next.all);
    }

    // Another model or layout is refused without `--replace`.
    let other = Collection::random(100, 64, 3);
    let begin = |name: &str, shards: Vec<Address>, replace: bool| {
        let options = LoadOptions::new(shards, replace);
        Loader::begin(address(&server), table(name), &other, &options)
    };
    let said = begin("a", Vec::new(), false).err().unwrap().to_string();
    assert!(said.contains("another model") && said.contains("replace this one"), "{said}");
    let said = begin("a", vec![address(&shard)], false).err().unwrap().to_string();
    assert!(said.contains("replace this one"), "{said}");
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
        let code = collection.all.codes.get(0).unwrap();
        let plan = remote.explain(&Search::nearest(&code, 10)).unwrap().plan;
        assert!(name == "many" || plan.contains("_hnsw"), "{plan}");
        let recall = remote.recall().unwrap();
        assert!(recall.share > 0.9 && recall.codes == 100, "{recall:?}");
        let found = remote.find(&Search::nearest(&code, 300)).unwrap();
        assert!(found.len() > 250 && found.is_sorted_by_key(|hit| (hit.distance, hit.id)));
        // Exact searches do not use the existing index.
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
            assert_eq!(here["order"], there["order"], "{args:?}");
        }
        here
    };
    let image = "birds/class-1/2.png";
    assert_eq!(same(&[image, "-k", "5"])["results"][0]["same"], true);
    same(&[image, "--label", "class-2"]);
    same(&[image, "--not", "class-1", "--under", "birds/class-0"]);
    same(&[image, "birds/class-0/1.png", "--together"]);
    // A new image is encoded with the collection's model.
    env.write("new.png", crate::common::png(1, 40));
    assert_eq!(same(&["new.png", "-k", "4"])["order"], "asymmetric");
    assert_eq!(same(&["new.png", "--order", "hamming"])["order"], "hamming");
    same(&["new.png", "-k", "12", "--candidates", "5"]);
    let said = env.fails(&["search", "--engine", &url, image, "--order", "cosine"]);
    assert!(said.contains("a server does not store"), "{said}");
    let sql = env.ok(&["search", "--engine", &url, "--table", "spread", image, "--explain-sql"]);
    assert!(sql.contains("UNION ALL") && sql.contains("Remote SQL"), "{sql}");
    let sql =
        env.ok(&[&["export", "--index", "birds.db", "--to", &url, "--explain-sql"], &shards[..]]
            .concat());
    assert!(sql.contains("CREATE SERVER") && sql.contains("CREATE TABLE"), "{sql}");
    env.ok(&["search", "--engine", &url, image, "--approximate"]);
    // A collection that fits its hash to its images brings the new one with it.
    for number in ["6", "7"] {
        env.write(&format!("birds/class-1/{number}.png"), crate::common::png(1, 50));
        env.ok(&["index", "birds", "--index", "birds.db", "--fit", "now"]);
        for table in ["barbule", "spread"] {
            env.ok(&["export", "--index", "birds.db", "--to", &url, "--table", table]);
        }
        assert_eq!(same(&["new.png", "-k", "4"])["order"], "asymmetric");
    }

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

/// Checks the calls to Citus. A fake extension records them and distributes nothing.
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
    // The staging table must be colocated with the collection's table.
    assert_eq!(ask(&server, "SELECT count(*) FROM pg_dist_partition WHERE beside = 'spread'"), 2);
}

/// Begins a load without writing a batch.
fn begin(
    to: &Server,
    name: &str,
    source: &Collection,
    shards: &[&Server],
    replace: bool,
) -> Result<Loader, EngineError> {
    let shards = shards.iter().map(|server| address(server)).collect();
    Loader::begin(address(to), table(name), source, &LoadOptions::new(shards, replace))
}

/// Writes the next `batches` batches of a source.
fn some(loader: &mut Loader, source: &mut Collection, batches: usize) -> Result<(), EngineError> {
    for _ in 0..batches {
        let Some(batch) = source.next_batch()? else { return Ok(()) };
        loader.write(&batch)?;
    }
    Ok(())
}

fn all_of(server: &Server, name: &str) -> engine::Batch {
    everything(&mut open(server, name).rows()).unwrap()
}

fn say(server: &Server, sql: &str) {
    postgres::Client::connect(&server.url(), NoTls).unwrap().batch_execute(sql).unwrap();
}

/// Terminates the connections of loads and searches, like an idle timeout or a router.
const CUT: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'barbule'";

/// After a crash the staging table is empty. The collection must not be deleted because of that.
#[test]
fn a_server_that_crashes_during_a_load_loses_no_collection() {
    let Some(programs) = programs() else { return };
    let (mut server, mut shard) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let (before, after) = (Collection::random(9_000, 48, 21), Collection::random(30_000, 48, 22));
    load(&server, "a", &before, &[]);
    load(&server, "b", &before, &[&server, &shard]);
    for (name, shards) in [("a", vec![]), ("b", vec![&server, &shard])] {
        let lost = |batches: usize, crash: &mut dyn FnMut()| {
            let mut source = after.clone();
            let mut loader = begin(&server, name, &source, &shards, false).unwrap();
            // The rows of the intact shard are not sent again.
            assert!(loader.before() == 0 || name == "b");
            some(&mut loader, &mut source, batches).unwrap();
            crash();
            let rest = some(&mut loader, &mut source, 100);
            rest.and_then(|()| Box::new(loader).finish()).unwrap_err().to_string()
        };
        // Between batches, and after the last. A truncated table counts as a crash.
        for batches in [3, 100] {
            let said = lost(batches, &mut || {
                say(&server, &format!("TRUNCATE {name}_incoming"));
                say(&server, CUT);
            });
            assert!(said.contains("run the same command again"), "{said}");
            assert_eq!(all_of(&server, name), before.all);
        }
    }
    for batches in [3, 100] {
        let mut source = after.clone();
        let mut loader = begin(&server, "a", &source, &[], false).unwrap();
        some(&mut loader, &mut source, batches).unwrap();
        server.crash();
        let rest = some(&mut loader, &mut source, 100);
        let said = rest.and_then(|()| Box::new(loader).finish()).unwrap_err().to_string();
        assert!(said.contains("it has 0"), "{said}");
        assert_eq!(all_of(&server, "a"), before.all);

        let mut source = after.clone();
        let mut loader = begin(&server, "b", &source, &[&server, &shard], false).unwrap();
        some(&mut loader, &mut source, batches).unwrap();
        shard.crash();
        let rest = some(&mut loader, &mut source, 100);
        let said = rest.and_then(|()| Box::new(loader).finish()).unwrap_err().to_string();
        assert!(said.contains("it has 0"), "{said}");
        assert_eq!(all_of(&server, "b"), before.all);
    }
    load(&server, "a", &after, &[]);
    load(&server, "b", &after, &[]);
    for name in ["a", "b"] {
        assert_eq!(all_of(&server, name), after.all);
    }
}

#[test]
fn one_load_at_a_time_also_when_connections_break() {
    let Some(programs) = programs() else { return };
    let (server, shard) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let (mine, theirs) = (Collection::random(20_000, 48, 31), Collection::random(9_000, 48, 32));
    for (name, shards) in [("a", vec![]), ("b", vec![&server, &shard])] {
        // The load reconnects and takes the lock again.
        let mut source = mine.clone();
        let mut loader = begin(&server, name, &source, &shards, false).unwrap();
        for _ in 0..4 {
            some(&mut loader, &mut source, 1).unwrap();
            for server in [&server, &shard] {
                say(server, CUT);
            }
        }
        some(&mut loader, &mut source, 1).unwrap();
        let other = begin(&server, name, &mine, &shards, false).err().unwrap().to_string();
        assert!(other.contains("another program"), "{other}");
        Box::new(loader).finish().unwrap();
        assert_eq!(all_of(&server, name), mine.all);

        // Another load of the same source has started in between: each image is loaded once.
        for _ in 0..2 {
            let mut source = mine.clone();
            let mut loader = begin(&server, name, &source, &shards, false).unwrap();
            some(&mut loader, &mut source, 2).unwrap();
            say(&server, CUT);
            let other = begin(&server, name, &mine, &shards, false).unwrap();
            let said = some(&mut loader, &mut source, 1).unwrap_err().to_string();
            assert!(said.contains("another program"), "{said}");
            drop(other);
        }
        load(&server, name, &theirs, &shards);
        assert_eq!(all_of(&server, name), theirs.all);

        // Even without the lock, a server accepts rows only from the latest load.
        for batches in [1, 100] {
            let mut source = mine.clone();
            let mut loader = begin(&server, name, &source, &shards, false).unwrap();
            some(&mut loader, &mut source, batches).unwrap();
            say(&server, &format!("UPDATE {name}_meta SET value = 'x' WHERE key = 'loading'"));
            let rest = some(&mut loader, &mut source, 100);
            let said = rest.and_then(|()| Box::new(loader).finish()).unwrap_err().to_string();
            assert!(said.contains("another program has begun"), "{said}");
            assert_eq!(all_of(&server, name), theirs.all);
        }
    }
    let twice = begin(&server, "c", &mine, &[&shard, &shard], false).err().unwrap().to_string();
    assert!(twice.contains("two shards"), "{twice}");
}

#[test]
fn shards_that_move_are_asked_where_they_are() {
    let Some(programs) = programs() else { return };
    let server = Server::start(&programs, &[]);
    let mut shards: Vec<Server> = (0..3).map(|_| Server::start(&programs, &[])).collect();
    let (before, after) = (Collection::random(6_000, 48, 41), Collection::random(5_000, 48, 42));
    load(&server, "a", &before, &[&shards[0], &shards[1]]);
    say(&server, "ALTER SERVER a_shard_1 OPTIONS (SET fetch_size '77')");
    // Searches use the old shard until the new one is loaded.
    let mut source = after.clone();
    let moved = [&shards[0], &shards[2]];
    let mut loader = begin(&server, "a", &source, &moved, false).unwrap();
    some(&mut loader, &mut source, 100).unwrap();
    assert_eq!(all_of(&server, "a"), before.all);
    Box::new(loader).finish().unwrap();
    shards[1].kill();
    let moved = [&shards[0], &shards[2]];
    assert_eq!(all_of(&server, "a"), after.all);
    let sql = "SELECT count(*) FROM pg_foreign_server WHERE 'sslmode=disable' = ANY(srvoptions)";
    assert_eq!(ask(&server, sql), 2);
    let sql = "SELECT count(*) FROM pg_foreign_server WHERE 'fetch_size=77' = ANY(srvoptions)";
    assert_eq!(ask(&server, sql), 1);

    // The server accepts the options that a remote shard gets.
    say(
        &server,
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'far.example', sslmode 'verify-full', sslrootcert 'system')",
    );

    // A changed user and password are registered too.
    say(&shards[2], "CREATE ROLE anna SUPERUSER LOGIN PASSWORD 'x'");
    let url = shards[2].url().replace("postgres@", "anna:x@");
    let anna = Address::parse(&url, &Connecting::default()).unwrap();
    let options = LoadOptions::new(vec![address(&shards[0]), anna], false);
    let loader = Loader::begin(address(&server), table("a"), &before, &options).unwrap();
    engine::copy(&mut before.clone(), Box::new(loader), &Task::unwatched()).unwrap();
    assert_eq!(all_of(&server, "a"), before.all);
    let sql = "SELECT count(*) FROM pg_user_mappings WHERE umoptions @> '{user=anna,password=x}'";
    assert_eq!(ask(&server, sql), 1);

    // A shard that is gone for good does not block its replacement.
    load(&server, "b", &before, &moved);
    shards[2].kill();
    let said = begin(&server, "b", &after, &[], false).err().unwrap().to_string();
    assert!(said.contains(&shards[2].port.to_string()), "{said}");
    let mut source = after.clone();
    let mut loader = begin(&server, "b", &source, &[&shards[0]], true).unwrap();
    let left = loader.left().to_vec();
    assert!(left.len() == 1 && left[0].contains(&shards[2].port.to_string()), "{left:?}");
    some(&mut loader, &mut source, 100).unwrap();
    Box::new(loader).finish().unwrap();
    assert_eq!(all_of(&server, "b"), after.all);
}

/// An interrupted load leaves tables of a fixed code length without metadata.
#[test]
fn another_length_is_refused_before_anything_is_sent() {
    let Some(programs) = programs() else { return };
    let (server, shard) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let (short, long) = (Collection::random(5_000, 48, 51), Collection::random(5_000, 64, 52));
    for (name, shards) in [("a", vec![]), ("b", vec![&shard])] {
        let mut source = short.clone();
        let mut loader = begin(&server, name, &source, &shards, false).unwrap();
        some(&mut loader, &mut source, 1).unwrap();
        drop(loader);
        let said = begin(&server, name, &long, &shards, false).err().unwrap().to_string();
        assert!(
            said.contains("48") && said.contains("64") && said.contains("replace this one"),
            "{said}"
        );
        let mut source = long.clone();
        let mut loader = begin(&server, name, &source, &shards, true).unwrap();
        some(&mut loader, &mut source, 100).unwrap();
        Box::new(loader).finish().unwrap();
        assert_eq!(all_of(&server, name), long.all);
    }
    // With a moved shard, the coordinator's foreign tables still have the old code length.
    let mut source = short.clone();
    let mut loader = begin(&server, "c", &source, &[&shard], false).unwrap();
    some(&mut loader, &mut source, 1).unwrap();
    drop(loader);
    let said = begin(&server, "c", &long, &[&server], false).err().unwrap().to_string();
    assert!(said.contains("48") && said.contains("64"), "{said}");
}

/// An import reads one state of the collection, even during a load.
#[test]
fn an_import_is_not_mixed_with_an_export() {
    let Some(programs) = programs() else { return };
    let (server, shard) = (Server::start(&programs, &[]), Server::start(&programs, &[]));
    let (before, after) = (Collection::random(12_000, 48, 61), Collection::random(12_000, 48, 62));
    for (name, shards) in [("a", vec![]), ("b", vec![&server, &shard])] {
        load(&server, name, &before, &shards);
        let mut rows = open(&server, name).rows();
        let mut late = open(&server, name).rows();
        let mut all = rows.next_batch().unwrap().unwrap();
        load(&server, name, &after, &shards);
        while let Some(batch) = rows.next_batch().unwrap() {
            all.ids.extend(batch.ids);
            all.contents.extend(batch.contents);
        }
        assert!(rows.next_batch().unwrap().is_none());
        assert_eq!((all.ids, all.contents), (before.all.ids.clone(), before.all.contents.clone()));
        // This source read its metadata before the load.
        let said = late.next_batch().unwrap_err().to_string();
        assert!(said.contains("an export changed"), "{said}");
        // A new connection would see another state.
        let mut rows = open(&server, name).rows();
        rows.next_batch().unwrap();
        say(&server, CUT);
        assert!(rows.next_batch().is_err() && rows.next_batch().is_err());
    }
}

/// A query of another code length is refused before the server is queried.
#[test]
fn codes_of_another_length_are_refused() {
    let Some(programs) = programs() else { return };
    let server = Server::start(&programs, &[]);
    load(&server, "a", &Collection::random(50, 48, 9), &[]);
    let remote = Arc::new(open(&server, "a"));
    let code = Code::from_hex(64, "0011223344556677").unwrap();
    assert!(remote.find(&Search::nearest(&code, 3)).is_err());
}
