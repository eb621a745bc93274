//! The stream protocol: an outside scorer drives a forecaster minute by minute and cannot leak the future.
//!
//! Lines of text over standard input and output:
//! ```text
//! scorer:   HELLO 1 <functions.csv> <series.csv up to valid_end> <split.csv>
//! program:  READY                                              (after training)
//! then for every minute m from valid_end to end - 1:
//! scorer:   P <m>
//! program:  m,func,mean,q0.025,...,q0.995                      (one line a function)
//!           END
//! scorer:   A <m> <func>:<cnt>:<act> ...                       (only active functions; no answer)
//! scorer:   BYE
//! ```

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::Path;

use super::{Forecaster, Observation};
use crate::error::{Error, Result};
use crate::trace::{Split, Trace, long};

/// Speak the protocol until `BYE` or the end of `input`; `prepare` trains on the trace up to `valid_end`.
///
/// # Errors
/// A line that is not in the protocol, a trace that cannot be read, or an output that cannot be written.
pub fn serve(
    input: impl BufRead,
    mut output: impl Write,
    prepare: impl FnOnce(&Trace, Split) -> Result<Box<dyn Forecaster>>,
) -> Result<()> {
    let mut lines = input.lines().enumerate().map(|(at, line)| (at + 1, line));
    let Some((_, hello)) = lines.next() else { return Ok(()) };
    let hello = hello.map_err(unreadable)?;
    let words: Vec<&str> = hello.split_whitespace().collect();
    let ["HELLO", "1", functions, series, split] = words[..] else {
        return Err(fault(1, &hello, "start with `HELLO 1 FUNCTIONS.csv SERIES.csv SPLIT.csv`"));
    };
    let (trace, split) = long::read_files(Path::new(functions), Path::new(series), Path::new(split))?;
    let mut forecaster = prepare(&trace, split)?;
    let mut minute = vec![Observation::default(); trace.functions.len()];
    let mut next = split.valid_end;
    let mut answer = String::from("READY\n");
    output.write_all(answer.as_bytes()).and_then(|()| output.flush()).map_err(unwritable)?;

    for (number, line) in lines {
        let line = line.map_err(unreadable)?;
        let mut words = line.split_whitespace();
        match words.next() {
            Some("P") => {
                expect_minute(words.next(), next, number, &line)?;
                answer.clear();
                for (function, forecast) in forecaster.forecast().iter().enumerate() {
                    let _ = write!(answer, "{next},{function},{}", forecast.mean);
                    for quantile in forecast.quantiles {
                        let _ = write!(answer, ",{quantile}");
                    }
                    answer.push('\n');
                }
                answer.push_str("END\n");
                output.write_all(answer.as_bytes()).and_then(|()| output.flush()).map_err(unwritable)?;
            }
            Some("A") => {
                expect_minute(words.next(), next, number, &line)?;
                minute.fill(Observation::default());
                for word in words {
                    let (function, observed) = observation(word)
                        .ok_or_else(|| fault(number, word, "write FUNCTION:COUNT:PEAK, whole numbers"))?;
                    let slot = minute.get_mut(function);
                    *slot.ok_or_else(|| fault(number, word, "use a function of functions.csv"))? = observed;
                }
                forecaster.observe(&minute);
                next += 1;
            }
            Some("BYE") => break,
            Some(_) => return Err(fault(number, &line, "send P, A or BYE")),
            None => {}
        }
    }
    Ok(())
}

fn expect_minute(word: Option<&str>, next: usize, number: usize, line: &str) -> Result<()> {
    if word.and_then(|w| w.parse().ok()) == Some(next) {
        return Ok(());
    }
    Err(fault(
        number,
        line,
        &format!("the minute to come is {next}; send P and A once for every minute in order"),
    ))
}

fn observation(word: &str) -> Option<(usize, Observation)> {
    let mut numbers = word.split(':');
    let function = numbers.next()?.parse().ok()?;
    let observed = Observation { count: numbers.next()?.parse().ok()?, peak: numbers.next()?.parse().ok()? };
    numbers.next().is_none().then_some((function, observed))
}

fn fault(number: usize, what: &str, mend: &str) -> Error {
    let shown: String = what.chars().take(60).collect();
    Error::input(format!("standard input, line {number}"), format!("`{shown}` is not expected here"), mend)
}

fn unreadable(source: std::io::Error) -> Error {
    Error::io("standard input", source, "send lines of UTF-8 text")
}

fn unwritable(source: std::io::Error) -> Error {
    Error::io("standard output", source, "keep the reading side open until BYE")
}
