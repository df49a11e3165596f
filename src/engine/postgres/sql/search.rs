/*!
Statements that read a collection.
*/

use super::table::literal;
use crate::index::Filter;

/// Columns of a search result, before the distance.
const SHOWN: &str = "id, path, label, content";

/// Begins a transaction that reads one state. A slow reader may leave long pauses between batches.
pub(in super::super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Ends it.
pub(in super::super) const READ_ALL: &str = "COMMIT";

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Value {
    Code(pgvector::Bit),
    Text(String),
    Texts(Vec<String>),
    Contents(Vec<Vec<u8>>),
    Real(f64),
}

/// A statement with its parameters; the first is `$1`.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Statement {
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
pub(in super::super) struct Wanted<'a> {
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
    /// Selects the codes, too.
    pub with_codes: bool,
}

/// Selects id, path, label, content and distance of the nearest images, ordered by (distance, id).
/// The code follows if it is wanted.
///
/// Each table with images returns its nearest, shards in parallel; the results are merged.
pub(in super::super) fn search(parts: &[String], wanted: &Wanted<'_>) -> Statement {
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
    let code = if wanted.with_codes { ", code" } else { "" };
    let one = |part: &String| {
        format!(
            "SELECT {SHOWN}, ({distance})::integer AS distance{code} FROM {part}{conditions} {order}"
        )
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

/// The statement that shows the server's plan of a search.
pub(in super::super) fn plan(statement: &Statement) -> Statement {
    Statement {
        text: format!("EXPLAIN (VERBOSE, COSTS OFF) {}", statement.text),
        values: statement.values.clone(),
    }
}

/// Sets how many images an approximate search looks at, until the transaction ends.
pub(in super::super) fn effort(looks: usize) -> String {
    format!("SET LOCAL hnsw.ef_search = {looks}; SET LOCAL hnsw.iterative_scan = strict_order")
}

/// Selects the codes of the `count` images with the smallest content hashes.
pub(in super::super) fn sample(parts: &[String], count: usize) -> String {
    let one = |part: &String| {
        format!("(SELECT content, code FROM {part} ORDER BY content LIMIT {count})")
    };
    let each = parts.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    format!("SELECT code FROM ({each}) AS sample ORDER BY content LIMIT {count}")
}

/// Selects id and `column` of the image with the lowest id that has `$1` as its `key`.
pub(in super::super) fn first(parts: &[String], key: &str, column: &str) -> String {
    let one = |part: &String| format!("(SELECT id, {column} FROM {part} WHERE {key} = $1)");
    let each = parts.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    format!("SELECT * FROM ({each}) AS found ORDER BY id LIMIT 1")
}

/// Selects the `count` images that follow the id `$1`.
pub(in super::super) fn next(parts: &[String], count: usize) -> String {
    let one = |part: &String| {
        format!(
            "(SELECT id, path, label, content, code FROM {part} WHERE id > $1 ORDER BY id LIMIT {count})"
        )
    };
    let each = parts.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    format!("SELECT * FROM ({each}) AS next ORDER BY id LIMIT {count}")
}

#[cfg(test)]
mod tests {
    use super::super::{Table, parts};
    use super::*;

    fn wanted<'a>(filter: &'a Filter) -> Wanted<'a> {
        let codes = vec![pgvector::Bit::new(&[true, false, true])];
        let (contents, approximate, with_codes) = (None, false, false);
        Wanted { codes, k: 7, radius: None, filter, contents, approximate, with_codes }
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
        let coded = Wanted { with_codes: true, ..wanted(&none) };
        assert!(search(&parts(&table, 0), &coded).text.contains("AS distance, code FROM"));
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
}
