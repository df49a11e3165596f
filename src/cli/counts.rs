/*!
Counts of what is not read, in words.
*/

use serde_json::{Value, json};

use super::Context;
use crate::folder::{FileKind, LeftOut};
use crate::index::{Row, TableUse};

/// Extensions that are named.
const NAMED: usize = 5;

/// Returns the counts of the files that are not read, without those that are 0.
pub fn in_words(left_out: &LeftOut) -> Option<String> {
    let mut parts = Vec::new();
    let mut part = |count: usize, one: &str, several: &str| {
        if count > 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { several }));
        }
    };
    part(left_out.hidden, "hidden", "hidden");
    part(left_out.system, "in system folders", "in system folders");
    part(left_out.excluded, "excluded", "excluded");
    part(left_out.links, "link to a folder", "links to folders");
    part(left_out.special, "pipe or device", "pipes or devices");
    part(left_out.of_kind(FileKind::Video), "video", "videos");
    part(left_out.of_kind(FileKind::Other), "other file", "other files");
    let rules = (!parts.is_empty()).then(|| format!("left out: {}", parts.join(", ")));
    let photos = left_out.unread_photos();
    let both: Vec<String> = photos.into_iter().chain(rules).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

/// Returns the extensions of the files that are neither pictures nor videos, the most frequent
/// first.
pub fn other_extensions(left_out: &LeftOut) -> Option<String> {
    let mut all: Vec<(&String, &usize)> =
        left_out.kinds.get(&FileKind::Other).into_iter().flatten().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let name = |(extension, count): &(&String, &usize)| match extension.as_str() {
        "" => format!("{count} without extension"),
        extension => format!("{count} .{extension}"),
    };
    let mut named: Vec<String> = all.iter().take(NAMED).map(name).collect();
    named.extend((all.len() > NAMED).then(|| "…".to_owned()));
    (!named.is_empty()).then(|| named.join(", "))
}

/// Warns of the rows of a table of labels that do nothing.
pub fn warn_table(context: &Context, table: Option<&TableUse>) {
    let Some(table) = table else { return };
    let at = |row: &Option<Row>| {
        let row = row.as_ref().map(|row| format!(" (first: line {}, {})", row.line, row.path));
        row.unwrap_or_default()
    };
    let of = table.rows;
    if table.unmatched > 0 {
        let verb = if table.unmatched == 1 { "names" } else { "name" };
        context.warn(format_args!(
            "{} of {of} rows of the table {verb} no image here{}",
            table.unmatched,
            at(&table.first_unmatched)
        ));
    }
    if table.conflicts > 0 {
        let verb = if table.conflicts == 1 { "contradicts" } else { "contradict" };
        context.warn(format_args!(
            "{} of {of} rows of the table {verb} an earlier row, and the last one counts{}",
            table.conflicts,
            at(&table.first_conflict)
        ));
    }
}

/// Returns the counts of a table of labels as JSON.
pub fn table_json(table: Option<&TableUse>) -> Value {
    let row =
        |row: &Option<Row>| row.as_ref().map(|row| json!({ "line": row.line, "path": row.path }));
    table.map_or(Value::Null, |table| {
        json!({
            "rows": table.rows, "unmatched": table.unmatched, "conflicts": table.conflicts,
            "first_unmatched": row(&table.first_unmatched),
            "first_conflict": row(&table.first_conflict),
        })
    })
}
