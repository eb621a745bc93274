//! Activations in, container targets out: one function through ten minutes of a pool controller.
//! `cargo run -p aquatope-core --example pool_minute`

use aquatope_core::activation::{Activation, ActivationId, FunctionId};
use aquatope_core::forecast::{Forecast, LEVELS};
use aquatope_core::math::normal;
use aquatope_core::pool::{Forecaster, Hysteresis, PoolConfig, PoolController, Prices, Rule, SoFar};
use aquatope_core::random::{SplitMix64, below};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::Window;
use core::time::Duration;
use rand_core::Rng;

/// The last minute's peak again, give or take its square root. `pool::LightFleet` is the trained one.
struct LastPeak(f32);

impl Forecaster for LastPeak {
    fn observe(&mut self, _: FunctionId, window: &Window) {
        self.0 = window.peak as f32;
    }

    fn forecast<R: Rng + ?Sized>(&mut self, id: FunctionId, so_far: &impl SoFar, _: &mut R) -> Forecast {
        let peak = so_far.of(id).last().map_or(self.0, |window| window.peak as f32);
        let quantile = |level: f32| peak + peak.sqrt() * normal::quantile(level.into()) as f32;
        Forecast { mean: peak, quantiles: LEVELS.map(|level| quantile(level).max(0.0)), epistemic: 0.0 }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = PoolConfig {
        rule: Rule::Newsvendor(Prices::ratio(5.0)), // a cold start costs as much as 5 idle GB minutes
        hysteresis: Hysteresis::NONE,
        capacity_mb: 4096.0,
        most: 100,
        ahead: Duration::from_secs(3),    // a container needs so long to get warm
        lateness: Duration::from_mins(6), // a minute waits so long for runs that end after it
    };
    // Capacities: 1 function, 256 open activations.
    let mut pool = PoolController::<_, 1, 256>::new(LastPeak(0.0), config, Minute(0));
    let function = pool.add_function(256.0)?;
    let (mut rng, mut id) = (SplitMix64(1), ActivationId(0));

    for minute in 0..10 {
        // The platform reports what ended: runs of 6 s, more of them every minute, none from minute 7 on.
        for _ in 0..if minute < 7 { 4 * minute } else { 0 } {
            let start = Timestamp(Minute(minute).start().0 + u64::from(below(&mut rng, 50_000)));
            let (duration, wait, init) = (Duration::from_secs(6), Duration::ZERO, Duration::ZERO);
            id.0 += 1;
            pool.handle_activation(&Activation { function, id, start, duration, wait, init })?;
        }
        pool.handle_timeout(pool.poll_timeout(), &mut rng);
        while let Some(target) = pool.poll_target() {
            println!("minute {}: {} containers", target.minute.0, target.containers);
        }
    }
    Ok(())
}
