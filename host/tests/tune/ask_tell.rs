//! The line protocol of `--ask-tell`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aquatope::tune::shipped;
use serde_json::{Value, json};

use crate::support::{folder, workflow};

pub(crate) struct Peer {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aquatope"))
            .args(["tune", "--ask-tell"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (requests, replies) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, requests, replies }
    }

    fn raw(&mut self, line: &str) -> Value {
        writeln!(self.requests, "{line}").unwrap();
        let mut reply = String::new();
        self.replies.read_line(&mut reply).unwrap();
        serde_json::from_str(&reply).unwrap()
    }

    #[track_caller]
    pub(crate) fn call(&mut self, request: Value) -> Value {
        let reply = self.raw(&request.to_string());
        assert_eq!(reply["error"], Value::Null, "{request}");
        reply
    }

    #[track_caller]
    pub(crate) fn refused(&mut self, line: &str, expected: &str) {
        let reply = self.raw(line);
        let error = reply["error"].as_str().unwrap_or_else(|| panic!("{line} was accepted: {reply}"));
        assert!(error.contains(expected), "{line}: {error:?} does not contain {expected:?}");
    }

    fn bytes(&mut self, line: &[u8]) -> Value {
        self.requests.write_all(line).unwrap();
        let mut reply = String::new();
        self.replies.read_line(&mut reply).unwrap();
        serde_json::from_str(&reply).unwrap()
    }

    fn quit(mut self) {
        writeln!(self.requests, r#"{{"cmd":"quit"}}"#).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the reference harness sends for a workflow.
pub(crate) fn init_of(name: &str) -> Value {
    let spec: Value = serde_json::from_str(&std::fs::read_to_string(workflow(name)).unwrap()).unwrap();
    let levels = shipped::load(&workflow(name)).unwrap().workflow.levels();
    let functions: Vec<Value> = spec["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|function| json!({ "name": function["name"], "concurrency": function["concurrency"] }))
        .collect();
    let profile: Vec<f64> = (0..50).map(|i| 1.7 + 0.01 * f64::from(i % 7)).collect();
    let count = functions.len();
    // All CPU and memory, one request at a time.
    let start: Vec<f64> = (0..levels.len()).map(|axis| if axis < 2 * count { 1.0 } else { 0.0 }).collect();
    json!({
        "cmd": "init", "protocol": 1, "d": levels.len(), "q": 3, "n_init": 10, "budget": 16, "qos": spec["qos_s"],
        "seed": 5, "levels": levels,
        "baseline_profile": {
            "x": start, "cost": profile, "latency": profile,
            "durations": profile.iter().map(|d| vec![d / count as f64; count]).collect::<Vec<_>>(),
        },
        "workflow": {
            "functions": functions, "edges": spec["edges"], "edge_overhead_s": spec["edge_overhead_s"],
            "prices": spec["prices"], "space": spec["space"],
        },
    })
}

fn init() -> Value {
    init_of("chain3")
}

/// Measure asked points of a workflow without noise.
pub(crate) fn measure(name: &str, reply: &Value) -> Value {
    let file = shipped::load(&workflow(name)).unwrap();
    let simulator = file.simulator().unwrap();
    let levels = file.workflow.levels();
    let sample = |(x, id): (&Value, &Value)| {
        let x_numbers: Vec<f64> = x.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let point = aquatope::tune::space::Point::nearest(&x_numbers, &levels);
        assert_eq!(point.unit(&levels), x_numbers, "points lie on the grid");
        let (cost, latency) = simulator.truth(&point);
        json!({ "id": id, "x": x, "k": 1, "cost": cost, "latency": latency, "cost_var": null, "latency_var": null,
                "durations": simulator.durations(&point) })
    };
    reply["x"].as_array().unwrap().iter().zip(reply["ids"].as_array().unwrap()).map(sample).collect()
}

#[test]
fn a_whole_study() {
    let mut peer = Peer::start(&[]);
    assert_eq!(peer.call(init())["ok"], true);
    for expected in [10, 3, 3] {
        let asked = peer.call(json!({ "cmd": "ask" }));
        assert_eq!(asked["x"].as_array().unwrap().len(), expected);
        peer.call(json!({ "cmd": "tell", "obs": measure("chain3", &asked) }));
        let recommended = peer.call(json!({ "cmd": "recommend" }));
        assert_eq!(recommended, peer.call(json!({ "cmd": "recommend" })));
        assert_eq!(recommended["x"].as_array().unwrap().len(), 6);
    }
    peer.refused(r#"{"cmd":"ask"}"#, "the budget of 16 trials is used up");
    peer.quit();
}

#[test]
fn trials_may_be_told_late_and_out_of_order() {
    let mut peer = Peer::start(&[]);
    peer.call(init());
    let first = measure("chain3", &peer.call(json!({ "cmd": "ask" })));
    let first = first.as_array().unwrap();
    peer.call(json!({ "cmd": "tell", "obs": [first[9], first[3]] }));
    peer.call(json!({ "cmd": "fail", "id": 4, "reason": "out of memory" }));
    peer.refused(r#"{"cmd":"fail","id":4}"#, "trial 4: is finished already");
    peer.call(json!({ "cmd": "tell", "obs": [first[0]] }));
    peer.call(json!({ "cmd": "recommend" }));
    let second = peer.call(json!({ "cmd": "ask" }));
    assert_eq!(second["ids"][0], 10, "what still waits is not asked again");
}

#[test]
fn faults_are_answered_and_change_nothing() {
    let mut peer = Peer::start(&[]);
    peer.refused(r#"{"cmd":"ask"}"#, "send init first");
    peer.refused("hello", "not valid JSON");
    peer.refused("[1]", "cmd: is missing");
    peer.refused(r#"{"cmd":"dance"}"#, "unknown command \"dance\"");
    let without = |pointer: &str, value: Value| {
        let mut message = init();
        *message.pointer_mut(pointer).unwrap() = value;
        message.to_string()
    };
    let table = [
        ("/protocol", json!(2), "protocol: is 2; this program speaks 1"),
        ("/d", json!(5), "levels: has 6 entries for d = 5"),
        ("/qos", json!(0), "qos: is 0; must be above 0"),
        ("/qos", json!(-3), "qos: is -3; must be above 0"),
        ("/qos", Value::Null, "qos: is missing"),
        ("/q", json!(0), "q: is 0; must be at least 1"),
        ("/q", json!(100), "100 trials in one batch, a study holds 16"),
        ("/budget", json!(100_000), "100000 trials, a study holds 128"),
        ("/levels", json!([40, 31, 40, 31, 40, 0]), "levels[5]: is 0; must be at least 1"),
        ("/levels", json!([40, 31, 40, 31, 40, 99]), "levels: differ from those of workflow.space"),
        ("/seed", json!(-1), "seed: is -1; must be a whole number"),
        ("/workflow/edges", json!([[0, 1], [1, 0]]), "workflow.edges: form a cycle"),
        ("/workflow/edges", json!([[0, 7]]), "workflow.edges[0][1]: unknown function 7"),
        ("/workflow/space/cpu/step", json!(0), "workflow.space.cpu.step: is 0"),
        ("/baseline_profile/cost", json!([1.0]), "baseline_profile: has lists of different lengths"),
        ("/baseline_profile/cost/0", json!(-1.0), "baseline_profile.cost[0]: is -1"),
    ];
    for (pointer, value, expected) in table {
        peer.refused(&without(pointer, value), expected);
    }

    peer.call(init());
    peer.refused(&init().to_string(), "the study has begun already");
    let samples = measure("chain3", &peer.call(json!({ "cmd": "ask" })));
    let altered = |field: &str, value: Value| {
        let mut obs = samples[0].clone();
        obs[field] = value;
        // A good sample first: it must not be taken in either.
        json!({ "cmd": "tell", "obs": [samples[1], obs] }).to_string()
    };
    let table = [
        ("id", json!(10), "obs[1].id: trial 10: was never asked"),
        ("id", json!(-1), "obs[1].id: is -1"),
        ("id", json!(1), "obs[1].id: trial 1 stands twice"),
        ("x", json!([0, 0, 0, 0, 0, 0]), "obs[1].x: is not the configuration asked as trial 0"),
        ("x", json!([0]), "obs[1].x: has 1 coordinates; give 6"),
        ("cost", json!(-1), "obs[1].cost: is -1; must be above 0"),
        ("cost", json!("NaN"), "obs[1].cost: is \"NaN\"; must be a finite number"),
        ("cost", Value::Null, "obs[1].cost: is missing"),
        ("latency", json!(0), "obs[1].latency: is 0; must be above 0"),
        ("latency_var", json!(-1), "obs[1].latency_var: is -1"),
        ("latency_var", json!(0.1), "obs[1].latency_var: stands without cost_var; give both, or none"),
        ("cost_var", json!(0.1), "obs[1].cost_var: stands without latency_var"),
        ("durations", json!([1, 2]), "obs[1].durations: has 2 entries for 3 functions"),
        ("durations", json!([1, 2, -3]), "obs[1].durations[2]: is -3"),
    ];
    for (field, value, expected) in table {
        peer.refused(&altered(field, value), expected);
    }
    let line = altered("cost", json!(7)).replace("\"cost\":7", "\"cost\":1e999");
    peer.refused(&line, "number out of range");
    peer.refused(&altered("cost", json!(7)).replace("\"cost\":7", "\"cost\":NaN"), "not valid JSON");
    peer.call(json!({ "cmd": "tell", "obs": samples }));
    peer.refused(&json!({ "cmd": "tell", "obs": [samples[0]] }).to_string(), "trial 0: is finished already");
    peer.call(json!({ "cmd": "ask" }));
    peer.quit();
}

/// Bytes that are no text, and a line without an end, are answered like any other fault.
#[test]
fn bytes_that_are_no_text() {
    let mut peer = Peer::start(&[]);
    let error = |reply: Value| reply["error"].as_str().unwrap().to_string();
    let reply = error(peer.bytes(b"{\"cmd\":\"ask\xff\"}\n"));
    assert_eq!(reply, "line 1: byte 12: is not UTF-8; send JSON as UTF-8");
    assert!(error(peer.bytes(b"\0\x01\x80\n")).starts_with("line 2: byte 3: is not UTF-8"));
    let mut endless = vec![b'['; 17 << 20];
    endless.push(b'\n');
    assert!(error(peer.bytes(&endless)).starts_with("line 3: is longer than 16 MB"));
    assert_eq!(peer.call(init())["trials"], 0);
    peer.quit();
}

/// While the study cannot be saved nothing is acknowledged and nothing changes; once it can, the same messages do what
/// they would have done, and what was acknowledged is on the disk.
#[test]
fn a_failed_save_changes_nothing() {
    let state = folder("a_failed_save_changes_nothing").join("study");
    let options = ["--state", state.to_str().unwrap()];
    // A folder where the temporary file should be: every save is refused, as on a full disk.
    let blockade = state.with_file_name("study.tmp");
    let mut undisturbed = Peer::start(&[]);
    undisturbed.call(init());
    let mut peer = Peer::start(&options);
    peer.call(init());
    let ask = json!({ "cmd": "ask" });
    for round in 0..3 {
        std::fs::create_dir(&blockade).unwrap();
        peer.refused(&ask.to_string(), "check that the folder is writable");
        std::fs::remove_dir(&blockade).unwrap();
        let asked = peer.call(ask.clone());
        assert_eq!(asked, undisturbed.call(ask.clone()), "round {round}");
        let tell = json!({ "cmd": "tell", "obs": measure("chain3", &asked) });
        std::fs::create_dir(&blockade).unwrap();
        peer.refused(&tell.to_string(), "check that the folder is writable");
        let id = asked["ids"][0].to_string();
        peer.refused(&format!(r#"{{"cmd":"fail","id":{id}}}"#), "check that the folder is writable");
        std::fs::remove_dir(&blockade).unwrap();
        peer.call(tell.clone());
        undisturbed.call(tell);
        drop(peer); // killed: what was acknowledged is there
        peer = Peer::start(&options);
        assert_eq!(peer.call(init())["trials"].as_u64().unwrap(), 10 + 3 * round);
    }
    let recommend = json!({ "cmd": "recommend" });
    assert_eq!(peer.call(recommend.clone()), undisturbed.call(recommend));
}

/// Killed after every message, the study continues with no trial lost and none asked twice, and asks for what it
/// would have asked for.
#[test]
fn a_killed_peer_continues() {
    let undisturbed: Vec<Value> = {
        let mut peer = Peer::start(&[]);
        peer.call(init());
        (0..3)
            .map(|_| {
                let asked = peer.call(json!({ "cmd": "ask" }));
                peer.call(json!({ "cmd": "tell", "obs": measure("chain3", &asked) }));
                asked
            })
            .collect()
    };
    let state = folder("a_killed_peer_continues").join("study");
    let restart = |state: &Path| {
        let mut peer = Peer::start(&["--state", state.to_str().unwrap()]);
        let reply = peer.call(init());
        (peer, reply["trials"].as_u64().unwrap())
    };
    let mut trials = 0;
    for expected in &undisturbed {
        let (mut peer, known) = restart(&state);
        assert_eq!(known, trials);
        assert_eq!(peer.call(json!({ "cmd": "ask" })), *expected);
        drop(peer); // killed: these trials are known, but not measured

        let (mut peer, known) = restart(&state);
        trials += expected["x"].as_array().unwrap().len() as u64;
        assert_eq!(known, trials);
        let again = peer.call(json!({ "cmd": "ask" }));
        assert_eq!(again, *expected);
        let samples = measure("chain3", &again);
        let (first, rest) = samples.as_array().unwrap().split_first().unwrap();
        peer.call(json!({ "cmd": "tell", "obs": [first] }));
        drop(peer);

        let (mut peer, _) = restart(&state);
        peer.refused(&json!({ "cmd": "tell", "obs": [first] }).to_string(), "is finished already");
        assert_eq!(peer.call(json!({ "cmd": "ask" }))["x"].as_array().unwrap().len(), rest.len());
        peer.call(json!({ "cmd": "tell", "obs": rest }));
    }
}

/// One batch from given data: inside the cube, the same for the same seed, and no study is touched.
#[test]
fn a_batch_from_given_data() {
    let mut peer = Peer::start(&[]);
    let inputs: Vec<[f64; 2]> = (0..12).map(|i| [f64::from(i % 4) / 3.0, f64::from(i / 4) / 2.0]).collect();
    let cost: Vec<f64> = inputs.iter().map(|x| 1.0 + x[0] + x[1]).collect();
    let latency: Vec<f64> = inputs.iter().map(|x| 3.0 - x[0] - 0.5 * x[1]).collect();
    let request = json!({
        "cmd": "candgen", "X": inputs, "cost": cost, "latency": latency, "qos": 2.2, "noise_var_log": 0.0025,
        "q": 3, "mc": 32, "restarts": 4, "raw": 32, "maxiter": 50, "seed": 1, "threads": 1,
    });
    let reply = peer.call(request.clone());
    assert_eq!(reply["x"], peer.call(request.clone())["x"]);
    let coordinates = reply["x"].as_array().unwrap().iter().flat_map(|x| x.as_array().unwrap());
    assert!(coordinates.clone().all(|x| (0.0..=1.0).contains(&x.as_f64().unwrap())));
    assert_eq!(coordinates.count(), 6);
    for (field, value, expected) in [
        ("X", json!([]), "X: has rows of different lengths, or none"),
        ("cost", json!([1]), "differs in length"),
        ("latency", json!([0]), "latency[0]: is 0"),
        ("mc", json!(9999), "mc: is 9999; use at most 128"),
    ] {
        let mut faulty = request.clone();
        faulty[field] = value;
        peer.refused(&faulty.to_string(), expected);
    }
    peer.refused(r#"{"cmd":"ask"}"#, "send init first");
}
