//! Holds the committed C header to what cbindgen makes of the C interface.
//!
//! `cargo test --manifest-path tests/header/Cargo.toml` checks it,
//! `BARBULE_WRITE_HEADER=1` before that writes it anew.

#[test]
fn the_header_says_what_the_library_does() {
    // Where it is run, not where it was built: a build may be kept while a checkout moves.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let root = std::path::Path::new(&own).join("../../crates/capi");
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let source = root.join("src/lib.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(source).generate();
    let mut made = Vec::new();
    bindings.unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    assert!(made.contains("barbule_search_file"), "cbindgen did not find the functions:\n{made}");

    let file = root.join("include/barbule.h");
    if std::env::var_os("BARBULE_WRITE_HEADER").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    // A checkout may have changed the ends of lines.
    let committed = std::fs::read_to_string(&file).unwrap().replace("\r\n", "\n");
    assert!(
        committed == made,
        "include/barbule.h is not what crates/capi says; tests/header/header.rs says how to write it anew"
    );
}
