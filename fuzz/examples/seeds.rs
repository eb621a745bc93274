//! Writes the seeds of every target into a folder of its name under the folder given: the corpora libFuzzer begins with.

use aquatope_fuzz::targets::ALL;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let root: PathBuf = std::env::args_os().nth(1).ok_or("usage: seeds FOLDER")?.into();
    for target in ALL {
        let folder = root.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
