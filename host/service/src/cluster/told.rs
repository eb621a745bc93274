//! What a shard tells the others with every minute it is planned: what its functions should have, how much memory they ask
//! for, and how its workflows are doing. And how limited memory is divided by that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::actuate::Wants;
use crate::board::Workflow;

/// See the module's header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The instance that has the shard, for people.
    pub(crate) by: String,
    /// Before the limit on memory.
    pub(crate) demand: Demand,
    /// After it. The functions are left out where everybody acts for their own.
    pub(crate) wants: Wants,
    /// The workflows that are tuned with the shard, by name.
    pub(crate) workflows: BTreeMap<String, Workflow>,
}

/// Memory that the functions of a shard ask for, MB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Demand {
    /// All that is wanted.
    pub(crate) wanted_mb: f64,
    /// What is busy of it, which is never taken away.
    pub(crate) busy_mb: f64,
}

/// The part of `capacity_mb` that is the shard's of this number, by what all of them asked for; `None`: not known yet, which
/// counts as an equal part.
///
/// Where all that is wanted fits, everybody has it and an equal part of what is left. Where it does not, everybody has what
/// is busy, and of the rest in the proportion of what is wanted. The parts together are the capacity, or what is busy where
/// that is more.
pub(crate) fn part_mb(capacity_mb: f64, demands: &[Option<Demand>], number: usize) -> f64 {
    let equal = capacity_mb / demands.len().max(1) as f64;
    let Some(Some(own)) = demands.get(number) else { return equal };
    let known = || demands.iter().flatten();
    let count = known().count() as f64;
    let wanted: f64 = known().map(|demand| demand.wanted_mb).sum();
    let busy: f64 = known().map(|demand| demand.busy_mb).sum();
    let room = equal * count;
    if wanted <= room {
        own.wanted_mb + (room - wanted) / count
    } else if busy < room {
        own.busy_mb + (own.wanted_mb - own.busy_mb) * (room - busy) / (wanted - busy)
    } else {
        own.busy_mb
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(capacity_mb: f64, demands: &[Option<Demand>]) -> Vec<f64> {
        (0..demands.len()).map(|number| part_mb(capacity_mb, demands, number)).collect()
    }

    #[test]
    fn parts_by_hand() {
        let asks = |wanted_mb, busy_mb| Some(Demand { wanted_mb, busy_mb });
        assert_eq!(parts(400.0, &[None; 4]), [100.0; 4], "nobody has told anything");
        assert_eq!(parts(400.0, &[asks(250.0, 0.0), asks(50.0, 50.0)]), [300.0, 100.0], "there is enough");
        // 300 is busy; of the other 100, three quarters go to whoever wants three times as much beside.
        assert_eq!(parts(400.0, &[asks(400.0, 100.0), asks(300.0, 200.0)]), [175.0, 225.0]);
        assert_eq!(parts(400.0, &[asks(900.0, 300.0), asks(200.0, 200.0)]), [300.0, 200.0], "it is busy");
        assert_eq!(parts(300.0, &[asks(500.0, 0.0), None, asks(0.0, 0.0)]), [200.0, 100.0, 0.0]);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_capacity_unless_more_is_busy(
            capacity_mb in 1.0..1e6_f64,
            asked in prop::collection::vec(prop::option::of((0.0..1e6_f64, 0.0..1.0_f64)), 1..12),
        ) {
            let demand = |(wanted_mb, share)| Demand { wanted_mb, busy_mb: wanted_mb * share };
            let demands: Vec<Option<Demand>> = asked.into_iter().map(|asked| asked.map(demand)).collect();
            let parts = parts(capacity_mb, &demands);
            let unknown = demands.iter().filter(|demand| demand.is_none()).count() as f64;
            let busy: f64 = demands.iter().flatten().map(|demand| demand.busy_mb).sum();
            let equal = capacity_mb / demands.len() as f64;
            let most = capacity_mb.max(busy + unknown * equal);
            prop_assert!((parts.iter().sum::<f64>() - most).abs() <= 1e-9 * most, "{parts:?}");
            for (part, demand) in parts.iter().zip(&demands) {
                prop_assert!(*part >= demand.map_or(equal, |demand| demand.busy_mb) * (1.0 - 1e-9));
            }
        }
    }
}
