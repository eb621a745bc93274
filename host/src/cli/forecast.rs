//! `aquatope forecast`: forecasts for an outside program.

use std::io::{self, BufWriter};
use std::ops::ControlFlow;

use aquatope_core::nn::weights::WeightsError;
use clap::Args;

use crate::error::{Error, Result};
use crate::forecast::light::LightForecaster;
use crate::forecast::{Forecaster, stream};
use crate::trace::{Split, Trace};
use crate::train::light::{Options, Outcome, Series, train};

/// Forecast minute by minute for a program that sends what happened.
#[derive(Args)]
pub(super) struct Arguments {
    /// Speak the leak-free stream protocol on standard input and output: train on HELLO, answer P, learn from A.
    #[arg(long, required = true)]
    stream: bool,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Run the command.
///
/// # Errors
/// A trace that cannot be read or a line outside the protocol.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let output = BufWriter::new(io::stdout().lock());
    stream::serve(io::stdin().lock(), output, |trace, split| prepare(trace, split, arguments.seed))
}

fn prepare(trace: &Trace, split: Split, seed: u64) -> Result<Box<dyn Forecaster>> {
    let series = Series::of(trace);
    let options = Options { seed, ..Options::default() };
    let diverged = |why: WeightsError| Error::Failed(format!("training diverged: {why}"));
    let outcome = train(&series, split.train_end, &options, None, |_| ControlFlow::Continue(()));
    let Outcome::Finished(model) = outcome.map_err(diverged)? else {
        return Err(Error::Failed("training was stopped".into()));
    };
    let parents = series.iter().map(|s| s.parent).collect();
    let mut forecaster = LightForecaster::new(model, parents).map_err(diverged)?;
    forecaster.replay(&series, split.valid_end);
    Ok(Box::new(forecaster))
}
