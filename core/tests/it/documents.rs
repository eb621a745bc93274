//! Files and tests that the documents name exist, so that no claim outlives its proof. That a test proves the claim beside it,
//! no machine checks.

use std::path::Path;

#[test]
fn every_test_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = 0;
    for document in ["docs/paper.md", "docs/accuracy.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect(document);
        for quoted in text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains(".rs")) {
            let (file, test) = quoted.split_once("::").unwrap_or((quoted, ""));
            let source = std::fs::read_to_string(root.join(file));
            let source = source.unwrap_or_else(|error| panic!("{document}: {file}: {error}"));
            assert!(test.is_empty() || has_test(&source, test), "{document}: no test {quoted}");
            found += 1;
        }
    }
    assert!(found > 40, "{found}");
}

/// Whether a function of this name has the attribute of a test, among its comments and other attributes.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &str| {
        line.split_once(&format!("fn {name}(")).is_some_and(|(before, _)| !before.contains("//"))
    };
    let marked = |at: usize| {
        let above =
            lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.into_iter().any(|line| ["#[test]", "#[wasm_bindgen_test]"].contains(line))
    };
    (0..lines.len()).any(|at| begins(lines[at]) && marked(at))
}

#[test]
fn functions_that_are_no_tests_do_not_count() {
    let source = "#[test]\n/// Says.\n#[should_panic]\nfn a() {}\nfn b() {}\n#[test]\n// fn c() {}\n";
    assert_eq!(["a", "b", "c"].map(|name| has_test(source, name)), [true, false, false]);
}
