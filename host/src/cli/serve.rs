//! `aquatope serve`, `doctor` and `config`: the service beside a platform.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use aquatope_service::clock::Clock;
use aquatope_service::config::{self, Config, Secrets};
use aquatope_service::doctor::{self, Level};
use aquatope_service::serve::{Events, Service};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::print;
use crate::error::{Error, Result};
use crate::train::background::Background;

/// Observe a platform, plan its containers every minute and keep them warm, until it is told to stop.
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
}

/// Look at everything the service needs, and say what to change. Nothing is changed.
#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    place: Place,
}

/// Print a commented configuration with all defaults.
#[derive(Args)]
pub(super) struct Print {}

#[derive(Args)]
struct Place {
    /// The configuration file; without it, defaults and the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn read(&self) -> Result<(Config, Secrets)> {
        Ok(config::read(self.config.as_deref(), environment())?)
    }
}

/// Variables that are not text are nobody's of ours, but for a fault that the configuration's reader names.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

pub(super) fn print_config(_: Print) -> Result<()> {
    print(config::DEFAULT)
}

pub(super) fn serve(arguments: Serve) -> Result<()> {
    let (config, secrets) = arguments.place.read()?;
    log(&config);
    runtime()?.block_on(async {
        // Before anything else, so that no signal is missed.
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let trainer = Arc::new(Background);
        let mut service = Service::start(&config, &secrets, trainer, Clock::system(), Events::Kafka).await?;
        let ended = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            part = service.ended() => Some(part),
        };
        service.stop().await;
        match ended {
            None => Ok(()),
            Some(part) => Err(Error::Failed(format!("{part} ended by itself; see the log, and start again"))),
        }
    })
}

pub(super) fn doctor(arguments: Doctor) -> Result<()> {
    let (config, secrets, faults) = config::read_all(arguments.place.config.as_deref(), environment())?;
    let findings = runtime()?.block_on(doctor::examine(&config, &secrets, faults, Clock::system()));
    let mut text = String::new();
    for finding in &findings {
        let mark = match finding.level {
            Level::Well => "ok   ",
            Level::Doubtful => "check",
            Level::Broken => "FIX  ",
        };
        text.push_str(&format!("{mark}  {}\n", finding.what));
        if !finding.mend.is_empty() {
            text.push_str(&format!("       -> {}\n", finding.mend));
        }
    }
    print(&text)?;
    match findings.iter().filter(|finding| finding.level == Level::Broken).count() {
        0 => Ok(()),
        count => Err(Error::Failed(format!("{count} to fix before the service can work"))),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)
}

fn failed(error: std::io::Error) -> Error {
    Error::Failed(error.to_string())
}

fn log(config: &Config) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log.filter))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // The only error is a logger that is there already.
    let _ = if config.log.json { builder.json().try_init() } else { builder.with_target(false).try_init() };
}
