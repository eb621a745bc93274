//! `aquatope tune --compare`, and the exact optimum it scores against.

use std::process::Command;

use aquatope::tune::oracle;
use aquatope::tune::shipped;
use serde_json::Value;

use crate::support::{folder, refused, stderr, workflow};

/// The stored optima come from a mixed-integer programme; branch and bound must find the same costs.
#[test]
fn branch_and_bound_finds_the_stored_optima() {
    for name in ["single1", "chain3", "ml4", "api4", "fan5", "video5"] {
        let file = shipped::load(&workflow(name)).unwrap();
        let stored = file.oracle.clone().unwrap();
        let found = oracle::solve(&file.simulator().unwrap(), file.qos_s).unwrap();
        assert!(
            (found.cost / stored.cost - 1.0).abs() < 1e-9,
            "{name}: {} is not {}",
            found.cost,
            stored.cost
        );
        assert!(found.latency_s <= file.qos_s);
    }
    let file = shipped::load(&workflow("chain3")).unwrap();
    assert_eq!(oracle::solve(&file.simulator().unwrap(), 1.0), None, "no configuration is that fast");
}

#[test]
fn a_small_comparison() {
    let folder = folder("a_small_comparison");
    let output = Command::new(env!("CARGO_BIN_EXE_aquatope"))
        .args([
            "tune",
            "--compare",
            "--workflow",
            "single1",
            "chain3",
            "--seeds",
            "2",
            "--trials",
            "16",
            "--json",
        ])
        .arg("--report")
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figures = result["figures"].as_array().unwrap();
    let names: Vec<&str> = figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["convergence", "stages", "noise", "outliers", "change"]);
    for figure in figures {
        for point in figure["points"].as_array().unwrap() {
            let quantile = |name: &str| point[name].as_f64().unwrap();
            assert!(quantile("median") >= 0.0, "nothing is cheaper than the optimum: {point}");
            assert!(quantile("q1") <= quantile("median") && quantile("median") <= quantile("q3"));
            assert_eq!(point["runs"], 2);
        }
    }
    let written = std::fs::read_to_string(folder.join("comparison.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), result);
    let html = std::fs::read_to_string(folder.join("comparison.html")).unwrap();
    assert!(html.matches("<svg").count() == 5 && !html.contains("NaN"));
    for name in names {
        let svg = std::fs::read_to_string(folder.join(format!("{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"));
        assert!(svg.contains(">structured</text>") && svg.contains(">oracle</text>"), "{name}");
        assert!(name != "stages" || (svg.contains(">single1</text>") && svg.contains(">chain3</text>")));
    }
}

/// Fewer trials than a first ask has: one column, and not none.
#[test]
fn a_comparison_of_few_trials() {
    let output = Command::new(env!("CARGO_BIN_EXE_aquatope"))
        .args(["tune", "--compare", "--workflow", "single1", "--seeds", "1", "--trials", "4", "--json"])
        .output()
        .unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let points = result["figures"][0]["points"].as_array().unwrap();
    assert_eq!(points.len(), 6, "one a method");
    assert!(points.iter().all(|point| point["x"] == 4.0));
}

#[test]
fn a_comparison_needs_the_simulator() {
    let folder = folder("a_comparison_needs_the_simulator");
    let mut document: Value =
        serde_json::from_str(&std::fs::read_to_string(workflow("chain3")).unwrap()).unwrap();
    for function in document["functions"].as_array_mut().unwrap() {
        *function = serde_json::json!({ "name": function["name"] });
    }
    let path = folder.join("measured.json");
    std::fs::write(&path, document.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_aquatope"));
    refused(
        command.args(["tune", "--compare", "--workflow"]).arg(&path),
        "chain3: has no simulator parameters",
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_aquatope"));
    refused(command.args(["tune", "--workflow"]).arg(&path), "the functions have no simulator parameters");
}
