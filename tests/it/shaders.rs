/*!
Every kernel is valid WGSL and translates for Vulkan, Metal and Direct3D 12, so that errors on
other platforms show on this one.
*/
use std::collections::BTreeSet;
use std::fs;

use barbule::cli::shaders::translate;
use barbule::rank::kernels;

#[test]
fn every_kernel_translates() {
    assert!(kernels().count() > 0, "there is nothing to translate");
    for (name, source) in kernels() {
        translate(&source).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_broken_kernel_does_not() {
    let (_, source) = kernels().next().unwrap();
    let cases = [
        ("a syntax error", source.replacen('{', "", 1)),
        ("an unknown name", source.replace("countOneBits", "countOnes")),
        ("a wrong type", source.replace("var sum = 0u", "var sum = 0.5")),
        ("a write to a read-only binding", format!("{source}\nfn f() {{ codes[0] = 1u; }}")),
    ];
    for (what, broken) in cases {
        assert_ne!(broken, source, "{what} did not change the source");
        assert!(translate(&broken).is_err(), "{what} was accepted");
    }
}

#[test]
fn every_file_is_a_kernel_that_is_translated() {
    let folder = crate::common::root().join("shaders");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let files = fs::read_dir(folder).unwrap().map(|entry| name(entry).into_string().unwrap());
    let files: BTreeSet<String> = files.collect();
    let mut expected: BTreeSet<String> =
        kernels().map(|(name, _)| format!("{name}.wgsl")).collect();
    // The common prefix of every kernel.
    expected.insert("common.wgsl".to_owned());
    assert_eq!(files, expected);
}

#[test]
fn every_kernel_says_what_it_reads_and_writes() {
    for (name, source) in kernels() {
        let own = source.lines().filter(|line| line.starts_with("// ")).collect::<String>();
        assert!(own.contains("Bindings:"), "{name} does not list its bindings");
    }
}
