//! Durable studies: processes killed at any instant, and files that are not what they should be.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aquatope::tune::counter_random::uniform;
use serde_json::Value;

use crate::support::{folder, refused, stderr, tune, tune_json};

/// Kill -9 at random instants, start again, until the study is finished: every trial was measured, every id always
/// meant the same configuration, a trial was measured again only if the kill hit its measurement, and the result is
/// that of a run nobody disturbed.
#[test]
fn killed_at_any_instant() {
    for method in [["--model", "structured"], ["--sampler", "qlognei"]] {
        kill_and_continue(method);
    }
}

fn kill_and_continue(method: [&str; 2]) {
    const TRIALS: &str = "31";
    let folder = folder(&format!("killed_at_any_instant_{}", method[1]));
    let script = folder.join("evaluator.sh");
    // The outcome depends on the id alone; every request is logged before it is answered.
    let answer = r#"{\"cost\":$((1 + id % 7)),\"latency\":$((2 + id % 3)),\"durations\":[1,1,1]}"#;
    let text = format!(
        "while read -r line; do id=${{line##*\\\"id\\\":}}; id=${{id%\\}}*}}; echo \"$line\" >> log; [ $id = null ] && id=0; echo \"{answer}\"; done\n"
    );
    std::fs::write(&script, text).unwrap();
    let command = format!("sh {}", script.display());
    let options = ["--trials", TRIALS, "--evaluator", &command, "--json"];
    let options = [&method[..], &options].concat();

    let mut kills = 0;
    let finished = loop {
        let mut run = tune("chain3", &options);
        let run =
            run.args(["--state", "study"]).current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = run.spawn().unwrap();
        if kills < 25 {
            let patience = 3.0 + 22.0 * uniform(11, [kills, 0, 0, 0]);
            std::thread::sleep(Duration::from_secs_f64(patience / 1000.0));
            let _ = child.kill(); // SIGKILL
        }
        let output = child.wait_with_output().unwrap();
        kills += 1;
        if output.status.success() {
            break serde_json::from_slice::<Value>(&output.stdout).unwrap();
        }
        assert_eq!(
            output.status.code(),
            None,
            "killed, not failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    assert!(kills > 5, "only {kills} kills: the run is too fast for this test");

    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    let mut measured: BTreeMap<u64, (Value, u64)> = BTreeMap::new();
    // A request that the kill cut off is no line of JSON.
    for request in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(id) = request["id"].as_u64() else { continue };
        let seen = measured.entry(id).or_insert_with(|| (request["functions"].clone(), 0));
        assert_eq!(seen.0, request["functions"], "trial {id} was asked twice");
        seen.1 += 1;
    }
    let trials = finished["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 31);
    for (id, trial) in trials.iter().enumerate() {
        assert_eq!(trial["state"], "complete");
        assert_eq!(trial["functions"], measured[&(id as u64)].0);
    }
    let repeated: u64 = measured.values().map(|(_, count)| count - 1).sum();
    assert!(repeated <= kills, "{repeated} measurements were repeated after {kills} kills");

    let undisturbed = tune("chain3", &options).current_dir(&folder).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&undisturbed.stdout).unwrap(), finished);
}

const RUN: [&str; 6] = ["--sampler", "random", "--trials", "12", "--seed", "5"];

fn studied(test: &str) -> std::path::PathBuf {
    let state = folder(test).join("study");
    tune_json("chain3", &[&RUN[..], &["--state", state.to_str().unwrap()]].concat());
    state
}

#[track_caller]
fn refused_untouched(state: &Path, workflow: &str, options: &[&str], expected: &str) {
    let before = std::fs::read(state).unwrap();
    refused(tune(workflow, options).arg("--state").arg(state), expected);
    assert_eq!(std::fs::read(state).unwrap(), before, "the file was touched");
}

#[test]
fn a_finished_study_continues_with_a_greater_budget() {
    let state = studied("a_finished_study_continues");
    let state = state.to_str().unwrap();
    let more =
        tune_json("chain3", &["--sampler", "random", "--trials", "20", "--seed", "5", "--state", state]);
    let straight = tune_json("chain3", &["--sampler", "random", "--trials", "20", "--seed", "5"]);
    assert_eq!(more["trials"].as_array().unwrap().len(), 20);
    assert_eq!(more["trials"].as_array().unwrap()[..10], straight["trials"].as_array().unwrap()[..10]);
}

#[test]
fn files_that_are_no_study() {
    let state = studied("files_that_are_no_study");
    let whole = std::fs::read(&state).unwrap();
    let cases: [(&[u8], &str); 7] = [
        (b"", "is not the state file of a study"),
        (b"{\"not\": \"ours\"}", "is not the state file of a study"),
        (&whole[..20], "is truncated within its header"),
        (&whole[..whole.len() - 1], "is truncated"),
        (&[&whole[..], b"more"].concat(), "has bytes behind its end"),
        (&[&whole[..whole.len() - 1], &[whole[whole.len() - 1] ^ 1]].concat(), "its checksum does not match"),
        (&[&whole[..8], &[0, 0, 0, 0], &whole[12..]].concat(), "has version 0, this program reads version 1"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&state, bytes).unwrap();
        refused_untouched(&state, "chain3", &RUN, expected);
    }
}

#[test]
fn studies_of_something_else() {
    let state = studied("studies_of_something_else");
    refused_untouched(&state, "ml4", &RUN, "belongs to a study with workflow chain3, not ml4");
    let seed = ["--sampler", "random", "--seed", "6"];
    refused_untouched(&state, "chain3", &seed, "with seed 5, not 6");
    let said = stderr(&tune("chain3", &seed).arg("--state").arg(&state).output().unwrap());
    assert!(!said.contains("continues"), "{said}");
    let said = stderr(&tune("chain3", &RUN).arg("--state").arg(&state).output().unwrap());
    assert!(said.contains("continues after 12 trials"), "{said}");
    refused_untouched(
        &state,
        "chain3",
        &[&RUN[..], &["--confidence", "0.9"]].concat(),
        "with confidence 0.95, not 0.9",
    );
    refused_untouched(
        &state,
        "chain3",
        &[&RUN[..], &["--noise", "0.2"]].concat(),
        "with measured by simulator",
    );
    refused_untouched(
        &state,
        "chain3",
        &[&RUN[..], &["--profile", "20"]].concat(),
        "belongs to a study with profile 50, not 20",
    );
}

#[test]
fn two_processes_do_not_share_a_study() {
    let state = studied("two_processes_do_not_share_a_study");
    let more = ["--sampler", "random", "--trials", "20", "--seed", "5", "--state", state.to_str().unwrap()];
    let mut path = state.clone().into_os_string();
    path.push(".lock");
    let lock = std::fs::File::open(path).unwrap();
    lock.lock().unwrap();
    refused(&mut tune("chain3", &more), "another process is running this study");
    drop(lock);
    tune_json("chain3", &more);
}
