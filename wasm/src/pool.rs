//! [`PoolPlanner`]: from a forecast to the number of containers to keep warm.

use aquatope_core::forecast;
use aquatope_core::pool::{self, Damper, Hysteresis, Prices, Rule};
use serde::Deserialize;
use tsify::Tsify;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::forecaster::Forecast;
use crate::plain;

/// Plans the pool of one function, minute by minute.
#[wasm_bindgen]
pub struct PoolPlanner {
    rule: Rule,
    memory_mb: f32,
    most: u32,
    hysteresis: Hysteresis,
    damper: Damper,
}

#[wasm_bindgen]
impl PoolPlanner {
    /// A planner whose pool is empty.
    ///
    /// # Errors
    /// Options that are wrong, naming the place.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "PoolOptions")] options: &JsValue,
    ) -> Result<Self, JsError> {
        let options: PoolOptions = plain::read("options", options)?;
        let positive = |name: &str, value: f32| match value >= 0.0 && value.is_finite() {
            true => Ok(value),
            false => Err(JsError::new(&format!("options.{name}: is {value}; must not be negative"))),
        };
        let above_zero = |name: &str, value: f32| match value > 0.0 {
            true => Ok(value),
            false => Err(JsError::new(&format!("options.{name}: is {value}; must be above 0"))),
        };
        let memory_mb = above_zero("memoryMb", options.memory_mb)?;
        let rule = match (options.deviations, options.cold_start) {
            (Some(k), _) => Rule::MeanPlusDeviations { k },
            (None, None) => {
                let what = "options.coldStart: is missing; give the price of a cold start, or deviations";
                return Err(JsError::new(what));
            }
            (None, Some(cold_start)) => {
                let cold_start = positive("coldStart", cold_start)?;
                let first_cold_start =
                    positive("firstColdStart", options.first_cold_start.unwrap_or(cold_start))?;
                let idle_gb_minute = above_zero("idleGbMinute", options.idle_gb_minute.unwrap_or(1.0))?;
                let prices = Prices { cold_start, first_cold_start, idle_gb_minute };
                let (first, others) = prices.levels(memory_mb);
                if first.max(others) >= 1.0 {
                    return Err(JsError::new(
                        "options.coldStart: is so far above the price of an idle container that no number is enough; give less",
                    ));
                }
                Rule::Newsvendor(prices)
            }
        };
        if options.step == Some(0) {
            return Err(JsError::new(
                "options.step: is 0, so that the pool would never shrink; give 1 or more",
            ));
        }
        let none = Hysteresis::NONE;
        let hysteresis = Hysteresis {
            patience: options.patience.unwrap_or(none.patience),
            step: options.step.unwrap_or(none.step),
        };
        let most = options.most.unwrap_or(u32::MAX);
        Ok(Self { rule, memory_mb, most, hysteresis, damper: Damper::default() })
    }

    /// The containers to keep warm in the minute that was forecast; call it once a minute.
    ///
    /// # Errors
    /// What is no forecast.
    pub fn plan(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Forecast")] forecast: &JsValue,
    ) -> Result<u32, JsError> {
        let forecast = forecast::Forecast::try_from(plain::read::<Forecast>("forecast", forecast)?)?;
        let wanted = pool::containers(&forecast, &self.rule, self.memory_mb, self.most);
        Ok(self.damper.next(wanted, self.hysteresis))
    }
}

/// Prices and limits of a pool.
#[derive(Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PoolOptions {
    /// Memory of one container, MB.
    memory_mb: f32,
    /// What a cold start costs, in the unit of `idleGbMinute`; needed without `deviations`.
    #[serde(default)]
    #[tsify(optional)]
    cold_start: Option<f32>,
    /// What one costs when there is no warm container at all; as much as any other, unless given.
    #[serde(default)]
    #[tsify(optional)]
    first_cold_start: Option<f32>,
    /// What one GB kept idle for a minute costs; 1, unless given.
    #[serde(default)]
    #[tsify(optional)]
    idle_gb_minute: Option<f32>,
    /// Keep the mean and this many standard deviations instead, as the paper does; prices then do not matter.
    #[serde(default)]
    #[tsify(optional)]
    deviations: Option<f32>,
    /// The most containers to keep.
    #[serde(default)]
    #[tsify(optional)]
    most: Option<u32>,
    /// Minutes in a row that may want less before the pool shrinks; 0, unless given.
    #[serde(default)]
    #[tsify(optional)]
    patience: Option<u16>,
    /// The most containers given up in one minute; any number, unless given.
    #[serde(default)]
    #[tsify(optional)]
    step: Option<u32>,
}
