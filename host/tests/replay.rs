//! The program on a small load: `replay`, its report and its errors.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder of its own for one test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aquatope-replay-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a writable temporary folder");
        Self(path)
    }

    /// Three functions over ten hours: a timer, a square wave, and one that is idle most of the time.
    fn with_load(test: &str) -> Self {
        let folder = Self::new(test);
        let mut series = String::from("minute,func,cnt,act\n");
        for minute in 0..600 {
            if minute % 5 == 0 {
                series.push_str(&format!("{minute},0,3,3\n"));
            }
            let wave = if minute % 60 < 30 { 4 } else { 1 };
            series.push_str(&format!("{minute},1,{},{wave}\n", 2 * wave));
            if minute % 97 == 0 {
                series.push_str(&format!("{minute},2,1,1\n"));
            }
        }
        fs::write(folder.0.join("series.csv"), series).expect("a writable temporary folder");
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn aquatope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aquatope")).args(arguments).output().expect("the program starts")
}

fn replay(trace: &Path, more: &[&str]) -> Output {
    let trace = trace.to_str().expect("a UTF-8 path");
    aquatope(&[&["replay", "--trace", trace], more].concat())
}

/// The comparison as JSON, without the times it took.
fn comparison(trace: &Path, more: &[&str]) -> Value {
    let output = replay(trace, &[&["--json"], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut json: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    for policy in json["policies"].as_array_mut().expect("policies") {
        policy["train_s"] = Value::Null;
        policy["forecast_ms"] = Value::Null;
    }
    json
}

const SPLIT: [&str; 2] = ["--split", "300,400"];

#[test]
fn a_replay_compares_the_policies_asked_for_and_is_reproducible() {
    let folder = Folder::with_load("reproducible");
    let arguments = [&SPLIT[..], &["--policy", "oracle,keep-alive,last-value,light"]].concat();
    let first = comparison(&folder.0, &arguments);
    assert_eq!(first, comparison(&folder.0, &arguments));
    let names: Vec<&str> =
        first["policies"].as_array().expect("policies").iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names, ["oracle", "keep-alive", "last-value", "light"]);
    // Without durations every container is held for its minute and ready at once: the oracle is exact.
    let oracle = &first["policies"][0]["points"][0];
    assert_eq!(oracle["cold_percent"], 0.0);
    assert_eq!(oracle["memory_x_oracle"], 1.0);
    // 200 minutes: 40 firings of 3, a wave of 2.5 in the mean from minute 20 of its hour on, and three single ones.
    let wave: u64 = (400..600).map(|minute| if minute % 60 < 30 { 4 } else { 1 }).sum();
    assert_eq!(first["trace"]["invocations"], 40 * 3 + wave + 2);
    // The square wave is predictable, so the network that sees the past hour must beat the last value.
    let crps = |policy: usize| first["policies"][policy]["errors"]["crps_scaled"].as_f64().expect("a number");
    assert!(crps(3) < crps(2), "light {} against last value {}", crps(3), crps(2));
}

#[test]
fn the_report_is_one_file_that_needs_nothing_else() {
    let folder = Folder::with_load("report");
    let report = folder.0.join("deep/report");
    let more = ["--policy", "keep-alive,last-value", "--report", report.to_str().expect("a UTF-8 path")];
    let output = replay(&folder.0, &[&SPLIT[..], &more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("policy") && text.contains("report.html"), "{text}");
    let html = fs::read_to_string(report.join("report.html")).expect("the report");
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    assert!(html.contains("prefers-color-scheme: dark"));
    // Two frontiers, three functions, the errors.
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert!(html.matches("<svg").count() >= 6);
    for outside in ["http://", "https://", "src=", "<script", "NaN", "inf"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let left: Vec<_> = fs::read_dir(&report).expect("the folder").collect();
    assert_eq!(left.len(), 1, "nothing but the report");
}

#[test]
fn bad_requests_end_with_code_2_and_one_line() {
    let folder = Folder::with_load("requests");
    let file = folder.0.join("file");
    fs::write(&file, "in the way").expect("a writable temporary folder");
    let blocked = file.join("report");
    let blocked = blocked.to_str().expect("a UTF-8 path");
    let file = file.to_str().expect("a UTF-8 path");
    let cases: [(&[&str], &str); 10] = [
        (&["--unit", "containers"], "--unit containers: belongs to the Azure schema"),
        (&["--split", "0,400"], "the training part is empty"),
        (&["--split", "300,300"], "the validation part, from minute 300 to before 300, is empty"),
        (&["--split", "300,700"], "the test part, from minute 700 to before 600, is empty"),
        (&["--train-days", "3"], "--train-days 3: the test part"),
        (&["--cold-cost", "0"], "--cold-cost: is 0; give a price in GB-minutes of idle memory, above 0"),
        (&["--cold-cost", "-1"], "--cold-cost: is -1; give a price in GB-minutes of idle memory, above 0"),
        (&["--policy", "light,keep-alive,light"], "--policy: names light twice; name every policy once"),
        (&["--report", blocked], "give a folder that can be written"),
        (&["--report", file], "file: is a file; name a folder, or one that is not there yet"),
    ];
    for (arguments, expected) in cases {
        let output = replay(&folder.0, arguments);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
        assert!(line.contains(expected), "{arguments:?}: {line:?} does not say {expected:?}");
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert!(output.stdout.is_empty());
    }
    let unparsed = [
        (["--policy", "magic"], "possible values"),
        (["--split", "x"], "900,1020"),
        (["--cold-cost", "abc"], "give a number, such as 2.25"),
        (["--train-days", "-3"], "give a whole number, 0 or above"),
        (["--seed", "99999999999999999999"], "give a smaller number"),
    ];
    for (arguments, expected) in unparsed {
        let output = replay(&folder.0, &arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected));
    }
    let output = aquatope(&["train", "--trace", "x", "--out", "y", "--train-days", "-3"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("give a whole number, 0 or above"));
}

#[test]
fn trained_models_are_loaded_and_say_what_a_fresh_training_says() {
    let folder = Folder::with_load("models");
    let models = folder.0.join("models");
    let (trace, out) = (folder.0.to_str().expect("UTF-8"), models.to_str().expect("UTF-8"));
    write_split(&folder, 300, 400);
    let output = aquatope(&["train", "--trace", trace, "--model", "both", "--out", out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<_> = fs::read_dir(&models)
        .expect("the folder")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["hybrid.aqlm", "light.aqlm"]);
    for (file, kind) in
        [("hybrid.aqlm", "hybrid: one LSTM network"), ("light.aqlm", "light: one network for all functions")]
    {
        let path = models.join(file);
        let text = aquatope(&["inspect", path.to_str().expect("UTF-8")]).stdout;
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains(&format!("kind        {kind}")), "{text}");
    }
    let policies = ["--policy", "light,hybrid,aqualite,aquatope"];
    let loaded = comparison(&folder.0, &[&policies[..], &["--models", out]].concat());
    let light = comparison(&folder.0, &["--policy", "light"]);
    assert_eq!(loaded["policies"][0], light["policies"][0]);
    let below_q99 = |policy: usize| &loaded["policies"][policy]["errors"]["below_q99"];
    assert!(below_q99(1).as_f64() > below_q99(2).as_f64(), "uncertainty covers more than a point");
    // The same forecasts through the stream.
    let hello = format!("HELLO 1 {trace}/functions.csv {trace}/series.csv {trace}/split.csv\nP 400\nBYE\n");
    let functions = "func,name,workflow,parent,cold_s,mem_mb,dur_mean_s\n0,f0,-1,-1,2,256,1\n1,f1,-1,-1,2,256,1\n2,f2,-1,-1,2,256,1\n";
    fs::write(folder.0.join("functions.csv"), functions).expect("a writable temporary folder");
    for model in ["light", "hybrid", "aquatope"] {
        let answer = talk(&["forecast", "--stream", "--model", model, "--models", out], &hello);
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        let text = String::from_utf8(answer.stdout).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[4]), (5, "READY", "END"), "{text}");
        assert!(lines[1].starts_with("400,0,") && lines[3].starts_with("400,2,"), "{text}");
    }
}

#[test]
fn models_that_do_not_fit_are_refused_with_one_line() {
    let folder = Folder::with_load("unfit");
    let models = folder.0.join("models");
    let (trace, out) = (folder.0.to_str().expect("UTF-8"), models.to_str().expect("UTF-8"));
    write_split(&folder, 300, 400);
    assert!(aquatope(&["train", "--trace", trace, "--out", out]).status.success());
    let whole = fs::read(models.join("light.aqlm")).expect("the model");
    let refused = |policy: &str, expected: &str| {
        let output = replay(&folder.0, &["--policy", policy, "--models", out]);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains(expected) && line.contains(".aqlm"), "{line:?} does not say {expected:?}");
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    };
    let put =
        |file: &str, bytes: &[u8]| fs::write(models.join(file), bytes).expect("a writable temporary folder");
    refused("hybrid", "give a file written by `aquatope train`");
    let said = replay(&folder.0, &["--policy", "keep-alive,aquatope", "--models", out]).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("has no hybrid.aqlm") && said.contains("chooses without the hybrid"), "{said}");
    put("hybrid.aqlm", &whole);
    refused("hybrid", "train the model again");
    put("light.aqlm", &whole[..whole.len() - 9]);
    refused("light", "train the model again");
    // Neither fits. All models are looked at, the light one first, before the first policy is built, which needs the other.
    refused("hybrid,light", "light.aqlm");
    put("light.aqlm", b"minute,func,cnt,act\n0,0,1,1\n");
    refused("aquatope", "not a model file");
    put("light.aqlm", &whole);
    let series = fs::read_to_string(folder.0.join("series.csv")).expect("the trace");
    let more = format!("{series}599,3,1,1\n");
    fs::write(folder.0.join("series.csv"), more).expect("a writable temporary folder");
    refused("light", "was trained for 3 functions and the trace has 4");
}

#[test]
fn a_test_on_minutes_seen_in_training_is_refused() {
    let folder = Folder::with_load("seen");
    let models = folder.0.join("models");
    let (trace, out) = (folder.0.to_str().expect("UTF-8"), models.to_str().expect("UTF-8"));
    // Trained on all ten hours, for want of a split.
    assert!(aquatope(&["train", "--trace", trace, "--out", out]).status.success());
    let arguments = [&SPLIT[..], &["--policy", "light", "--models", out]].concat();
    let output = replay(&folder.0, &arguments);
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(
        line.contains("trained on the first 600 minutes of this trace, and the test begins at minute 400"),
        "{line}"
    );
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
}

#[test]
fn inspect_names_the_functions_with_a_short_history() {
    let folder = Folder::new("new");
    let mut series = String::from("minute,func,cnt,act\n");
    for minute in 0..1500 {
        series.push_str(&format!("{minute},0,2,1\n"));
        if minute >= 1000 && minute % 2 == 0 {
            series.push_str(&format!("{minute},1,3,3\n"));
        }
    }
    fs::write(folder.0.join("series.csv"), series).expect("a writable temporary folder");
    let (trace, out) = (folder.0.to_str().expect("UTF-8"), folder.0.join("models"));
    let output = aquatope(&["train", "--trace", trace, "--out", out.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let model = out.join("light.aqlm");
    let model = model.to_str().expect("UTF-8");
    let text = String::from_utf8(aquatope(&["inspect", model]).stdout).expect("text");
    assert!(text.contains("trained     on 2 functions, the first 1500 minutes"), "{text}");
    assert!(text.contains("short       f1: with less than a day of history"), "{text}");
    let json: Value = serde_json::from_slice(&aquatope(&["inspect", model, "--json"]).stdout).expect("JSON");
    assert_eq!(json["trained"]["new_functions"], serde_json::json!(["f1"]));
}

/// Stopped by either signal, again and again, a run ends in the model of one that was left alone.
#[cfg(unix)]
#[test]
fn stopped_and_resumed_training_writes_the_same_models() {
    // Two rounds of the light model, which stops between rounds; the hybrid model stops at any step.
    for (model, signal, functions, minutes) in [("light", "TERM", 8, 900), ("hybrid", "INT", 3, 500)] {
        let folder = Folder::new(&format!("stopped-{model}"));
        let mut series = String::from("minute,func,cnt,act\n");
        for (minute, function) in (0..minutes).flat_map(|m| (0..functions).map(move |f| (m, f))) {
            if minute % (function + 3) == 0 {
                series.push_str(&format!("{minute},{function},{0},{0}\n", 1 + function % 4));
            }
        }
        fs::write(folder.0.join("series.csv"), series).expect("a writable temporary folder");
        let train = |out: &str| {
            let out = folder.0.join(out);
            let mut command = Command::new(env!("CARGO_BIN_EXE_aquatope"));
            command.args(["train", "--model", model, "--trace"]).arg(&folder.0).arg("--out").arg(&out);
            (command, out)
        };
        let file = format!("{model}.aqlm");
        let (mut alone, whole) = train("whole");
        assert!(alone.stdout(Stdio::null()).status().expect("the program starts").success());
        let (mut stopped, parts) = train("parts");
        stopped.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut stops = 0;
        for patience in 1.. {
            let mut run = stopped.spawn().expect("the program starts");
            std::thread::sleep(std::time::Duration::from_millis(20 * patience));
            let signalled = Command::new("kill").args([format!("-{signal}"), run.id().to_string()]).status();
            signalled.expect("kill is part of every Unix");
            let mut said = String::new();
            run.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
            let status = run.wait().expect("it ends");
            if status.success() {
                break;
            }
            // Without a code it was hit before it listened for signals: nothing was begun.
            if status.code() == Some(1) {
                assert!(said.contains("the same command goes on from"), "{said}");
                assert!(parts.join(format!("{model}.checkpoint")).exists());
                stops += 1;
            }
        }
        assert!(stops > 0, "{model} was never stopped in the middle");
        let read = |folder: &Path| fs::read(folder.join(&file)).expect("a model");
        assert!(read(&whole) == read(&parts), "{model}: another model");
        assert!(!parts.join(format!("{model}.checkpoint")).exists());
    }
}

fn write_split(folder: &Folder, train_end: usize, valid_end: usize) {
    let text = format!("key,value\ntrain_end,{train_end}\nvalid_end,{valid_end}\nend,600\n");
    fs::write(folder.0.join("split.csv"), text).expect("a writable temporary folder");
}

/// Run the program with `input` on its standard input.
fn talk(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aquatope"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the program listens");
    child.wait_with_output().expect("the program ends")
}

#[test]
fn a_model_of_next_to_nothing_is_warned_of() {
    let folder = Folder::with_load("short");
    for (split, warned) in [("119,200", true), ("120,200", false)] {
        let output = replay(&folder.0, &["--split", split, "--policy", "light"]);
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.contains("the light model has only 119 minutes to learn from"), warned, "{said}");
    }
}

#[test]
fn a_test_without_invocations_is_refused() {
    let folder = Folder::new("quiet");
    let files = [
        ("series.csv", "minute,func,cnt,act\n0,0,1,1\n"),
        ("split.csv", "key,value\ntrain_end,60\nvalid_end,80\nend,120\n"),
    ];
    for (name, text) in files {
        fs::write(folder.0.join(name), text).expect("a writable temporary folder");
    }
    let output = replay(&folder.0, &["--policy", "keep-alive"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no function is invoked in it"));
}

mod inspect {
    use super::*;
    use aquatope_core::forecast::features::FEATURES;
    use aquatope_core::forecast::light::{header, network_len};

    /// With `gain` for all features.
    fn model(hidden: usize, gain: f32) -> Vec<u8> {
        let mut values = vec![0.25f32; network_len(hidden)];
        values[FEATURES..2 * FEATURES].fill(gain);
        let mut bytes = header(hidden, 1).to_bytes(&values).expect("finite values").to_vec();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_model_file_is_explained() {
        let folder = Folder::new("inspect");
        let path = folder.0.join("light.aqm");
        fs::write(&path, model(8, 0.25)).expect("a writable temporary folder");
        let path = path.to_str().expect("a UTF-8 path");
        let text = String::from_utf8(aquatope(&["inspect", path]).stdout).expect("text");
        assert!(text.contains("kind        light") && text.contains("to 0.25"), "{text}");
        let json: Value =
            serde_json::from_slice(&aquatope(&["inspect", path, "--json"]).stdout).expect("JSON");
        assert_eq!(json["parameters"], network_len(8));
    }

    #[test]
    fn unsound_model_files_are_refused() {
        let folder = Folder::new("unsound");
        let whole = model(8, 0.25);
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        let mut version = whole.clone();
        version[4] = 99;
        let cases: [(&str, &[u8], &str); 7] = [
            ("empty", b"", "not a model file; give"),
            ("foreign", b"minute,func,cnt,act\n0,0,1,1\n", "not a model file; give"),
            ("truncated", &whole[..whole.len() - 4], "bytes where"),
            ("torn", &whole[..whole.len() - 3], "bytes where"),
            ("flipped", &flipped, "checksum"),
            ("version", &version, "of version 99"),
            ("gains", &model(8, 0.0), "value 105 of the weight file is out of range; train the model again"),
        ];
        for (case, bytes, expected) in cases {
            let path = folder.0.join(case);
            fs::write(&path, bytes).expect("a writable temporary folder");
            let output = aquatope(&["inspect", path.to_str().expect("a UTF-8 path")]);
            let line = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{case}: {line}");
            assert!(line.contains(case) && line.contains(expected), "{case}: {line}");
            assert_eq!(line.trim_end().lines().count(), 1, "{case}: {line}");
        }
    }
}
