//! `aquatope tune` on the simulator.

use serde_json::{Value, json};

use crate::support::{folder, refused, tune, tune_file, tune_json, workflow};

#[test]
fn one_seed_one_study() {
    for method in
        [["--model", "structured"], ["--model", "blackbox"], ["--sampler", "qnei"], ["--sampler", "clite"]]
    {
        let run = |seed| tune_json("chain3", &[&method[..], &["--trials", "16", "--seed", seed]].concat());
        assert_eq!(run("3"), run("3"));
        assert_ne!(run("3")["trials"], run("4")["trials"]);
    }
}

#[test]
fn the_result_is_complete() {
    let result =
        tune_json("ml4", &["--sampler", "random", "--trials", "12", "--noise", "0.2", "--outliers", "0.1"]);
    let trials = result["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 12);
    assert!(
        trials
            .iter()
            .all(|trial| trial["state"] == "complete" && trial["durations_s"].as_array().unwrap().len() == 4)
    );
    assert_eq!(result["recommendation"]["functions"][1]["name"], "object-detection");
    let (start, expected) =
        (result["start"]["cost"].as_f64().unwrap(), &result["recommendation"]["expected_cost"]);
    let saving = 1.0 - expected.as_f64().unwrap() / start;
    assert!((result["saving"].as_f64().unwrap() - saving).abs() < 1e-12);
    let cost: f64 = trials.iter().map(|trial| trial["cost"].as_f64().unwrap()).sum();
    assert!((result["spent"]["cost"].as_f64().unwrap() - cost).abs() < 1e-9);
}

/// The paper's Eq. 3.2: sampling stops at either limit; only the last sample may cross it.
#[test]
fn both_budgets_are_honoured() {
    for (option, sample, spent) in
        [("--budget-cost", "cost", "cost"), ("--budget-time", "latency_s", "time_s")]
    {
        let result = tune_json("chain3", &["--sampler", "random", option, "20"]);
        assert_eq!(result["ended_by"], option.trim_start_matches("--budget-"));
        let total = result["spent"][spent].as_f64().unwrap();
        let samples: Vec<&Value> =
            result["trials"].as_array().unwrap().iter().filter(|t| t["state"] == "complete").collect();
        let last = samples.last().unwrap()[sample].as_f64().unwrap();
        assert!(total >= 20.0 && total - last < 20.0, "{option}: {total}, the last sample {last}");
    }
}

#[test]
fn bad_options_are_named() {
    let table: &[(&[&str], &str)] = &[
        (&["--trials", "0"], "--trials: is 0"),
        (&["--trials", "100000"], "100000 trials, a study holds 128"),
        (&["--batch", "0"], "--batch: is 0"),
        (&["--batch", "99"], "99 trials in one batch, a study holds 16"),
        (&["--anomalies", "paper"], "--anomalies: the structured method is no black box"),
        (&["--sampler", "clite", "--restarts", "5"], "--restarts: the clite method is no black box"),
        (&["--mc-samples", "0"], "--mc-samples: is 0; give a number from 1 to 128"),
        (&["--restarts", "99"], "--restarts: is 99"),
        (&["--raw-samples", "9999"], "--raw-samples: is 9999"),
        (
            &["--model", "structured", "--sampler", "qnei"],
            "--sampler: the structured model chooses its trials itself",
        ),
        (&["--confidence", "1.5"], "--confidence: is 1.5"),
        (&["--budget-cost", "-1"], "--budget-cost"),
        (&["--budget-time", "NaN"], "--budget-time: is NaN"),
        (&["--noise", "-0.1"], "--noise"),
        (&["--noise", "inf"], "--noise: is inf"),
        (&["--outliers", "2"], "--outliers: is 2"),
        (&["--seed", "-1"], "--seed"),
        (&["--sampler", "magic"], "--sampler"),
        (&["--state", "/no/such/folder/study"], "/no/such/folder/study"),
        (&["--evaluator", "true", "--noise", "0.1"], "--noise"),
        (&["--compare", "--noise", "0.1"], "--noise"),
    ];
    for (options, expected) in table {
        refused(&mut tune("chain3", options), expected);
    }
    refused(&mut tune("no-such-workflow", &[]), "no-such-workflow.json");
    let file = folder("bad_options_are_named").join("file");
    std::fs::write(&file, "in the way").unwrap();
    for report in [file.clone(), file.join("below")] {
        refused(tune("chain3", &[]).arg("--report").arg(&report), report.to_str().unwrap());
        refused(tune("chain3", &["--compare"]).arg("--report").arg(&report), report.to_str().unwrap());
    }
    refused(tune("chain3", &[]).arg("--state").arg(file.join("study")), "file/study");
    refused(tune("chain3", &[]).arg("--state").arg(file.parent().unwrap()), "bad_options_are_named");
}

/// The paper's two-sided test rules out more than the default one; with `off` verdicts are reported as well, but they
/// change nothing.
#[test]
fn anomaly_tests_of_the_black_box() {
    let run = |anomalies: &[&str]| {
        let options = ["--sampler", "qlognei", "--trials", "31", "--noise", "0.05", "--outliers", "0.15"];
        let of_seed = |seed| tune_json("chain3", &[&options[..], &["--seed", seed], anomalies].concat());
        ["1", "2", "3"].map(of_seed)
    };
    let anomalous = |results: &[Value; 3]| {
        let trials = results.iter().flat_map(|result| result["trials"].as_array().unwrap());
        trials.filter(|trial| trial["anomalous"] == true).count()
    };
    let (default, paper, off) =
        (run(&["--anomalies", "default"]), run(&["--anomalies", "paper"]), run(&["--anomalies", "off"]));
    assert_eq!(default, run(&[]));
    assert!(anomalous(&paper) > anomalous(&default), "{} {}", anomalous(&paper), anomalous(&default));
    assert!(anomalous(&off) > 0 && off != default);
    for method in [["--model", "structured"], ["--sampler", "random"]] {
        refused(&mut tune("chain3", &[&method[..], &["--anomalies", "paper"]].concat()), "--anomalies: the ");
    }
}

/// A target that no configuration comes near is named as such, in the table and in the report.
#[test]
fn a_target_out_of_reach_is_named() {
    let folder = folder("a_target_out_of_reach_is_named");
    let text = std::fs::read_to_string(workflow("chain3")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["qos_s"] = json!(0.05);
    let path = folder.join("w.json");
    std::fs::write(&path, document.to_string()).unwrap();
    let hopeless = "The QoS of 0.05 s looks out of reach: nothing met it";
    for (method, expected) in [
        (["--model", "structured"], hopeless),
        (["--sampler", "qlognei"], hopeless),
        (["--sampler", "random"], "Nothing met the QoS of 0.05 s"),
    ] {
        let options = [&method[..], &["--trials", "16"]].concat();
        let output = tune_file(&path, &options).arg("--report").arg(&folder).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !table.contains("saving"), "{table}");
        let page = std::fs::read_to_string(folder.join("tune.html")).unwrap();
        for text in [table, page] {
            assert!(text.contains(expected), "{text}");
        }
    }
}

/// A workflow file whose numbers lead nowhere: still the file's fault, and the error says where.
#[test]
fn a_workflow_that_cannot_be_simulated() {
    let table = [
        (
            "/functions/0",
            json!({"serial_s": 0, "parallel_s": 0, "io_s": 0}),
            "the simulator gives 0 for extract",
        ),
        (
            "/functions/1",
            json!({"parallel_s": 1e308, "max_parallelism": 1e-5}),
            "the simulator gives inf for transform",
        ),
    ];
    for (number, (place, fields, expected)) in table.into_iter().enumerate() {
        let text = std::fs::read_to_string(workflow("chain3")).unwrap();
        let mut document: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            document.pointer_mut(place).unwrap()[name] = value.clone();
        }
        let path = folder(&format!("a_workflow_that_cannot_be_simulated_{number}")).join("w.json");
        std::fs::write(&path, document.to_string()).unwrap();
        for method in [["--model", "structured"], ["--model", "blackbox"]] {
            refused(&mut tune_file(&path, &method), expected);
        }
    }
}

/// The structured model on the four functions of ml4 at 5 % noise: almost half cheaper than today, within 3 % of the
/// optimum, and within the QoS.
#[test]
fn the_default_finds_the_optimum() {
    for seed in ["0", "1", "2"] {
        let result = tune_json("ml4", &["--trials", "31", "--seed", seed]);
        assert_eq!(result["method"], "structured");
        assert_eq!(result["truth"]["meets_qos"], true);
        let regret = result["truth"]["regret"].as_f64().unwrap();
        assert!(regret < 0.03, "seed {seed}: {regret}");
        assert_eq!(result["recommendation"]["qualified"], true);
        assert!(result["saving"].as_f64().unwrap() > 0.4);
    }
}
