//! The quality of service: the end-to-end latency a configuration must meet.

use core::fmt;

/// The largest end-to-end latency that is still good, in seconds. It is held against the latency under the *mean*
/// durations of undisturbed invocations, not against a tail.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "f64", try_from = "f64"))]
pub struct Qos(f64);

impl Qos {
    /// A target in seconds.
    ///
    /// # Errors
    /// [`QosError`] when it is NaN, infinite, negative or zero.
    pub fn new(seconds: f64) -> Result<Self, QosError> {
        if seconds > 0.0 && seconds.is_finite() { Ok(Self(seconds)) } else { Err(QosError { seconds }) }
    }

    /// The target in seconds, positive.
    pub const fn seconds(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Qos {
    type Error = QosError;

    fn try_from(seconds: f64) -> Result<Self, QosError> {
        Self::new(seconds)
    }
}

impl From<Qos> for f64 {
    fn from(qos: Qos) -> Self {
        qos.0
    }
}

/// The target is NaN, infinite, negative or zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QosError {
    /// The value given.
    pub seconds: f64,
}

impl fmt::Display for QosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a QoS of {} s; give the largest good end-to-end latency in seconds", self.seconds)
    }
}

impl core::error::Error for QosError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_positive_target_exists() {
        assert_eq!(Qos::new(1.5).map(Qos::seconds), Ok(1.5));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Qos::new(bad).is_err());
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn bytes_are_checked_as_values_are() {
        let mut buffer = [0; 8];
        let bytes = postcard::to_slice(&Qos(1.5), &mut buffer).unwrap();
        assert_eq!(postcard::from_bytes(bytes), Ok(Qos(1.5)));
        let bytes = postcard::to_slice(&f64::NAN, &mut buffer).unwrap();
        assert!(postcard::from_bytes::<Qos>(bytes).is_err());
    }
}
