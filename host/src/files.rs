//! Writing files whole or not at all, and so that they survive a power cut.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Write `bytes` to `path`: to a temporary name in the same folder, then renamed, so that no reader ever sees half
/// a file and a full disk leaves the old one.
///
/// # Errors
/// What the system refused, naming the path.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    // Two processes may write the same file: each needs a temporary name of its own.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    replace(path, &temporary, bytes).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Write `bytes` to `temporary`, flush them to the disk, rename the file to `path` in the same folder, and flush the
/// folder: without that the rename itself may not survive a power cut.
///
/// # Errors
/// What the system refused, naming the path; the old file is then still there, and perhaps the temporary one.
pub fn replace(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let refused = |source| Error::io(path, source, "check that the folder is writable and the disk has room");
    let mut file = File::create(temporary).map_err(refused)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(refused)?;
    fs::rename(temporary, path).map_err(refused)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused)
}

/// Create `folder` and check that files can be written there, before hours are spent on what goes into it.
///
/// # Errors
/// What the system refused, naming the folder.
pub fn prepare_folder(folder: &Path) -> Result<()> {
    if folder.is_file() {
        let mend = "name a folder, or one that is not there yet";
        return Err(Error::input(folder.display().to_string(), "is a file", mend));
    }
    let refused = |source| Error::io(folder, source, "give a folder that can be written");
    fs::create_dir_all(folder).map_err(refused)?;
    let probe = folder.join(format!(".probe.{}.tmp", std::process::id()));
    fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_leaves_the_old_file_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("aquatope-files-{}", std::process::id()));
        prepare_folder(&folder).expect("a writable temporary folder");
        let path = folder.join("a.txt");
        write(&path, b"old").expect("a writable temporary folder");
        // A folder cannot be replaced by a file: the rename is refused after the temporary file was written.
        let blocked = folder.join("blocked");
        fs::create_dir_all(blocked.join("inside")).expect("a writable temporary folder");
        assert_eq!(write(&blocked, b"new").expect_err("a folder is in the way").exit_code(), 2);
        let mut names: Vec<_> = fs::read_dir(&folder)
            .expect("the folder exists")
            .map(|entry| entry.expect("a readable folder").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["a.txt", "blocked"]);
        assert_eq!(fs::read(&path).expect("the old file"), b"old");
        fs::remove_dir_all(&folder).expect("our own folder");
    }
}
