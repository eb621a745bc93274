//! Trains the hybrid model on one week of one function and validates it on the day after.
//!
//! ```text
//! cargo run --release -p aquatope-benches --example function_week [FUNCTION [FOLDER [SEED]]]
//! OMP_NUM_THREADS=2 python benches/peers/hybrid_training.py FOLDER [SEED]
//! ```
//!
//! FUNCTION is an index into the demo's functions (8: a timer with users). Into FOLDER go the very samples, standardised, that
//! the model learns from, so that the peer trains the same network on the same data by the same optimiser and rules.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use aquatope::train::hybrid::{AHEAD, Data, Options, Outcome, Parts, WINDOW, train};
use aquatope::train::light::Series;
use aquatope::train::profile;
use aquatope::train::samples::Samples;
use aquatope_core::forecast::hybrid::HybridModel;
use aquatope_core::nn::Weights;

const DAY: usize = 1440;
const PARTS: Parts = Parts { train_end: 7 * DAY, valid_end: 8 * DAY };

fn main() {
    let mut arguments = env::args().skip(1);
    let function: usize = arguments.next().map_or(8, |text| text.parse().expect("the index of a function"));
    let trace = aquatope::generate::trace(1, 8);
    let series = [Series { parent: None, ..Series::of(&trace)[function] }];
    println!("{}, 7 days and 1 to validate", trace.functions[function].name);
    if let Some(folder) = arguments.next() {
        export(&series, Path::new(&folder));
    }
    let seed = arguments.next().map_or(Options::REPAIRED.seed, |text| text.parse().expect("a number"));
    let (started, mut least) = (Instant::now(), f64::INFINITY);
    let outcome = train(
        &series,
        PARTS,
        &Options { seed, ..Options::REPAIRED },
        None,
        |_| ControlFlow::Continue(()),
        |progress| {
            if progress.phase > 1 {
                least = least.min(progress.validation);
            }
            println!(
                "{:6.2} s  phase {} round {:2}: loss {:.5}, validation {:.5}",
                started.elapsed().as_secs_f64(),
                progress.phase,
                progress.round,
                progress.loss,
                progress.validation
            );
        },
    );
    let seconds = started.elapsed().as_secs_f64();
    let Ok(Outcome::Finished(trained)) = outcome else { panic!("nobody stopped it") };
    let weights = Weights::parse(trained.weight_file()).expect("our own file");
    let calibration = HybridModel::new(&weights).expect("our own file").calibration();
    println!("{seconds:.2} s in all, least validation loss {least:.5}, {calibration:?}");
}

/// Sizes in `shape.txt`, everything else as little-endian 32-bit floats.
fn export(series: &[Series<'_>], folder: &Path) {
    fs::create_dir_all(folder).expect("a folder that can be written to");
    let profiles = [profile::fit(&series[0].peaks[..PARTS.train_end])];
    let data = Data::new(series, &profiles, PARTS, &Options::REPAIRED);
    let write = |name: &str, values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(folder.join(name), bytes).expect("a folder that can be written to");
    };
    write("steps.f32", data.sequences.before(0, PARTS.valid_end, PARTS.valid_end).as_flattened());
    let part = |name: &str, samples: &Samples| {
        write(&format!("{name}-externals.f32"), &samples.externals);
        // Minute, peak, unit, weight, then the simple forecasts.
        let rows = samples.places.iter().zip(&samples.peaks).zip(&samples.anchors);
        let rows: Vec<f32> = rows
            .flat_map(|((&(_, minute), &peak), anchor)| {
                [minute as f32, peak, anchor.unit, anchor.weight].into_iter().chain(anchor.experts)
            })
            .collect();
        write(&format!("{name}-samples.f32"), &rows);
        samples.len()
    };
    let (train, valid) = (part("train", &data.train), part("valid", &data.valid));
    let text = format!("window {WINDOW}\nahead {AHEAD}\ntrain {train}\nvalid {valid}\n");
    fs::write(folder.join("shape.txt"), text).expect("a folder that can be written to");
}
