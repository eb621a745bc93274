//! `aquatope forecast`: forecasts for an outside program.

use std::io::{self, BufWriter};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::whole;
use crate::error::Result;
use crate::forecast::models::Models;
use crate::forecast::{Forecaster, stream};
use crate::progress::Progress;
use crate::trace::{Split, Trace};

/// Forecast minute by minute for a program that sends what happened.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct Arguments {
    /// Speak the leak-free stream protocol on standard input and output: train on HELLO, answer P, learn from A.
    #[arg(long, required = true)]
    stream: bool,
    /// What forecasts
    #[arg(long, value_enum, default_value_t = Model::Light)]
    model: Model,
    /// Folder of models written by `aquatope train`; without it models are trained first, the hybrid one briefly
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1, value_parser = whole::<u64>)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Model {
    /// The light quantile network
    Light,
    /// The hybrid Bayesian network
    Hybrid,
    /// Per function whichever of light, hybrid, Holt-Winters and NLinear validated best, or a pair of them
    Aquatope,
}

/// Run the command.
///
/// # Errors
/// A trace or model that cannot be read or a line outside the protocol.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let output = BufWriter::new(io::stdout().lock());
    stream::serve(io::stdin().lock(), output, |trace, split| prepare(trace, split, arguments))
}

fn prepare(trace: &Trace, split: Split, arguments: &Arguments) -> Result<Box<dyn Forecaster>> {
    let models = Models::new(trace, split, arguments.seed, arguments.models.clone(), Progress::hidden());
    Ok(match arguments.model {
        Model::Light => Box::new(models.light(split.valid_end)?),
        Model::Hybrid => Box::new(models.hybrid(split.valid_end)?),
        Model::Aquatope => Box::new(models.selection()?),
    })
}
