/*!
The table, for the terminal and as Markdown.
*/

use comfy_table::{CellAlignment, Table, presets};

use super::plot::Plot;
use super::published::Published;
use super::summary::{Maps, Results, Row, Spread};

/// A column: its title and the cell of a row.
type Column = (&'static str, Box<dyn Fn(&Row) -> String>);

/// One form of unseen classes.
type FormOf = fn(&Maps) -> Option<Spread>;

/// Returns the figures by Hamming distance.
fn hamming(row: &Row) -> Option<&Maps> {
    Some(&row.codes).filter(|_| !row.words)
}

/// Returns the columns that are not empty.
fn columns(results: &Results) -> Vec<Column> {
    let mut columns: Vec<Column> = vec![
        ("method", Box::new(|row| row.name.clone())),
        ("bits", Box::new(|row| row.bits.to_string())),
        ("mAP", Box::new(|row| figure(hamming(row).map(|maps| maps.map)))),
    ];
    let unseen = results.has_unseen();
    if unseen {
        let of = |row: &Row| hamming(row).and_then(|maps| maps.unseen_fresh);
        columns.push(("unseen B", Box::new(move |row| figure(of(row)))));
        let of = |row: &Row| hamming(row).and_then(|maps| maps.unseen);
        columns.push(("unseen A", Box::new(move |row| figure(of(row)))));
    }
    columns.push(("mAP real", Box::new(|row| figure(row.real.map(|maps| maps.map)))));
    if unseen {
        let real: [(&str, FormOf); 3] = [
            ("B real", |maps| maps.unseen_fresh),
            ("A real", |maps| maps.unseen),
            ("C real", |maps| maps.unseen_alone),
        ];
        for (title, of) in real {
            columns.push((title, Box::new(move |row| figure(row.real.as_ref().and_then(of)))));
        }
    }
    if results.has_learned() {
        columns.push(("mAP learned", Box::new(|row| figure(row.map_learned))));
    }
    columns.push(("P@1", Box::new(|row| figure(Some(row.p_at_1)))));
    columns.push(("training", Box::new(|row| seconds(row.seconds_training))));
    columns.push(("images shown", Box::new(|row| format!("{:.0}", row.images_shown.mean))));
    if results.rows.iter().any(|row| row.seeds < results.seeds.len()) {
        columns.push(("seeds", Box::new(|row| row.seeds.to_string())));
    }
    columns
}

/// Returns the titles and the cells of all rows, published rows last.
fn cells(results: &Results) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let columns = columns(results);
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let ours = |row: &Row| columns.iter().map(|(_, cell)| cell(row)).collect();
    let published = |row: &Published| {
        let Published { name, bits, map, unseen } = row;
        let cell = |title: &&str| match *title {
            "method" => format!("{name} (published)"),
            "bits" => bits.to_string(),
            "mAP" => format!("{map:.3}"),
            "unseen A" => unseen.map_or_else(none, |map| format!("{map:.3}")),
            _ => none(),
        };
        titles.iter().map(cell).collect()
    };
    let rows: Vec<Vec<String>> = results.rows.iter().map(ours).collect();
    let published: Vec<Vec<String>> = results.published.iter().map(published).collect();
    (titles, [rows, published].concat())
}

/// Formats the table for the terminal.
pub fn terminal(results: &Results) -> Table {
    let (titles, rows) = cells(results);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(titles);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Formats `table.md`: the table, its origin, and the plots.
pub fn markdown(results: &Results, plots: &[Plot]) -> String {
    let (titles, rows) = cells(results);
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let titles: Vec<String> = titles.into_iter().map(str::to_owned).collect();
    let mut page = format!("# {} methods on {}\n\n", results.methods(), escaped(&results.data));
    page += &line(&titles);
    page += &format!("|---|{}\n", "---:|".repeat(titles.len() - 1));
    rows.iter().for_each(|row| page += &line(row));
    for sentence in results.sentences() {
        page += &format!("\n{}\n", escaped(&sentence));
    }
    let Results { program, command, machine, date, .. } = results;
    page += &format!("\n```sh\n{command}\n```\n\n{program}, {date}, {}.\n", escaped(machine));
    for Plot { file, title, .. } in plots {
        page += &format!("\n![{title}]({file})\n");
    }
    page
}

/// Escapes text for Markdown.
fn escaped(text: &str) -> String {
    let special = |c: char| matches!(c, '*' | '_' | '`' | '<' | '[' | ']' | '|' | '\\' | '#');
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn none() -> String {
    "–".to_owned()
}

fn figure(spread: Option<Spread>) -> String {
    match spread {
        None => none(),
        Some(Spread { mean, deviation: None }) => format!("{mean:.3}"),
        Some(Spread { mean, deviation: Some(deviation) }) => format!("{mean:.3} ± {deviation:.3}"),
    }
}

fn seconds(Spread { mean, deviation }: Spread) -> String {
    // A fit takes milliseconds.
    let digits = if mean < 10.0 { 2 } else { 0 };
    match deviation {
        None => format!("{mean:.digits$} s"),
        Some(deviation) => format!("{mean:.digits$} ± {deviation:.digits$} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_has_no_deviation() {
        let of = |deviation| Some(Spread { mean: 0.12345, deviation });
        assert_eq!(figure(of(None)), "0.123");
        assert_eq!(figure(of(Some(0.01))), "0.123 ± 0.010");
        assert_eq!(figure(None), "–");
        assert_eq!(seconds(Spread { mean: 0.031, deviation: None }), "0.03 s");
        assert_eq!(seconds(Spread { mean: 123.4, deviation: Some(2.5) }), "123 ± 2 s");
    }

    #[test]
    fn names_do_not_become_markdown() {
        assert_eq!(escaped("my_birds [1]|"), r"my\_birds \[1\]\|");
    }
}
