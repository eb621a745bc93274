//! A model that costs nothing, to test and fuzz the study around it (`fuzz/` uses this file too).

use aquatope_core::anomaly::Verdict;
use aquatope_core::bo::MAX_BATCH;
use aquatope_core::bo::model::{Evidence, Model, ModelError, Posterior, Proposal, Recommendation};
use aquatope_core::bo::space::{Point, SearchSpace};
use aquatope_core::bo::trial::Expectation;
use aquatope_core::math::normal::Normal;
use aquatope_core::random;
use heapless::Vec;
use rand_core::Rng;

/// Proposes at random and expects ln cost = ln latency = 0 with variance 1; trials above the QoS are anomalous.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Uniform;

impl<const D: usize, const F: usize> Model<D, F> for Uniform {
    type Scratch = ();

    fn has_task_of(&self, _: &Self) -> bool {
        true
    }

    fn is_consistent(&self, _: &SearchSpace<D>) -> bool {
        true
    }

    fn needed(&self) -> usize {
        2
    }

    fn propose<R: Rng + ?Sized>(
        &mut self,
        evidence: &Evidence<'_, D, F>,
        count: usize,
        batch: &mut Vec<Proposal<D>, MAX_BATCH>,
        rng: &mut R,
        _: &mut (),
    ) -> Result<(), ModelError> {
        for _ in 0..count {
            let unit: Vec<f64, D> = evidence.space.axes().iter().map(|_| random::uniform(rng)).collect();
            let point = evidence.space.decode(&unit).expect("as many coordinates as axes, all finite");
            let normal = Normal { mean: 0.0, variance: 1.0 };
            let expected = Some(Expectation { ln_cost: normal, ln_latency: normal });
            batch.push(Proposal { point, expected }).expect("room for the batch");
        }
        Ok(())
    }

    fn verdicts(
        &self,
        evidence: &Evidence<'_, D, F>,
        verdicts: &mut [Verdict],
        _: &mut (),
    ) -> Result<(), ModelError> {
        assert_eq!(verdicts.len(), evidence.trials.len());
        for (verdict, trial) in verdicts.iter_mut().zip(evidence.trials) {
            if let Some(outcome) = trial.outcome() {
                let z = outcome.latency() - evidence.objective.latency_limit;
                *verdict = if z > 0.0 { Verdict::Anomalous { z } } else { Verdict::Consistent { z } };
            }
        }
        Ok(())
    }

    fn recommend(&self, evidence: &Evidence<'_, D, F>, _: &mut ()) -> Result<Recommendation<D>, ModelError> {
        let first = evidence.trials.first().ok_or(ModelError::TooFewTrials { complete: 0, needed: 1 })?;
        let (ln_cost, ln_latency) = (Normal::default(), Normal::default());
        Ok(Recommendation { point: first.point.clone(), ln_cost, ln_latency, feasible: 1.0, qualified: true })
    }

    fn posterior(
        &self,
        _: &Evidence<'_, D, F>,
        _: &[Point<D>],
        posteriors: &mut [Posterior],
        _: &mut (),
    ) -> Result<(), ModelError> {
        posteriors.fill(Posterior::default());
        Ok(())
    }
}
