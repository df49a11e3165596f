/*!
The rows of a benchmark: lines as they come, or one JSON document at the end.
*/

use std::fmt::Display;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::cli::Context;

/// The rows so far.
pub struct Rows<'a, R> {
    context: &'a Context,
    rows: Vec<R>,
}

impl<'a, R: Serialize> Rows<'a, R> {
    /// Prints the heading.
    pub fn new(context: &'a Context, heading: impl Display) -> Result<Self> {
        if !context.json {
            context.print(heading)?;
        }
        Ok(Self { context, rows: Vec::new() })
    }

    /// Adds a row and prints its line.
    pub fn add(&mut self, row: R, line: impl Display) -> Result<()> {
        self.rows.push(row);
        if self.context.json { Ok(()) } else { self.context.print(line) }
    }

    /// Prints what all rows have in common, by the first one, or the document.
    pub fn end(self, common: impl Fn(&R) -> String) -> Result<()> {
        match self.rows.first() {
            _ if self.context.json => self.context.print_json(&self.rows),
            Some(row) => self.context.print(common(row)),
            None => bail!("--queries is empty; name at least one number of queries"),
        }
    }
}
