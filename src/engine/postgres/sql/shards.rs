/*!
Statements about the shards that a coordinator knows.
*/

use std::fmt::Write as _;

use super::Table;
use super::table::literal;
use crate::engine::postgres::address::Encryption;

/// Whether the server has the extension citus, as 0 or 1.
pub(in super::super) const HAS_CITUS: &str =
    "SELECT count(*) FROM pg_extension WHERE extname = 'citus'";

/// Creates the extension that reaches shards, if missing.
pub(in super::super) const WRAPPER: &str = "CREATE EXTENSION IF NOT EXISTS postgres_fdw;\n";

/// Selects name and options of the foreign servers whose names match `$1`, whether the current
/// user has a mapping, and its options.
pub(in super::super) const REGISTERED: &str = "SELECT s.srvname::text, s.srvoptions, m.umid IS NOT NULL, m.umoptions \
    FROM pg_foreign_server AS s LEFT JOIN pg_user_mappings AS m \
    ON m.srvid = s.oid AND m.usename = current_user WHERE s.srvname ~ $1";

/// Connects to the server of a foreign table.
pub(in super::super) fn reach(part: &str) -> String {
    format!("SELECT FROM {part} LIMIT 1")
}

/// A shard to register on the coordinator.
pub(in super::super) struct Foreign<'a> {
    pub number: usize,
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    pub encryption: Encryption,
}

/// A shard as registered on the coordinator.
#[derive(Debug, Default)]
pub(in super::super) struct Registered {
    pub number: usize,
    /// Options of the foreign server, each `name=value`.
    pub options: Vec<String>,
    /// Options of the current user's mapping, each `name=value`, if it exists.
    pub mapping: Option<Vec<String>>,
}

/// `hnsw.ef_search` on shards: their sessions belong to the coordinator, so a search cannot set
/// it.
pub(in super::super) const SHARD_EF: u32 = 200;

/// Registers a shard on the coordinator. `shown` hides the password.
pub(in super::super) fn foreign(
    table: &Table,
    bits: usize,
    shard: &Foreign<'_>,
    shown: bool,
) -> String {
    let server = table.with(&format!("_shard_{}", shard.number));
    let written = |options: Vec<(&str, String)>| {
        let each = options.iter().map(|(name, value)| match *name {
            "password" if shown => "password '…'".to_owned(),
            name => format!("{name} {}", literal(value)),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    format!(
        "CREATE SERVER IF NOT EXISTS {server} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (
    {place},
    connect_timeout '5', fetch_size '10000', extensions 'vector', async_capable 'true',
    options '-c hnsw.ef_search={SHARD_EF} -c hnsw.iterative_scan=strict_order'
);
CREATE USER MAPPING IF NOT EXISTS FOR CURRENT_USER SERVER {server} OPTIONS ({mapping});
CREATE FOREIGN TABLE IF NOT EXISTS {part} (
    id bigint NOT NULL, content bytea NOT NULL, copy integer NOT NULL,
    path text NOT NULL, label text, code bit({bits}) NOT NULL
) SERVER {server} OPTIONS (table_name {name});",
        place = written(shard.place()),
        mapping = written(shard.mapping()),
        part = table.with(&format!("_{}", shard.number)),
        name = literal(table.name()),
    )
}

impl Foreign<'_> {
    /// Returns the options of the foreign server.
    fn place(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![
            ("host", self.host.to_owned()),
            ("port", self.port.to_string()),
            ("dbname", self.database.to_owned()),
            ("sslmode", self.encryption.mode.to_owned()),
        ];
        options.extend(self.encryption.root.clone().map(|root| ("sslrootcert", root)));
        options
    }

    /// Returns the options of the user mapping.
    fn mapping(&self) -> Vec<(&'static str, String)> {
        let mut options = Vec::new();
        options.extend(self.user.map(|user| ("user", user.to_owned())));
        options.push(match self.password {
            Some(password) => ("password", password.to_owned()),
            // Only a superuser may set this.
            None => ("password_required", "false".to_owned()),
        });
        options
    }
}

/// Updates a shard that the coordinator knows. Options that an address cannot specify stay
/// unchanged: an administrator may have set them.
pub(in super::super) fn corrected(
    table: &Table,
    bits: usize,
    shard: &Foreign<'_>,
    known: &Registered,
) -> String {
    let server = table.with(&format!("_shard_{}", shard.number));
    let mut text = String::new();
    let place = changes(&known.options, &shard.place(), &["sslrootcert"]);
    if !place.is_empty() {
        let _ = writeln!(text, "ALTER SERVER {server} OPTIONS ({place});");
    }
    if let Some(mapping) = &known.mapping {
        // Without a new password, keep the registered one.
        let mut now = shard.mapping();
        now.retain(|(name, _)| *name != "password_required");
        let gone: &[&str] = if shard.password.is_some() { &["password_required"] } else { &[] };
        let mapping = changes(mapping, &now, gone);
        if !mapping.is_empty() {
            let _ = writeln!(
                text,
                "ALTER USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS ({mapping});"
            );
        }
    }
    // `IF NOT EXISTS` leaves existing objects unchanged.
    text + &foreign(table, bits, shard, false)
}

/// Returns the `OPTIONS` changes that set `old` to `now` and drop those of `gone` not in `now`.
fn changes(old: &[String], now: &[(&str, String)], gone: &[&str]) -> String {
    let before =
        |name: &str| old.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    let mut all = Vec::new();
    for (name, value) in now {
        match before(name) {
            Some(old) if old == value => {}
            Some(_) => all.push(format!("SET {name} {}", literal(value))),
            None => all.push(format!("ADD {name} {}", literal(value))),
        }
    }
    let gone = gone.iter().filter(|name| now.iter().all(|(own, _)| own != *name));
    all.extend(gone.filter(|name| before(name).is_some()).map(|name| format!("DROP {name}")));
    all.join(", ")
}

/// Removes a shard from the coordinator.
pub(in super::super) fn forgotten(table: &Table, number: usize) -> String {
    let (part, server) =
        (table.with(&format!("_{number}")), table.with(&format!("_shard_{number}")));
    format!("DROP FOREIGN TABLE IF EXISTS {part};\nDROP SERVER IF EXISTS {server} CASCADE;\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_password_is_none() {
        let table = Table::new("barbule").unwrap();
        assert!(foreign(&table, 8, &shard(), false).contains("password 's3cret'"));
        assert!(!foreign(&table, 8, &shard(), true).contains("s3cret"));
    }

    fn shard() -> Foreign<'static> {
        let root = Some("/ca.pem".to_owned());
        Foreign {
            number: 1,
            host: "h",
            port: 1,
            database: "d",
            user: Some("u"),
            password: Some("s3cret"),
            encryption: Encryption { mode: "verify-full", root },
        }
    }

    #[test]
    fn the_coordinator_is_told_what_has_changed_of_a_shard() {
        let table = Table::new("barbule").unwrap();
        let text = foreign(&table, 8, &shard(), false);
        assert!(text.contains("sslmode 'verify-full', sslrootcert '/ca.pem'"), "{text}");
        let options = |all: &[&str]| all.iter().map(|o| o.to_string()).collect::<Vec<_>>();
        let mut known = Registered {
            number: 1,
            options: options(&["host=h", "port=1", "dbname=d", "fetch_size=7"]),
            mapping: Some(options(&["user=u", "password_required=false"])),
        };
        let text = corrected(&table, 8, &shard(), &known);
        assert!(text.contains("OPTIONS (ADD sslmode 'verify-full', ADD sslrootcert '/ca.pem');"));
        assert!(text.contains("(ADD password 's3cret', DROP password_required);"), "{text}");
        known.options.push("sslmode=verify-full".to_owned());
        known.options.push("sslrootcert=/ca.pem".to_owned());
        known.mapping = Some(options(&["user=u", "password=s3cret"]));
        assert!(!corrected(&table, 8, &shard(), &known).contains("ALTER"));
        // Without a new password the registered one is kept.
        let encryption = Encryption { mode: "disable", root: None };
        let moved = Foreign { host: "i", password: None, encryption, ..shard() };
        let text = corrected(&table, 8, &moved, &known);
        assert!(text.contains("(SET host 'i', SET sslmode 'disable', DROP sslrootcert);"));
        assert!(!text.contains("ALTER USER MAPPING"), "{text}");
    }
}
