/*!
Statements of a load.
*/

use std::fmt::Write as _;

use super::Table;
use super::table::literal;

/// Makes a token that tells this load from others.
pub(in super::super) const TOKEN: &str = "SELECT gen_random_uuid()::text";

/// Whether this connection has copied rows of a load before: NULL or `yes`.
pub(in super::super) const HAS_COPIED: &str = "SELECT current_setting('barbule.loading', true)";

/// Notes that this connection has copied rows.
pub(in super::super) const COPIED: &str = "SET barbule.loading = 'yes'";

/// Whether the table `$1` is distributed over the nodes of a Citus cluster, as 0 or 1.
pub(in super::super) const DISTRIBUTED: &str =
    "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = $1::text::regclass";

/// Creates the tables of a server that stores images, if missing.
pub(in super::super) fn tables(table: &Table, bits: usize) -> String {
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
pub(in super::super) fn distribute(table: &Table) -> String {
    format!("SELECT create_distributed_table({}, 'content')", literal(table.name()))
}

/// Creates the staging table of a load. Searches do not see its rows until they are merged, and
/// they survive an interrupted load.
pub(in super::super) fn incoming(table: &Table, bits: usize, citus: bool) -> String {
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
pub(in super::super) fn copy_in(table: &Table) -> String {
    let incoming = table.with("_incoming");
    format!("COPY {incoming} (id, content, path, label, code) FROM STDIN WITH (FORMAT binary)")
}

/// Selects the current load's token, and locks it until the transaction ends.
pub(in super::super) fn owner(table: &Table) -> String {
    let meta = table.with("_meta");
    format!("SELECT value FROM {meta} WHERE key = 'loading' FOR SHARE")
}

/// Counts the rows of the staging table.
pub(in super::super) fn arrived(table: &Table) -> String {
    format!("SELECT count(*) FROM {}", table.with("_incoming"))
}

/// Makes the collection equal to the staging table: deletes missing rows, updates changed ones
/// and inserts new ones.
pub(in super::super) fn merge(table: &Table) -> [String; 3] {
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

/// Creates the HNSW index for approximate searches, if missing.
pub(in super::super) fn build_hnsw(table: &Table) -> String {
    let name = table.with("_hnsw");
    format!("CREATE INDEX IF NOT EXISTS {name} ON {table} USING hnsw (code bit_hamming_ops)")
}

/// Counts the rows of the staging table and selects their greatest id.
pub(in super::super) fn staged(table: &Table) -> String {
    format!("SELECT count(*), max(id) FROM {}", table.with("_incoming"))
}

/// Forgets a load that was merged.
pub(in super::super) fn forget_load(table: &Table) -> String {
    format!("DELETE FROM {} WHERE key IN ('incoming', 'loading', 'recall')", table.with("_meta"))
}

/// Forgets what the staging table holds, if the load `$1` is the current one.
pub(in super::super) fn forget_staged(table: &Table) -> String {
    let meta = table.with("_meta");
    format!(
        "DELETE FROM {meta} WHERE key = 'incoming' AND EXISTS (SELECT FROM {meta} WHERE key = 'loading' AND value = $1)"
    )
}

/// Renews the planner's statistics.
pub(in super::super) fn analyze(table: &Table) -> String {
    format!("ANALYZE {table}")
}

/// All statements of a load on one server, to be shown. `spread` adds those of Citus.
pub(in super::super) fn whole_load(table: &Table, bits: usize, spread: bool) -> String {
    let mut text = tables(table, bits);
    if spread {
        let _ = write!(text, "\n-- with the extension citus: {};", distribute(table));
    }
    let (create, owner) = (incoming(table, bits, false), owner(table));
    let (copy, count) = (copy_in(table), arrived(table));
    let _ = write!(
        text,
        "\n\n{create}\n\nBEGIN;\n{owner};\n{copy};\nCOMMIT;\n\nBEGIN;\n{owner};\n{count};\n"
    );
    for statement in merge(table) {
        let _ = writeln!(text, "{statement};");
    }
    let _ = write!(text, "COMMIT;\n{};", analyze(table));
    text
}
