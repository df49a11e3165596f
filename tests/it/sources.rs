/*!
Rules for the sources themselves: the library's texts name nothing of the command line, and files
and rooms use each other in one direction.
*/

mod imports;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::{circles, imports};
use scan::Scanned;

/// Circles that are to be mended. Remove an entry as soon as its circle is gone.
const KNOWN: &[&[&str]] = &[];

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The scanned Rust files below a folder of the repository, by path from the root. Test modules
/// in files of their own are left out.
fn sources(folder: &str) -> BTreeMap<String, Scanned> {
    let mut all = BTreeMap::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(root().join(&inner)).unwrap() {
            let path = inner.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(root().join(&path)).unwrap();
                let name = path.to_str().unwrap().replace('\\', "/");
                all.insert(name, Scanned::new(&text));
            }
        }
    }
    let tests: Vec<String> = all
        .iter()
        .flat_map(|(file, scanned)| scanned.tests.iter().map(move |name| (file, name)))
        .map(|(file, name)| format!("{}{name}", imports::folder(file)))
        .collect();
    let of_tests = |file: &String| {
        let module = file.trim_end_matches(".rs");
        tests.iter().any(|test| module == test || module.starts_with(&format!("{test}/")))
    };
    all.retain(|file, _| !of_tests(file));
    // Rules hold trivially where there is nothing to check.
    assert!(!all.is_empty(), "no sources in {folder}");
    all
}

/// The commands of the program: the variants of `Command`.
fn commands() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/cli/commands.rs")).unwrap();
    let (_, variants) = text.split_once("enum Command {").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    let name = |line: &str| Some(line.trim().split_once('(')?.0.to_lowercase());
    variants.lines().filter_map(name).collect()
}

/// What of the command line a text names: an option or a command.
fn names(text: &str, commands: &[String]) -> Option<String> {
    let option = text.match_indices("--").find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let word: String =
            text[at + 2..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let starts = word.starts_with(|c: char| c.is_ascii_lowercase()) && before != Some('-');
        starts.then(|| format!("--{word}"))
    });
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .filter(|word| !word.is_empty())
        .collect();
    let command = || {
        let of = |pair: &&[&str]| {
            let is_command = pair[0] == "barbule" && commands.iter().any(|c| c == pair[1]);
            is_command || pair[0] == "train" && ["lsh", "itq", "sdh", "exchnet"].contains(&pair[1])
        };
        words.windows(2).find(of).map(|pair| pair.join(" "))
    };
    option.or_else(command)
}

#[test]
fn no_text_of_the_library_names_an_option_or_a_command() {
    let commands = commands();
    assert!(commands.len() > 15 && commands.contains(&"index".to_owned()), "{commands:?}");
    let mut wrong = Vec::new();
    for folder in ["src", "crates/aviary/src", "crates/capi/src"] {
        for (file, scanned) in sources(folder) {
            if file.starts_with("src/cli/") {
                continue;
            }
            for (line, text) in &scanned.literals {
                let named = names(text, &commands);
                wrong.extend(named.map(|named| format!("{file}:{line}: {named}")));
            }
        }
    }
    let scripts = ["page", "duplicates", "folders", "labels"].map(|name| format!("page/{name}.js"));
    let texts = ["page/index.html", "openapi.json"].map(str::to_owned);
    for file in texts.iter().chain(&scripts) {
        let file = format!("src/serve/{file}");
        let text = fs::read_to_string(root().join(&file)).unwrap();
        for (line, text) in (1..).zip(text.lines()) {
            let named = names(text, &commands);
            wrong.extend(named.map(|named| format!("{file}:{line}: {named}")));
        }
    }
    assert!(wrong.is_empty(), "texts for users of the command line only:\n{}", wrong.join("\n"));
}

#[test]
fn options_and_commands_are_recognised() {
    let commands = ["index".to_owned(), "weights".to_owned()];
    let of = |text| names(text, &commands);
    assert_eq!(of("use --device cpu").as_deref(), Some("--device"));
    assert_eq!(of("(--max-megapixels)").as_deref(), Some("--max-megapixels"));
    assert_eq!(of("run `barbule index DIR`").as_deref(), Some("barbule index"));
    assert_eq!(of("as train exchnet does").as_deref(), Some("train exchnet"));
    for fine in ["a -- b", "-----BEGIN", "a Barbule index", "barbule failed", "train one", "x--"] {
        assert_eq!(of(fine), None, "{fine}");
    }
}

#[test]
fn files_use_each_other_in_one_direction() {
    let found = circles(&imports(&sources("src")));
    let known: BTreeSet<Vec<String>> =
        KNOWN.iter().map(|files| files.iter().map(|f| f.to_string()).collect()).collect();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "files that import each other in a circle: {new:#?}");
    let mended: Vec<_> = known.difference(&found).collect();
    assert!(mended.is_empty(), "no circles any more; take them out of KNOWN: {mended:#?}");
}

/// The rooms in the order of the first table of the architecture: names below `src`.
fn rooms() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| in |"));
    let mut rooms = Vec::new();
    for line in table.take_while(|line| line.starts_with('|')) {
        let cell = line.split('|').nth(1).unwrap();
        for piece in cell.split('`').skip(1).step_by(2) {
            let Some(room) = piece.strip_prefix("src/") else { continue };
            rooms.push(room.trim_end_matches('/').trim_end_matches(".rs").to_owned());
        }
    }
    rooms
}

/// The room of a file: the first name below `src`.
fn room(file: &str) -> &str {
    let below = file.strip_prefix("src/").unwrap();
    below.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    let rank = |file: &str| rooms.iter().position(|name| name == room(file));
    let mut wrong = Vec::new();
    for (file, used) in imports(&sources("src")) {
        if file == "src/lib.rs" {
            continue;
        }
        let own = rank(&file).unwrap_or_else(|| panic!("{file}: no row in ARCHITECTURE.md"));
        let below = used.into_iter().filter(|other| other != "src/lib.rs");
        let below = below.filter(|other| rank(other).is_none_or(|other| other > own));
        wrong.extend(below.map(|other| format!("{file} uses {other}")));
    }
    assert!(wrong.is_empty(), "against the order of ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_file_of_a_room_only_declares() {
    let (mut files, mut wrong) = (0, Vec::new());
    for (file, scanned) in sources("src").into_iter().filter(|(file, _)| file.ends_with("/mod.rs"))
    {
        files += 1;
        let outside = scanned.code.lines().filter(|line| {
            let item = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            ["fn ", "struct ", "enum ", "trait ", "impl ", "impl<", "type ", "macro_rules!"]
                .iter()
                .any(|word| item.starts_with(word))
        });
        wrong.extend(outside.map(|line| format!("{file}: {line}")));
    }
    assert!(files >= 10, "only {files} files of rooms were found");
    assert!(wrong.is_empty(), "belongs in files with names of their own:\n{}", wrong.join("\n"));
}
