//! A synthetic load for demonstrations and tests, reproducible by its seed.
//!
//! Thirty functions over whole days cover the shapes that production traces show (Shahrad et al., "Serverless in the
//! Wild", USENIX ATC 2020, section 3): steady, diurnal with quiet weekends, timers, bursty (CV 1 to 4), sparse, and the
//! stages of three workflows. The shapes and parameters are ours.

mod arrivals;

use arrivals::{DAY_MINUTES, bursty, diurnal, log_normal, poisson, timer};
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::trace::{Event, Function, Trace};
use aquatope_core::random::uniform;

/// Variation of the durations of one function.
const DURATION_VARIATION: f64 = 0.5;

/// Generate `days` days of load.
pub fn trace(seed: u64, days: usize) -> Trace {
    let minutes = days * DAY_MINUTES;
    let mut generator = Generator {
        minutes,
        seed,
        rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        functions: Vec::new(),
        events: Vec::new(),
    };
    generator.single_functions();
    generator.workflows();
    let mut events: Vec<Event> = generator.events.into_iter().flatten().collect();
    events.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let mut trace = Trace { functions: generator.functions, events, ..Trace::default() };
    trace.extend_to(minutes);
    trace.measure_events();
    trace
}

struct Generator {
    minutes: usize,
    seed: u64,
    /// The generator of the function being made: each has its own, so that adding one leaves the others alone.
    rng: Xoshiro256PlusPlus,
    functions: Vec<Function>,
    events: Vec<Vec<Event>>,
}

/// A stage of a workflow below the first.
struct Stage {
    /// Which earlier stage of the workflow starts it.
    parent: usize,
    /// Invocations per completion of the parent: a probability below 1, a fan-out above.
    each: f64,
    /// Mean seconds in the queue before it starts.
    delay_s: f64,
    /// Mean seconds it runs.
    duration_s: f64,
}

impl Generator {
    fn single_functions(&mut self) {
        for (rate, duration_s) in [(0.7, 3.0), (6.0, 1.5), (60.0, 2.0)] {
            self.begin();
            let starts = poisson(&vec![rate; self.minutes], &mut self.rng);
            self.function("steady", starts, duration_s);
        }
        for (rate, duration_s) in [(0.8, 5.0), (8.0, 2.0), (40.0, 4.0), (110.0, 6.0)] {
            self.begin();
            let starts = self.diurnal(rate);
            self.function("diurnal", starts, duration_s);
        }
        for (period_s, number, duration_s) in
            [(60.0, 1, 2.0), (300.0, 3, 8.0), (900.0, 10, 20.0), (3600.0, 20, 30.0)]
        {
            self.begin();
            let starts = timer(self.minutes, period_s, number, 1.5, &mut self.rng);
            self.function("timer", starts, duration_s);
        }
        self.begin();
        let mut starts = timer(self.minutes, 600.0, 6, 0.5, &mut self.rng);
        starts.extend(self.diurnal(3.0));
        self.function("timer-and-users", starts, 4.0);
        for (rate, variation, duration_s, burst_min) in [
            (10.0, 1.0, 2.0, 12.0),
            (10.0, 2.0, 2.0, 8.0),
            (8.0, 3.0, 5.0, 6.0),
            (6.0, 4.0, 3.0, 5.0),
            (0.6, 4.0, 10.0, 4.0),
        ] {
            self.begin();
            let starts = self.bursty(rate, variation, burst_min);
            self.function("bursty", starts, duration_s);
        }
        for (per_day, duration_s) in [(60.0, 5.0), (20.0, 10.0), (4.0, 30.0)] {
            self.begin();
            let starts = poisson(&vec![per_day / DAY_MINUTES as f64; self.minutes], &mut self.rng);
            self.function("sparse", starts, duration_s);
        }
    }

    fn workflows(&mut self) {
        // A chain of long stages.
        self.begin();
        let starts = self.bursty(4.0, 2.0, 10.0);
        let chain = [
            Stage { parent: 0, each: 1.0, delay_s: 0.05, duration_s: 30.0 },
            Stage { parent: 1, each: 1.0, delay_s: 0.05, duration_s: 40.0 },
        ];
        self.workflow(0, starts, 20.0, &chain);
        // A fan-out, a branch that three in ten take, and a queue.
        self.begin();
        let starts = self.diurnal(3.0);
        let fan_out = [
            Stage { parent: 0, each: 4.0, delay_s: 5.0, duration_s: 20.0 },
            Stage { parent: 0, each: 0.3, delay_s: 90.0, duration_s: 15.0 },
            Stage { parent: 2, each: 1.0, delay_s: 120.0, duration_s: 10.0 },
        ];
        self.workflow(1, starts, 5.0, &fan_out);
        // A timer and users before queues of minutes.
        self.begin();
        let mut starts = timer(self.minutes, 1200.0, 8, 0.5, &mut self.rng);
        starts.extend(self.bursty(1.0, 3.0, 6.0));
        let queues = [
            Stage { parent: 0, each: 1.0, delay_s: 180.0, duration_s: 20.0 },
            Stage { parent: 1, each: 2.0, delay_s: 60.0, duration_s: 15.0 },
        ];
        self.workflow(2, starts, 10.0, &queues);
    }

    /// Start the random numbers of the next function.
    fn begin(&mut self) {
        let next = self.functions.len() as u64 + 1;
        self.rng = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ next.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    fn diurnal(&mut self, mean: f64) -> Vec<f64> {
        let rates = diurnal(self.minutes, mean, &mut self.rng);
        poisson(&rates, &mut self.rng)
    }

    fn bursty(&mut self, mean: f64, variation: f64, burst_min: f64) -> Vec<f64> {
        let rates = bursty(self.minutes, mean, variation, burst_min, &mut self.rng);
        poisson(&rates, &mut self.rng)
    }

    /// Add a function; its index.
    fn function(&mut self, kind: &str, starts: Vec<f64>, mean_duration_s: f64) -> usize {
        let index = self.functions.len();
        let ordinal = self.functions.iter().filter(|f| f.name.starts_with(&format!("{kind}-"))).count();
        let end_s = self.minutes as f64 * 60.0;
        let events = starts.into_iter().filter(|&start_s| start_s < end_s).map(|start_s| {
            let duration_s = log_normal(mean_duration_s, DURATION_VARIATION, &mut self.rng);
            Event { function: index as u32, start_s, duration_s }
        });
        self.events.push(events.collect());
        self.functions.push(Function {
            name: format!("{kind}-{}", ordinal + 1),
            trigger: if kind.starts_with("timer") { "timer" } else { "" }.into(),
            workflow: None,
            parent: None,
            cold_start_s: 2.0,
            memory_mb: 256.0,
            mean_duration_s,
            concurrency: 1,
        });
        index
    }

    fn workflow(&mut self, workflow: u32, starts: Vec<f64>, duration_s: f64, stages: &[Stage]) {
        let mut indices = vec![self.function("workflow", starts, duration_s)];
        for stage in stages {
            self.begin();
            let parent = indices[stage.parent];
            let mut starts = Vec::new();
            for position in 0..self.events[parent].len() {
                let Event { start_s, duration_s, .. } = self.events[parent][position];
                let taken = if stage.each >= 1.0 {
                    stage.each as usize
                } else {
                    usize::from(uniform(&mut self.rng) < stage.each)
                };
                for _ in 0..taken {
                    starts.push(start_s + duration_s + log_normal(stage.delay_s, 0.2, &mut self.rng));
                }
            }
            let index = self.function("workflow", starts, stage.duration_s);
            self.functions[index].parent = Some(parent);
            indices.push(index);
        }
        for (stage, index) in indices.into_iter().enumerate() {
            self.functions[index].workflow = Some(workflow);
            self.functions[index].name = format!("workflow-{}-stage-{}", workflow + 1, stage + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_trace() {
        assert_eq!(trace(7, 1), trace(7, 1));
        assert_ne!(trace(7, 1).events, trace(8, 1).events);
    }

    #[test]
    fn thirty_functions_of_every_shape_and_whole_workflows() {
        let trace = trace(1, 2);
        assert_eq!((trace.functions.len(), trace.minutes), (30, 2 * DAY_MINUTES));
        assert!(trace.events.is_sorted_by(|a, b| a.start_s <= b.start_s));
        let total = |name: &str| -> u64 {
            let index = trace.functions.iter().position(|f| f.name == name).expect("a function of that name");
            trace.counts[index].iter().map(|&count| u64::from(count)).sum()
        };
        assert_eq!(total("timer-1"), 2 * 1440);
        // Four invocations per completion, but for the completions after the end.
        let (front, fanned) = (total("workflow-2-stage-1") as f64, total("workflow-2-stage-2") as f64);
        assert!((fanned / front - 4.0).abs() < 0.05, "{fanned} of {front}");
        let branched = total("workflow-2-stage-3") as f64;
        assert!((branched / front - 0.3).abs() < 0.05, "{branched} of {front}");
        assert_eq!(trace.functions.iter().filter(|f| f.workflow.is_some()).count(), 10);
    }
}
