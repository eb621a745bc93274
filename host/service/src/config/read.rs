//! Reading the configuration: file, then environment, then checks across keys.

use std::path::Path;

use aquatope_workflow::fault::Fault;
use toml::{Table, Value};

use super::{ActuatorKind, Config, Secrets};
use crate::platform::fault;

/// The commented default, as `aquatope config` prints it.
pub const DEFAULT: &str = include_str!("default.toml");

/// Groups that OpenWhisk's own components consume in: joining one would take their only partition away.
const OPENWHISK_GROUPS: [&str; 7] =
    ["kamon", "completed", "health", "cacheInvalidation", "invoker", "scheduler", "creationAck"];

/// The configuration in `file` (none: the defaults), overridden by `environment`, and its secrets.
///
/// # Errors
/// The first fault, naming the key and its place.
pub fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Secrets), Fault> {
    let at = file.map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| fault(&at, error, "pass the file that `aquatope config` printed to --config"))?,
        None => String::new(),
    };
    // First by itself, so that a fault of the file is placed in the file.
    parse(&text).map_err(|error| named(&at, &text, &error))?;
    let mut table: Table = text.parse().map_err(|error| named(&at, &text, &error))?;
    let environment: Vec<(String, String)> =
        environment.into_iter().filter(|(name, _)| name.starts_with("AQUATOPE_")).collect();
    let (secrets, overrides) = Secrets::split(environment);
    for (name, value) in &overrides {
        set(&mut table, name, value)?;
        let result: Result<Config, _> = table.clone().try_into();
        result.map_err(|error| named(name, "", &error))?;
    }
    let config: Config = table.try_into().map_err(|error| named(&at, "", &error))?;
    check(&config, &at)?;
    let secrets = secrets.with_files(&config)?;
    Ok((config, secrets))
}

fn parse(text: &str) -> Result<Config, toml::de::Error> {
    toml::from_str(text)
}

/// Set the key that the variable `name` stands for.
fn set(table: &mut Table, name: &str, value: &str) -> Result<(), Fault> {
    let key = name.trim_start_matches("AQUATOPE_").to_lowercase();
    let Some((section, key)) = key.split_once('_') else {
        return Err(fault(name, "not a key", "name it AQUATOPE_<SECTION>_<KEY>, or unset it"));
    };
    // A value that is not TOML is a string without quotes.
    let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    match section {
        Value::Table(section) => section.insert(key.to_owned(), value),
        _ => return Err(fault(name, "the section is not a table", "override keys of plain sections only")),
    };
    Ok(())
}

/// A fault of serde or of the syntax, with line and column, and the nearest key for a misspelt one.
fn named(at: &str, text: &str, error: &toml::de::Error) -> Fault {
    let place = error.span().filter(|_| !text.is_empty()).map(|span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        format!("{at}:{line}:{column}")
    });
    let message = error.message();
    let mend = match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((wrong, expected)) => {
            let known = expected.split('`').skip(1).step_by(2);
            let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(wrong, known));
            nearest.map_or_else(
                || "remove it".to_owned(),
                |nearest| format!("the nearest key is `{nearest}`; `aquatope config` lists them all"),
            )
        }
        None => "`aquatope config` prints every key with its default".to_owned(),
    };
    let what = message.split(", expected one of").next().unwrap_or(message);
    fault(place.as_deref().unwrap_or(at), what, mend)
}

/// What no single key shows.
fn check(config: &Config, at: &str) -> Result<(), Fault> {
    let wrong = |key: &str, what: String, mend: &str| Err(fault(&format!("{at}: {key}"), what, mend));
    let finite = |x: f64| x.is_finite() && x >= 0.0;
    let numbers = [
        ("windows.lateness_s", config.windows.lateness_s, 0.0, 60.0),
        ("windows.final_after_s", config.windows.final_after_s, 0.0, 7200.0),
        ("cluster.session_timeout_s", config.cluster.session_timeout_s, 0.0, 300.0),
        ("windows.event_delay_s", config.windows.event_delay_s, 0.0, 60.0),
        ("openwhisk.timeout_s", config.openwhisk.timeout_s, 0.1, 600.0),
        ("pool.stale_after_s", config.pool.stale_after_s, 0.0, 86_400.0),
        ("actuator.min_interval_s", config.actuator.min_interval_s, 0.0, 86_400.0),
        ("train.first_after_h", config.train.first_after_h, 0.0, 8760.0),
        ("train.every_h", config.train.every_h, 0.1, 8760.0),
        ("actuator.idle_container_min", config.actuator.idle_container_min, 0.0, 1440.0),
    ];
    for (key, value, least, most) in numbers {
        if !(least..=most).contains(&value) {
            return wrong(key, value.to_string(), &format!("set it between {least} and {most}"));
        }
    }
    if config.windows.final_after_s < config.windows.lateness_s {
        return wrong(
            "windows.final_after_s",
            format!("{} s, less than lateness_s", config.windows.final_after_s),
            "set it to the longest run and wait together, such as 360",
        );
    }
    if !finite(config.pool.cold_start_cost) || !config.pool.first_cold_start_cost.is_none_or(finite) {
        return wrong("pool.cold_start_cost", "not a price".into(), "set a number of at least 0");
    }
    if !config.pool.capacity_mb.is_none_or(|mb| finite(mb) && mb > 0.0) {
        return wrong("pool.capacity_mb", "not a size".into(), "set megabytes above 0, or remove it");
    }
    if !(1..=3650).contains(&config.state.history_days) {
        return wrong("state.history_days", config.state.history_days.to_string(), "set 1 to 3650");
    }
    if config.kafka.group.is_empty() {
        return wrong("kafka.group", "empty".into(), "use a name of your own, such as aquatope");
    }
    if is_openwhisk_group(&config.kafka.group) {
        return wrong(
            "kafka.group",
            format!(
                "\"{}\" is a group of OpenWhisk's own, which would lose its partition",
                config.kafka.group
            ),
            "use a name of your own, such as aquatope",
        );
    }
    let needs = |missing: bool, key: &str, kind: &str| {
        if missing {
            wrong(key, "missing".into(), &format!("the actuator \"{kind}\" needs it"))
        } else {
            Ok(())
        }
    };
    check_cluster(config, &wrong)?;
    let actuator = &config.actuator;
    let no_controller = config.openwhisk.controller_url.is_empty() && config.openwhisk.url.is_empty();
    match actuator.kind {
        ActuatorKind::DryRun => {}
        ActuatorKind::ManifestFile => {
            needs(actuator.manifest.is_none(), "actuator.manifest", "manifest-file")?;
            needs(actuator.output.is_none(), "actuator.output", "manifest-file")?;
        }
        ActuatorKind::Runtimes => {
            needs(actuator.manifest.is_none(), "actuator.manifest", "runtimes")?;
            needs(no_controller, "openwhisk.controller_url", "runtimes")?;
        }
        ActuatorKind::WarmUp => {
            needs(config.openwhisk.url.is_empty(), "openwhisk.url", "warm-up")?;
            needs(actuator.warm_up_parameter.is_empty(), "actuator.warm_up_parameter", "warm-up")?;
        }
        ActuatorKind::KeepCount => {
            needs(actuator.couchdb_url.is_empty(), "actuator.couchdb_url", "keep-count")?;
        }
    }
    for workflow in &config.workflow {
        if workflow.tune && config.openwhisk.url.is_empty() {
            return needs(true, "openwhisk.url", "tune of a workflow");
        }
        if workflow.per_minute == 0 {
            return wrong("workflow.per_minute", "0".into(), "set at least 1");
        }
    }
    Ok(())
}

fn check_cluster(
    config: &Config,
    wrong: &dyn Fn(&str, String, &str) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let cluster = &config.cluster;
    if !cluster.enabled {
        return Ok(());
    }
    if !(1..=256).contains(&cluster.shards) {
        return wrong("cluster.shards", cluster.shards.to_string(), "set 1 to 256");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    if cluster.topic.is_empty() || !cluster.topic.chars().all(legal) || cluster.topic == config.kafka.topic {
        return wrong(
            "cluster.topic",
            format!("{:?}", cluster.topic),
            "name a topic of its own, such as aquatope-state",
        );
    }
    if cluster.session_timeout_s < 6.0 {
        let what = format!("{} s", cluster.session_timeout_s);
        return wrong(
            "cluster.session_timeout_s",
            what,
            "set 6 to 300; brokers refuse less than 6 by default",
        );
    }
    if config.pool.capacity_mb.is_some() {
        return wrong(
            "pool.capacity_mb",
            "a limit on the memory of all functions, of which an instance of a cluster sees a part".into(),
            "remove it, or set cluster.enabled = false",
        );
    }
    Ok(())
}

/// Whether `group` is one that OpenWhisk's components consume in: a bare name, or one followed by an instance.
fn is_openwhisk_group(group: &str) -> bool {
    OPENWHISK_GROUPS.iter().any(|own| {
        group.strip_prefix(own).is_some_and(|rest| {
            rest.is_empty()
                || rest.bytes().all(|b| b.is_ascii_digit())
                || rest.starts_with("controller")
                || rest == "standalone"
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, environment: &[(&str, &str)]) -> Result<Config, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aquatope.toml");
        std::fs::write(&path, text).unwrap();
        let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        read(Some(&path), environment).map(|(config, _)| config)
    }

    #[test]
    fn the_printed_default_is_the_default() {
        assert_eq!(read_text(DEFAULT, &[]).unwrap(), Config::default());
        // Uncommented, every key is known and says what the default is; those without a default are "..." or optional.
        let optional = ["first_cold_start_cost", "capacity_mb", "step", "invokers"];
        let uncommented: String = DEFAULT
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = ") && !line.contains("\"...\""))
            .filter(|line| !optional.iter().any(|key| line.starts_with(key)))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(uncommented.lines().count() > 30);
        let mut section = String::new();
        let mut text = String::new();
        for line in DEFAULT.lines() {
            if line.starts_with('[') {
                section = line.to_owned();
                text.push_str(&format!("{section}\n"));
            } else if let Some(line) = line.strip_prefix("# ")
                && uncommented.lines().any(|known| known == line)
                && !section.is_empty()
                && ![
                    "tune =",
                    "apply =",
                    "input =",
                    "samples =",
                    "namespace =",
                    "trials =",
                    "per_minute =",
                    "cpu_limits =",
                ]
                .iter()
                .any(|key| line.starts_with(key))
            {
                text.push_str(&format!("{line}\n"));
            }
        }
        assert_eq!(read_text(&text, &[]).unwrap(), Config::default());
    }

    #[test]
    fn a_misspelt_key_is_named_with_the_nearest_one() {
        let fault = read_text("[kafka]\nbroker = \"x:1\"\n", &[]).unwrap_err();
        assert!(fault.at.ends_with("aquatope.toml:2:1"), "{}", fault.at);
        assert_eq!(fault.what, "unknown field `broker`");
        assert!(fault.mend.contains("`brokers`"), "{}", fault.mend);
        let fault = read_text("[pol]\nmost = 3\n", &[]).unwrap_err();
        assert!(fault.mend.contains("`pool`"), "{}", fault.mend);
        let fault = read_text("", &[("AQUATOPE_KAFKA_BROKER", "x:1")]).unwrap_err();
        assert_eq!(fault.at, "AQUATOPE_KAFKA_BROKER");
        assert!(fault.mend.contains("`brokers`"), "{}", fault.mend);
    }

    #[test]
    fn wrong_types_and_syntax_are_placed() {
        let fault = read_text("[pool]\nmost = \"many\"\n", &[]).unwrap_err();
        assert!(fault.at.ends_with(":2:8"), "{}", fault.at);
        let fault = read_text("[pool\n", &[]).unwrap_err();
        assert!(fault.at.contains(":1:"), "{}", fault.at);
        let fault = read_text("", &[("AQUATOPE_POOL_MOST", "many")]).unwrap_err();
        assert_eq!(fault.at, "AQUATOPE_POOL_MOST");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let text = "[kafka]\nbrokers = \"a:1\"\n[pool]\nmost = 3\n";
        let environment = [
            ("AQUATOPE_KAFKA_BROKERS", "b:2,c:3"),
            ("AQUATOPE_POOL_MOST", "7"),
            ("AQUATOPE_POOL_FUNCTIONS", "[\"guest/*\"]"),
            ("PATH", "/bin"),
        ];
        let config = read_text(text, &environment).unwrap();
        assert_eq!((config.kafka.brokers.as_str(), config.pool.most), ("b:2,c:3", 7));
        assert_eq!(config.pool.functions, ["guest/*"]);
    }

    #[test]
    fn keys_that_do_not_fit_together_are_refused() {
        for (text, key) in [
            ("[kafka]\ngroup = \"kamon\"", "kafka.group"),
            ("[kafka]\ngroup = \"invoker0\"", "kafka.group"),
            ("[kafka]\ngroup = \"cacheInvalidationcontroller0\"", "kafka.group"),
            ("[windows]\nlateness_s = nan", "windows.lateness_s"),
            ("[windows]\nfinal_after_s = 1.0", "windows.final_after_s"),
            ("[pool]\ncold_start_cost = -1.0", "pool.cold_start_cost"),
            ("[actuator]\nkind = \"runtimes\"", "actuator.manifest"),
            ("[actuator]\nkind = \"warm-up\"", "openwhisk.url"),
            ("[actuator]\nkind = \"keep-count\"", "actuator.couchdb_url"),
            ("[state]\nhistory_days = 0", "state.history_days"),
            ("[cluster]\nenabled = true\nshards = 0", "cluster.shards"),
            ("[cluster]\nenabled = true\ntopic = \"events\"", "cluster.topic"),
            ("[cluster]\nenabled = true\nsession_timeout_s = 1.0", "cluster.session_timeout_s"),
            ("[cluster]\nenabled = true\n[pool]\ncapacity_mb = 1.0", "pool.capacity_mb"),
            ("[train]\nevery_h = -1.0", "train.every_h"),
            ("[[workflow]]\nfile = \"w.json\"\nper_minute = 0", "workflow.per_minute"),
            ("[train]\nevery_h = 0", "train.every_h"),
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
}
