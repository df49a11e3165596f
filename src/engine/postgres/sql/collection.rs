/*!
Statements about connections, and about what a server knows of a collection.
*/

use super::Table;

/// Whether the table or index `$1` exists.
pub(in super::super) const EXISTS: &str = "SELECT to_regclass($1::text) IS NOT NULL";

/// Selects the code length of the table `$1`, in bits.
pub(in super::super) const WIDTH: &str = "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass($1::text) AND attname = 'code'";

/// Takes the advisory lock `$1` for as long as the connection lasts, if it is free.
pub(in super::super) const LOCK: &str =
    "SELECT pg_try_advisory_lock(hashtextextended($1::text, 0))";

/// Limits how long a statement of this connection may take; 0 is no limit.
pub(in super::super) fn time_limit(milliseconds: u128) -> String {
    format!("SET statement_timeout = {milliseconds}")
}

/// Selects all entries of the meta table.
pub(in super::super) fn noted(table: &Table) -> String {
    format!("SELECT key, value FROM {}", table.with("_meta"))
}

/// Creates the extension and the meta table, if missing.
pub(in super::super) fn meta(table: &Table) -> String {
    format!(
        "CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS {} (key text PRIMARY KEY, value text NOT NULL)",
        table.with("_meta")
    )
}

/// Writes an entry of the meta table.
pub(in super::super) fn note(table: &Table) -> String {
    let meta = table.with("_meta");
    format!(
        "INSERT INTO {meta} VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
}

/// Drops a collection's tables.
pub(in super::super) fn drop_all(table: &Table) -> String {
    let (incoming, meta) = (table.with("_incoming"), table.with("_meta"));
    format!("DROP TABLE IF EXISTS {incoming}, {table}, {meta}")
}
