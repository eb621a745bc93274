//! A few named files in a folder of this process, in memory where the system has such a place.

use std::path::{Path, PathBuf};

/// Removes what the targets wrote in this process.
pub fn remove_all() {
    let _ = std::fs::remove_dir_all(of_process());
}

fn of_process() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    parent.join(format!("aquatope-fuzz-{}", std::process::id()))
}

/// A folder of files made from fuzz input.
pub struct Files {
    folder: PathBuf,
    names: &'static [&'static str],
}

impl Files {
    /// A folder whose files may have these names.
    pub fn new(target: &str, names: &'static [&'static str]) -> Self {
        let folder = of_process().join(target);
        std::fs::create_dir_all(&folder).expect("a writable temporary folder");
        Self { folder, names }
    }

    /// Writes the parts of `bytes` between zero bytes as the files, in order of their names; an empty part is no file.
    pub fn write(&self, bytes: &[u8]) -> &Path {
        let mut parts = bytes.split(|&byte| byte == 0);
        for name in self.names {
            let file = self.folder.join(name);
            match parts.next() {
                Some(part) if !part.is_empty() => std::fs::write(file, part).expect("a writable file"),
                _ => drop(std::fs::remove_file(file)),
            }
        }
        &self.folder
    }
}
