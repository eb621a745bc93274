//! A few named files in a folder, in memory where the system has such a place.

use std::path::Path;
use tempfile::TempDir;

/// Writes the parts of `bytes` between zero bytes as files of these names, in order; an empty part is no file. The folder goes
/// with the value.
pub fn write(bytes: &[u8], names: &[&str]) -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = TempDir::with_prefix_in("aquatope-fuzz-", parent).expect("a writable temporary folder");
    let parts = bytes.split(|&byte| byte == 0);
    for (name, part) in names.iter().zip(parts).filter(|(_, part)| !part.is_empty()) {
        std::fs::write(folder.path().join(name), part).expect("a writable file");
    }
    folder
}
