//! Tests that the documents name exist, so that no claim outlives its proof.

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
            assert!(test.is_empty() || source.contains(&format!("fn {test}(")), "{document}: no {quoted}");
            found += 1;
        }
    }
    assert!(found > 40, "{found}");
}
