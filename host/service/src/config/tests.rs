//! What an operator may write, and what is said of the rest.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aquatope_workflow::fault::Fault;

use super::bounds::{NUMBERS, bounds};
use super::*;

fn read_text(text: &str, environment: &[(&str, &str)]) -> Result<Config, Fault> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aquatope.toml");
    std::fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    read(Some(&path), environment).map(|(config, _)| config)
}

/// The printed default with the lines behind `mark` uncommented, and how many there were.
fn uncommented(mark: &str) -> (String, usize) {
    let mut text = String::new();
    let mut lines = 0;
    for line in DEFAULT.lines() {
        let is_key = |line: &&str| {
            line.starts_with("[[") || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
        };
        let key = line.strip_prefix(mark).filter(is_key);
        lines += usize::from(key.is_some());
        writeln!(text, "{}", key.unwrap_or(line)).unwrap();
    }
    (text, lines)
}

#[test]
fn the_printed_default_is_the_default_uncommented_or_not() {
    assert_eq!(read_text(DEFAULT, &[]).unwrap(), Config::default());
    let (text, lines) = uncommented("# ");
    assert!(lines > 35, "{lines}");
    assert_eq!(read_text(&text, &[]).unwrap(), Config::default());
    // Whatever is behind neither mark is a heading or a comment.
    let (text, examples) = uncommented("#: ");
    assert!(examples > 20, "{examples}");
    let config: Config = toml::from_str(&text).unwrap();
    assert!(
        config.pool.capacity_mb.is_some() && config.pool.step.is_some() && config.http.token_file.is_some()
    );
    // A workflow as it is when all but its file is left out.
    let file = config.workflow[0].file.clone();
    let left_out: Config = toml::from_str(&format!("[[workflow]]\nfile = {file:?}\n")).unwrap();
    assert_eq!(config.workflow, left_out.workflow);
}

#[test]
fn every_key_is_printed() {
    let keys = keys();
    for (heading, key) in &keys {
        let is_printed = ["# ", "#: "]
            .iter()
            .any(|mark| DEFAULT.lines().any(|line| line.starts_with(&format!("{mark}{key} = "))));
        assert!(is_printed, "{heading} {key}");
    }
    assert!(keys.len() > 55, "{}", keys.len());
}

/// Every key, with the heading of its section.
fn keys() -> Vec<(&'static str, String)> {
    let lines = DEFAULT.lines().map(|line| line.trim_start_matches("#: "));
    let headings = lines.filter(|line| line.starts_with('[')).map(|line| line.split("  ").next().unwrap());
    let of_section = |heading| {
        // Serde names all keys of a section when there is one that it does not know.
        let error = toml::from_str::<Config>(&format!("{heading}\nnothing = 1\n")).unwrap_err();
        let (_, known) = error.message().split_once(", expected ").unwrap();
        let known: Vec<String> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        known.into_iter().map(move |key| (heading, key))
    };
    headings.flat_map(of_section).collect()
}

#[test]
fn a_number_of_a_wrong_type_and_one_out_of_bounds_are_told_the_same_range() {
    let mut numbers = BTreeSet::new();
    for (heading, key) in keys() {
        let file = if heading == "[[workflow]]" { "file = \"a\"\n" } else { "" };
        let text = |value: &str| format!("{heading}\n{file}{key} = {value}\n");
        // Serde says what it would have taken.
        let taken = toml::from_str::<Config>(&text("true")).map_err(|error| error.message().to_owned());
        if !taken.is_err_and(|error| {
            error.contains("expected f64") || error.contains("expected u") || error.contains("expected i")
        }) {
            continue;
        }
        let section = heading.trim_matches(['[', ']']);
        let (least, most) = bounds(section, &key).unwrap_or_else(|| panic!("{section}.{key} has no bounds"));
        let kind = if toml::from_str::<Config>(&text("2.5")).is_ok() { "a number" } else { "a whole number" };
        let range = format!("set {kind} from {least} to {most}");
        for value in [
            "true".into(),
            "\"7\"".into(),
            format!("{}", least - 1.0),
            format!("{}", most * 2.0),
            "nan".into(),
        ] {
            let fault = read_text(&text(&value), &[]).unwrap_err();
            assert!(fault.at.ends_with(&format!("{section}.{key}")), "{fault}");
            assert_eq!(fault.mend, range, "{key} = {value}");
        }
        for value in [least, most] {
            // What needs other keys too is of no matter here.
            let told = read_text(&text(&format!("{value}")), &[]).err().map(|fault| fault.mend);
            assert_ne!(told.as_ref(), Some(&range), "{key} = {value}");
        }
        numbers.insert(format!("{section}.{key}"));
    }
    assert_eq!(numbers, NUMBERS.iter().map(|&(key, _)| key.to_owned()).collect(), "bounds of no key");
}

#[test]
fn a_misspelt_key_is_named_with_the_nearest_one() {
    let fault = read_text("[kafka]\nbroker = \"x:1\"\n", &[]).unwrap_err();
    assert!(fault.at.ends_with("aquatope.toml:2:1"), "{}", fault.at);
    assert_eq!(fault.what, "unknown key `broker`");
    assert!(fault.mend.contains("`brokers`"), "{}", fault.mend);
    let fault = read_text("[pol]\nmost = 3\n", &[]).unwrap_err();
    assert!(fault.mend.contains("`pool`"), "{}", fault.mend);
    let fault = read_text("", &[("AQUATOPE_KAFKA_BROKER", "x:1")]).unwrap_err();
    assert_eq!(fault.at, "AQUATOPE_KAFKA_BROKER");
    assert!(fault.mend.contains("`brokers`"), "{}", fault.mend);
    for variable in ["AQUATOPE_OPENWHISK_AUT", "AQUATOPE_OPENWISK_AUTH"] {
        let fault = read_text("", &[(variable, "user:secret")]).unwrap_err();
        assert!(fault.mend.contains("`AQUATOPE_OPENWHISK_AUTH`"), "{fault}");
    }
}

/// The file, and what is said of it after the folder's name.
const WRONG: [(&str, &str); 25] = [
    (
        "[log]\nfilter = \",\"",
        "2:10: log.filter: is \",\"; set one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", \
         or a filter as \"warn,aquatope_service=debug\"",
    ),
    (
        "[log]\nfilter = \"inof\"",
        "2:10: log.filter: is \"inof\"; set one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", \
         or a filter as \"warn,aquatope_service=debug\"",
    ),
    ("[pool]\nmost = \"many\"", "2:8: pool.most: is \"many\"; set a whole number from 0 to 4294967295"),
    ("[pool]\nmost = -1", "2:8: pool.most: is -1; set a whole number from 0 to 4294967295"),
    ("[pool]\npatience = 70000", "2:12: pool.patience: is 70000; set a whole number from 0 to 65535"),
    ("[pool]\nmost = 1.5", "2:8: pool.most: is 1.5; set a whole number from 0 to 4294967295"),
    ("[pool]\ncapacity_mb = true", "2:15: pool.capacity_mb: is true; set a number from 1 to 1000000000000"),
    ("[windows]\n\nahead_s = \"5 s\"", "3:11: windows.ahead_s: is \"5 s\"; set a number from 0 to 15"),
    ("[train]\nenabled = \"yes\"", "2:11: train.enabled: is \"yes\"; set true or false"),
    (
        "[pool]\nfunctions = \"guest/*\"",
        "2:13: pool.functions: is \"guest/*\"; set a list of texts, as [\"one\", \"two\"]",
    ),
    (
        "[pool]\nfunctions = [\"a\", 3]",
        "2:13: pool.functions: is a list; set a list of texts, as [\"one\", \"two\"]",
    ),
    ("[kafka]\ntopic = 3", "2:9: kafka.topic: is 3; set a text in quotes"),
    ("[kafka]\npassword_file = 3", "2:17: kafka.password_file: is 3; set a text in quotes"),
    ("[kafka]\nstart = \"first\"", "2:9: kafka.start: is \"first\"; set one of \"earliest\", \"latest\""),
    (
        "[kafka]\nsecurity = 1",
        "2:12: kafka.security: is 1; set one of \"plaintext\", \"ssl\", \"sasl-plaintext\", \"sasl-ssl\"",
    ),
    (
        "[actuator]\nkind = \"warmup\"",
        "2:8: actuator.kind: is \"warmup\"; set one of \"dry-run\", \"manifest-file\", \"runtimes\", \"warm-up\", \"keep-count\"",
    ),
    (
        "[http]\nlisten = \"localhost\"",
        "2:10: http.listen: is \"localhost\"; set an address in digits and a port, as \"127.0.0.1:9180\"",
    ),
    ("pool = 3", "1:8: pool: is 3; write it as a section, [pool], with its keys below"),
    ("[workflow]\nfile = \"a\"", "1:1: workflow: is a table; write it as [[workflow]]"),
    (
        "[[workflow]]\nfile = \"a\"\n[[workflow]]\ntune = true",
        ": workflow.file: missing; name the workflow file of every [[workflow]]",
    ),
    (
        "[[workflow]]\nfile = \"a\"\n[[workflow]]\nfile = \"b\"\ntrials = \"all\"",
        "5:10: workflow.trials: is \"all\"; set a whole number from 1 to 128",
    ),
    ("[state]\nhistory_days = 0", "2:16: state.history_days: is 0; set a whole number from 1 to 3650"),
    (
        "[openwhisk]\nurl = \"openwhisk.example\"",
        "2:7: openwhisk.url: has \"openwhisk.example\"; begin it with https:// or http://",
    ),
    (
        "[kafka]\nbrokers = \"kafka:\"",
        "2:11: kafka.brokers: is \"kafka:\"; set host:port, several separated by commas, as \"kafka0:9092,kafka1:9092\"",
    ),
    (
        "[actuator]\nkind = \"runtimes\"",
        ": actuator.manifest: missing; set it: actuator.kind = \"runtimes\" needs it",
    ),
];

#[test]
fn wrong_values_are_told_with_their_place_and_what_is_allowed() {
    for (text, expected) in WRONG {
        let told = read_text(text, &[]).unwrap_err().to_string();
        let (_, told) = told.split_once("aquatope.toml").unwrap();
        assert_eq!(
            told.trim_start_matches(':').trim_start(),
            expected.trim_start_matches(':').trim_start(),
            "{text}"
        );
    }
    for (text, expected) in [
        ("[pool]\nmost = 1\nmost = 2", ":3:1: duplicate key; keep one: a key stands once in its section"),
        ("[kafka]\ntopic = events", "; write `key = value` lines, texts in quotes"),
    ] {
        let told = read_text(text, &[]).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
    for key in ["openwhisk", "kafka"] {
        let told = read_text(&format!("[{key}]\nca_file = \"/nowhere/ca.pem\""), &[]).unwrap_err();
        assert!(told.at.ends_with(&format!("aquatope.toml:2:11: {key}.ca_file = /nowhere/ca.pem")), "{told}");
        assert!(told.mend.contains("PEM"), "{told}");
    }
    let token = "/nowhere/token";
    let told = read_text(&format!("[http]\ntoken_file = {token:?}"), &[]).unwrap_err();
    assert!(told.at.ends_with(&format!("aquatope.toml:2:14: http.token_file = {token}")), "{told}");
    let told = read_text("", &[("AQUATOPE_HTTP_TOKEN_FILE", token)]).unwrap_err();
    assert_eq!(told.at, format!("AQUATOPE_HTTP_TOKEN_FILE = {token}"));
    // A key that there is not, behind a value that is wrong.
    let told = read_text("[pool]\nmost = true\n[kafka]\nbroker = 1\n", &[]).unwrap_err();
    assert!(told.what == "unknown key `broker`" && told.mend.contains("`brokers`"), "{told}");
    let fault = read_text("[pool\n", &[]).unwrap_err();
    assert!(fault.at.contains(":1:"), "{}", fault.at);
}

#[test]
fn wrong_variables_are_told_by_their_names() {
    for (name, value, expected) in [
        ("AQUATOPE_POOL_MOST", "many", "is \"many\"; set a whole number from 0 to 4294967295"),
        ("AQUATOPE_KAFKA_START", "first", "is \"first\"; set one of \"earliest\", \"latest\""),
        ("AQUATOPE_STATE_HISTORY_DAYS", "0", "is 0; set a whole number from 1 to 3650"),
        (
            "AQUATOPE_ACTUATOR_KIND",
            "3",
            "is 3; set one of \"dry-run\", \"manifest-file\", \"runtimes\", \"warm-up\", \"keep-count\"",
        ),
        (
            "AQUATOPE_WORKFLOW_FILE",
            "a.json",
            "stands for no key; name it AQUATOPE_<SECTION>_<KEY>, or unset it; a [[workflow]] stands in the file only",
        ),
    ] {
        // What the file says of the same key does not matter.
        let text = "[pool]\nmost = 3\n[state]\nhistory_days = 4\n";
        let fault = read_text(text, &[(name, value)]).unwrap_err();
        assert_eq!(fault.to_string(), format!("{name}: {expected}"));
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let text = "[kafka]\nbrokers = \"a:1\"\n[pool]\nmost = 3\n";
    let environment = [
        ("AQUATOPE_KAFKA_BROKERS", "b:2,c:3"),
        ("AQUATOPE_POOL_MOST", "7"),
        ("AQUATOPE_POOL_FUNCTIONS", "[\"guest/*\"]"),
        ("AQUATOPE_LOG_FILTER", "3"),
        ("AQUATOPE_KAFKA_USERNAME", "true"),
        ("AQUATOPE_KAFKA_TOPIC", "\"7\""),
        ("PATH", "/bin"),
    ];
    let config = read_text(text, &environment).unwrap();
    assert_eq!((config.log.filter.as_str(), config.kafka.username.as_str()), ("3", "true"));
    assert_eq!(config.kafka.topic, "7");
    assert_eq!((config.kafka.brokers.as_str(), config.pool.most), ("b:2,c:3", 7));
    assert_eq!(config.pool.functions, ["guest/*"]);
}

#[test]
fn keys_that_do_not_fit_together_are_refused() {
    for (text, key) in [
        ("[kafka]\ngroup = \"kamon\"", "kafka.group"),
        ("[kafka]\ngroup = \"invoker0\"", "kafka.group"),
        ("[kafka]\ngroup = \"cacheInvalidationcontroller0\"", "kafka.group"),
        ("[kafka]\nsecurity = \"sasl-ssl\"\nsasl_mechanism = \"MD5\"", "kafka.sasl_mechanism"),
        ("[kafka]\nbrokers = \" \"", "kafka.brokers"),
        ("[windows]\nahead_s = nan", "windows.ahead_s"),
        ("[windows]\nahead_s = 60.0", "windows.ahead_s"),
        ("[pool]\ncold_start_cost = -1.0", "pool.cold_start_cost"),
        ("[pool]\nfirst_cold_start_cost = inf", "pool.first_cold_start_cost"),
        ("[pool]\ncapacity_mb = 0", "pool.capacity_mb"),
        ("[actuator]\nkind = \"runtimes\"", "actuator.manifest"),
        ("[actuator]\nkind = \"warm-up\"", "openwhisk.url"),
        ("[actuator]\nkind = \"keep-count\"", "actuator.couchdb_url"),
        ("[state]\nhistory_days = 0", "state.history_days"),
        ("[cluster]\nenabled = true\nshards = 0", "cluster.shards"),
        ("[cluster]\nenabled = true\ntopic = \"events\"", "cluster.topic"),
        ("[cluster]\nenabled = true\nsession_timeout_s = 1.0", "cluster.session_timeout_s"),
        ("[train]\nevery_h = -1.0", "train.every_h"),
        ("[[workflow]]\nfile = \"w.json\"\nper_minute = 0", "workflow.per_minute"),
        ("[train]\nevery_h = 0", "train.every_h"),
        ("[actuator]\ninvokers = 0", "actuator.invokers"),
        ("[pool]\nstep = 0", "pool.step"),
        ("[[workflow]]\nfile = \"w.json\"\nsamples = 101", "workflow.samples"),
        ("[[workflow]]\nfile = \"w.json\"\ntrials = 0", "workflow.trials"),
        ("[openwhisk]\ntimeout_s = 0.0", "openwhisk.timeout_s"),
        ("[kafka]\ngroup = \"\"", "kafka.group"),
        ("[train]\nfirst_after_h = nan", "train.first_after_h"),
        ("[actuator]\nidle_container_min = 1e300", "actuator.idle_container_min"),
    ] {
        let fault = read_text(text, &[]).unwrap_err();
        assert!(fault.at.ends_with(key), "{text}: {}", fault.at);
        assert!(!fault.mend.is_empty());
    }
    assert!(read_text("[kafka]\ngroup = \"healthy-observer\"", &[]).is_ok());
    for filter in ["warn,aquatope_service=debug", "INFO", "3", "info,"] {
        assert!(read_text(&format!("[log]\nfilter = {filter:?}"), &[]).is_ok(), "{filter:?}");
    }
    assert!(read_text("[kafka]\nbrokers = \"[::1]:9092, kafka,\"", &[]).is_ok());
    assert_eq!(read_text("[kafka]\ngroup = \"\"", &[]).unwrap_err().what, "empty");
}

#[test]
fn an_empty_variable_is_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (path, password) = (folder.path().join("aquatope.toml"), folder.path().join("password"));
    std::fs::write(&path, format!("[kafka]\npassword_file = {password:?}\n")).unwrap();
    std::fs::write(&password, "open barley\n").unwrap();
    let kafka = |variable: &str| {
        let environment = [("AQUATOPE_KAFKA_PASSWORD".to_owned(), variable.to_owned())];
        let (_, secrets) = read(Some(&path), environment).unwrap();
        secrets.kafka.unwrap().reveal().to_owned()
    };
    assert_eq!([kafka(" "), kafka("sesame")], ["open barley", "sesame"]);
}
