//! The command line: one file per subcommand.

mod demo;
mod forecast;
mod inspect;
mod replay;
mod serve;
mod train;
mod tune;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::num::{IntErrorKind, ParseIntError};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{Error, Result, note};

/// Pre-warmed pools and resource configuration for serverless workflows.
#[derive(Parser)]
#[command(name = "aquatope", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

// One variant a subcommand, each wrapping the arguments struct of its own file.
#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Replay(replay::Arguments),
    Forecast(forecast::Arguments),
    Inspect(inspect::Arguments),
    Train(train::Arguments),
    Tune(tune::Arguments),
    Serve(serve::Serve),
    Doctor(serve::Doctor),
    Config(serve::Print),
}

/// All subcommands and options: for whoever checks or documents command lines.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Parse `arguments`, run the command, print its error on stderr, return the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(usage) => {
            // clap prints help and version on stdout with code 0, usage errors on stderr with code 2.
            let _ = usage.print();
            return ExitCode::from(usage.exit_code() as u8);
        }
    };
    match dispatch(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("aquatope: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Print a result. A reader that has seen enough, such as `head`, is no fault.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", source, "make room for it, or send it elsewhere"))
        }
        _ => Ok(()),
    }
}

/// A whole number of an option, with an error that says what to give; the parser's own does not.
fn whole<N: FromStr<Err = ParseIntError>>(text: &str) -> std::result::Result<N, &'static str> {
    text.parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow => "give a smaller number",
        _ => "give a whole number, 0 or above",
    })
}

/// As [`whole`], with decimals.
fn number(text: &str) -> std::result::Result<f64, &'static str> {
    text.parse().map_err(|_| "give a number, such as 2.25")
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Forecast(arguments) => forecast::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Tune(arguments) => tune::run(arguments),
        Command::Serve(arguments) => serve::serve(arguments),
        Command::Doctor(arguments) => serve::doctor(arguments),
        Command::Config(arguments) => serve::print_config(arguments),
    }
}
