/*!
The table of methods, the README and `train --help` name the same methods and options.
*/

use std::collections::BTreeSet;

use crate::common::TestEnv;
use barbule::method::METHODS;

fn names() -> BTreeSet<&'static str> {
    METHODS.iter().map(|method| method.name).collect()
}

#[test]
fn the_readme_names_every_method_and_no_other() {
    let readme = include_str!("../../README.md");
    let (_, table) = readme.split_once("| you have | use |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    // A method with an option counts, an option alone does not; `index` alone uses the model that
    // ships.
    let quoted = table.split('`').skip(1).step_by(2).filter(|text| !text.starts_with("--"));
    let named: BTreeSet<&str> = quoted.filter_map(|text| text.split(' ').next()).collect();
    let mut expected = names();
    expected.insert("index");
    assert_eq!(named, expected);
}

#[test]
fn help_names_every_method_and_no_other() {
    let help = TestEnv::new().ok(&["train", "--help"]);
    let (_, list) = help.split_once("METHOD is one of\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    // Continued lines are indented further.
    let lines = list.lines().filter_map(|line| line.strip_prefix("  "));
    let first = lines.filter(|line| !line.starts_with(' '));
    let named: BTreeSet<&str> = first.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(named, names(), "{help}");
}

#[test]
fn train_takes_every_option_of_the_table() {
    let env = TestEnv::new();
    let help = env.ok(&["train", "--help"]);
    let running = help.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    for method in METHODS {
        for option in method.options {
            let name = format!("--{}", option.name);
            assert!(help.contains(&format!("{name} ")) || help.contains(&format!("{name}\n")));
            // An option of several methods stands there once, with the words of the first.
            let users = METHODS.iter().filter_map(|user| {
                let own = user.options.iter().find(|own| own.name == option.name);
                own.map(|own| (user.name, own.help))
            });
            let (names, helps): (Vec<&str>, Vec<&str>) = users.unzip();
            let first: Vec<&str> = helps[0].split(' ').take(2).collect();
            let sentence = format!("{}: {}", names.join(", "), first.join(" ")).to_lowercase();
            assert!(running.contains(&sentence), "{name}");
            // Known, but the value, if there has to be one, is missing.
            let said = env.misused(&["train", method.name, &name]);
            assert!(!said.contains("unexpected argument"), "{name}: {said}");
        }
    }
    let said = env.misused(&["train", "exchnet", "--parts", "17"]);
    assert!(said.contains("a whole number from 1 to 16"), "{said}");
}
