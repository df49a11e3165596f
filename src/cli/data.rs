/*!
`barbule data`: lists the supported data sets and their sources, and checks whether a copy is
complete.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueHint;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Context;
use crate::dataset::{Counts, Dataset, Facts, Layout, MISSING_SHOWN};

/// List supported data sets, or check that a copy is complete
///
/// Without LAYOUT, lists all supported data sets. With LAYOUT, shows where the data set is
/// published, its terms, its splits and the files that Barbule expects. Nothing is downloaded: get
/// the files from the publisher's page; the publisher's terms apply.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: barbule data cub\n         barbule data cub --check CUB_200_2011/"
)]
pub struct Args {
    /// The data set's short name, which other commands accept as --layout
    layout: Option<Layout>,
    /// Check the copy in this folder: compare its numbers of classes and images with the published
    /// ones, and list the first missing images
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "layout")]
    check: Option<PathBuf>,
}

/// The result of a check.
#[derive(Debug, Serialize)]
struct Check {
    root: String,
    classes: usize,
    images: Counts,
    /// Whether the numbers of classes and images are as published. `None` if no numbers are
    /// published.
    as_published: Option<bool>,
    /// The first missing images.
    missing: Vec<String>,
    warnings: Vec<String>,
}

/// The published fields of `data LAYOUT --json`.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    facts: &'static Facts,
    /// With `--check`.
    check: Option<Check>,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let Some(layout) = args.layout else {
        let all = Layout::ALL.map(Layout::facts);
        if context.json {
            context.print_json(&all)?;
        } else {
            context.print(overview(&all))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let facts = layout.facts();
    let check = args.check.as_deref().map(|root| Check::of(facts, root)).transpose()?;
    let report = Report { facts, check };
    match (&report.check, context.json) {
        (_, true) => context.print_json(&report)?,
        (None, false) => describe(context, facts)?,
        (Some(check), false) => check.print(context, facts)?,
    }
    let Some(Check { root, as_published, missing, .. }) = &report.check else {
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(first) = missing.first() {
        let count = match missing.len() {
            MISSING_SHOWN => format!("{MISSING_SHOWN} or more images"),
            1 => "1 image".to_owned(),
            count => format!("{count} images"),
        };
        bail!("{root} is missing {count} (first: {first}); complete the data set");
    }
    if *as_published == Some(false) {
        bail!(
            "{root} differs from the published counts of {}; get its lists from the publisher",
            facts.title
        );
    }
    Ok(ExitCode::SUCCESS)
}

impl Check {
    fn of(facts: &Facts, root: &Path) -> Result<Self> {
        // The seed affects which images are drawn, but not how many.
        let dataset = Dataset::open(root, Some(facts.layout), 1)?;
        let (classes, images) = (dataset.classes.len(), dataset.counts());
        let as_published = facts.images.map(|published| {
            // The validation list is optional in some data sets.
            let val = if images.val == 0 { 0 } else { published.val };
            Counts { val, ..published } == images
                && facts.classes.is_none_or(|published| published == classes)
        });
        let missing = dataset.missing_files();
        Ok(Self {
            root: dataset.root.display().to_string(),
            classes,
            images,
            as_published,
            missing: missing.iter().map(|path| path.display().to_string()).collect(),
            warnings: dataset.warnings,
        })
    }

    fn print(&self, context: &Context, facts: &Facts) -> Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "here", "published"]);
        let (here, published) = (self.images, facts.images);
        let mut row = |what: &str, here: usize, published: Option<usize>| {
            let published = published.map_or_else(|| "–".to_owned(), grouped);
            table.add_row([what.to_owned(), grouped(here), published]);
        };
        row("classes", self.classes, facts.classes);
        row("train", here.train, published.map(|p| p.train));
        row("val", here.val, published.map(|p| p.val));
        row("test", here.test, published.map(|p| p.test));
        row("database", here.database, published.map(|p| p.database));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        context.print(format_args!("{} in {}", facts.title, self.root))?;
        context.print(table)?;
        for path in &self.missing {
            context.print(format_args!("missing: {path}"))?;
        }
        self.warnings.iter().for_each(|warning| context.warn(warning));
        if self.missing.is_empty() && self.as_published != Some(false) {
            context.print("complete: every listed image was found")?;
        }
        Ok(())
    }
}

fn describe(context: &Context, facts: &Facts) -> Result<()> {
    let line = |what: &str, text: &str| context.print(format_args!("{what:<9} {text}"));
    context.print(format_args!("{}: {}", facts.title, facts.shows))?;
    context.print("")?;
    facts.page.map(|page| line("page", page)).transpose()?;
    facts.terms.map(|terms| line("terms", terms)).transpose()?;
    if let Some(Counts { train, val, test, database }) = facts.images {
        let counts = [("train", train), ("val", val), ("test", test), ("database", database)];
        let counts = counts.map(|(split, count)| format!("{split} {}", grouped(count)));
        line("images", &counts.join(", "))?;
    }
    line("splits", facts.splits)?;
    context.print("")?;
    context.print("DIR/")?;
    let width = facts.files.iter().map(|place| place.path.chars().count()).max().unwrap_or(0);
    for place in facts.files {
        context.print(format_args!("  {:<width$}  {}", place.path, place.holds))?;
    }
    if facts.page.is_some() {
        context.print("")?;
        context.print(format_args!(
            "barbule data {layout} --check DIR checks whether a copy is complete",
            layout = facts.layout
        ))?;
    }
    Ok(())
}

/// Returns a table with one line per layout.
fn overview(all: &[&Facts]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["layout", "data set", "classes", "train", "val", "test", "database"]);
    let count = |count: Option<usize>| count.map_or_else(|| "–".to_owned(), grouped);
    for facts in all {
        let of = |split: fn(&Counts) -> usize| count(facts.images.as_ref().map(split));
        table.add_row([
            facts.layout.to_string(),
            facts.title.to_owned(),
            count(facts.classes),
            of(|c| c.train),
            of(|c| c.val),
            of(|c| c.test),
            of(|c| c.database),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Formats a number with a comma between groups of three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        let texts = [0, 999, 1_000, 20_580, 100_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "20,580", "100,000", "1,234,567"]);
    }
}
