/*!
Metadata of a collection on a server (`NAME_meta`).
*/

use postgres::{Error, GenericClient};

use super::session::Session;
use super::shards::Layout;
use super::sql::{self, Table};
use crate::engine::head::own_model_text;
use crate::engine::{EngineError, Head, Remedy};

/// Returns the metadata of a collection.
pub(super) fn facts(head: &Head, layout: &Layout) -> Vec<(&'static str, String)> {
    let own_model = head.own_model.as_deref().map(own_model_text);
    vec![
        ("format", "1".to_owned()),
        ("program", format!("barbule {}", env!("CARGO_PKG_VERSION"))),
        ("bits", head.bits.to_string()),
        ("model", head.model.clone()),
        ("model_file", head.model_file.clone().unwrap_or_default()),
        ("own_model", own_model.unwrap_or_default()),
        ("roots", serde_json::Value::from(head.roots.clone()).to_string()),
        ("images", head.images.to_string()),
        ("layout", layout.text()),
    ]
}

/// Returns the metadata that marks a complete collection on the searched server, with the load
/// that completed it.
pub(super) fn whole(token: &str) -> [(&'static str, String); 2] {
    [("state", "whole".to_owned()), ("loaded", token.to_owned())]
}

/// Reads the metadata of a collection; empty if the collection is missing.
pub(super) fn meta(
    session: &mut Session,
    table: &Table,
) -> Result<Vec<(String, String)>, EngineError> {
    session.run(|client| noted(client, table))
}

/// Like [`meta`], on an open connection or transaction.
pub(super) fn noted(
    client: &mut impl GenericClient,
    table: &Table,
) -> Result<Vec<(String, String)>, Error> {
    let name = format!("{}_meta", table.name());
    if !client.query_one(sql::EXISTS, &[&name])?.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let rows = client.query(&sql::noted(table), &[])?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Returns whether a table or index of this name exists.
pub(super) fn exists(session: &mut Session, name: &str) -> Result<bool, EngineError> {
    session.run(|client| client.query_one(sql::EXISTS, &[&name])?.try_get(0))
}

/// Checks the code length of a table, if it exists. An interrupted first load leaves a table
/// without metadata.
pub(super) fn same_width(
    session: &mut Session,
    table: &Table,
    name: &str,
    head: &Head,
) -> Result<(), EngineError> {
    let found: Option<i32> = session.run(|client| {
        client.query_opt(sql::WIDTH, &[&name])?.map(|row| row.try_get(0)).transpose()
    })?;
    match found {
        Some(bits) if usize::try_from(bits) != Ok(head.bits) => Err(EngineError::Refused {
            server: session.address().to_string(),
            reason: format!("{table} stores codes of {bits} bits, but these have {}", head.bits)
                .into(),
            remedy: Remedy::Table,
        }),
        _ => Ok(()),
    }
}
