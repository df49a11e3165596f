/*!
Loading of one server that stores images. Rows are copied into a staging table
(`NAME_incoming`), counted, and merged into the collection in one transaction.
*/

use pgvector::Bit;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use postgres::{Client, Error, Transaction};

use super::bit::to_bit;
use super::facts::{exists, facts, meta, same_width, whole};
use super::session::Session;
use super::shards::Layout;
use super::sql::{self, Table};
use crate::engine::{Batch, EngineError, Head};

/// One server that stores images, during a load.
pub(super) struct Holder {
    session: Session,
    token: String,
    /// Greatest id in the staging table.
    last: i64,
    /// Number of rows in the staging table.
    pub(super) arrived: u64,
    /// Number of rows so far that the source has for this server.
    routed: u64,
}

impl Holder {
    /// Creates the tables of a load, or keeps the staging table of an interrupted one.
    pub(super) fn prepare(
        mut session: Session,
        table: &Table,
        head: &Head,
        layout: &Layout,
        stamp: &str,
        token: &str,
    ) -> Result<Self, EngineError> {
        same_width(&mut session, table, table.name(), head)?;
        let create = sql::tables(table, head.bits);
        session.run(|client| client.batch_execute(&create))?;
        let citus = *layout == Layout::Citus;
        if citus {
            let name = table.name();
            let spread: i64 =
                session.run(|c| c.query_one(sql::DISTRIBUTED, &[&name])?.try_get(0))?;
            if spread == 0 {
                let statement = sql::distribute(table);
                session.once(|client| client.batch_execute(&statement))?;
            }
        }
        let noted = meta(&mut session, table)?;
        let same = noted.iter().any(|(key, value)| key == "incoming" && value == stamp);
        let same = same && exists(&mut session, &format!("{}_incoming", table.name()))?;
        let (create, note) = (sql::incoming(table, head.bits, citus), sql::note(table));
        let staged = sql::staged(table);
        let (arrived, last) = session.run(|client| {
            let mut transaction = client.transaction()?;
            // First, so that no other load can add rows from here on.
            transaction.execute(&note, &[&"loading", &token])?;
            if !same {
                transaction.batch_execute(&create)?;
                transaction.execute(&note, &[&"incoming", &stamp])?;
            }
            let row = transaction.query_one(&staged, &[])?;
            let found = (row.try_get::<_, i64>(0)?, row.try_get::<_, Option<i64>>(1)?);
            transaction.commit()?;
            Ok(found)
        })?;
        let (arrived, last) =
            (u64::try_from(arrived).unwrap_or_default(), last.unwrap_or(i64::MIN));
        Ok(Self { session, token: token.to_owned(), last, arrived, routed: 0 })
    }

    /// Copies the given rows of a batch, except those that arrived earlier.
    pub(super) fn take(
        &mut self,
        table: &Table,
        batch: &Batch,
        rows: &[usize],
    ) -> Result<(), EngineError> {
        let new: Vec<usize> =
            rows.iter().copied().filter(|row| batch.ids[*row] > self.last).collect();
        self.routed += rows.len() as u64;
        let Some(last) = new.last() else { return Ok(()) };
        let (token, arrived) = (&self.token, self.arrived);
        let stands =
            self.session.run(|client| bring(client, table, token, arrived, batch, &new))?;
        self.accept(table, stands)?;
        self.last = batch.ids[*last];
        self.arrived += new.len() as u64;
        Ok(())
    }

    /// Checks that every row for this server has arrived.
    pub(super) fn check(&mut self, table: &Table) -> Result<(), EngineError> {
        let (token, routed) = (&self.token, self.routed);
        let stands = self.session.run(|client| {
            let mut transaction = client.transaction()?;
            stands(&mut transaction, table, token, routed)
        })?;
        self.accept(table, stands)
    }

    /// Merges the staging table into the collection.
    pub(super) fn merge(
        &mut self,
        table: &Table,
        head: &Head,
        layout: &Layout,
    ) -> Result<(), EngineError> {
        let (merge, note) = (sql::merge(table), sql::note(table));
        let mut facts = facts(head, layout);
        if layout.shards() == 0 {
            facts.extend(whole(&self.token));
        }
        let forget = sql::forget_load(table);
        let (token, routed) = (&self.token, self.routed);
        let found = self.session.once(|client| {
            let mut transaction = client.transaction()?;
            // The merge deletes images that are not in the staging table, so lost rows would delete
            // images.
            let found = stands(&mut transaction, table, token, routed)?;
            if found != Stands::Whole {
                return Ok(found);
            }
            for statement in &merge {
                transaction.batch_execute(statement)?;
            }
            transaction.batch_execute(&forget)?;
            for (key, value) in &facts {
                transaction.execute(&note, &[key, value])?;
            }
            transaction.commit()?;
            Ok(found)
        })?;
        self.accept(table, found)?;
        let analyze = sql::analyze(table);
        self.session.run(|client| client.batch_execute(&analyze))
    }

    /// Returns an error unless `stands` is `Whole`. If rows are lost, the next load starts over.
    fn accept(&mut self, table: &Table, stands: Stands) -> Result<(), EngineError> {
        let reason = match stands {
            Stands::Whole => return Ok(()),
            Stands::Another => format!(
                "another program has begun to load {table}; wait until it finishes, then run the same command again"
            ),
            Stands::Lost { found, sent } => {
                let forget = sql::forget_staged(table);
                let token = &self.token;
                self.session.run(|client| client.execute(&forget, &[token]))?;
                format!(
                    "{sent} images were sent for {table}, but it has {found}, probably after a crash; nothing was deleted, run the same command again"
                )
            }
        };
        Err(EngineError::Server {
            server: self.session.address().to_string(),
            reason: reason.into(),
        })
    }
}

/// State of a load on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// All rows that were sent are there.
    Whole,
    /// Another load has started since.
    Another,
    /// The number of rows differs from the number sent.
    Lost { found: u64, sent: u64 },
}

/// Returns whether `token` is the current load, and locks that until the transaction ends.
fn is_own(transaction: &mut Transaction<'_>, table: &Table, token: &str) -> Result<bool, Error> {
    let row = transaction.query_opt(&sql::owner(table), &[])?;
    Ok(row.map(|row| row.try_get::<_, String>(0)).transpose()?.as_deref() == Some(token))
}

fn count(transaction: &mut Transaction<'_>, table: &Table) -> Result<u64, Error> {
    let count: i64 = transaction.query_one(&sql::arrived(table), &[])?.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Checks that `token` is the current load and that `sent` rows have arrived.
fn stands(
    transaction: &mut Transaction<'_>,
    table: &Table,
    token: &str,
    sent: u64,
) -> Result<Stands, Error> {
    if !is_own(transaction, table, token)? {
        return Ok(Stands::Another);
    }
    let found = count(transaction, table)?;
    Ok(if found == sent { Stands::Whole } else { Stands::Lost { found, sent } })
}

/// Copies rows of a batch; `arrived` is the number of rows before it.
fn bring(
    client: &mut Client,
    table: &Table,
    token: &str,
    arrived: u64,
    batch: &Batch,
    rows: &[usize],
) -> Result<Stands, Error> {
    let mut transaction = client.transaction()?;
    if !is_own(&mut transaction, table, token)? {
        return Ok(Stands::Another);
    }
    if is_new(&mut transaction)? {
        // Only the server knows whether the rows arrived before a connection broke. After a crash
        // its unlogged staging table is empty.
        let found = count(&mut transaction, table)?;
        if found == arrived + rows.len() as u64 {
            return transaction.commit().map(|()| Stands::Whole);
        }
        if found != arrived {
            return Ok(Stands::Lost { found, sent: arrived });
        }
    }
    copy_rows(&mut transaction, &sql::copy_in(table), batch, rows)?;
    transaction.commit()?;
    Ok(Stands::Whole)
}

/// Returns whether this is the first copy on this connection, as recorded in a session setting.
fn is_new(transaction: &mut Transaction<'_>) -> Result<bool, Error> {
    let row = transaction.query_one(sql::HAS_COPIED, &[])?;
    if row.try_get::<_, Option<String>>(0)?.as_deref() == Some("yes") {
        return Ok(false);
    }
    transaction.batch_execute(sql::COPIED)?;
    Ok(true)
}

fn copy_rows(
    transaction: &mut Transaction<'_>,
    copy: &str,
    batch: &Batch,
    rows: &[usize],
) -> Result<(), Error> {
    let types = [Type::INT8, Type::BYTEA, Type::TEXT, Type::TEXT, Type::BIT];
    let mut writer = BinaryCopyInWriter::new(transaction.copy_in(copy)?, &types);
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
