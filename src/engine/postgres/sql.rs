/*!
The text of every SQL statement. Nothing here connects to a server.
*/

use std::fmt::{self, Write as _};

use super::address::Encryption;
use crate::index::Filter;

/// Columns of a search result, before the distance.
const SHOWN: &str = "id, path, label, content";

/// Name of a collection, and prefix of its tables' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(String);

impl Table {
    /// Validates a name: `a-z`, `0-9` and `_`, at most 40 characters, no leading digit. Names that
    /// collide with the auxiliary tables of another collection, such as `birds_meta` and
    /// `birds_1`, are rejected.
    ///
    /// # Errors
    /// A message with the reason.
    pub fn new(name: &str) -> Result<Self, String> {
        let letters =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !letters || !(1..=40).contains(&name.len()) || name.as_bytes()[0].is_ascii_digit() {
            return Err("use a-z, 0-9 and _, at most 40 characters, and no digit first".to_owned());
        }
        match name.rsplit_once('_').filter(|(_, ending)| is_taken(ending)) {
            None => Ok(Self(name.to_owned())),
            Some((_, ending)) => Err(format!(
                "choose a name that does not end in _{ending}: it is reserved for tables of another collection"
            )),
        }
    }

    /// Returns the quoted name of an auxiliary table or index.
    pub(super) fn with(&self, ending: &str) -> String {
        format!("\"{}{ending}\"", self.0)
    }

    /// Returns the name without quotes.
    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

/// Maximum number of shards: their numbers have three digits.
pub(super) const MOST: usize = 999;

/// Returns whether names of auxiliary tables and indexes end in `_` and `ending`.
fn is_taken(ending: &str) -> bool {
    let number = (1..=3).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_digit());
    number || ["meta", "incoming", "id", "hnsw", "pkey"].contains(&ending)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl std::str::FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text)
    }
}

/// Quotes a text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Creates the tables of a server that stores images, if missing.
pub(super) fn tables(table: &Table, bits: usize) -> String {
    let (meta, by_id) = (table.with("_meta"), table.with("_id"));
    format!(
        "CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS {meta} (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS {table} (
    id bigint NOT NULL,
    content bytea NOT NULL,
    copy integer NOT NULL,
    path text NOT NULL,
    label text,
    code bit({bits}) NOT NULL,
    PRIMARY KEY (content, copy)
);
CREATE INDEX IF NOT EXISTS {by_id} ON {table} (id);"
    )
}

/// Distributes a table over the nodes of a Citus cluster.
pub(super) fn distribute(table: &Table) -> String {
    format!("SELECT create_distributed_table({}, 'content')", literal(table.name()))
}

/// Creates the staging table of a load. Searches do not see its rows until they are merged, and
/// they survive an interrupted load.
pub(super) fn incoming(table: &Table, bits: usize, citus: bool) -> String {
    let incoming = table.with("_incoming");
    // Citus creates no unlogged tables on its nodes, and requires the distribution column in the
    // primary key. PostgreSQL empties unlogged tables after a crash, so the rows are counted
    // whenever a crash is possible.
    let (kind, key) = if citus { ("TABLE", "content, id") } else { ("UNLOGGED TABLE", "id") };
    let mut text = format!(
        "DROP TABLE IF EXISTS {incoming};
CREATE {kind} {incoming} (
    id bigint NOT NULL,
    content bytea NOT NULL,
    path text NOT NULL,
    label text,
    code bit({bits}) NOT NULL,
    PRIMARY KEY ({key})
);"
    );
    if citus {
        let (own, with) = (format!("{}_incoming", table.name()), literal(table.name()));
        let _ = write!(
            text,
            "\nSELECT create_distributed_table({}, 'content', colocate_with => {with});",
            literal(&own)
        );
    }
    text
}

/// Copies rows into the staging table.
pub(super) fn copy_in(table: &Table) -> String {
    let incoming = table.with("_incoming");
    format!("COPY {incoming} (id, content, path, label, code) FROM STDIN WITH (FORMAT binary)")
}

/// Selects the current load's token, and locks it until the transaction ends.
pub(super) fn owner(table: &Table) -> String {
    let meta = table.with("_meta");
    format!("SELECT value FROM {meta} WHERE key = 'loading' FOR SHARE")
}

/// Counts the rows of the staging table.
pub(super) fn arrived(table: &Table) -> String {
    format!("SELECT count(*) FROM {}", table.with("_incoming"))
}

/// Makes the collection equal to the staging table: deletes missing rows, updates changed ones
/// and inserts new ones.
pub(super) fn merge(table: &Table) -> [String; 3] {
    let incoming = table.with("_incoming");
    let numbered = format!(
        "SELECT id, content, (row_number() OVER (PARTITION BY content ORDER BY id) - 1)::integer AS copy, path, label, code FROM {incoming}"
    );
    [
        format!(
            "DELETE FROM {table} AS old WHERE NOT EXISTS (SELECT FROM ({numbered}) AS new WHERE new.content = old.content AND new.copy = old.copy)"
        ),
        format!(
            "INSERT INTO {table} AS old (id, content, copy, path, label, code) {numbered}
ON CONFLICT (content, copy) DO UPDATE SET id = excluded.id, path = excluded.path, label = excluded.label, code = excluded.code
WHERE (old.id, old.path, old.label, old.code) IS DISTINCT FROM (excluded.id, excluded.path, excluded.label, excluded.code)"
        ),
        format!("DROP TABLE {incoming}"),
    ]
}

/// Writes an entry of the meta table.
pub(super) fn note(table: &Table) -> String {
    let meta = table.with("_meta");
    format!(
        "INSERT INTO {meta} VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
}

/// Creates the HNSW index for approximate searches, if missing.
pub(super) fn build_hnsw(table: &Table) -> String {
    let name = table.with("_hnsw");
    format!("CREATE INDEX IF NOT EXISTS {name} ON {table} USING hnsw (code bit_hamming_ops)")
}

/// A shard to register on the coordinator.
pub(super) struct Foreign<'a> {
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
pub(super) struct Registered {
    pub number: usize,
    /// Options of the foreign server, each `name=value`.
    pub options: Vec<String>,
    /// Options of the current user's mapping, each `name=value`, if it exists.
    pub mapping: Option<Vec<String>>,
}

/// `hnsw.ef_search` on shards: their sessions belong to the coordinator, so a search cannot set
/// it.
pub(super) const SHARD_EF: u32 = 200;

/// Registers a shard on the coordinator. `shown` hides the password.
pub(super) fn foreign(table: &Table, bits: usize, shard: &Foreign<'_>, shown: bool) -> String {
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
pub(super) fn corrected(
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
pub(super) fn forgotten(table: &Table, number: usize) -> String {
    let (part, server) =
        (table.with(&format!("_{number}")), table.with(&format!("_shard_{number}")));
    format!("DROP FOREIGN TABLE IF EXISTS {part};\nDROP SERVER IF EXISTS {server} CASCADE;\n")
}

/// Returns the tables with a collection's images, as named on the searched server.
pub(super) fn parts(table: &Table, shards: usize) -> Vec<String> {
    match shards {
        0 => vec![table.to_string()],
        shards => (1..=shards).map(|number| table.with(&format!("_{number}"))).collect(),
    }
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Code(pgvector::Bit),
    Text(String),
    Texts(Vec<String>),
    Contents(Vec<Vec<u8>>),
    Real(f64),
}

/// A statement with its parameters; the first is `$1`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub text: String,
    pub values: Vec<Value>,
}

impl Statement {
    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Returns the statement with its parameters filled in.
    pub fn filled(&self) -> String {
        // In one pass, because a value may itself contain `$1`.
        let mut pieces = self.text.split('$');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = piece.split_at(digits);
            let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            match place.and_then(|place| self.values.get(place)) {
                Some(value) => text.push_str(&written(value)),
                None => text.extend(["$", number]),
            }
            text.push_str(rest);
        }
        text
    }
}

fn written(value: &Value) -> String {
    let list = |items: Vec<String>| format!("ARRAY[{}]", items.join(", "));
    match value {
        Value::Code(code) => {
            let bit =
                |k: usize| if code.as_bytes()[k / 8] >> (7 - k % 8) & 1 == 1 { '1' } else { '0' };
            format!("B'{}'", (0..code.len()).map(bit).collect::<String>())
        }
        Value::Text(text) => literal(text),
        Value::Texts(texts) => {
            format!("{}::text[]", list(texts.iter().map(|t| literal(t)).collect()))
        }
        Value::Contents(contents) => {
            let hex = |bytes: &Vec<u8>| {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("'\\x{digits}'")
            };
            format!("{}::bytea[]", list(contents.iter().map(hex).collect()))
        }
        Value::Real(number) => number.to_string(),
    }
}

/// Parameters of a search.
pub(super) struct Wanted<'a> {
    /// One code, or several whose distances are summed.
    pub codes: Vec<pgvector::Bit>,
    pub k: usize,
    /// The maximum distance (or sum of distances).
    pub radius: Option<u64>,
    pub filter: &'a Filter,
    /// If set, selects all images with these contents, in the order of their ids.
    pub contents: Option<&'a [blake3::Hash]>,
    /// Whether to use the HNSW index.
    pub approximate: bool,
}

/// Selects id, path, label, content and distance of the nearest images, ordered by (distance, id).
///
/// Each table with images returns its nearest, shards in parallel; the results are merged.
pub(super) fn search(parts: &[String], wanted: &Wanted<'_>) -> Statement {
    let mut statement = Statement { text: String::new(), values: Vec::new() };
    let mut terms = Vec::new();
    for code in &wanted.codes {
        let place = statement.value(Value::Code(code.clone()));
        terms.push(format!("(code <~> {place})"));
    }
    let distance = terms.join(" + ");
    let mut conditions = conditions(&mut statement, wanted.filter);
    if let Some(radius) = wanted.radius {
        let place = statement.value(Value::Real(radius as f64));
        conditions.push(format!("{distance} <= {place}"));
    }
    let mut order = if wanted.approximate {
        // The form that the HNSW index supports.
        format!("ORDER BY {distance} LIMIT {}", wanted.k)
    } else {
        // `+ 0` keeps the planner from using the HNSW index for the first sort key, which would
        // miss some images.
        format!("ORDER BY {distance} + 0::float8, id LIMIT {}", wanted.k)
    };
    if let Some(contents) = wanted.contents {
        let contents = contents.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        let place = statement.value(Value::Contents(contents));
        conditions.push(format!("content = ANY({place})"));
        order = "ORDER BY id".to_owned();
    }
    let conditions = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let one = |part: &String| {
        format!("SELECT {SHOWN}, ({distance})::integer AS distance FROM {part}{conditions} {order}")
    };
    let outer = match wanted.contents {
        Some(_) => "ORDER BY id".to_owned(),
        None => format!("ORDER BY distance, id LIMIT {}", wanted.k),
    };
    statement.text = match parts {
        [part] if !wanted.approximate => one(part),
        parts => {
            let each: Vec<String> = parts.iter().map(|part| format!("({})", one(part))).collect();
            format!("SELECT * FROM (\n{}\n) AS nearest {outer}", each.join("\nUNION ALL\n"))
        }
    };
    statement
}

/// Returns the SQL conditions of a filter.
fn conditions(statement: &mut Statement, filter: &Filter) -> Vec<String> {
    let mut all = Vec::new();
    if !filter.under.is_empty() {
        let mut places = Vec::new();
        for folder in &filter.under {
            let folder = folder.trim_end_matches(std::path::MAIN_SEPARATOR).to_owned();
            let within = format!("{folder}{}", std::path::MAIN_SEPARATOR);
            let (folder, within) =
                (statement.value(Value::Text(folder)), statement.value(Value::Text(within)));
            places.push(format!("path = {folder} OR starts_with(path, {within})"));
        }
        all.push(format!("({})", places.join(" OR ")));
    }
    if !filter.labels.is_empty() {
        let place = statement.value(Value::Texts(filter.labels.clone()));
        all.push(format!("label = ANY({place})"));
    }
    if !filter.not.is_empty() {
        let place = statement.value(Value::Texts(filter.not.clone()));
        all.push(format!("(label IS NULL OR label <> ALL({place}))"));
    }
    if filter.labelled {
        all.push("label IS NOT NULL".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(filter: &'a Filter) -> Wanted<'a> {
        let codes = vec![pgvector::Bit::new(&[true, false, true])];
        Wanted { codes, k: 7, radius: None, filter, contents: None, approximate: false }
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        for wrong in ["", "a\"b", "a b", "1a", "Ä", "a;drop", &"a".repeat(41)] {
            assert!(Table::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Table::new("birds_b").unwrap().with("_meta"), "\"birds_b_meta\"");
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn names_of_tables_beside_a_collection_are_no_collections() {
        let taken = ["_meta", "_incoming", "_id", "_hnsw", "_pkey", "_1", "_12", "_shard_3"];
        for ending in taken {
            let said = Table::new(&format!("birds{ending}")).unwrap_err();
            assert!(said.contains("does not end in"), "{ending}: {said}");
        }
        for free in ["birds_2024", "birds2", "meta", "birds_metal", "b_"] {
            assert!(Table::new(free).is_ok(), "{free}");
        }
    }

    #[test]
    fn values_are_filled_in_once() {
        let texts = (1..=12).map(|number| Value::Text(format!("${number} of $1")));
        let statement = Statement { text: "$12, $1; $13".to_owned(), values: texts.collect() };
        assert_eq!(statement.filled(), "'$12 of $1', '$1 of $1'; $13");
    }

    #[test]
    fn an_exact_search_has_a_form_no_index_knows() {
        let table = Table::new("barbule").unwrap();
        let none = Filter::default();
        let exact = search(&parts(&table, 0), &wanted(&none));
        assert!(exact.text.contains("ORDER BY (code <~> $1) + 0::float8, id LIMIT 7"));
        let near = Wanted { approximate: true, ..wanted(&none) };
        assert!(search(&parts(&table, 0), &near).text.contains("ORDER BY (code <~> $1) LIMIT 7"));
    }

    #[test]
    fn every_shard_is_asked_for_as_many_as_are_wanted() {
        let table = Table::new("barbule").unwrap();
        let filter = Filter {
            under: vec!["/it's/a".into()],
            labels: vec!["owl".into()],
            ..Filter::default()
        };
        let statement = search(&parts(&table, 3), &Wanted { radius: Some(9), ..wanted(&filter) });
        assert_eq!(statement.text.matches("id LIMIT 7)").count(), 3);
        let filled = statement.filled();
        assert!(filled.contains("(code <~> B'101')"));
        assert!(filled.contains("path = '/it''s/a' OR starts_with(path, '/it''s/a/')"));
        assert!(filled.contains("label = ANY(ARRAY['owl']::text[])"));
        assert!(filled.contains("<= 9") && !filled.contains('$'));
    }

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
