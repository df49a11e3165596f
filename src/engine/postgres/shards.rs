/*!
The servers that hold a collection, as the one that is asked knows them.
*/

use super::address::Address;
use super::session::Session;
use super::sql::{self, Foreign, Registered, Table};
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

/// What the coordinator was told of a collection's shards, in their order.
pub(super) fn registered(
    session: &mut Session,
    table: &Table,
) -> Result<Vec<Registered>, EngineError> {
    let sql = "SELECT s.srvname::text, s.srvoptions, m.umid IS NOT NULL, m.umoptions \
        FROM pg_foreign_server AS s LEFT JOIN pg_user_mappings AS m \
        ON m.srvid = s.oid AND m.usename = current_user WHERE s.srvname ~ $1";
    let prefix = format!("{}_shard_", table.name());
    let pattern = format!("^{prefix}[0-9]+$");
    let mut found = session.run(|client| {
        let rows = client.query(sql, &[&pattern])?;
        rows.iter()
            .map(|row| {
                let name: String = row.try_get(0)?;
                let number = name.strip_prefix(&prefix).and_then(|number| number.parse().ok());
                let options: Option<Vec<String>> = row.try_get(1)?;
                let mapping: Option<Vec<String>> = row.try_get(3)?;
                Ok(Registered {
                    number: number.unwrap_or_default(),
                    options: options.unwrap_or_default(),
                    mapping: row.try_get::<_, bool>(2)?.then(|| mapping.unwrap_or_default()),
                })
            })
            .collect::<Result<Vec<_>, _>>()
    })?;
    found.sort_by_key(|shard| shard.number);
    Ok(found)
}

/// Where a collection's `count` shards are, by what the coordinator was told of them.
pub(super) fn addresses(
    session: &mut Session,
    table: &Table,
    count: usize,
) -> Result<Vec<Address>, EngineError> {
    let shards = registered(session, table)?;
    let address = |number: usize| {
        let shard = shards.iter().find(|shard| shard.number == number);
        shard.and_then(|shard| place(session.address(), shard)).ok_or_else(|| {
            EngineError::Server {
                server: session.address().to_string(),
                reason: format!(
                    "the foreign server of shard {number} is missing, or lacks its host, port or dbname; export again with all of --shard"
                ),
            }
        })
    };
    (1..=count).map(address).collect()
}

/// Where a shard is, if that is known in full.
pub(super) fn place(coordinator: &Address, shard: &Registered) -> Option<Address> {
    let option = |key: &str| {
        shard.options.iter().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='))
    };
    let port = option("port")?.parse().ok()?;
    Some(coordinator.at(option("host")?, port, option("dbname")?, option("sslmode")))
}

/// The statements that make shards known to the coordinator, which knows some already. `shown`
/// leaves passwords out.
pub(super) fn register(
    table: &Table,
    bits: usize,
    shards: &[Address],
    known: &[Registered],
    shown: bool,
) -> String {
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
            encryption: shard.encryption(),
        };
        text.push_str(&match known.iter().find(|known| known.number == number) {
            Some(known) => sql::corrected(table, bits, &shard, known),
            None => sql::foreign(table, bits, &shard, shown),
        });
        text.push('\n');
    }
    for left in known.iter().filter(|known| known.number > shards.len()) {
        text.push_str(&sql::forgotten(table, left.number));
    }
    text
}
