use aquatope_core::anomaly::leave_one_out::judge;
use aquatope_core::anomaly::{AnomalyTest, Verdict};
use aquatope_core::bo::acquisition::{Acquisition, Improvement};
use aquatope_core::gp::{FitOptions, Gp, GpScratch, Hyperparameters};
use aquatope_core::random::{SplitMix64, uniform};

const N: usize = 24;
const S: usize = 16;

type Small = Acquisition<N, 2, S>;

/// Twelve points in the unit square, the first of them measured `repeats` times, with outcomes of its own every time.
fn observe(gp: &mut Gp<N, 2>, repeats: usize, noise: f64, seed: u64) {
    let mut rng = SplitMix64(3);
    let mut outcomes = SplitMix64(seed);
    gp.reset(2).unwrap();
    for place in 0..12 {
        let x = [uniform(&mut rng), uniform(&mut rng)];
        for _ in 0..if place == 0 { repeats } else { 1 } {
            gp.push(&x, uniform(&mut outcomes) - x[1], noise).unwrap();
        }
    }
}

fn fitted(repeats: usize, noise: f64) -> (Box<Small>, Box<GpScratch<N, 2>>) {
    let (mut acquisition, mut scratch) = (Box::new(Small::new()), Box::new(GpScratch::new()));
    for (process, seed) in acquisition.processes_mut().unwrap().into_iter().zip(1..) {
        observe(process, repeats, noise, seed);
        if noise > 0.0 {
            process.fit(&FitOptions::default(), &mut scratch).unwrap();
        } else {
            let lengthscales = [0.4, 0.9].into_iter().collect();
            let given = Hyperparameters { lengthscales, outputscale: 1.0, mean: 0.0, noise: 0.0 };
            process.set_hyperparameters(given).unwrap();
        }
    }
    (acquisition, scratch)
}

/// What a process answers with: its factor, weights and jitter, bit by bit.
fn state(gp: &Gp<N, 2>) -> Vec<u64> {
    let n = gp.len();
    let upper = (0..n).flat_map(|i| gp.factor()[i * N..][i..n].iter());
    upper.chain(gp.alpha()).chain(gp.noise()).chain([&gp.jitter()]).map(|x| x.to_bits()).collect()
}

#[test]
fn processes_are_the_same_after_their_matrices_were_lent() {
    for (repeats, noise) in [(1, 0.01), (4, 0.01), (1, 0.0), (2, 0.0)] {
        let (mut acquisition, mut scratch) = fitted(repeats, noise);
        let states = |acquisition: &mut Small| acquisition.processes_mut().unwrap().map(|gp| state(gp));
        let before = states(&mut acquisition);
        let mut rng = SplitMix64(7);
        acquisition.begin(Improvement::LogNei, S, &mut rng, &mut scratch).unwrap();
        acquisition.add_pending(&[0.2, 0.9], &mut rng);
        assert!(acquisition.value(&[0.5, 0.5]).is_finite());
        assert!(states(&mut acquisition) == before, "{repeats} repeats, noise {noise}");

        let [objective, constraint] = acquisition.processes_mut().unwrap();
        let mut verdicts = [Verdict::Untested; N];
        let verdicts = &mut verdicts[..objective.len()];
        judge(objective, constraint, &AnomalyTest::default(), verdicts, &mut scratch).unwrap();
        assert!(states(&mut acquisition) == before, "{repeats} repeats, noise {noise}");
    }
}

#[test]
fn a_process_grown_point_by_point_is_the_same_after_it_was_judged() {
    let mut constraint = Box::new(Gp::<8, 1>::new());
    constraint.reset(1).unwrap();
    for (x, y) in [(0.5, 0.0), (0.5, 1.0), (0.9, 0.3)] {
        constraint.condition(&[x], y, 0.0).unwrap();
    }
    let other = constraint.clone();
    let before = constraint.posterior(&[0.5]).unwrap();
    let mut verdicts = [Verdict::Untested; 3];
    let mut scratch = Box::new(GpScratch::new());
    judge(&other, &mut constraint, &AnomalyTest::default(), &mut verdicts, &mut scratch).unwrap();
    let after = constraint.posterior(&[0.5]).unwrap();
    assert!((after.mean - before.mean).abs() < 1e-4, "{before:?}, then {after:?}");
}

#[test]
fn without_paths_nothing_is_worth_anything() {
    let (mut acquisition, mut scratch) = fitted(1, 0.01);
    let mut rng = SplitMix64(7);
    let is_nothing = |acquisition: &mut Small| acquisition.value(&[0.5, 0.5]) == f64::NEG_INFINITY;
    assert!(is_nothing(&mut acquisition));
    acquisition.begin(Improvement::LogNei, S, &mut rng, &mut scratch).unwrap();
    assert!(!is_nothing(&mut acquisition));
    for process in acquisition.processes_mut().unwrap() {
        process.reset(2).unwrap();
    }
    acquisition.add_pending(&[0.2, 0.9], &mut rng);
    assert!(is_nothing(&mut acquisition));
    assert!(acquisition.processes_mut().is_ok(), "there is nothing to factor");
    assert!(acquisition.begin(Improvement::LogNei, S, &mut rng, &mut scratch).is_err());
    assert!(is_nothing(&mut acquisition));
}

/// Outcomes of a configuration that contradict each other without noise say nothing absurd about it.
#[test]
fn repeats_without_noise_do_not_run_away() {
    let (mut acquisition, mut scratch) = fitted(2, 0.0);
    acquisition.begin(Improvement::LogNei, S, &mut SplitMix64(7), &mut scratch).unwrap();
    let best = acquisition.best().iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    assert!(best < 1.5, "{best}");
}
