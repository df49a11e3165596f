/*!
The servers that store a collection, as registered on the coordinator.
*/

use super::address::Address;
use super::session::Session;
use super::sql::{self, Foreign, Registered, Table};
use crate::engine::{EngineError, Remedy};

/// Distribution of a collection over servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// One table, on this server.
    Single,
    /// One table, distributed by Citus.
    Citus,
    /// The given number of tables on other servers.
    Shards(usize),
}

impl Layout {
    /// The value of `layout` in the meta table.
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

    /// Number of shards; 0 if the table is on this server.
    pub fn shards(&self) -> usize {
        match self {
            Self::Single | Self::Citus => 0,
            Self::Shards(count) => *count,
        }
    }
}

/// Returns whether the server has the extension citus.
pub(super) fn has_citus(session: &mut Session) -> Result<bool, EngineError> {
    session.run(|client| Ok(client.query_one(sql::HAS_CITUS, &[])?.try_get::<_, i64>(0)? > 0))
}

/// Returns the shards registered on the coordinator, in ascending order of their numbers.
pub(super) fn registered(
    session: &mut Session,
    table: &Table,
) -> Result<Vec<Registered>, EngineError> {
    let prefix = format!("{}_shard_", table.name());
    let pattern = format!("^{prefix}[0-9]+$");
    let mut found = session.run(|client| {
        let rows = client.query(sql::REGISTERED, &[&pattern])?;
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

/// Returns the addresses of a collection's `count` shards, as registered on the coordinator.
pub(super) fn addresses(
    session: &mut Session,
    table: &Table,
    count: usize,
) -> Result<Vec<Address>, EngineError> {
    let shards = registered(session, table)?;
    let address = |number: usize| {
        let shard = shards.iter().find(|shard| shard.number == number);
        shard.and_then(|shard| place(session.address(), shard)).ok_or_else(|| {
            EngineError::Refused {
                server: session.address().to_string(),
                reason: format!(
                    "the foreign server of shard {number} is missing, or lacks its host, port or dbname"
                )
                .into(),
                remedy: Remedy::NameShards,
            }
        })
    };
    (1..=count).map(address).collect()
}

/// Returns the address of a shard, if host, port and database are known.
pub(super) fn place(coordinator: &Address, shard: &Registered) -> Option<Address> {
    let option = |key: &str| {
        shard.options.iter().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='))
    };
    let port = option("port")?.parse().ok()?;
    Some(coordinator.at(option("host")?, port, option("dbname")?, option("sslmode")))
}

/// Returns the statements that register shards on the coordinator, given those already `known`.
/// `shown` hides passwords.
pub(super) fn register(
    table: &Table,
    bits: usize,
    shards: &[Address],
    known: &[Registered],
    shown: bool,
) -> String {
    let mut text = sql::WRAPPER.to_owned();
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
