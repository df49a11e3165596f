/*!
Loading a collection. Images are copied into a staging table batch by batch, then the collection
is made equal to it. Until then searches see the old state. An interrupted load resumes after the
last batch that arrived.

The merge deletes images that are not in the staging table, so its rows are counted first. A token
on every server ensures that all of them come from one load.
*/

use std::time::Duration;

use super::address::Address;
use super::facts::{facts, meta, same_width, whole};
use super::holder::Holder;
use super::session::Session;
use super::shards::{self, Layout};
use super::sql::{self, Table};
use crate::engine::{Batch, EngineError, Head, Remedy, Sink, Source};
use crate::model::Model;

/// Options of a load.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Servers to distribute the images over; empty for the shards of the last load, if any.
    pub shards: Vec<Address>,
    /// Delete the existing collection first, which may have another model or layout.
    pub replace: bool,
}

impl LoadOptions {
    /// Options for a load to `shards`, which may replace the existing collection.
    pub fn new(shards: Vec<Address>, replace: bool) -> Self {
        Self { shards, replace }
    }
}

/// Loads images into servers.
pub struct Loader {
    coordinator: Session,
    /// The servers that store images: the coordinator itself, or the shards.
    holders: Vec<Holder>,
    table: Table,
    head: Head,
    layout: Layout,
    /// Unique token of this load.
    token: String,
    /// Number of images that an earlier load had copied.
    before: u64,
    /// SQL that registers the shards on the coordinator after the merge. Until then searches use
    /// the old shards.
    register: Option<String>,
    /// Errors of old shards that could not be cleared.
    left: Vec<String>,
}

impl Loader {
    /// Prepares the servers to load `source`.
    ///
    /// # Errors
    /// If codes are words, a server cannot be used, or it stores a collection of another model or
    /// layout.
    pub fn begin(
        address: Address,
        table: Table,
        source: &dyn Source,
        options: &LoadOptions,
    ) -> Result<Self, EngineError> {
        let head = source.head().clone();
        head.check_signs("PostgreSQL with pgvector")?;
        // Without a timeout: a load can take hours.
        let mut coordinator = Session::open(address, Duration::ZERO)?;
        claim(&mut coordinator, &table)?;
        let present = meta(&mut coordinator, &table)?;
        let known = present.iter().find(|(key, _)| key == "layout");
        let known = known.and_then(|(_, layout)| Layout::read(layout));
        let mut servers = options.shards.clone();
        if let (true, Some(Layout::Shards(count))) = (servers.is_empty(), &known) {
            servers = shards::addresses(&mut coordinator, &table, *count)?;
        }
        let layout = match servers.len() {
            0 if shards::has_citus(&mut coordinator)? => Layout::Citus,
            0 => Layout::Single,
            count => Layout::Shards(count),
        };
        sensible(&servers)?;
        let mut left = Vec::new();
        if options.replace {
            left = clear(&mut coordinator, &table, &servers)?;
        } else if !present.is_empty() {
            fits(&coordinator, &table, &present, known.as_ref(), &layout, &head)?;
        }
        let token: String =
            coordinator.run(|client| client.query_one(sql::TOKEN, &[])?.try_get(0))?;
        let places =
            if servers.is_empty() { std::slice::from_ref(coordinator.address()) } else { &servers };
        // Connect to all servers before anything is created on one of them.
        let sessions: Result<Vec<_>, _> =
            places.iter().map(|place| Session::open(place.clone(), Duration::ZERO)).collect();
        let sessions = sessions?;
        let (mut holders, count) = (Vec::new(), sessions.len());
        for (number, session) in (1..).zip(sessions) {
            // The number of shards decides which images belong here.
            let stamp = format!("{} {number}/{count}", source.stamp());
            holders.push(Holder::prepare(session, &table, &head, &layout, &stamp, &token)?);
        }
        let before = holders.iter().map(|holder| holder.arrived).sum();
        let mut loader =
            Self { coordinator, holders, table, head, layout, token, before, register: None, left };
        if loader.layout.shards() > 0 {
            let named = !options.shards.is_empty();
            let searched = known.is_some() && !options.replace;
            loader.register(&servers, named, searched)?;
        }
        Ok(loader)
    }

    /// Registers the shards on the coordinator and checks that it can connect to them. If a
    /// collection is `searched` meanwhile, rolls this trial back and registers after the merge.
    fn register(
        &mut self,
        servers: &[Address],
        named: bool,
        searched: bool,
    ) -> Result<(), EngineError> {
        let Self { coordinator, table, head, .. } = self;
        let meta = sql::meta(table);
        coordinator.run(|client| client.batch_execute(&meta))?;
        let parts = sql::parts(table, servers.len());
        for number in 1..=servers.len() {
            same_width(coordinator, table, &format!("{}_{number}", table.name()), head)?;
        }
        let known = shards::registered(coordinator, table)?;
        // Shards that were not named stay as registered, with an administrator's settings.
        let text = if named || known.is_empty() {
            shards::register(table, head.bits, servers, &known, false)
        } else {
            String::new()
        };
        coordinator.run(|client| {
            let mut transaction = client.transaction()?;
            transaction.batch_execute(&text)?;
            for part in &parts {
                transaction.batch_execute(&sql::reach(part))?;
            }
            if searched { transaction.rollback() } else { transaction.commit() }
        })?;
        self.register = (searched && !text.is_empty()).then_some(text);
        Ok(())
    }

    /// Returns the errors of shards of the replaced collection that could not be cleared. Tables
    /// may be left there.
    pub fn left(&self) -> &[String] {
        &self.left
    }

    /// Returns the number of images that an interrupted load of the same source had copied.
    pub fn before(&self) -> u64 {
        self.before
    }

    /// Returns the statements of a load as (server, SQL), without running them.
    pub fn explain(
        address: &Address,
        table: &Table,
        head: &Head,
        servers: &[Address],
    ) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let holders = if servers.is_empty() { std::slice::from_ref(address) } else { servers };
        for holder in holders {
            let text = sql::whole_load(table, head.bits, servers.is_empty());
            all.push((holder.to_string(), text));
        }
        if !servers.is_empty() {
            all.push((address.to_string(), shards::register(table, head.bits, servers, &[], true)));
        }
        all
    }

    /// Merges on all servers in parallel.
    fn merge(&mut self) -> Result<(), EngineError> {
        let (table, head, layout) = (&self.table, &self.head, &self.layout);
        on_all(&mut self.holders, |holder| holder.merge(table, head, layout))
    }
}

/// Runs `work` on all servers that store images, in parallel.
fn on_all(
    holders: &mut [Holder],
    work: impl Fn(&mut Holder) -> Result<(), EngineError> + Sync,
) -> Result<(), EngineError> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            holders.iter_mut().map(|holder| scope.spawn(move || work(holder))).collect();
        threads.into_iter().try_for_each(joined)
    })
}

/// Checks that there are not too many shards and that none is named twice, since both parts would
/// share one table.
fn sensible(servers: &[Address]) -> Result<(), EngineError> {
    let refused = |server: &Address, reason: String| {
        Err(EngineError::Server { server: server.to_string(), reason: reason.into() })
    };
    for (at, server) in servers.iter().enumerate() {
        if at == sql::MOST {
            return refused(server, format!("too many shards; name at most {at}"));
        }
        if servers[..at].iter().any(|other| other.place() == server.place()) {
            return refused(server, "it is named as two shards; name each once".to_owned());
        }
    }
    Ok(())
}

/// Tries to lock a collection, at most this often and this far apart: a busy server takes a moment
/// to notice that the program before has ended.
const TRIES: (usize, Duration) = (20, Duration::from_millis(100));

/// Locks the collection against other loads.
fn claim(coordinator: &mut Session, table: &Table) -> Result<(), EngineError> {
    let (tries, apart) = TRIES;
    for _ in 0..tries {
        if coordinator.lock(&format!("barbule {}", table.name()))? {
            return Ok(());
        }
        std::thread::sleep(apart);
    }
    let reason = format!("another program is loading {table}; wait until it finishes, or stop it");
    Err(EngineError::Server { server: coordinator.address().to_string(), reason: reason.into() })
}

/// Joins a thread, and converts a panic to an error.
pub(super) fn joined<T>(
    thread: std::thread::ScopedJoinHandle<'_, Result<T, EngineError>>,
) -> Result<T, EngineError> {
    thread.join().unwrap_or_else(|_| {
        let (server, reason) = ("a shard".to_owned(), "its thread failed".into());
        Err(EngineError::Server { server, reason })
    })
}

impl Sink for Loader {
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
        // Keeps the connection that holds the lock alive: otherwise it could be closed as idle, or
        // break unnoticed.
        self.coordinator.run(|client| client.batch_execute(""))?;
        let (table, count) = (&self.table, self.holders.len());
        std::thread::scope(|scope| {
            let work: Vec<_> = self
                .holders
                .iter_mut()
                .enumerate()
                .map(|(shard, holder)| {
                    scope.spawn(move || {
                        let own = |row: &usize| home(&batch.contents[*row], count) == shard;
                        let rows: Vec<usize> = (0..batch.len()).filter(own).collect();
                        holder.take(table, batch, &rows)
                    })
                })
                .collect();
            work.into_iter().try_for_each(joined)
        })
    }

    fn finish(mut self: Box<Self>) -> Result<(), EngineError> {
        let shared = self.layout.shards() > 0;
        // Checks the lock and all servers before anything is changed.
        self.coordinator.run(|client| client.batch_execute(""))?;
        let table = &self.table;
        on_all(&mut self.holders, |holder| holder.check(table))?;
        if shared {
            // From here until all shards are merged, they may be in different states.
            let statement = sql::note(&self.table);
            self.coordinator.run(|client| client.execute(&statement, &[&"state", &"merging"]))?;
        }
        self.merge()?;
        if shared {
            let mut facts = facts(&self.head, &self.layout);
            facts.extend(whole(&self.token));
            let statement = sql::note(&self.table);
            let register = self.register.take().unwrap_or_default();
            self.coordinator.run(|client| {
                let mut transaction = client.transaction()?;
                transaction.batch_execute(&register)?;
                for (key, value) in &facts {
                    transaction.execute(&statement, &[key, value])?;
                }
                transaction.commit()
            })?;
        }
        Ok(())
    }
}

/// Returns the index of an image's shard, of `shards`, by its content hash.
fn home(content: &[u8; 32], shards: usize) -> usize {
    let mut first = [0; 8];
    first.copy_from_slice(&content[..8]);
    (u64::from_le_bytes(first) % shards as u64) as usize
}

/// Checks that this load may update the existing collection: same model, or one that the collection
/// was fitted with anew, and same layout.
fn fits(
    session: &Session,
    table: &Table,
    present: &[(String, String)],
    known: Option<&Layout>,
    layout: &Layout,
    head: &Head,
) -> Result<(), EngineError> {
    let value = |key: &str| present.iter().find(|(own, _)| own == key).map(|(_, v)| v.as_str());
    let refused = |reason: String| EngineError::Refused {
        server: session.address().to_string(),
        reason: reason.into(),
        remedy: Remedy::Table,
    };
    // An interrupted first load leaves only its own entries.
    let (Some(bits), Some(model)) = (value("bits"), value("model")) else { return Ok(()) };
    // A collection that fits its hash to its images changes its model; all codes come with it.
    let has_own = value("own_model").is_some_and(|own| !own.is_empty());
    let is_refit = head.own_model.is_some() && (has_own || model == Model::general_fingerprint());
    if bits != head.bits.to_string() || (model != head.model && !is_refit) {
        return Err(refused(format!(
            "{table} stores codes of {bits} bits from another model than these of {} bits",
            head.bits
        )));
    }
    if known.is_some_and(|known| known != layout) {
        let known = known.map(Layout::text).unwrap_or_default();
        return Err(refused(format!("{table} has layout {known}, not {}", layout.text())));
    }
    Ok(())
}

/// Deletes a collection from all its servers, and returns the errors of old shards that could not
/// be cleared: a shard that is gone for good must not block its replacement. On `servers`, which
/// will store the new collection, it must succeed.
fn clear(
    coordinator: &mut Session,
    table: &Table,
    servers: &[Address],
) -> Result<Vec<String>, EngineError> {
    let registered = shards::registered(coordinator, table)?;
    let mut sessions = Vec::new();
    for server in servers {
        sessions.push(Session::open(server.clone(), Duration::ZERO)?);
    }
    sessions.iter_mut().try_for_each(|session| drop_all(session, table))?;
    let mut left = Vec::new();
    let own = coordinator.address().clone();
    for shard in registered.iter().filter_map(|shard| shards::place(&own, shard)) {
        if servers.iter().any(|server| server.place() == shard.place()) {
            continue;
        }
        let cleared = Session::open(shard, Duration::ZERO);
        if let Err(error) = cleared.and_then(|mut session| drop_all(&mut session, table)) {
            left.push(error.to_string());
        }
    }
    let forget: String =
        registered.iter().map(|shard| sql::forgotten(table, shard.number)).collect();
    coordinator.run(|client| client.batch_execute(&forget))?;
    drop_all(coordinator, table)?;
    Ok(left)
}

/// Drops a collection's tables on a server.
fn drop_all(session: &mut Session, table: &Table) -> Result<(), EngineError> {
    let text = sql::drop_all(table);
    session.run(|client| client.batch_execute(&text))
}
