/*!
Every statement, as text. Nothing here talks to a server.
*/

use std::fmt::{self, Write as _};

use crate::index::Filter;

/// The columns of an image in a search's answer.
const SHOWN: &str = "id, path, label, content";

/// The name of a collection, which its tables begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(String);

impl Table {
    /// A name of letters, digits and underscores, 40 at most.
    ///
    /// # Errors
    /// With what is wrong, when it is another.
    pub fn new(name: &str) -> Result<Self, String> {
        let letters =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        match letters && (1..=40).contains(&name.len()) && !name.as_bytes()[0].is_ascii_digit() {
            true => Ok(Self(name.to_owned())),
            false => Err("write it with a-z, 0-9 and _, 40 at most, a letter first".to_owned()),
        }
    }

    /// A table that belongs to it.
    pub(super) fn with(&self, ending: &str) -> String {
        format!("\"{}{ending}\"", self.0)
    }

    /// Its name without quotes.
    pub(super) fn name(&self) -> &str {
        &self.0
    }
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

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The tables of a server that holds images. `IF NOT EXISTS` throughout.
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

/// Spreads a table over the nodes of a Citus cluster.
pub(super) fn distribute(table: &Table) -> String {
    format!("SELECT create_distributed_table({}, 'content')", literal(table.name()))
}

/// The table that a load fills first. Its rows are in nobody's way until they are merged, and
/// stay when the load is broken off.
pub(super) fn incoming(table: &Table, bits: usize, citus: bool) -> String {
    let incoming = table.with("_incoming");
    // A Citus cluster keeps no table without a log on its nodes.
    let kind = if citus { "TABLE" } else { "UNLOGGED TABLE" };
    let mut text = format!(
        "DROP TABLE IF EXISTS {incoming};
CREATE {kind} {incoming} (
    id bigint NOT NULL,
    content bytea NOT NULL,
    path text NOT NULL,
    label text,
    code bit({bits}) NOT NULL
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

/// Where the rows of a load go.
pub(super) fn copy_in(table: &Table) -> String {
    let incoming = table.with("_incoming");
    format!("COPY {incoming} (id, content, path, label, code) FROM STDIN WITH (FORMAT binary)")
}

/// Makes the table what the load brought: takes out what is gone, changes what is otherwise,
/// adds what is new.
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

/// Notes a fact of a collection.
pub(super) fn note(table: &Table) -> String {
    let meta = table.with("_meta");
    format!(
        "INSERT INTO {meta} VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
}

/// Builds the index for approximate searches.
pub(super) fn build_hnsw(table: &Table) -> String {
    let name = table.with("_hnsw");
    format!("CREATE INDEX IF NOT EXISTS {name} ON {table} USING hnsw (code bit_hamming_ops)")
}

/// What a shard is to the coordinator.
pub(super) struct Foreign<'a> {
    pub number: usize,
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
}

/// How far an approximate search looks on a shard, where no session of ours can say it.
pub(super) const SHARD_EF: u32 = 200;

/// Makes a shard known to the coordinator. `shown` leaves the password out.
pub(super) fn foreign(table: &Table, bits: usize, shard: &Foreign<'_>, shown: bool) -> String {
    let Foreign { number, host, port, database, user, password } = shard;
    let server = table.with(&format!("_shard_{number}"));
    let mut mapping: Vec<String> = Vec::new();
    mapping.extend(user.map(|user| format!("user {}", literal(user))));
    match password {
        Some(_) if shown => mapping.push("password '…'".to_owned()),
        Some(password) => mapping.push(format!("password {}", literal(password))),
        // Only a superuser may say so.
        None => mapping.push("password_required 'false'".to_owned()),
    }
    format!(
        "CREATE SERVER IF NOT EXISTS {server} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (
    host {host}, port '{port}', dbname {database}, connect_timeout '5', fetch_size '10000',
    extensions 'vector', async_capable 'true',
    options '-c hnsw.ef_search={SHARD_EF} -c hnsw.iterative_scan=strict_order'
);
CREATE USER MAPPING IF NOT EXISTS FOR CURRENT_USER SERVER {server} OPTIONS ({mapping});
CREATE FOREIGN TABLE IF NOT EXISTS {part} (
    id bigint NOT NULL, content bytea NOT NULL, copy integer NOT NULL,
    path text NOT NULL, label text, code bit({bits}) NOT NULL
) SERVER {server} OPTIONS (table_name {name});",
        host = literal(host),
        database = literal(database),
        mapping = mapping.join(", "),
        part = table.with(&format!("_{number}")),
        name = literal(table.name()),
    )
}

/// The tables that hold a collection's images, as the server that is asked knows them.
pub(super) fn parts(table: &Table, shards: usize) -> Vec<String> {
    match shards {
        0 => vec![table.to_string()],
        shards => (1..=shards).map(|number| table.with(&format!("_{number}"))).collect(),
    }
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Code(pgvector::Bit),
    Text(String),
    Texts(Vec<String>),
    Contents(Vec<Vec<u8>>),
    Real(f64),
}

/// A statement with its values, `$1` the first.
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

    /// The statement with its values in it.
    pub fn filled(&self) -> String {
        let mut text = self.text.clone();
        // From the last, so that `$1` is not found in `$12`.
        for (number, value) in (1..).zip(&self.values).collect::<Vec<_>>().into_iter().rev() {
            text = text.replace(&format!("${number}"), &written(value));
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

/// What is looked for.
pub(super) struct Wanted<'a> {
    /// One code, or several whose distances are summed.
    pub codes: Vec<pgvector::Bit>,
    pub k: usize,
    /// The largest distance (or sum of distances).
    pub radius: Option<u64>,
    pub filter: &'a Filter,
    /// Only images of these contents, in the order of their ids, however many.
    pub contents: Option<&'a [blake3::Hash]>,
    /// Whether the index for approximate searches may be used.
    pub approximate: bool,
}

/// A search: id, path, label, content and distance of the nearest, in the order of (distance,
/// id).
///
/// Each table that holds images is asked for its nearest, which several of them find at the same
/// time; what they give is put together.
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
    let mut order = match wanted.approximate {
        // The form that the index knows.
        true => format!("ORDER BY {distance} LIMIT {}", wanted.k),
        // With `+ 0` it is a form that the index does not know: an index for approximate
        // searches would be used for the first of the two otherwise, and miss some.
        false => format!("ORDER BY {distance} + 0::float8, id LIMIT {}", wanted.k),
    };
    if let Some(contents) = wanted.contents {
        let contents = contents.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        let place = statement.value(Value::Contents(contents));
        conditions.push(format!("content = ANY({place})"));
        order = "ORDER BY id".to_owned();
    }
    let conditions = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
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

/// What an image has to be, as conditions.
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
        assert_eq!(Table::new("birds_2").unwrap().with("_meta"), "\"birds_2_meta\"");
        assert_eq!(literal("it's"), "'it''s'");
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
        let shard = Foreign {
            number: 1,
            host: "h",
            port: 1,
            database: "d",
            user: Some("u"),
            password: Some("s3cret"),
        };
        assert!(foreign(&table, 8, &shard, false).contains("s3cret"));
        assert!(!foreign(&table, 8, &shard, true).contains("s3cret"));
    }
}
