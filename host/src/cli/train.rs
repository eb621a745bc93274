//! `aquatope train`: a model file from a trace.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::print;
use crate::error::{Error, Result};
use crate::files;
use crate::replay::progress::Progress;
use crate::trace::{self, ReadOptions, Unit};
use crate::train::light::{Options, Outcome, Series, train};
use crate::train::light_file;

/// Train the light model on a trace: one network for all functions, in one file with what is the functions' own.
#[derive(Args)]
pub(super) struct Arguments {
    /// A trace: a folder or file in the Azure Functions 2019 schema, or in the long form `minute,func,cnt,act`
    #[arg(long, value_name = "DIR_OR_FILE")]
    trace: PathBuf,
    /// Duration percentiles (Azure schema), if they are not beside the trace
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// What the counts of an Azure trace are
    #[arg(long, value_enum, default_value_t)]
    unit: Unit,
    /// Folder the model is written to, as `light.aqlm`; a run stopped with Ctrl-C leaves `light.checkpoint` there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Days to train on [default: up to the end of training the trace states, or all of it]
    #[arg(long, value_name = "N")]
    train_days: Option<usize>,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    files::prepare_folder(&arguments.out)?;
    let read = ReadOptions {
        durations: arguments.durations.clone(),
        memory: None,
        unit: arguments.unit,
        seed: arguments.seed,
    };
    let (trace, split) = trace::read(&arguments.trace, &read)?;
    let train_end = match arguments.train_days {
        Some(days) if days == 0 || days.saturating_mul(1440) > trace.minutes => {
            let mend = format!("the trace has {} minutes: give fewer days", trace.minutes);
            return Err(Error::input(format!("--train-days {days}"), "is not within the trace", mend));
        }
        Some(days) => days * 1440,
        None => split.map_or(trace.minutes, |split| split.train_end),
    };
    let series = Series::of(&trace);
    let options = Options { seed: arguments.seed, ..Options::default() };
    let (model_path, checkpoint_path) =
        (arguments.out.join("light.aqlm"), arguments.out.join("light.checkpoint"));
    let resume = light_file::load_checkpoint(&checkpoint_path, &options, &series, train_end)?;

    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .map_err(|e| Error::Failed(format!("cannot listen for Ctrl-C: {e}")))?;
    let bar = Progress::on_terminal().bar(0, "light model: training".into(), "rounds");
    let outcome = train(&series, train_end, &options, resume, |progress| {
        bar.set_length(progress.rounds as u64);
        bar.set_position(progress.round as u64);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    match outcome.map_err(|why| Error::Failed(format!("training diverged: {why}")))? {
        Outcome::Finished(model) => {
            let names: Vec<String> = trace.functions.iter().map(|f| f.name.clone()).collect();
            light_file::write(&model_path, &model, &names)?;
            // The run is complete; a checkpoint of it would only be in the way of the next one.
            let _ = std::fs::remove_file(&checkpoint_path);
            print(&format!("{}: {} functions, {} minutes\n", model_path.display(), names.len(), train_end))
        }
        Outcome::Stopped(checkpoint) => {
            light_file::save_checkpoint(&checkpoint_path, &options, &series, train_end, checkpoint)?;
            let where_ = checkpoint_path.display();
            Err(Error::Failed(format!("stopped; the same command goes on from {where_}")))
        }
    }
}
