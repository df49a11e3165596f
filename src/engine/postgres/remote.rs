/*!
Searches on servers, with the same hits in the same order as a local index.
*/

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgvector::Bit;
use postgres::types::ToSql;
use postgres::{Client, Error, Row};

use super::address::{Address, Connecting};
use super::bit::{of_bit, to_bit};
use super::facts::{exists, meta, noted};
use super::load::joined;
use super::session::Session;
use super::shards::{self, Layout};
use super::sql::{self, Statement, Table, Value, Wanted};
use crate::cause::{Cause, told};
use crate::code::Code;
use crate::engine::head::own_model_of;
use crate::engine::{Batch, EngineError, Head, Remedy, Source};
use crate::hash::Asymmetric;
use crate::index::{Hit, Order, QueryImage, Search, StoredCodes};

/// Number of stored codes used as queries to measure recall.
const SAMPLE: usize = 100;
/// Number of nearest images per query in that measurement.
const NEAREST: usize = 10;
/// Bounds of `hnsw.ef_search`, the number of candidates pgvector keeps in an approximate search.
const EF: std::ops::RangeInclusive<usize> = 200..=1000;

/// A collection on servers.
#[derive(Debug)]
pub struct Remote {
    session: Mutex<Session>,
    table: Table,
    head: Head,
    layout: Layout,
    /// Token of the load that completed it.
    loaded: Option<String>,
    approximate: bool,
}

/// Recall of approximate searches.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Recall {
    /// Fraction of the [`Recall::nearest`] that are found, from 0 to 1. Any image at the distance
    /// of the last one counts.
    pub share: f64,
    /// Number of nearest images per query.
    pub nearest: usize,
    /// Number of queries, which are stored codes.
    pub codes: usize,
}

/// A search's SQL and the server's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// The statement with its parameters filled in.
    pub sql: String,
    /// The server's plan.
    pub plan: String,
}

impl Remote {
    /// Opens a collection.
    ///
    /// # Errors
    /// If the server cannot be used, or the collection is missing or incomplete.
    pub fn open(
        address: Address,
        table: Table,
        connecting: &Connecting,
    ) -> Result<Self, EngineError> {
        let mut session = Session::open(address, connecting.timeout)?;
        let facts = meta(&mut session, &table)?;
        let unfit = |reason: String| EngineError::Server {
            server: session.address().to_string(),
            reason: reason.into(),
        };
        let fact = |key: &str| facts.iter().find(|(own, _)| own == key).map(|(_, v)| v.as_str());
        let refused = |reason: String, remedy: Remedy| EngineError::Refused {
            server: session.address().to_string(),
            reason: reason.into(),
            remedy,
        };
        let Some(state) = fact("state") else {
            return Err(refused(format!("there is no collection {table}"), Remedy::Export));
        };
        if state != "whole" {
            let reason = format!("an export to {table} was interrupted while shards were merged");
            return Err(refused(reason, Remedy::Export));
        }
        if fact("format") != Some("1") {
            return Err(unfit(format!("{table} has a newer format; install a newer Barbule")));
        }
        let damaged =
            |what: &str| refused(format!("the metadata of {table} lacks {what}"), Remedy::Replace);
        let bits = fact("bits").and_then(|bits| bits.parse().ok());
        let head = Head {
            bits: bits.ok_or_else(|| damaged("bits"))?,
            model: fact("model").ok_or_else(|| damaged("model"))?.to_owned(),
            images: fact("images").and_then(|n| n.parse().ok()).unwrap_or_default(),
            roots: fact("roots").and_then(|r| serde_json::from_str(r).ok()).unwrap_or_default(),
            model_file: fact("model_file").filter(|file| !file.is_empty()).map(str::to_owned),
            own_model: fact("own_model").filter(|text| !text.is_empty()).and_then(own_model_of),
            codebooks: None,
        };
        let layout = fact("layout").and_then(Layout::read).ok_or_else(|| damaged("layout"))?;
        let loaded = fact("loaded").map(str::to_owned);
        let session = Mutex::new(session);
        Ok(Self { session, table, head, layout, loaded, approximate: false })
    }

    /// Metadata of the collection.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Host, port and database of the searched server.
    pub fn place(&self) -> String {
        self.session().address().to_string()
    }

    /// Switches to approximate searches. Builds the HNSW index if it is missing, which takes long
    /// on a large collection.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn approximate(&mut self) -> Result<(), EngineError> {
        let build = sql::build_hnsw(&self.table);
        let shards = match self.layout.shards() {
            0 => vec![self.session().address().clone()],
            count => shards::addresses(&mut self.session(), &self.table, count)?,
        };
        std::thread::scope(|scope| {
            let work: Vec<_> = shards
                .into_iter()
                .map(|address| {
                    let build = &build;
                    scope.spawn(move || {
                        // Without a timeout: a build can take hours.
                        let mut session = Session::open(address, Duration::ZERO)?;
                        session.run(|client| client.batch_execute(build))
                    })
                })
                .collect();
            work.into_iter().try_for_each(joined)
        })?;
        self.approximate = true;
        Ok(())
    }

    /// Returns whether the HNSW index exists, on this server or on all shards.
    ///
    /// # Errors
    /// If a server cannot be queried.
    pub fn has_approximate(&self) -> Result<bool, EngineError> {
        let name = format!("{}_hnsw", self.table.name());
        let shards = match self.layout.shards() {
            0 => return exists(&mut self.session(), &name),
            count => shards::addresses(&mut self.session(), &self.table, count)?,
        };
        for address in shards {
            if !exists(&mut Session::open(address, Duration::ZERO)?, &name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Measures the recall of approximate searches. The queries are the stored codes with the
    /// smallest content hashes, which are effectively random.
    ///
    /// # Errors
    /// If the server fails.
    pub fn recall(&mut self) -> Result<Recall, EngineError> {
        let parts = sql::parts(&self.table, self.layout.shards());
        let sql = sql::sample(&parts, SAMPLE);
        let rows = self.session().run(|client| client.query(&sql, &[]))?;
        let (mut found, mut wanted) = (0, 0);
        let used = self.approximate;
        for row in &rows {
            let code = row.try_get(0).map_err(|error| self.odd(error))?;
            let code = of_bit(&code, self.head.bits)?;
            let query = Search::nearest(&code, NEAREST);
            self.approximate = false;
            let exact = self.rest(&query, NEAREST)?;
            self.approximate = true;
            let near = self.rest(&query, NEAREST)?;
            let last = exact.last().map_or(0, |hit| hit.distance);
            wanted += exact.len();
            found += near.iter().filter(|hit| hit.distance <= last).count();
        }
        self.approximate = used;
        let share = if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 };
        Ok(Recall { share, nearest: NEAREST, codes: rows.len() })
    }

    /// Runs a search. The result equals [`Collection::search`](crate::index::Collection::search),
    /// except that features are not stored: instead of their order it has that of distances.
    ///
    /// Scores are computed here: the server returns the codes of the nearest images.
    ///
    /// # Errors
    /// If the server fails, the code lengths differ, or the query's values are not one for each
    /// bit.
    pub fn find(&self, search: &Search) -> Result<Vec<Hit>, EngineError> {
        self.fits(search)?;
        let (k, order, tables) = (search.k(), search.order(), search.tables()?);
        let own = if search.contents().is_empty() {
            Vec::new()
        } else {
            let statement = self.statement(search, k, Some(search.contents()));
            self.ask(&statement, k, tables.as_ref())?
        };
        let depth = search.depth().saturating_add(own.len());
        let mut rest = self.ask(&self.statement(search, depth, None), depth, tables.as_ref())?;
        let of_own: HashSet<i64> = own.iter().map(|hit| hit.id).collect();
        rest.retain(|hit| !of_own.contains(&hit.id));
        if tables.is_some() {
            rest.iter_mut().skip(order.candidates()).for_each(|hit| hit.score = None);
            order.sort(&mut rest, |hit| (hit.score.unwrap_or_default(), hit.id));
        }
        let own = own.into_iter().map(|hit| Hit { same: true, ..hit });
        let all = own.chain(rest).take(k);
        Ok((1..).zip(all).map(|(rank, hit)| Hit { rank, ..hit }).collect())
    }

    /// Returns a search's SQL and the server's plan, without running the search.
    ///
    /// # Errors
    /// If the server fails, or the code lengths differ.
    pub fn explain(&self, search: &Search) -> Result<Explained, EngineError> {
        self.fits(search)?;
        let statement = self.statement(search, search.depth(), None);
        let explain = sql::plan(&statement);
        let looks = self.approximate.then_some(search.depth());
        let lines = self.session().run(|client| run(client, &explain, looks))?;
        let lines: Result<Vec<String>, Error> = lines.iter().map(|row| row.try_get(0)).collect();
        let lines = lines.map_err(|error| self.odd(error))?;
        Ok(Explained { sql: statement.filled(), plan: lines.join("\n") })
    }

    /// Returns the stored code of the image with this content; the lowest id if there are several.
    ///
    /// # Errors
    /// If the server fails.
    pub fn code_of(&self, content: &blake3::Hash) -> Result<Option<Code>, EngineError> {
        let content = content.as_bytes().as_slice();
        let found = self.first("content", &content, "code")?;
        let Some(row) = found else { return Ok(None) };
        let code = row.try_get(1).map_err(|error| self.odd(error))?;
        Ok(Some(of_bit(&code, self.head.bits)?))
    }

    /// Returns the content hash of the image at a path.
    ///
    /// # Errors
    /// If the server fails.
    pub fn at_path(&self, path: &str) -> Result<Option<blake3::Hash>, EngineError> {
        let found = self.first("path", &path, "content")?;
        let hash = |row: Row| <[u8; 32]>::try_from(row.try_get::<_, &[u8]>(1).ok()?).ok();
        Ok(found.and_then(hash).map(blake3::Hash::from_bytes))
    }

    /// Returns the id and `column` of the image with the lowest id whose `key` is `value`.
    fn first(
        &self,
        key: &str,
        value: &(dyn ToSql + Sync),
        column: &str,
    ) -> Result<Option<Row>, EngineError> {
        let parts = sql::parts(&self.table, self.layout.shards());
        let sql = sql::first(&parts, key, column);
        self.session().run(|client| client.query_opt(&sql, &[value]))
    }

    fn fits(&self, search: &Search) -> Result<(), EngineError> {
        if search.codes().bits() == self.head.bits {
            Ok(())
        } else {
            Err(crate::code::CodeError::Mixed(search.codes().bits(), self.head.bits).into())
        }
    }

    /// Returns the `k` nearest images, whatever their content.
    fn rest(&self, search: &Search, k: usize) -> Result<Vec<Hit>, EngineError> {
        self.ask(&self.statement(search, k, None), k, None)
    }

    fn statement(&self, search: &Search, k: usize, contents: Option<&[blake3::Hash]>) -> Statement {
        let several = search.codes().len();
        let most = |radius: u32| u64::from(radius) * several.max(1) as u64;
        let wanted = Wanted {
            codes: (0..several).map(|row| to_bit(search.codes(), row)).collect::<Vec<Bit>>(),
            k,
            // The radius does not apply to the query's own images.
            radius: search.radius().map(most).filter(|_| contents.is_none()),
            filter: search.filter(),
            contents,
            approximate: self.approximate && several == 1 && contents.is_none(),
            with_codes: matches!(search.order(), Order::Asymmetric { .. }),
        };
        sql::search(&sql::parts(&self.table, self.layout.shards()), &wanted)
    }

    /// Runs a search for `k` images. `tables` give the hits their scores; the rows have codes then.
    fn ask(
        &self,
        statement: &Statement,
        k: usize,
        tables: Option<&Asymmetric>,
    ) -> Result<Vec<Hit>, EngineError> {
        let looks = self.approximate.then_some(k);
        let rows = self.session().run(|client| run(client, statement, looks))?;
        let hit = |row: &Row| {
            let mut hit = found(row).map_err(|error| self.odd(error))?;
            if let Some(tables) = tables {
                let code = row.try_get(5).map_err(|error| self.odd(error))?;
                hit.score = Some(tables.score(&of_bit(&code, self.head.bits)?)?);
            }
            Ok(hit)
        };
        rows.iter().map(hit).collect()
    }

    fn odd(&self, error: Error) -> EngineError {
        let reason = told(format!("its answer cannot be read: {error}"), error);
        EngineError::Server { server: self.place(), reason }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredCodes for Remote {
    type Error = EngineError;

    fn stored(&self, content: &blake3::Hash, _: bool) -> Result<Option<QueryImage>, EngineError> {
        let query = |code| QueryImage { content: Some(*content), ..QueryImage::of_code(code) };
        Ok(self.code_of(content)?.map(query))
    }

    fn content_at(&self, path: &str) -> Result<Option<blake3::Hash>, EngineError> {
        self.at_path(path)
    }
}

/// Runs a statement. `looks` is the minimum `hnsw.ef_search` of an approximate search.
fn run(
    client: &mut Client,
    statement: &Statement,
    looks: Option<usize>,
) -> Result<Vec<Row>, Error> {
    let values: Vec<&(dyn ToSql + Sync)> = statement
        .values
        .iter()
        .map(|value| match value {
            Value::Code(code) => code as &(dyn ToSql + Sync),
            Value::Text(text) => text,
            Value::Texts(texts) => texts,
            Value::Contents(contents) => contents,
            Value::Real(number) => number,
        })
        .collect();
    let Some(looks) = looks else { return client.query(&statement.text, &values) };
    let looks = looks.clamp(*EF.start(), *EF.end());
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&sql::effort(looks))?;
    let rows = transaction.query(&statement.text, &values)?;
    transaction.commit()?;
    Ok(rows)
}

/// Converts a row to a hit; its rank is not known yet.
fn found(row: &Row) -> Result<Hit, Error> {
    let distance: i32 = row.try_get(4)?;
    Ok(Hit {
        rank: 0,
        path: row.try_get(1)?,
        distance: u32::try_from(distance).unwrap_or_default(),
        id: row.try_get(0)?,
        label: row.try_get(2)?,
        same: false,
        gone: false,
        similarity: None,
        score: None,
        region: None,
    })
}

/// All images of a collection on servers as a [`Source`]. Concurrent loads do not affect it: it
/// reads the state at the first batch.
pub struct Rows {
    session: Session,
    table: Table,
    head: Head,
    layout: Layout,
    loaded: Option<String>,
    sql: String,
    last: i64,
    stage: Stage,
}

/// Progress of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Within,
    Done,
}

impl Remote {
    /// Reads all images.
    pub fn rows(self) -> Rows {
        let parts = sql::parts(&self.table, self.layout.shards());
        let sql = sql::next(&parts, crate::engine::BATCH);
        let session = self.session.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Self { table, head, layout, loaded, .. } = self;
        let (last, stage) = (i64::MIN, Stage::Before);
        Rows { session, table, head, layout, loaded, sql, last, stage }
    }
}

impl Rows {
    /// Begins the transaction in which everything is read.
    fn begin(&mut self) -> Result<(), EngineError> {
        self.session.once(|client| client.batch_execute(sql::READ))?;
        let table = &self.table;
        let facts = self.session.kept(|client| noted(client, table))?;
        self.unchanged(&facts)
    }

    /// Checks that no export has changed the collection by now. Each server takes its snapshot at
    /// its first query, so an export between two snapshots would mix states.
    fn still(&mut self) -> Result<(), EngineError> {
        let mut other = Session::open(self.session.address().clone(), Duration::ZERO)?;
        let facts = meta(&mut other, &self.table)?;
        self.unchanged(&facts)
    }

    fn unchanged(&self, facts: &[(String, String)]) -> Result<(), EngineError> {
        let fact = |key: &str| facts.iter().find(|(own, _)| own == key).map(|(_, v)| v.as_str());
        if fact("state") == Some("whole") && fact("loaded") == self.loaded.as_deref() {
            return Ok(());
        }
        Err(EngineError::Server {
            server: self.session.address().to_string(),
            reason: format!(
                "an export changed {} while it was read; wait until it finishes, then run the same command again",
                self.table
            )
            .into(),
        })
    }
}

impl Source for Rows {
    fn head(&self) -> &Head {
        &self.head
    }

    fn stamp(&self) -> String {
        format!("{} {} {}", self.session.address(), self.head.model, self.head.images)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError> {
        match self.stage {
            Stage::Before => self.begin()?,
            Stage::Within => {}
            Stage::Done => return Ok(None),
        }
        let (sql, last) = (&self.sql, self.last);
        let rows = self.session.kept(|client| client.query(sql, &[&last]))?;
        // Citus may query a node for the first time at any batch.
        let unsure = match self.layout {
            Layout::Single => false,
            Layout::Shards(_) => self.stage == Stage::Before,
            Layout::Citus => rows.is_empty(),
        };
        self.stage = if rows.is_empty() { Stage::Done } else { Stage::Within };
        if unsure {
            self.still()?;
        }
        if rows.is_empty() {
            self.session.kept(|client| client.batch_execute(sql::READ_ALL))?;
            return Ok(None);
        }
        let server = self.session.address().to_string();
        let odd = |reason: Cause| EngineError::Server { server: server.clone(), reason };
        let mut batch = Batch::new(self.head.bits)?;
        for row in rows {
            let content = take_row(&row, &mut batch).map_err(|error| odd(error.into()))?;
            let content = <[u8; 32]>::try_from(content);
            batch.contents.push(content.map_err(|_| odd("a content is not a BLAKE3 hash".into()))?);
            let code = row.try_get(4).map_err(|error| odd(error.into()))?;
            batch.codes.push(&of_bit(&code, self.head.bits)?)?;
        }
        self.last = batch.ids.last().copied().unwrap_or(last);
        Ok(Some(batch))
    }
}

/// Appends id, path and label of a row to `batch`, and returns its content hash.
fn take_row<'a>(row: &'a Row, batch: &mut Batch) -> Result<&'a [u8], Error> {
    batch.ids.push(row.try_get(0)?);
    batch.paths.push(row.try_get(1)?);
    batch.labels.push(row.try_get(2)?);
    row.try_get(3)
}
