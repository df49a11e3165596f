/*!
The servers that hold a collection, as the one that is asked knows them.
*/

use super::address::Address;
use super::session::Session;
use super::sql::{self, Foreign, Table};
use crate::engine::EngineError;

/// How a collection lies on servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// One table, on this server.
    Single,
    /// One table that Citus spreads.
    Citus,
    /// So many tables on other servers.
    Shards(usize),
}

impl Layout {
    /// As it is noted.
    pub fn text(&self) -> String {
        match self {
            Self::Single => "single".to_owned(),
            Self::Citus => "citus".to_owned(),
            Self::Shards(count) => format!("shards {count}"),
        }
    }

    pub fn read(text: &str) -> Option<Self> {
        match text {
            "single" => Some(Self::Single),
            "citus" => Some(Self::Citus),
            other => other.strip_prefix("shards ")?.parse().ok().map(Self::Shards),
        }
    }

    /// How many tables a search asks; 0 stands for one that is here.
    pub fn shards(&self) -> usize {
        match self {
            Self::Single | Self::Citus => 0,
            Self::Shards(count) => *count,
        }
    }
}

/// Whether the server is the coordinator of a Citus cluster.
pub(super) fn has_citus(session: &mut Session) -> Result<bool, EngineError> {
    let sql = "SELECT count(*) FROM pg_extension WHERE extname = 'citus'";
    session.run(|client| Ok(client.query_one(sql, &[])?.try_get::<_, i64>(0)? > 0))
}

/// Where the shards of a collection are, by what the coordinator was told of them.
pub(super) fn addresses(session: &mut Session, table: &Table) -> Result<Vec<Address>, EngineError> {
    let sql = "SELECT srvname::text, srvoptions FROM pg_foreign_server WHERE srvname ~ $1";
    let prefix = format!("{}_shard_", table.name());
    let pattern = format!("^{prefix}[0-9]+$");
    let rows: Vec<(String, Option<Vec<String>>)> = session.run(|client| {
        let rows = client.query(sql, &[&pattern])?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    })?;
    let mut found = Vec::new();
    for (name, options) in rows {
        let options = options.unwrap_or_default();
        let option =
            |key: &str| options.iter().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
        let number: usize = name.trim_start_matches(&prefix).parse().unwrap_or_default();
        let place = (option("host"), option("port").and_then(|p| p.parse().ok()), option("dbname"));
        let (Some(host), Some(port), Some(database)) = place else {
            return Err(EngineError::Server {
                server: session.address().to_string(),
                reason: format!("the foreign server {name} lacks its host, port or dbname"),
            });
        };
        found.push((number, session.address().at(host, port, database)));
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, address)| address).collect())
}

/// The statements that make shards known to the coordinator.
pub(super) fn register(table: &Table, bits: usize, shards: &[Address], shown: bool) -> String {
    let mut text = "CREATE EXTENSION IF NOT EXISTS postgres_fdw;\n".to_owned();
    for (number, shard) in (1..).zip(shards) {
        let (host, port, database) = shard.place();
        let (user, password) = shard.credentials();
        let shard = Foreign {
            number,
            host: &host,
            port,
            database: &database,
            user: user.as_deref(),
            password: password.as_deref(),
        };
        text.push_str(&sql::foreign(table, bits, &shard, shown));
        text.push('\n');
    }
    text
}
