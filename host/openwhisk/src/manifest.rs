//! A runtimes manifest (`runtimes.json`, `RUNTIMES_MANIFEST`): which kinds there are and how many stem cells of each
//! every invoker keeps. Parsed and written back whole, because a manifest posted without a kind removes that kind.
//!
//! A stem cell is an idle container of a kind, without code. A count is **per invoker** and says how many *idle spares*
//! there are: one that is taken is replaced at once. Memory must equal the action's limit for the stem cell to be of use.

use serde_json::{Map, Value, json};

use crate::size::parse_megabytes;

/// A whole runtimes manifest. Two are equal when they say the same, in whatever order of fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    document: Value,
}

/// Stem cells an invoker is to keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spares {
    /// The runtime kind.
    pub kind: String,
    /// MB of each.
    pub memory_mb: u32,
    /// How many, on every invoker.
    pub count: u32,
}

/// A manifest, or a change of it, that no invoker would take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON.
    #[error("the runtimes manifest is not JSON: {0}; take it as the invokers get it in RUNTIMES_MANIFEST")]
    Malformed(String),
    /// A part is not what it has to be.
    #[error(
        "`{at}` in the runtimes manifest is not {expected}; take the manifest as the invokers get it in RUNTIMES_MANIFEST"
    )]
    Unexpected {
        /// The part.
        at: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A kind that is not under `runtimes`.
    #[error(
        "the runtimes manifest has no kind `{0}`; add a runtime of this kind, or create the action with a kind that is there"
    )]
    UnknownKind(String),
    /// Black boxes share one kind and have no stem cells: the platform drops them silently.
    #[error(
        "`{0}` is a black box, which has no stem cells; give the function a runtime kind of its own in the manifest"
    )]
    BlackBox(String),
}

impl Manifest {
    /// Parses and checks a whole manifest.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let document =
            serde_json::from_str(text).map_err(|error| ManifestError::Malformed(error.to_string()))?;
        let manifest = Self { document };
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest as the platform reads it.
    pub fn to_json(&self) -> String {
        self.document.to_string()
    }

    /// All kinds that can have stem cells, in the manifest's order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.runtimes().filter_map(|runtime| runtime.get("kind")?.as_str())
    }

    /// All stem cells, sorted.
    pub fn stem_cells(&self) -> Vec<Spares> {
        let mut all: Vec<_> = self.runtimes().flat_map(spares).collect();
        all.sort();
        all
    }

    /// Sets how many stem cells of `kind` with `memory_mb` every invoker keeps; 0 removes the entry, since the platform
    /// refuses a count of 0. True when that changed anything.
    ///
    /// With pull request 4790 a pair of kind and memory takes effect only if the invokers had it when they started.
    pub fn set_stem_cells(&mut self, kind: &str, memory_mb: u32, count: u32) -> Result<bool, ManifestError> {
        if kind == "blackbox" || self.is_black_box_image(kind) {
            return Err(ManifestError::BlackBox(kind.to_owned()));
        }
        let families = self.document["runtimes"].as_object_mut().into_iter().flat_map(Map::values_mut);
        let mut runtimes =
            families.filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut);
        let runtime = runtimes
            .find(|runtime| runtime.get("kind").and_then(Value::as_str) == Some(kind))
            .ok_or_else(|| ManifestError::UnknownKind(kind.to_owned()))?;
        let entries = runtime.entry("stemCells").or_insert_with(|| json!([]));
        let Some(entries) = entries.as_array_mut() else { return Ok(false) };
        let before = entries.clone();
        let mut found = false;
        entries.retain_mut(|entry| {
            if memory_of(entry) != Some(memory_mb) {
                return true;
            }
            let keep = !found && count > 0;
            found = true;
            if keep && count_of(entry) != Some(count) {
                let key = count_key(entry);
                entry[key] = count.into();
            }
            keep
        });
        if !found && count > 0 {
            entries.push(json!({ "initialCount": count, "memory": format!("{memory_mb} MB") }));
        }
        let changed = *entries != before;
        if entries.is_empty() {
            runtime.remove("stemCells");
        }
        Ok(changed)
    }

    fn runtimes(&self) -> impl Iterator<Item = &Value> {
        let families = self.document["runtimes"].as_object().into_iter().flat_map(Map::values);
        families.filter_map(Value::as_array).flatten()
    }

    fn is_black_box_image(&self, name: &str) -> bool {
        let images = self.document.get("blackboxes").and_then(Value::as_array).into_iter().flatten();
        images.filter_map(|image| image.get("name")?.as_str()).any(|image| image == name)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let unexpected = |at: String, expected| Err(ManifestError::Unexpected { at, expected });
        let Some(families) = self.document.get("runtimes").and_then(Value::as_object) else {
            return unexpected("runtimes".into(), "an object of families");
        };
        for (family, runtimes) in families {
            let Some(runtimes) = runtimes.as_array() else {
                return unexpected(format!("runtimes.{family}"), "a list of runtimes");
            };
            for (i, runtime) in runtimes.iter().enumerate() {
                let at = format!("runtimes.{family}[{i}]");
                if runtime.get("kind").and_then(Value::as_str).is_none_or(str::is_empty) {
                    return unexpected(format!("{at}.kind"), "a text");
                }
                let Some(cells) = runtime.get("stemCells") else { continue };
                let Some(cells) = cells.as_array() else {
                    return unexpected(format!("{at}.stemCells"), "a list");
                };
                for (j, cell) in cells.iter().enumerate() {
                    if memory_of(cell).is_none_or(|mb| mb == 0) {
                        return unexpected(
                            format!("{at}.stemCells[{j}].memory"),
                            "an amount of whole MB, as \"256 MB\"",
                        );
                    }
                    if count_of(cell).is_none_or(|count| count == 0) {
                        return unexpected(
                            format!("{at}.stemCells[{j}].initialCount"),
                            "a whole number above 0",
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

fn spares(runtime: &Value) -> impl Iterator<Item = Spares> {
    let kind = runtime.get("kind").and_then(Value::as_str).unwrap_or_default();
    let cells = runtime.get("stemCells").and_then(Value::as_array).into_iter().flatten();
    cells.filter_map(move |cell| {
        Some(Spares { kind: kind.to_owned(), memory_mb: memory_of(cell)?, count: count_of(cell)? })
    })
}

fn memory_of(entry: &Value) -> Option<u32> {
    parse_megabytes(entry.get("memory")?.as_str()?)
}

fn count_of(entry: &Value) -> Option<u32> {
    u32::try_from(entry.get(count_key(entry))?.as_u64()?).ok()
}

/// The name of the count; manifests from before 2020 call it `count`.
fn count_key(entry: &Value) -> &'static str {
    if entry.get("initialCount").is_none() && entry.get("count").is_some() { "count" } else { "initialCount" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = include_str!("../../../fixtures/wire/runtimes.json");

    fn cells(manifest: &Manifest) -> Vec<(String, u32, u32)> {
        manifest.stem_cells().into_iter().map(|s| (s.kind, s.memory_mb, s.count)).collect()
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let again: Value = serde_json::from_str(&manifest.to_json()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(MANIFEST).unwrap());
        assert_eq!(manifest.kinds().collect::<Vec<_>>(), ["fn-resize:1", "nodejs:20", "python:3"]);
    }

    #[test]
    fn counts_are_set_added_and_removed() {
        let mut manifest = Manifest::parse(MANIFEST).unwrap();
        let unchanged = manifest.clone();
        assert!(!manifest.set_stem_cells("fn-resize:1", 512, 2).unwrap());
        assert_eq!(manifest, unchanged);
        assert!(manifest.set_stem_cells("fn-resize:1", 512, 5).unwrap());
        assert!(manifest.set_stem_cells("python:3", 256, 1).unwrap());
        assert!(manifest.set_stem_cells("nodejs:20", 128, 0).unwrap());
        assert!(!manifest.set_stem_cells("nodejs:20", 128, 0).unwrap());
        assert_eq!(cells(&manifest), [("fn-resize:1".into(), 512, 5), ("python:3".into(), 256, 1)]);
        assert_ne!(manifest, unchanged);
        // What was written can be read: no count of 0, no empty list.
        assert_eq!(Manifest::parse(&manifest.to_json()).unwrap(), manifest);
    }

    #[test]
    fn the_old_name_of_the_count_is_kept() {
        let text = r#"{"runtimes":{"f":[{"kind":"f:1","stemCells":[{"count":2,"memory":"256 MB"}]}]}}"#;
        let mut manifest = Manifest::parse(text).unwrap();
        manifest.set_stem_cells("f:1", 256, 3).unwrap();
        assert_eq!(manifest.to_json(), text.replace(":2,", ":3,"));
    }

    #[test]
    fn black_boxes_and_unknown_kinds_are_refused() {
        let mut manifest = Manifest::parse(MANIFEST).unwrap();
        for kind in ["blackbox", "transcode"] {
            let error = manifest.set_stem_cells(kind, 256, 1).unwrap_err();
            assert_eq!(error, ManifestError::BlackBox(kind.into()));
        }
        assert_eq!(manifest.set_stem_cells("go:1", 256, 1), Err(ManifestError::UnknownKind("go:1".into())));
    }

    #[test]
    fn errors_name_the_place() {
        for (text, at) in [
            ("[", "not JSON"),
            ("{}", "`runtimes`"),
            (r#"{"runtimes":{"f":{}}}"#, "`runtimes.f`"),
            (r#"{"runtimes":{"f":[{}]}}"#, "`runtimes.f[0].kind`"),
            (r#"{"runtimes":{"f":[{"kind":"f:1","stemCells":1}]}}"#, "`runtimes.f[0].stemCells`"),
            (
                r#"{"runtimes":{"f":[{"kind":"f:1","stemCells":[{"initialCount":1}]}]}}"#,
                "`runtimes.f[0].stemCells[0].memory`",
            ),
            (
                r#"{"runtimes":{"f":[{"kind":"f:1","stemCells":[{"initialCount":0,"memory":"1 MB"}]}]}}"#,
                "`runtimes.f[0].stemCells[0].initialCount`",
            ),
        ] {
            let error = Manifest::parse(text).unwrap_err().to_string();
            assert!(error.contains(at), "{error}");
        }
    }
}
