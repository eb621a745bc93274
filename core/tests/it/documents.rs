//! Files and tests that the book names exist, so that no claim outlives its proof. That a test proves the claim beside it,
//! no machine checks.

use std::path::{Path, PathBuf};

#[test]
fn every_test_that_the_book_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = Vec::new();
    markdown(&root.join("docs/src"), &mut pages);
    assert!(pages.len() > 15, "{pages:?}");
    let mut found = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        let names_file = |quoted: &&str| {
            (quoted.contains(".rs") || quoted.ends_with(".mjs")) && !quoted.contains(char::is_whitespace)
        };
        for quoted in text.split('`').skip(1).step_by(2).filter(names_file) {
            let (file, test) = quoted.split_once("::").unwrap_or((quoted, ""));
            let source = std::fs::read_to_string(root.join(file));
            let source = source.unwrap_or_else(|error| panic!("{}: {file}: {error}", page.display()));
            assert!(test.is_empty() || has_test(&source, test), "{}: no test {quoted}", page.display());
            found += 1;
        }
    }
    assert!(found > 80, "{found}");
}

/// All pages below `folder`.
fn markdown(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the book's folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            markdown(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// Whether a function of this name has the attribute of a test, among its comments and other attributes.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &str| {
        line.split_once(&format!("fn {name}(")).is_some_and(|(before, _)| !before.contains("//"))
    };
    let is_test =
        |line: &str| ["#[test]", "#[wasm_bindgen_test]"].contains(&line) || line.starts_with("#[tokio::test");
    let marked = |at: usize| {
        let above =
            lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.into_iter().any(|line| is_test(line))
    };
    (0..lines.len()).any(|at| begins(lines[at]) && marked(at))
}

#[test]
fn functions_that_are_no_tests_do_not_count() {
    let source = "#[test]\n/// Says.\n#[should_panic]\nfn a() {}\nfn b() {}\n#[test]\n// fn c() {}\n\
                  #[tokio::test(flavor = \"multi_thread\")]\nasync fn d() {}\n";
    assert_eq!(["a", "b", "c", "d"].map(|name| has_test(source, name)), [true, false, false, true]);
}
