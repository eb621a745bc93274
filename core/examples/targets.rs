//! Containers to keep warm for forecasts on standard input, lines `minute,func,mean,q0.025,...,q0.995` as
//! `aquatope forecast --stream` writes them (its READY and END are passed over): prints `minute,func,containers`.
//!
//! ```text
//! cargo run -p aquatope-core --example targets -- RATIO MEMORY_MB < forecasts.csv
//! ```
//! RATIO is the price of a cold start in GB-minutes of idle memory.

use std::error::Error;
use std::io::stdin;

use aquatope_core::forecast::Forecast;
use aquatope_core::pool::{Prices, Rule, containers};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<f32> =
        std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let [ratio, memory_mb] = arguments[..] else { return Err("give RATIO and MEMORY_MB".into()) };
    let rule = Rule::Newsvendor(Prices::ratio(ratio));
    for (number, line) in (1..).zip(stdin().lines()) {
        let line = line?;
        if matches!(line.as_str(), "READY" | "END") {
            continue;
        }
        let cells: Vec<&str> = line.split(',').collect();
        let [minute, func, mean, quantiles @ ..] = &cells[..] else {
            return Err(format!("line {number} is no minute,func,mean,quantiles: {line}").into());
        };
        let quantiles: Vec<f32> = quantiles.iter().map(|cell| cell.parse()).collect::<Result<_, _>>()?;
        let quantiles =
            quantiles.try_into().map_err(|_| format!("line {number} has not eleven quantiles: {line}"))?;
        let forecast = Forecast { mean: mean.parse()?, quantiles, epistemic: 0.0 };
        println!("{minute},{func},{}", containers(&forecast, &rule, memory_mb, u32::MAX));
    }
    Ok(())
}
