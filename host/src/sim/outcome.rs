//! What a simulated policy cost and delivered.

/// One function's share of an [`Outcome`], over the scored minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FunctionOutcome {
    /// Invocations that started.
    pub invocations: u64,
    /// Of these, the ones that found no warm container.
    pub cold_starts: u64,
    /// Containers created, by a cold start or ahead of time.
    pub launches: u64,
    /// Container-seconds alive: initialising, busy or idle.
    pub alive_s: f64,
    /// Seconds of warm execution of the invocations that started in the scored minutes.
    pub busy_s: f64,
    /// Memory of one container, MB.
    pub memory_mb: f64,
}

/// What a policy cost and delivered over the scored minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Per function, in trace order.
    pub functions: Vec<FunctionOutcome>,
    /// Containers alive at the start of every scored minute, `[function][minute]`; empty unless recorded.
    pub provisioned: Vec<Vec<u32>>,
}

impl Outcome {
    /// Invocations scored.
    pub fn invocations(&self) -> u64 {
        self.functions.iter().map(|f| f.invocations).sum()
    }

    /// Containers created.
    pub fn launches(&self) -> u64 {
        self.functions.iter().map(|f| f.launches).sum()
    }

    /// Cold starts in percent of all invocations; 0 without invocations.
    pub fn cold_percent(&self) -> f64 {
        let cold: u64 = self.functions.iter().map(|f| f.cold_starts).sum();
        if cold == 0 { 0.0 } else { 100.0 * cold as f64 / self.invocations() as f64 }
    }

    /// Cold starts in percent, averaged over the functions that were invoked: each counts alike.
    pub fn cold_percent_function_mean(&self) -> f64 {
        let shares = self.functions.iter().filter(|f| f.invocations > 0);
        let (sum, invoked) = shares.fold((0.0, 0u32), |(sum, invoked), f| {
            (sum + f.cold_starts as f64 / f.invocations as f64, invoked + 1)
        });
        if invoked == 0 { 0.0 } else { 100.0 * sum / f64::from(invoked) }
    }

    /// Memory of all containers alive, times time, in GB s (1 GB = 1,024 MB).
    pub fn memory_gb_s(&self) -> f64 {
        self.functions.iter().map(|f| f.alive_s * f.memory_mb / 1024.0).sum()
    }
}
