//! The workflows that come with the program.

use std::path::Path;

use crate::error::{Error, Result};

use super::workflow_file::WorkflowFile;

/// Name and text of every workflow file of `fixtures/workflows`, by number of functions.
pub const SHIPPED: [(&str, &str); 7] = [
    ("single1", include_str!("../../workflows/single1.json")),
    ("chain3", include_str!("../../workflows/chain3.json")),
    ("ml4", include_str!("../../workflows/ml4.json")),
    ("api4", include_str!("../../workflows/api4.json")),
    ("fan5", include_str!("../../workflows/fan5.json")),
    ("video5", include_str!("../../workflows/video5.json")),
    ("social10", include_str!("../../workflows/social10.json")),
];

/// The workflow file at `path`; or, when there is no such file, the shipped workflow of that name.
pub fn load(path: &Path) -> Result<WorkflowFile> {
    if path.exists() {
        let text = std::fs::read_to_string(path).map_err(|source| {
            Error::io(path, source, "name a workflow file of schema aquatope-workflow/1")
        })?;
        return Ok(WorkflowFile::parse(&path.display().to_string(), &text)?);
    }
    match SHIPPED.iter().find(|(name, _)| path.as_os_str() == *name) {
        Some((name, text)) => Ok(WorkflowFile::parse(name, text)?),
        None => {
            let names = SHIPPED.map(|(name, _)| name).join(", ");
            let mend = format!("name a workflow file, or one that is built in: {names}");
            Err(Error::input(path.display().to_string(), "there is no such file", mend))
        }
    }
}
