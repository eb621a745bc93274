//! Concurrency as an axis of the search: on the simulator, over the line protocol, and across restarts.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::ask_tell::{Peer, init_of, measure};
use crate::support::{folder, tune_json, tune_json_file, workflow};

fn api4() -> Value {
    serde_json::from_str(&std::fs::read_to_string(workflow("api4")).unwrap()).unwrap()
}

/// api4 with every function's concurrency fixed at this number.
fn fixed_at(requests: u32) -> PathBuf {
    let mut document = api4();
    for function in document["functions"].as_array_mut().unwrap() {
        function["concurrency"] = json!(requests);
    }
    // They are those of the whole space.
    document.as_object_mut().unwrap().remove("oracle");
    document.as_object_mut().unwrap().remove("reference");
    let path = folder(&format!("concurrency_fixed_at_{requests}")).join("api4.json");
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

/// Cost of the recommendation without noise; it must meet the QoS.
#[track_caller]
fn cost(result: &Value) -> f64 {
    assert_eq!(result["truth"]["meets_qos"], true);
    result["truth"]["cost"].as_f64().unwrap()
}

/// One request a container is dear, eight are too slow, and searching function by function beats every number that is
/// the same for all of them.
#[test]
fn the_axis_saves_cost() {
    let options = ["--trials", "40", "--seed", "1"];
    let searched = tune_json("api4", &options);
    assert!(searched["truth"]["regret"].as_f64().unwrap() < 0.05, "{}", searched["truth"]);
    for (requests, share) in [(1, 0.75), (3, 0.97)] {
        let fixed = tune_json_file(&fixed_at(requests), &options);
        assert!(cost(&searched) < share * cost(&fixed), "{requests}: {}", fixed["truth"]);
    }
    let crowded = tune_json_file(&fixed_at(8), &options);
    assert_eq!(crowded["recommendation"]["qualified"], false);
    let of = |name: &str| {
        let functions = searched["recommendation"]["functions"].as_array().unwrap();
        functions.iter().find(|function| function["name"] == name).unwrap()["concurrency"].as_u64().unwrap()
    };
    // The function that mostly waits shares its container with more requests than the one that computes.
    assert!(of("session") > of("recommend"));
}

/// The black box gains less, but it gains: cheaper than the best it finds with one request a container.
#[test]
fn the_black_box_searches_it_too() {
    let options = ["--model", "blackbox", "--trials", "40", "--seed", "2"];
    let searched = tune_json("api4", &options);
    assert!(cost(&searched) < 0.8 * cost(&tune_json_file(&fixed_at(1), &options)));
}

#[test]
fn every_sampler_stays_within_the_bounds() {
    for sampler in ["qnei", "clite", "random", "autoscaling"] {
        let result = tune_json("api4", &["--sampler", sampler, "--trials", "16"]);
        for trial in result["trials"].as_array().unwrap() {
            for function in trial["functions"].as_array().unwrap() {
                let concurrency = function["concurrency"].as_u64().unwrap();
                assert!((1..=8).contains(&concurrency), "{sampler}");
                assert!(sampler != "autoscaling" || concurrency == 1, "autoscalers change resources only");
            }
        }
    }
}

/// Over the line protocol, with a restart after every batch: as on the command line, axis by axis.
#[test]
fn over_the_line_protocol_and_across_restarts() {
    let state = folder("concurrency_over_the_line_protocol").join("study");
    let init = init_of("api4");
    assert_eq!(init["levels"].as_array().unwrap().len(), 12);
    for expected in [10, 3, 3] {
        let mut peer = Peer::start(&["--state", state.to_str().unwrap()]);
        peer.call(init.clone());
        let asked = peer.call(json!({ "cmd": "ask" }));
        assert_eq!(asked["x"].as_array().unwrap().len(), expected);
        peer.call(json!({ "cmd": "tell", "obs": measure("api4", &asked) }));
        let recommended = peer.call(json!({ "cmd": "recommend" }));
        assert_eq!(recommended["x"].as_array().unwrap().len(), 12);
    }
    let mut other = init;
    other["workflow"]["functions"][0]["concurrency"]["max"] = json!(15);
    other["workflow"]["functions"][0]["concurrency"]["step"] = json!(2);
    let mut peer = Peer::start(&["--state", state.to_str().unwrap()]);
    peer.refused(&other.to_string(), "belongs to a study with functions session x1 to 8");
}
