//! The price of a configuration: billed resources times duration, shared by the requests of one container.
//!
//! `cost = (cpu * cpu_per_core_second + memory / 1024 * memory_per_gb_second) * duration / concurrency`.

use core::fmt;

/// The resources of one function's container.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Configuration {
    /// Cores.
    pub cpu: f64,
    /// Memory in MB (1024 MB = 1 GB).
    pub memory_mb: f64,
    /// Requests served at once by one container.
    pub concurrency: f64,
}

/// What resources cost, in any unit of money.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "(f64, f64)", try_from = "(f64, f64)"))]
pub struct Prices {
    cpu_per_core_second: f64,
    memory_per_gb_second: f64,
}

impl Prices {
    /// Prices per core-second and per GB-second.
    ///
    /// # Errors
    /// [`CostError`] when a price is NaN, infinite or negative, or both are 0.
    pub fn new(cpu_per_core_second: f64, memory_per_gb_second: f64) -> Result<Self, CostError> {
        for price in [cpu_per_core_second, memory_per_gb_second] {
            if !(price >= 0.0 && price.is_finite()) {
                return Err(CostError::Price { price });
            }
        }
        if cpu_per_core_second == 0.0 && memory_per_gb_second == 0.0 {
            return Err(CostError::Free);
        }
        Ok(Self { cpu_per_core_second, memory_per_gb_second })
    }

    /// Cost of one second of one request under `configuration`.
    pub fn per_second(&self, configuration: &Configuration) -> f64 {
        let Configuration { cpu, memory_mb, concurrency } = *configuration;
        (cpu * self.cpu_per_core_second + memory_mb / 1024.0 * self.memory_per_gb_second) / concurrency
    }
}

impl TryFrom<(f64, f64)> for Prices {
    type Error = CostError;

    fn try_from((cpu, memory): (f64, f64)) -> Result<Self, CostError> {
        Self::new(cpu, memory)
    }
}

impl From<Prices> for (f64, f64) {
    fn from(prices: Prices) -> Self {
        (prices.cpu_per_core_second, prices.memory_per_gb_second)
    }
}

/// Why prices were refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum CostError {
    /// A price is NaN, infinite or negative.
    Price {
        /// The price given.
        price: f64,
    },
    /// Every price is 0, so that no configuration is cheaper than another.
    Free,
}

impl fmt::Display for CostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Price { price } => write!(f, "a price of {price}; give a finite number, 0 or more"),
            Self::Free => write!(f, "both prices are 0, so nothing can be saved; give at least one above 0"),
        }
    }
}

impl core::error::Error for CostError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_chain3_costs_what_its_definition_says() {
        // One second of 4 cores and 2 GB, alone and shared by two requests.
        let prices = Prices::new(0.173, 0.05).unwrap();
        let alone = Configuration { cpu: 4.0, memory_mb: 2048.0, concurrency: 1.0 };
        assert!((prices.per_second(&alone) - 0.792).abs() < 1e-12);
        assert!((prices.per_second(&Configuration { concurrency: 2.0, ..alone }) - 0.396).abs() < 1e-12);
        assert_eq!(Prices::new(0.0, 0.0), Err(CostError::Free));
        assert!(matches!(Prices::new(f64::NAN, 0.0), Err(CostError::Price { .. })));
        assert_eq!(Prices::new(1.0, -2.0), Err(CostError::Price { price: -2.0 }));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn bytes_are_checked_as_values_are() {
        let mut buffer = [0; 16];
        let prices = Prices::new(0.173, 0.05).unwrap();
        let bytes = postcard::to_slice(&prices, &mut buffer).unwrap();
        assert_eq!(postcard::from_bytes(bytes), Ok(prices));
        let bytes = postcard::to_slice(&(0.0, 0.0), &mut buffer).unwrap();
        assert!(postcard::from_bytes::<Prices>(bytes).is_err());
    }
}
