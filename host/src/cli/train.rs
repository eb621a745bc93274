//! `aquatope train`: a model file from a trace.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{print, whole};
use crate::error::{Error, Result, note};
use crate::files;
use crate::forecast::models::{self, HYBRID, LIGHT};
use crate::progress::Progress;
use crate::trace::{self, ReadOptions, Trace, Unit};
use crate::train::light::{Series, Trained};
use crate::train::model_file::{CheckpointFile, ModelFile, Origin};
use crate::train::{hybrid, light};

/// Train a model on a trace: one network for all functions, in one file with what is the functions' own.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct Arguments {
    /// A trace: a folder or file in the Azure Functions 2019 schema, or in the long form `minute,func,cnt,act`
    #[arg(long, value_name = "DIR_OR_FILE")]
    trace: PathBuf,
    /// Duration percentiles (Azure schema), if they are not beside the trace
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// What the counts of an Azure trace are; a long trace states both
    #[arg(long, value_enum, default_value_t)]
    unit: Unit,
    /// What to train
    #[arg(long, value_enum, default_value_t = Model::Light)]
    model: Model,
    /// Folder the models are written to, as `light.aqlm` and `hybrid.aqlm`; a run that is stopped (Ctrl-C, SIGTERM, or
    /// worse) leaves a `.checkpoint` there, and the same command goes on from it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Days to train on; of them the hybrid model keeps the last tenth, at most a day, to validate on [default: what the
    /// trace states, or all of it]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    train_days: Option<usize>,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = whole::<u64>)]
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
        .map_err(|e| Error::Failed(format!("cannot listen for signals: {e}")))?;
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
        run.hybrid(train_end)?;
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
        models::warn_if_short(train_end);
        let options = light::Options { seed: self.seed, ..Default::default() };
        let path = self.out.join("light.checkpoint");
        let file = CheckpointFile { path: &path, options, series: &self.series, end: train_end };
        let bar = Progress::visible().bar(0, "light model: training".into(), "rounds");
        let mut keeper = Keeper::new(&file, self.stop);
        let resume = file.load()?;
        let watch = |state: &_| keeper.watch(state);
        let outcome = light::train(&self.series, train_end, &options, resume, watch, |progress| {
            bar.at(progress.round, progress.rounds);
        });
        drop(bar);
        match outcome.map_err(|why| models::refused(LIGHT, why))? {
            light::Outcome::Finished(model) => {
                self.finish(models::LIGHT_FILE, model, train_end)?;
                file.remove();
                Ok(())
            }
            light::Outcome::Stopped(state) => Err(stopped(&file, &state)),
        }
    }

    fn hybrid(&self, train_end: usize) -> Result<()> {
        let parts = hybrid::Parts::of(train_end);
        let options = hybrid::Options { seed: self.seed, ..hybrid::Options::REPAIRED };
        let path = self.out.join("hybrid.checkpoint");
        let file =
            CheckpointFile { path: &path, options: (options, parts), series: &self.series, end: train_end };
        let bar = Progress::visible().bar(0, "hybrid model: training".into(), "rounds");
        let mut keeper = Keeper::new(&file, self.stop);
        let resume = file.load()?;
        let watch = |state: &_| keeper.watch(state);
        let outcome = hybrid::train(&self.series, parts, &options, resume, watch, |progress| {
            bar.rename(format!("hybrid model: phase {} of {}", progress.phase, hybrid::PHASES));
            bar.at(progress.round, progress.rounds);
        });
        drop(bar);
        match outcome.map_err(|why| models::refused(HYBRID, why))? {
            hybrid::Outcome::Finished(model) => {
                self.finish(models::HYBRID_FILE, model, train_end)?;
                file.remove();
                Ok(())
            }
            hybrid::Outcome::Stopped(state) => Err(stopped(&file, &state)),
        }
    }

    fn finish(&self, file: &str, model: Trained, train_end: usize) -> Result<()> {
        let path = self.out.join(file);
        ModelFile { model, origin: Origin::of(self.trace, train_end) }.write(&path)?;
        let functions = self.trace.functions.len();
        print(&format!("{}: {functions} functions, {train_end} minutes\n", path.display()))
    }
}

/// Saves a run every so often, for the case that it is killed, and tells it to stop when that is asked for.
struct Keeper<'a, O> {
    file: &'a CheckpointFile<'a, O>,
    stop: &'a AtomicBool,
    saved: Instant,
}

/// Between two checkpoints of a run: what is lost at most when the machine goes down.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(30);

impl<'a, O: Serialize + DeserializeOwned + PartialEq> Keeper<'a, O> {
    fn new(file: &'a CheckpointFile<'a, O>, stop: &'a AtomicBool) -> Self {
        Self { file, stop, saved: Instant::now() }
    }

    fn watch(&mut self, state: &impl Serialize) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.saved.elapsed() >= BETWEEN_CHECKPOINTS {
            // A full disk may have room again by the end of the run: go on, but say so.
            if let Err(refused) = self.file.save(state) {
                note(format_args!("warning: no checkpoint: {refused}"));
            }
            self.saved = Instant::now();
        }
        ControlFlow::Continue(())
    }
}

/// Save a run that was asked to stop; the error that says so.
fn stopped<O: Serialize + DeserializeOwned + PartialEq>(
    file: &CheckpointFile<'_, O>,
    state: &impl Serialize,
) -> Error {
    let saved = file.save(state);
    let again = || Error::Failed(format!("stopped; the same command goes on from {}", file.path.display()));
    saved.err().unwrap_or_else(again)
}

const DAY: usize = 1440;
