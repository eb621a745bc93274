//! The simulator against `fixtures/golden/simulator.json` and the stored optima. Tolerance 1e-12 relative: the
//! generator's exp, log and cos may differ from ours in the last digit.

use aquatope::tune::counter_random;
use aquatope::tune::shipped;
use aquatope::tune::simulator::{Scenario, Simulator};
use aquatope::tune::space::Point;
use serde_json::Value;

use crate::support::{WORKFLOWS, fixture, workflow};

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("golden/simulator.json")).unwrap()).unwrap()
}

fn simulator(name: &str) -> Simulator {
    let file = shipped::load(&workflow(name)).unwrap();
    Simulator { performance: file.performance.unwrap(), workflow: file.workflow, noise: file.noise }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn point(value: &Value) -> Point {
    let (cpu, memory) = (numbers(&value["cpu_idx"]), numbers(&value["mem_idx"]));
    let resources = cpu.into_iter().zip(memory).flat_map(|(cpu, memory)| [cpu, memory]);
    // There when the search decides the concurrency of functions: in the shipped files of all of them.
    let concurrency = value["concurrency_idx"].as_array().into_iter().flatten().map(number);
    Point(resources.chain(concurrency).map(|level| level as u16).collect())
}

#[track_caller]
fn close(ours: f64, expected: f64) {
    assert!((ours - expected).abs() <= 1e-12 * expected.abs(), "{ours} is not {expected}");
}

#[test]
fn random_numbers() {
    for row in golden()["rng"].as_array().unwrap() {
        let seed = row["seed"].as_u64().unwrap();
        let counters: Vec<u64> = row["ctr"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).collect();
        let counters: [u64; 4] = counters.try_into().unwrap();
        assert_eq!(counter_random::uniform(seed, counters), number(&row["u"]));
        close(counter_random::normal(seed, counters), number(&row["n"]));
    }
}

#[test]
fn evaluations_without_noise() {
    for case in golden()["workflows"].as_array().unwrap() {
        let simulator = simulator(case["workflow"].as_str().unwrap().trim_end_matches(".json"));
        for row in case["noise_free"].as_array().unwrap() {
            let point = point(row);
            simulator
                .durations(&point)
                .into_iter()
                .zip(numbers(&row["durations"]))
                .for_each(|(a, b)| close(a, b));
            let (cost, latency) = simulator.truth(&point);
            close(cost, number(&row["cost"]));
            close(latency, number(&row["latency"]));
        }
    }
}

#[test]
fn noisy_samples() {
    for case in golden()["workflows"].as_array().unwrap() {
        let simulator = simulator(case["workflow"].as_str().unwrap().trim_end_matches(".json"));
        for row in case["samples"].as_array().unwrap() {
            let scenario = Scenario { noise: number(&row["sigma"]), outliers: number(&row["p_out"]) };
            let (seed, evaluation) = (row["seed"].as_u64().unwrap(), row["eval"].as_u64().unwrap());
            let outcome = simulator.sample(&point(row), scenario, seed, evaluation);
            close(outcome.cost, number(&row["cost"]));
            close(outcome.latency_s, number(&row["latency"]));
            outcome.durations.into_iter().zip(numbers(&row["durations"])).for_each(|(a, b)| close(a, b));
            assert_eq!(outcome.cost_variance, None);
            assert_eq!(simulator.is_outlier(scenario, seed, evaluation), row["outlier"].as_bool().unwrap());
        }
    }
}

#[test]
fn rounding_to_the_grid() {
    for case in golden()["workflows"].as_array().unwrap() {
        let levels =
            simulator(case["workflow"].as_str().unwrap().trim_end_matches(".json")).workflow.levels();
        for row in case["rounding"].as_array().unwrap() {
            let nearest = Point::nearest(&numbers(&row["x"]), &levels);
            assert_eq!(nearest, point(row));
            assert_eq!(nearest.unit(&levels), numbers(&row["x_rounded"]));
        }
    }
}

#[test]
fn stored_optima_cost_what_they_claim() {
    for name in WORKFLOWS {
        let oracle = shipped::load(&workflow(name)).unwrap().oracle.unwrap();
        let (cost, latency) = simulator(name).truth(&oracle.point);
        close(cost, oracle.cost);
        close(latency, oracle.latency_s);
    }
}

/// Several invocations a sample: the outcome is their mean and carries the variance of it.
#[test]
fn averaged_samples() {
    let mut simulator = simulator("chain3");
    let scenario = Scenario { noise: 0.2, outliers: 0.0 };
    let point = Point(vec![9, 9, 12, 10, 9, 11]);
    simulator.noise.invocations = 400;
    let outcome = simulator.sample(&point, scenario, 7, 0);
    let (_, latency) = simulator.truth(&point);
    let deviation = outcome.latency_variance.unwrap().sqrt();
    assert!((outcome.latency_s - latency).abs() < 4.0 * deviation);
    assert!(
        (0.002..0.02).contains(&(deviation / latency)),
        "0.2 / sqrt(400) and some averaging: {deviation}"
    );
}
