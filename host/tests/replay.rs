//! The program on a small load: `replay`, its report and its errors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
    let cases: [(&[&str], &str); 6] = [
        (&["--split", "0,400"], "the training part is empty"),
        (&["--split", "300,300"], "the validation part [300, 300) is empty"),
        (&["--split", "300,700"], "the test part [700, 600) is empty"),
        (&["--train-days", "3"], "--train-days 3: the test part"),
        (&["--cold-cost", "0"], "--cold-cost: is not a positive number"),
        (&["--report", blocked], "give a folder that can be written"),
    ];
    for (arguments, expected) in cases {
        let output = replay(&folder.0, arguments);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
        assert!(line.contains(expected), "{arguments:?}: {line:?} does not say {expected:?}");
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert!(output.stdout.is_empty());
    }
    for (arguments, expected) in [(["--policy", "magic"], "possible values"), (["--split", "x"], "900,1020")]
    {
        let output = replay(&folder.0, &arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(expected));
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
    use aquatope_core::forecast::light::{header, network_len};

    fn model(hidden: usize) -> Vec<u8> {
        let values = vec![0.25f32; network_len(hidden)];
        let mut bytes = header(hidden, 1).to_bytes(&values).expect("finite values").to_vec();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_model_file_is_explained() {
        let folder = Folder::new("inspect");
        let path = folder.0.join("light.aqm");
        fs::write(&path, model(8)).expect("a writable temporary folder");
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
        let whole = model(8);
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        let mut version = whole.clone();
        version[4] = 99;
        let cases: [(&str, &[u8]); 6] = [
            ("empty", b""),
            (
                "foreign",
                b"minute,func,cnt,act\n0,0,1,1\nand so on until it is longer than a header of a model!",
            ),
            ("truncated", &whole[..whole.len() - 4]),
            ("torn", &whole[..whole.len() - 3]),
            ("flipped", &flipped),
            ("version", &version),
        ];
        for (case, bytes) in cases {
            let path = folder.0.join(case);
            fs::write(&path, bytes).expect("a writable temporary folder");
            let output = aquatope(&["inspect", path.to_str().expect("a UTF-8 path")]);
            let line = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{case}: {line}");
            assert!(line.contains(case) && line.trim_end().lines().count() == 1, "{case}: {line}");
        }
    }
}
