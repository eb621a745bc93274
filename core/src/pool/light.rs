//! The light model behind a pool controller: one network for all functions, one history each.

use heapless::Vec;
use rand_core::Rng;

use super::{Forecaster, SoFar};
use crate::activation::FunctionId;
use crate::error::CapacityError;
use crate::forecast::Forecast;
use crate::forecast::features::{FunctionState, Profile, Upstream, saturate};
use crate::forecast::light::LightModel;
use crate::time::Minute;
use crate::window::Window;

/// Forecasts at most `F` functions with one light model, from up to `N` minutes of history each.
///
/// `2 N + 228` bytes a function: 8,932 with [`FULL_HISTORY`](crate::forecast::features::FULL_HISTORY). Place it in a
/// `static` or a `Box`. Functions it does not know are not observed, and are forecast to stay idle.
#[derive(Clone, Debug)]
pub struct LightFleet<'w, const F: usize, const N: usize> {
    model: LightModel<'w>,
    functions: Vec<Member<N>, F>,
}

#[derive(Clone, Debug)]
struct Member<const N: usize> {
    state: FunctionState<N>,
    parent: Option<FunctionId>,
}

impl<'w, const F: usize, const N: usize> LightFleet<'w, F, N> {
    /// A fleet without functions.
    pub const fn new(model: LightModel<'w>) -> Self {
        Self { model, functions: Vec::new() }
    }

    /// Add a function that is observed from minute `first` on and started by `parent`, if it is a stage of a workflow
    /// (which may be added later). Ids count up from 0, as those of [`super::PoolController::add_function`] do: add
    /// the functions to both in the same order.
    ///
    /// # Errors
    /// When there are `F` functions already.
    pub fn add_function(
        &mut self,
        first: Minute,
        profile: Profile,
        parent: Option<FunctionId>,
    ) -> Result<FunctionId, CapacityError> {
        let id = FunctionId(self.functions.len() as u32);
        let member = Member { state: FunctionState::new(first, profile), parent };
        self.functions.push(member).map_err(|_| CapacityError { capacity: F })?;
        Ok(id)
    }

    fn member(&self, id: FunctionId) -> Option<&Member<N>> {
        self.functions.get(id.0 as usize)
    }

    /// The recent minutes of the stages before `member`, the provisional ones last.
    fn upstream(&self, member: &Member<N>, so_far: &impl SoFar) -> Option<Upstream> {
        let parent_id = member.parent?;
        let parent = self.member(parent_id)?;
        let grandparent = parent.parent.and_then(|id| Some((id, self.member(id)?)));
        let history = grandparent.map(|(_, member)| member.state.history());
        let mut upstream = Upstream::of(parent.state.history(), history);
        for window in so_far.of(parent_id) {
            put_first(&mut upstream.parent_counts, window.invocations);
            upstream.parent_peak = saturate(window.peak);
        }
        for window in grandparent.into_iter().flat_map(|(id, _)| so_far.of(id)) {
            put_first(&mut upstream.grandparent_counts, window.invocations);
        }
        Some(upstream)
    }
}

/// Put the newest count first; the oldest is forgotten.
fn put_first<const L: usize>(counts: &mut [u16; L], newest: u32) {
    counts.rotate_right(1);
    if let Some(first) = counts.first_mut() {
        *first = saturate(newest);
    }
}

impl<const F: usize, const N: usize> Forecaster for LightFleet<'_, F, N> {
    /// Work: that of [`FunctionState::observe`]. A minute that was observed before changes nothing.
    fn observe(&mut self, function: FunctionId, window: &Window) {
        if let Some(member) = self.functions.get_mut(function.0 as usize) {
            // The only error is a minute that is closed already.
            let _ = member.state.observe(window.minute, window.invocations, window.peak);
        }
    }

    /// Provisional minutes are observed by a copy of the function's state, of which 2 N + 220 bytes of stack are needed.
    /// Work: that of the copy and of [`Self::observe`] for each of them, of [`FunctionState::read`] and
    /// [`LightModel::forecast`]; nothing is drawn from `rng`.
    fn forecast<R: Rng + ?Sized>(
        &mut self,
        function: FunctionId,
        so_far: &impl SoFar,
        _rng: &mut R,
    ) -> Forecast {
        let Some(member) = self.member(function) else { return Forecast::default() };
        let mut state = member.state.clone();
        for window in so_far.of(function) {
            // As above.
            let _ = state.observe(window.minute, window.invocations, window.peak);
        }
        self.model.forecast(&state.read(self.upstream(member, so_far).as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec as StdVec;

    use super::*;
    use crate::forecast::features::FULL_HISTORY;
    use crate::forecast::light::{GAINS, header, network_len};
    use crate::nn::weights::Weights;
    use crate::pool::PROVISIONAL;
    use crate::random::SplitMix64;

    /// A weight file of one network with small weights of both signs.
    fn weight_file() -> StdVec<u32> {
        let mut values: StdVec<f32> =
            (0..network_len(8)).map(|k| ((k * 37 % 101) as f32 - 50.0) / 500.0).collect();
        values[GAINS].fill(0.1);
        let head = header(8, 1).to_bytes(&values).unwrap();
        let head = head.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        head.chain(values.iter().map(|value| value.to_bits())).collect()
    }

    fn window(minute: u32, invocations: u32, peak: u32) -> Window {
        Window { minute: Minute(minute), invocations, peak, ..Window::default() }
    }

    /// Invocations and peak of a function that change from minute to minute.
    fn load(function: u32, minute: u32) -> Window {
        window(minute, minute * (function + 2) % 7, minute * (function + 1) % 5)
    }

    fn forecast(fleet: &mut LightFleet<'_, 3, 256>, function: u32) -> Forecast {
        fleet.forecast(FunctionId(function), &|_: FunctionId| core::iter::empty(), &mut SplitMix64(1))
    }

    #[test]
    fn provisional_minutes_count_as_if_observed_and_leave_no_trace() {
        let file = weight_file();
        let weights = Weights::parse(bytemuck::cast_slice(&file)).unwrap();
        let mut present = LightFleet::<3, 256>::new(LightModel::new(&weights).unwrap());
        for parent in [Some(FunctionId(1)), Some(FunctionId(2)), None] {
            present.add_function(Minute(50), Profile::UNKNOWN, parent).unwrap();
        }
        let mut behind = present.clone();
        let observe = |fleet: &mut LightFleet<'_, 3, 256>, minute: u32| {
            (0..3).for_each(|id| fleet.observe(FunctionId(id), &load(id, minute)));
        };
        for minute in 50..90 {
            // The other fleet lags behind by up to as many minutes as there may be.
            observe(&mut present, minute);
            let final_before = 51.max(minute.saturating_sub(minute % (PROVISIONAL as u32 + 1)));
            for minute in behind.functions[0].state.history().next().0..final_before {
                observe(&mut behind, minute);
            }
            let before = [0, 1, 2].map(|id| forecast(&mut behind, id));
            for id in 0..3 {
                let so_far = |id: FunctionId| (final_before..=minute).map(move |minute| load(id.0, minute));
                let provisional = behind.forecast(FunctionId(id), &so_far, &mut SplitMix64(1));
                assert_eq!(provisional, forecast(&mut present, id), "function {id}, minute {minute}");
            }
            assert_eq!([0, 1, 2].map(|id| forecast(&mut behind, id)), before);
        }
    }

    #[test]
    fn a_stage_sees_the_stages_before_it() {
        let file = weight_file();
        let weights = Weights::parse(bytemuck::cast_slice(&file)).unwrap();
        let model = LightModel::new(&weights).unwrap();
        let mut fleet = LightFleet::<3, 256>::new(model);
        // The child comes before its parent, the grandparent last.
        for parent in [Some(FunctionId(1)), Some(FunctionId(2)), None] {
            fleet.add_function(Minute(50), Profile::UNKNOWN, parent).unwrap();
        }
        assert_eq!(
            fleet.add_function(Minute(50), Profile::UNKNOWN, None),
            Err(CapacityError { capacity: 3 })
        );
        let mut states = [(); 3].map(|()| FunctionState::<256>::new(Minute(50), Profile::UNKNOWN));
        for minute in 50..90 {
            for (id, state) in (0..).zip(&mut states) {
                let window = load(id, minute);
                fleet.observe(FunctionId(id), &window);
                state.push(window.invocations, window.peak);
            }
        }
        let [child, parent, grandparent] = states.each_ref().map(FunctionState::history);
        let upstream =
            [Some(Upstream::of(parent, Some(grandparent))), Some(Upstream::of(grandparent, None)), None];
        assert_eq!(child.next(), Minute(90));
        for ((id, state), upstream) in (0..).zip(&states).zip(&upstream) {
            let expected = model.forecast(&state.read(upstream.as_ref()));
            assert_eq!(forecast(&mut fleet, id), expected);
        }
        assert_ne!(forecast(&mut fleet, 0), model.forecast(&states[0].read(None)));
        // A minute again and a function that was not added change nothing.
        let before = forecast(&mut fleet, 1);
        fleet.observe(FunctionId(1), &window(89, 9, 9));
        fleet.observe(FunctionId(7), &window(90, 9, 9));
        assert_eq!(forecast(&mut fleet, 1), before);
        assert_eq!(forecast(&mut fleet, 7), Forecast::default());
    }

    #[test]
    fn the_fleet_has_the_size_its_document_states() {
        assert_eq!(size_of::<Member<FULL_HISTORY>>(), 8_932);
        assert_eq!(size_of::<Member<256>>(), 2 * 256 + 228);
        assert_eq!(size_of::<FunctionState<256>>(), 2 * 256 + 220);
    }
}
