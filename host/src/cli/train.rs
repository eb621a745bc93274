//! `aquatope train`: a model file from a trace.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};

use super::print;
use crate::error::{Error, Result};
use crate::files;
use crate::forecast::models;
use crate::replay::progress::Progress;
use crate::trace::{self, ReadOptions, Trace, Unit};
use crate::train::light::{Series, Trained};
use crate::train::{hybrid, light, model_file};

/// Train a model on a trace: one network for all functions, in one file with what is the functions' own.
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
    /// What to train
    #[arg(long, value_enum, default_value_t = Model::Light)]
    model: Model,
    /// Folder the models are written to, as `light.aqlm` and `hybrid.aqlm`; a run stopped with Ctrl-C leaves a
    /// `.checkpoint` there, and the same command goes on from it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Days to train on; the hybrid model stops early by the day after [default: what the trace states, or all of it,
    /// of which the hybrid model keeps the last tenth, at most a day, to validate on]
    #[arg(long, value_name = "N")]
    train_days: Option<usize>,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    /// The light quantile network: seconds
    Light,
    /// The hybrid Bayesian network: minutes
    Hybrid,
    /// One after the other
    Both,
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
        Some(days) if days == 0 || days.saturating_mul(DAY) > trace.minutes => {
            let mend = format!("the trace has {} minutes: give fewer days", trace.minutes);
            return Err(Error::input(format!("--train-days {days}"), "is not within the trace", mend));
        }
        Some(days) => days * DAY,
        None => split.map_or(trace.minutes, |split| split.train_end),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .map_err(|e| Error::Failed(format!("cannot listen for Ctrl-C: {e}")))?;
    let run = Run {
        trace: &trace,
        series: Series::of(&trace),
        seed: arguments.seed,
        out: &arguments.out,
        stop: &stop,
    };
    if arguments.model != Model::Hybrid {
        run.light(train_end)?;
    }
    if arguments.model != Model::Light {
        let validation = (trace.minutes / 10).min(DAY);
        let train_end = train_end.min(trace.minutes - validation);
        let stated = split.filter(|split| split.train_end == train_end).map(|split| split.valid_end);
        run.hybrid(hybrid::Parts {
            train_end,
            valid_end: stated.unwrap_or((train_end + DAY).min(trace.minutes)),
        })?;
    }
    Ok(())
}

struct Run<'a> {
    trace: &'a Trace,
    series: Vec<Series<'a>>,
    seed: u64,
    out: &'a Path,
    stop: &'a AtomicBool,
}

impl Run<'_> {
    fn light(&self, train_end: usize) -> Result<()> {
        let options = light::Options { seed: self.seed, ..Default::default() };
        let checkpoint = self.out.join("light.checkpoint");
        let fits = |checkpoint: &light::Checkpoint| checkpoint.fits(&options);
        let resume = model_file::load_checkpoint(&checkpoint, &options, &self.series, train_end, fits)?;
        let bar = Progress::on_terminal().bar(0, "light model: training".into(), "rounds");
        let outcome = light::train(&self.series, train_end, &options, resume, |progress| {
            bar.set_length(progress.rounds as u64);
            bar.set_position(progress.round as u64);
            if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.finish_and_clear();
        match outcome.map_err(|why| Error::Failed(format!("training diverged: {why}")))? {
            light::Outcome::Finished(model) => {
                self.finish(models::LIGHT_FILE, &model, train_end, &checkpoint)
            }
            light::Outcome::Stopped(state) => {
                model_file::save_checkpoint(&checkpoint, options, &self.series, train_end, state)?;
                Err(stopped(&checkpoint))
            }
        }
    }

    fn hybrid(&self, parts: hybrid::Parts) -> Result<()> {
        let options = hybrid::Options { seed: self.seed, ..hybrid::Options::REPAIRED };
        let checkpoint = self.out.join("hybrid.checkpoint");
        // The trainer itself refuses a checkpoint of another shape.
        let resume = model_file::load_checkpoint(
            &checkpoint,
            &(options, parts),
            &self.series,
            parts.valid_end,
            |_| true,
        )?;
        let bar = Progress::on_terminal().bar(0, "hybrid model: training".into(), "rounds");
        let outcome = hybrid::train(&self.series, parts, &options, resume, self.stop, |progress| {
            bar.set_message(format!("hybrid model: phase {} of 2", progress.phase));
            bar.set_length(progress.rounds as u64);
            bar.set_position(progress.round as u64);
        });
        bar.finish_and_clear();
        match outcome.map_err(models::refused)? {
            hybrid::Outcome::Finished(model) => {
                self.finish(models::HYBRID_FILE, &model, parts.train_end, &checkpoint)
            }
            hybrid::Outcome::Stopped(state) => {
                let of = (options, parts);
                model_file::save_checkpoint(&checkpoint, of, &self.series, parts.valid_end, state)?;
                Err(stopped(&checkpoint))
            }
        }
    }

    fn finish(&self, file: &str, model: &Trained, train_end: usize, checkpoint: &Path) -> Result<()> {
        let names: Vec<String> = self.trace.functions.iter().map(|f| f.name.clone()).collect();
        let path = self.out.join(file);
        model_file::write(&path, model, &names)?;
        // The run is complete; a checkpoint of it would only be in the way of the next one.
        let _ = std::fs::remove_file(checkpoint);
        print(&format!("{}: {} functions, {train_end} minutes\n", path.display(), names.len()))
    }
}

fn stopped(checkpoint: &Path) -> Error {
    Error::Failed(format!("stopped; the same command goes on from {}", checkpoint.display()))
}

const DAY: usize = 1440;
