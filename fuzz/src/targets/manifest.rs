//! Text as a runtimes manifest; what is accepted can be edited, and what was written is read back.

use aquatope_openwhisk::manifest::{Manifest, ManifestError};

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(mut manifest) = Manifest::parse(text) else { return };
    assert_eq!(Manifest::parse(&manifest.to_json()), Ok(manifest.clone()));

    let kinds: Vec<String> = manifest.kinds().map(str::to_owned).collect();
    for (at, kind) in kinds.iter().enumerate() {
        let (memory_mb, count) = ([1, 256, u32::MAX][at % 3], [3, 0, u32::MAX][(at + 1) % 3]);
        match manifest.set_stem_cells(kind, memory_mb, count) {
            Ok(_) => {
                let again = manifest.clone().set_stem_cells(kind, memory_mb, count);
                assert_eq!(again, Ok(false), "the second time changes nothing");
                let cells = manifest.stem_cells();
                let there =
                    cells.iter().any(|s| s.kind == *kind && s.memory_mb == memory_mb && s.count == count);
                assert_eq!(there, count > 0, "{kind}: {cells:?}");
            }
            Err(error) => assert!(matches!(error, ManifestError::BlackBox(_)), "{error}"),
        }
    }
    assert_eq!(Manifest::parse(&manifest.to_json()), Ok(manifest.clone()));
    assert_eq!(manifest.kinds().collect::<Vec<_>>(), kinds, "no kind is lost");
}

/// Well-formed inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let old = r#"{"runtimes":{"f":[{"kind":"f:1","stemCells":[{"count":2,"memory":"256 MB"}]}]},"blackboxes":[{"prefix":"o","name":"n"}]}"#;
    vec![include_bytes!("../../../fixtures/wire/runtimes.json").to_vec(), old.into()]
}
