//! Trials measured by a program: one that works, and every way in which one does not.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{folder, refused, stderr, tune, tune_json};

/// Answers like a program: `body` runs for every request, with the trial's id (or null) in `$id`.
fn program(test: &str, body: &str) -> (PathBuf, String) {
    let folder = folder(test);
    let script = folder.join("evaluator.sh");
    let text = format!("while read -r line; do id=${{line##*\\\"id\\\":}}; id=${{id%\\}}*}}; {body}; done\n");
    std::fs::write(&script, text).unwrap();
    let command = format!("sh {}", script.display());
    (folder, command)
}

const ANSWER: &str = r#"echo '{"cost":1.5,"latency":3,"durations":[1,1,0.9]}'"#;

#[test]
fn a_program_measures() {
    let (folder, command) = program("a_program_measures", &format!(r#"echo "$line" >> requests; {ANSWER}"#));
    let output =
        tune("chain3", &["--sampler", "random", "--trials", "12", "--evaluator", &command, "--json"])
            .current_dir(&folder)
            .output()
            .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["truth"], Value::Null);
    // 5 measurements of the starting configuration count as spent.
    assert!((result["spent"]["cost"].as_f64().unwrap() - 17.0 * 1.5).abs() < 1e-9);
    let requests = std::fs::read_to_string(folder.join("requests")).unwrap();
    let requests: Vec<Value> = requests.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(requests.len(), 17);
    assert!(
        requests[..5].iter().all(|request| request["id"].is_null() && request["functions"][0]["cpu"] == 4.0)
    );
    for (id, request) in requests[5..].iter().enumerate() {
        assert_eq!(request["id"], id);
        assert_eq!(request["functions"], result["trials"][id]["functions"]);
    }
    assert_eq!(requests[5]["functions"][2]["name"], "load");
    assert_eq!(requests[5]["functions"][2]["concurrency"], 2);
}

#[test]
fn a_refused_configuration_is_a_failed_trial() {
    let body = format!(r#"if [ "$id" = 3 ]; then echo '{{"error":"out of memory"}}'; else {ANSWER}; fi"#);
    let (_, command) = program("a_refused_configuration_is_a_failed_trial", &body);
    let result = tune_json("chain3", &["--sampler", "random", "--trials", "12", "--evaluator", &command]);
    assert_eq!(result["trials"][3]["state"], "failed");
    assert_eq!(result["trials"][3]["reason"], "out of memory");
    assert_eq!(
        result["trials"].as_array().unwrap().iter().filter(|trial| trial["state"] == "complete").count(),
        11
    );
}

/// The prices of the file do not make the costs told: the black box goes on, and the user is told why.
#[test]
fn a_model_that_does_not_fit_is_named() {
    let (_, command) = program("a_model_that_does_not_fit_is_named", ANSWER);
    let options = ["--trials", "12", "--evaluator", &command];
    let misfit = &tune_json("chain3", &options)["misfit"];
    assert!(misfit.as_str().unwrap().contains("are the prices right?"), "{misfit}");
    let table = tune("chain3", &options).output().unwrap().stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("the black box: costs are"), "{table}");
    assert_eq!(tune_json("chain3", &["--trials", "12"])["misfit"], Value::Null);
}

/// Dies once in the middle: started again, nothing is lost.
#[test]
fn a_program_that_dies_once_is_started_again() {
    let body = format!(r#"if [ "$id" = 4 ] && [ ! -e died ]; then touch died; exit 1; fi; {ANSWER}"#);
    let (folder, command) = program("a_program_that_dies_once_is_started_again", &body);
    let output =
        tune("chain3", &["--sampler", "random", "--trials", "12", "--evaluator", &command, "--json"])
            .current_dir(&folder)
            .output()
            .unwrap();
    assert!(folder.join("died").exists());
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["trials"].as_array().unwrap().iter().all(|trial| trial["state"] == "complete"));
}

/// Whatever breaks it at every trial from number 5 on: the run ends with code 2 and says why; the study on disk
/// keeps what was measured, and a mended program continues it.
#[test]
fn a_broken_program_ends_the_run_and_the_study_is_kept() {
    let table = [
        ("dies", "exit 3", "the evaluator ended without an answer (exit status: 3)"),
        ("hangs", "sleep 100", "the evaluator did not answer within 0.3 s (--evaluator-timeout)"),
        ("mute", "exec >&-; sleep 100", "closed its input or output without an answer"),
        ("garbage", "echo hello world", "the evaluator printed \"hello world\", which is no JSON object"),
        ("bytes", r"printf '\377\376\n'", "the evaluator printed no text"),
        ("lone", r#"echo '{"cost":1,"latency":1,"cost_var":0.1}'"#, "cost_var: stands without latency_var"),
        ("nan", r#"echo '{"cost":NaN,"latency":1}'"#, "which is no JSON object"),
        ("negative", r#"echo '{"cost":-1,"latency":1}'"#, "cost: is -1; must be above 0"),
        ("missing", r#"echo '{"cost":1}'"#, "latency: is missing"),
        (
            "durations",
            r#"echo '{"cost":1,"latency":1,"durations":[1]}'"#,
            "durations: has 1 entries for 3 functions",
        ),
    ];
    for (name, fault, expected) in table {
        let test = format!("a_broken_program_{name}");
        let body = format!(r#"case "$id" in [0-4]|null) {ANSWER};; *) {fault};; esac"#);
        let (folder, command) = program(&test, &body);
        let state = folder.join("study");
        let options = ["--sampler", "random", "--trials", "12", "--evaluator-timeout", "0.3", "--state"];
        let started = Instant::now();
        refused(tune("chain3", &options).arg(&state).arg("--evaluator").arg(&command), expected);
        assert!(started.elapsed().as_secs() < 60, "{name}");

        let script = folder.join("evaluator.sh");
        let mended = std::fs::read_to_string(&script).unwrap().replace(fault, ANSWER);
        std::fs::write(&script, mended).unwrap();
        let mut resumed = tune("chain3", &options);
        let output = resumed.arg(&state).arg("--evaluator").arg(&command).arg("--json").output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let states: Vec<&str> = result["trials"]
            .as_array()
            .unwrap()
            .iter()
            .map(|trial| trial["state"].as_str().unwrap())
            .collect();
        let failed = |id: &usize| (5..8).contains(id);
        let expected: Vec<&str> = (0..12).map(|id| if failed(&id) { "failed" } else { "complete" }).collect();
        assert_eq!(states, expected, "{name}");
    }
}

#[test]
fn a_budget_that_ends_before_the_search() {
    let (_, command) = program("a_budget_that_ends_before_the_search", ANSWER);
    refused(
        &mut tune("chain3", &["--evaluator", &command, "--budget-cost", "1"]),
        "--budget-cost: was used up by measuring the starting configuration",
    );
}

/// Measurements of the starting configuration are held to the budgets one by one, like trials.
#[test]
fn the_starting_configuration_is_measured_within_the_budget() {
    for (option, limit, expected) in [("--budget-cost", "4", 3), ("--budget-time", "10", 4)] {
        let test = format!("the_starting_configuration{option}");
        let (folder, command) = program(&test, &format!("echo once >> measured; {ANSWER}"));
        let mut run = tune("chain3", &["--evaluator", &command, "--profile", "50", option, limit]);
        refused(run.current_dir(&folder), "was used up by measuring the starting configuration");
        let measured = std::fs::read_to_string(folder.join("measured")).unwrap().lines().count();
        assert_eq!(measured, expected, "1.5 and 3 s a sample");
    }
}

/// Ctrl-C, or a polite kill, in the middle of a measurement: the program and what it started end too, and the study goes
/// on later.
#[test]
fn an_interrupt_ends_the_program() {
    for signal in ["INT", "TERM"] {
        let hang = "sleep 1000 & echo $! > child; echo $$ > leader; wait";
        let body = format!(r#"if [ "$id" = 3 ] && [ ! -e mended ]; then {hang}; else {ANSWER}; fi"#);
        let (folder, command) = program(&format!("an_interrupt_ends_the_program_{signal}"), &body);
        let options = ["--sampler", "random", "--trials", "12", "--state", "study", "--evaluator", &command];
        let mut run = tune("chain3", &options);
        let child = run.current_dir(&folder).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let leader = loop {
            if let Ok(text) = std::fs::read_to_string(folder.join("leader"))
                && text.ends_with('\n')
            {
                break text;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let interrupt = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(interrupt.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        let kept = "interrupted; the study is kept in study: the same command continues it";
        assert!(stderr(&output).contains(kept), "{}", stderr(&output));
        for process in [leader, std::fs::read_to_string(folder.join("child")).unwrap()] {
            assert!(!runs(process.trim()), "process {process} was left behind");
        }
        std::fs::write(folder.join("mended"), "").unwrap();
        let resumed = tune("chain3", &options).current_dir(&folder).output().unwrap();
        assert!(resumed.status.success(), "{}", stderr(&resumed));
    }
}

/// Whether a process runs: exists, and is not a zombie that only waits to be counted.
fn runs(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[test]
fn a_program_that_does_not_exist() {
    refused(
        &mut tune("chain3", &["--evaluator", "/no/such/program"]),
        "starting configuration: cannot be measured: the evaluator ended without an answer",
    );
}
