//! An hour of forecasts of one function by the light model.

use crate::Failure;
use aquatope_core::forecast::Forecast;
use aquatope_core::forecast::features::{FunctionState, Profile};
use aquatope_core::forecast::light::{GAINS, LightModel, header, network_len};
use aquatope_core::nn::weights::{HEADER_BYTES, Weights};
use aquatope_core::time::Minute;

const HIDDEN: usize = 8;
const VALUES: usize = network_len(HIDDEN);

/// Weights of both signs, gains above 0.
static WEIGHTS: [f32; VALUES] = {
    let mut weights = [0.0; VALUES];
    let mut k = 0;
    while k < VALUES {
        let gain = GAINS.start <= k && k < GAINS.end;
        weights[k] = if gain { 0.1 } else { ((k * 37 % 101) as f32 - 50.0) / 500.0 };
        k += 1;
    }
    weights
};

/// A weight file in memory, aligned as the core wants it.
#[repr(C, align(4))]
struct WeightFile([u8; HEADER_BYTES + 4 * VALUES]);

/// Makes a model, shows it 90 minutes of a load and forecasts each of the last 60.
/// Returns the last forecast and the sum of all means.
///
/// # Errors
/// The step that failed.
pub fn forecast() -> Result<(Forecast, f32), Failure> {
    let mut file = WeightFile([0; HEADER_BYTES + 4 * VALUES]);
    let head = header(HIDDEN, 1).to_bytes(&WEIGHTS).map_err(|_| "the header")?;
    let bytes = head.into_iter().chain(WEIGHTS.iter().flat_map(|weight| weight.to_le_bytes()));
    file.0.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    let weights = Weights::parse(&file.0).map_err(|_| "the weight file")?;
    let model = LightModel::new(&weights).map_err(|_| "the model")?;
    let mut state = FunctionState::<256>::new(Minute(0), Profile::UNKNOWN);
    let (mut last, mut means) = (Forecast::default(), 0.0);
    for minute in 0..90 {
        if minute >= 30 {
            last = model.forecast(&state.read(None));
            means += last.mean;
        }
        let peak = minute * 7 % 5 + minute / 30;
        state.observe(Minute(minute), 2 * peak, peak).map_err(|_| "observing")?;
    }
    Ok((last, means))
}
