//! What a shard tells the others with every minute it is planned: what its functions should have, how much memory they ask
//! for, and how its workflows are doing. And how limited memory is divided by that.

use std::collections::BTreeMap;

use aquatope_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actuate::Wants;
use crate::board::Workflow;

/// See the module's header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The instance that has the shard, for people.
    pub(crate) by: String,
    /// When it told this, by its clock.
    pub(crate) at: Timestamp,
    /// Before the limit on memory.
    pub(crate) demand: Demand,
    /// After it. The functions are left out where everybody acts for their own.
    pub(crate) wants: Wants,
    /// The workflows that are tuned with the shard, by name. For people only: where they are of another version, they are
    /// left out and the rest is as good.
    #[serde(with = "as_json")]
    pub(crate) workflows: BTreeMap<String, Workflow>,
}

/// Of the bytes, before all else; another one for every change of [`Told`] but of the workflows.
const VERSION: u8 = 1;

impl Told {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("plain data is written to memory")
    }

    /// `None`: it is of another version.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [VERSION, bytes @ ..] = bytes else { return None };
        let (told, rest): (Self, _) = postcard::take_from_bytes(bytes).ok()?;
        let is_sound = |mb: &f64| (0.0..f64::INFINITY).contains(mb);
        let sound = [told.demand.wanted_mb, told.demand.busy_mb].iter().all(is_sound);
        (rest.is_empty() && sound).then_some(told)
    }
}

/// Fields have names, so that versions with more or fewer of them read each other's.
mod as_json {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};

    use crate::board::Workflow;

    pub(super) fn serialize<S: Serializer>(
        of: &BTreeMap<String, Workflow>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        serde_json::to_vec(of).map_err(S::Error::custom)?.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, Workflow>, D::Error> {
        Ok(serde_json::from_slice(&Vec::<u8>::deserialize(from)?).unwrap_or_default())
    }
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
    fn what_is_told_is_read_by_the_same_version_only() {
        let by = "host1".to_owned();
        let told =
            Told { by, at: Timestamp(7), demand: Demand { wanted_mb: 3.0, busy_mb: 1.0 }, ..Told::default() };
        let bytes = told.to_bytes();
        assert_eq!(Told::from_bytes(&bytes), Some(told.clone()));
        assert_eq!(Told::from_bytes(&bytes[1..]), None, "before there were versions");
        assert_eq!(Told::from_bytes(&[&[VERSION + 1], &bytes[1..]].concat()), None);
        assert_eq!(Told::from_bytes(&[&bytes[..], &[0]].concat()), None, "there is more");
        assert_eq!(Told::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Told::from_bytes(&[]), None);
        for mb in [f64::NAN, f64::INFINITY, -1.0] {
            for (wanted_mb, busy_mb) in [(mb, 0.0), (1.0, mb)] {
                let demand = Demand { wanted_mb, busy_mb };
                assert_eq!(Told::from_bytes(&Told { demand, ..told.clone() }.to_bytes()), None);
            }
        }
    }

    #[test]
    fn workflows_of_another_version_leave_the_plan_as_it_is() {
        let plan =
            Told { by: "host1".into(), demand: Demand { wanted_mb: 3.0, busy_mb: 1.0 }, ..Told::default() };
        let workflow = Workflow { state: "searching".into(), ..Workflow::default() };
        let told = Told { workflows: [("pair".to_owned(), workflow)].into(), ..plan.clone() };
        assert_eq!(Told::from_bytes(&told.to_bytes()), Some(told.clone()));
        // They stand last.
        let empty = plan.to_bytes();
        let before = empty.strip_suffix(b"\x02{}").unwrap();
        let with = |json: &[u8]| Told::from_bytes(&[before, &[json.len() as u8], json].concat());
        assert_eq!(with(br#"{"pair":{"state":"searching","more":[1]}}"#), Some(told));
        assert_eq!(with(br#"{"pair":{"state":{"is":"another"}}}"#), Some(plan.clone()));
        assert_eq!(with(&[0xff, 7]), Some(plan));
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
