/*!
Loading a collection: every image is copied into a table beside the present one, batch by
batch, and then the present one is made equal to it. A search sees the collection as it was
until then. A load that is broken off goes on behind the last batch that arrived.
*/

use std::time::Duration;

use pgvector::Bit;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use postgres::{Client, Error};

use super::address::Address;
use super::session::Session;
use super::shards::{self, Layout};
use super::sql::{self, Table};
use super::to_bit;
use crate::engine::{Batch, EngineError, Head, Sink, Source};

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Other servers to spread the images over; empty for none, or for those of the last load.
    pub shards: Vec<Address>,
    /// Take out a collection of another model or layout first.
    pub replace: bool,
}

/// Loads images into servers.
pub struct Loader {
    coordinator: Session,
    /// The servers that hold images: the coordinator itself, or the shards.
    holders: Vec<Holder>,
    table: Table,
    head: Head,
    layout: Layout,
    /// Images that an earlier load had brought.
    before: u64,
}

struct Holder {
    session: Session,
    /// The greatest id that an earlier load brought here.
    last: i64,
}

impl Loader {
    /// Prepares the servers to take in `source`.
    ///
    /// # Errors
    /// When a server cannot be used, or holds a collection of another model or layout.
    pub fn begin(
        address: Address,
        table: Table,
        source: &dyn Source,
        options: &LoadOptions,
    ) -> Result<Self, EngineError> {
        let head = source.head().clone();
        // However long a load takes.
        let mut coordinator = Session::open(address, Duration::ZERO)?;
        claim(&mut coordinator, &table)?;
        let present = meta(&mut coordinator, &table)?;
        let known = present.iter().find(|(key, _)| key == "layout");
        let known = known.and_then(|(_, layout)| Layout::read(layout));
        let mut servers = options.shards.clone();
        if servers.is_empty() && known.as_ref().is_some_and(|layout| layout.shards() > 0) {
            servers = shards::addresses(&mut coordinator, &table)?;
        }
        let layout = match servers.len() {
            0 if shards::has_citus(&mut coordinator)? => Layout::Citus,
            0 => Layout::Single,
            count => Layout::Shards(count),
        };
        if options.replace {
            if known.as_ref().is_some_and(|layout| layout.shards() > 0) {
                for address in shards::addresses(&mut coordinator, &table)? {
                    drop_all(&mut Session::open(address, Duration::ZERO)?, &table, None)?;
                }
            }
            drop_all(&mut coordinator, &table, known.as_ref())?;
        } else if !present.is_empty() {
            fits(&coordinator, &table, &present, known.as_ref(), &layout, &head)?;
        }
        let mut holders = Vec::new();
        for server in &servers {
            holders.push(Session::open(server.clone(), Duration::ZERO)?);
        }
        if holders.is_empty() {
            holders.push(Session::open(coordinator.address().clone(), Duration::ZERO)?);
        }
        let create = sql::tables(&table, head.bits);
        let mut prepared = Vec::new();
        for mut session in holders {
            if options.replace {
                drop_all(&mut session, &table, None)?;
            }
            session.run(|client| client.batch_execute(&create))?;
            prepared.push(Holder::prepare(session, &table, &head, &layout, &source.stamp())?);
        }
        if layout.shards() > 0 {
            let (meta, register) = (
                format!(
                    "CREATE EXTENSION IF NOT EXISTS vector;\nCREATE TABLE IF NOT EXISTS {} (key text PRIMARY KEY, value text NOT NULL)",
                    table.with("_meta")
                ),
                shards::register(&table, head.bits, &servers, false),
            );
            coordinator.run(|client| client.batch_execute(&meta))?;
            coordinator.run(|client| client.batch_execute(&register))?;
        }
        let before =
            prepared.iter_mut().map(|holder| holder.count(&table)).sum::<Result<_, _>>()?;
        Ok(Self { coordinator, holders: prepared, table, head, layout, before })
    }

    /// Images that an earlier load of the same source had brought before it was broken off.
    pub fn before(&self) -> u64 {
        self.before
    }

    /// Everything that a load says to servers, without saying it: the place, and the statements.
    pub fn explain(
        address: &Address,
        table: &Table,
        head: &Head,
        servers: &[Address],
    ) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let holders = if servers.is_empty() { std::slice::from_ref(address) } else { servers };
        for holder in holders {
            let mut text = sql::tables(table, head.bits);
            if servers.is_empty() {
                let distribute = sql::distribute(table);
                text.push_str(&format!("\n-- where there is the extension citus: {distribute};"));
            }
            text.push_str("\n\n");
            text.push_str(&sql::incoming(table, head.bits, false));
            text.push_str("\n\n");
            text.push_str(&sql::copy_in(table));
            text.push_str(";\n\nBEGIN;\n");
            for statement in sql::merge(table) {
                text.push_str(&statement);
                text.push_str(";\n");
            }
            text.push_str(&format!("COMMIT;\nANALYZE {table};"));
            all.push((holder.to_string(), text));
        }
        if !servers.is_empty() {
            all.push((address.to_string(), shards::register(table, head.bits, servers, true)));
        }
        all
    }

    /// Merges on all servers at the same time.
    fn merge(&mut self) -> Result<(), EngineError> {
        let (table, head, layout) = (&self.table, &self.head, &self.layout);
        std::thread::scope(|scope| {
            let work: Vec<_> = self
                .holders
                .iter_mut()
                .map(|holder| scope.spawn(move || holder.merge(table, head, layout)))
                .collect();
            work.into_iter().try_for_each(joined)
        })
    }
}

/// Keeps other loads of a collection out, as long as the connection lasts.
fn claim(coordinator: &mut Session, table: &Table) -> Result<(), EngineError> {
    let sql = "SELECT pg_try_advisory_lock(hashtextextended('barbule ' || $1::text, 0))";
    let name = table.name();
    let free: bool = coordinator.run(|client| client.query_one(sql, &[&name])?.try_get(0))?;
    match free {
        true => Ok(()),
        false => Err(EngineError::Server {
            server: coordinator.address().to_string(),
            reason: format!("another program loads {table}; wait until it is done, or stop it"),
        }),
    }
}

/// What a thread gave.
pub(super) fn joined<T>(
    thread: std::thread::ScopedJoinHandle<'_, Result<T, EngineError>>,
) -> Result<T, EngineError> {
    thread.join().unwrap_or_else(|_| {
        let (server, reason) = ("a shard".to_owned(), "its thread failed".to_owned());
        Err(EngineError::Server { server, reason })
    })
}

impl Sink for Loader {
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
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
        if shared {
            // From here until all shards are merged they may be of different times.
            let statement = sql::note(&self.table);
            self.coordinator.run(|client| client.execute(&statement, &[&"state", &"merging"]))?;
        }
        self.merge()?;
        if shared {
            let facts = facts(&self.head, &self.layout);
            let statement = sql::note(&self.table);
            self.coordinator.run(|client| {
                let mut transaction = client.transaction()?;
                for (key, value) in &facts {
                    transaction.execute(&statement, &[key, value])?;
                }
                transaction.commit()
            })?;
        }
        Ok(())
    }
}

/// Which of so many shards an image is on: the same content is always on the same one.
fn home(content: &[u8; 32], shards: usize) -> usize {
    let mut first = [0; 8];
    first.copy_from_slice(&content[..8]);
    (u64::from_le_bytes(first) % shards as u64) as usize
}

impl Holder {
    /// Makes the tables of a load ready, or finds those of one that was broken off.
    fn prepare(
        mut session: Session,
        table: &Table,
        head: &Head,
        layout: &Layout,
        stamp: &str,
    ) -> Result<Self, EngineError> {
        let citus = *layout == Layout::Citus;
        if citus {
            let sql =
                "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = $1::text::regclass";
            let name = table.name();
            let spread: i64 = session.run(|c| c.query_one(sql, &[&name])?.try_get(0))?;
            if spread == 0 {
                let statement = sql::distribute(table);
                session.once(|client| client.batch_execute(&statement))?;
            }
        }
        let noted = meta(&mut session, table)?;
        let same = noted.iter().any(|(key, value)| key == "incoming" && value == stamp);
        let name = format!("{}_incoming", table.name());
        let sql = "SELECT to_regclass($1::text) IS NOT NULL";
        let there: bool = session.run(|c| c.query_one(sql, &[&name])?.try_get(0))?;
        let mut last = i64::MIN;
        if same && there {
            let sql = format!("SELECT max(id) FROM {}", table.with("_incoming"));
            let most: Option<i64> = session.run(|c| c.query_one(&sql, &[])?.try_get(0))?;
            last = most.unwrap_or(i64::MIN);
        } else {
            let (create, note) = (sql::incoming(table, head.bits, citus), sql::note(table));
            session.run(|client| {
                let mut transaction = client.transaction()?;
                transaction.batch_execute(&create)?;
                transaction.execute(&note, &[&"incoming", &stamp])?;
                transaction.commit()
            })?;
        }
        Ok(Self { session, last })
    }

    fn count(&mut self, table: &Table) -> Result<u64, EngineError> {
        let sql = format!("SELECT count(*) FROM {}", table.with("_incoming"));
        let count: i64 = self.session.run(|c| c.query_one(&sql, &[])?.try_get(0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Takes some rows of a batch, those that it does not have yet.
    fn take(&mut self, table: &Table, batch: &Batch, rows: &[usize]) -> Result<(), EngineError> {
        let (known, copy) = (self.last, sql::copy_in(table));
        self.session.run(|client| {
            // After a broken connection nobody knows whether the rows arrived; the server does.
            let arrived = last_id(client, table, known)?;
            let new: Vec<usize> =
                rows.iter().copied().filter(|row| batch.ids[*row] > arrived).collect();
            if new.is_empty() { Ok(()) } else { copy_rows(client, &copy, batch, &new) }
        })?;
        self.last = rows.last().map_or(known, |row| batch.ids[*row].max(known));
        Ok(())
    }

    /// Makes the table what was loaded.
    fn merge(&mut self, table: &Table, head: &Head, layout: &Layout) -> Result<(), EngineError> {
        let (merge, note) = (sql::merge(table), sql::note(table));
        let facts = facts(head, layout);
        let forget =
            format!("DELETE FROM {} WHERE key IN ('incoming', 'recall')", table.with("_meta"));
        self.session.once(|client| {
            let mut transaction = client.transaction()?;
            for statement in &merge {
                transaction.batch_execute(statement)?;
            }
            transaction.batch_execute(&forget)?;
            for (key, value) in &facts {
                transaction.execute(&note, &[key, value])?;
            }
            transaction.commit()
        })?;
        let analyze = format!("ANALYZE {table}");
        self.session.run(|client| client.batch_execute(&analyze))
    }
}

/// The greatest id that has arrived, at least `known`: asked only when the connection is new,
/// which a setting of the session tells.
fn last_id(client: &mut Client, table: &Table, known: i64) -> Result<i64, Error> {
    let row = client.query_one("SELECT current_setting('barbule.loading', true)", &[])?;
    if row.try_get::<_, Option<String>>(0)?.as_deref() == Some("yes") {
        return Ok(known);
    }
    client.batch_execute("SET barbule.loading = 'yes'")?;
    let row = client.query_one(&format!("SELECT max(id) FROM {}", table.with("_incoming")), &[])?;
    Ok(row.try_get::<_, Option<i64>>(0)?.unwrap_or(i64::MIN).max(known))
}

fn copy_rows(client: &mut Client, copy: &str, batch: &Batch, rows: &[usize]) -> Result<(), Error> {
    let types = [Type::INT8, Type::BYTEA, Type::TEXT, Type::TEXT, Type::BIT];
    let mut writer = BinaryCopyInWriter::new(client.copy_in(copy)?, &types);
    for row in rows {
        let code: Bit = to_bit(&batch.codes, *row);
        let content = batch.contents[*row].as_slice();
        writer.write(&[
            &batch.ids[*row],
            &content,
            &batch.paths[*row],
            &batch.labels[*row],
            &code,
        ])?;
    }
    writer.finish().map(drop)
}

/// What is noted of a collection.
fn facts(head: &Head, layout: &Layout) -> Vec<(&'static str, String)> {
    vec![
        ("format", "1".to_owned()),
        ("program", format!("barbule {}", env!("CARGO_PKG_VERSION"))),
        ("bits", head.bits.to_string()),
        ("model", head.model.clone()),
        ("model_file", head.model_file.clone().unwrap_or_default()),
        ("roots", serde_json::Value::from(head.roots.clone()).to_string()),
        ("images", head.images.to_string()),
        ("layout", layout.text()),
        ("state", "whole".to_owned()),
    ]
}

/// What is noted of a collection on a server; empty when it is not there.
pub(super) fn meta(
    session: &mut Session,
    table: &Table,
) -> Result<Vec<(String, String)>, EngineError> {
    let name = format!("{}_meta", table.name());
    let sql = "SELECT to_regclass($1::text) IS NOT NULL";
    let there: bool = session.run(|c| c.query_one(sql, &[&name])?.try_get(0))?;
    if !there {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT key, value FROM {}", table.with("_meta"));
    session.run(|client| {
        let rows = client.query(&sql, &[])?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    })
}

/// Makes sure that the collection that is there may become this one.
fn fits(
    session: &Session,
    table: &Table,
    present: &[(String, String)],
    known: Option<&Layout>,
    layout: &Layout,
    head: &Head,
) -> Result<(), EngineError> {
    let value = |key: &str| present.iter().find(|(own, _)| own == key).map(|(_, v)| v.as_str());
    let refused = |reason: String| EngineError::Server {
        server: session.address().to_string(),
        reason: format!("{reason}; choose another --table, or --replace it"),
    };
    // A first load that was broken off has noted nothing but itself.
    let (Some(bits), Some(model)) = (value("bits"), value("model")) else { return Ok(()) };
    if bits != head.bits.to_string() || model != head.model {
        return Err(refused(format!(
            "{table} holds codes of {bits} bits of another model than these of {} bits",
            head.bits
        )));
    }
    if known.is_some_and(|known| known != layout) {
        let known = known.map(Layout::text).unwrap_or_default();
        return Err(refused(format!("{table} lies there as {known}, not {}", layout.text())));
    }
    Ok(())
}

/// Takes a collection off a server.
fn drop_all(
    session: &mut Session,
    table: &Table,
    layout: Option<&Layout>,
) -> Result<(), EngineError> {
    let mut text = String::new();
    for number in 1..=layout.map_or(0, Layout::shards) {
        let (part, server) =
            (table.with(&format!("_{number}")), table.with(&format!("_shard_{number}")));
        text.push_str(&format!(
            "DROP FOREIGN TABLE IF EXISTS {part}; DROP SERVER IF EXISTS {server} CASCADE;\n"
        ));
    }
    let (incoming, meta) = (table.with("_incoming"), table.with("_meta"));
    text.push_str(&format!("DROP TABLE IF EXISTS {incoming}, {table}, {meta}"));
    session.run(|client| client.batch_execute(&text))
}
