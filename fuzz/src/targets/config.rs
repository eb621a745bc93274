//! A configuration file and environment variables, between zero bytes; what is accepted is in range.

use crate::files;
use aquatope_service::config::{DEFAULT, read};

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    // A configuration names files of secrets: none of this machine is to be read.
    if bytes.contains(&b'/') && bytes.windows(5).any(|word| word.eq_ignore_ascii_case(b"_file")) {
        return;
    }
    let folder = files::write(bytes, &["aquatope.toml"]);
    let file = folder.path().join("aquatope.toml");
    let lines = bytes.split(|&byte| byte == 0).skip(1).filter_map(|part| str::from_utf8(part).ok());
    let environment: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("AQUATOPE_{name}"), value.to_owned()))
        .collect();
    match read(file.is_file().then_some(file.as_path()), environment.clone()) {
        Ok((config, secrets)) => {
            let seconds = [config.windows.final_after_s, config.openwhisk.timeout_s];
            assert!(seconds.iter().all(|seconds| (0.0..=7200.0).contains(seconds)), "{config:?}");
            assert!((0.0..=15.0).contains(&config.windows.ahead_s), "{config:?}");
            assert!(config.pool.capacity_mb.is_none_or(|mb| mb > 0.0) && config.pool.cold_start_cost >= 0.0);
            assert!(config.train.every_h >= 0.0 && config.train.first_after_h >= 0.0);
            let shown = format!("{secrets:?}");
            for (name, value) in &environment {
                let is_secret = name.ends_with("_AUTH") || name == "AQUATOPE_HTTP_TOKEN";
                assert!(!is_secret || value.len() < 8 || !shown.contains(value), "shows a secret: {shown}");
            }
        }
        Err(fault) => {
            assert!(!fault.at.is_empty() && !fault.what.is_empty() && !fault.mend.is_empty(), "{fault:?}");
        }
    }
}

/// Well-formed inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let uncommented: String = DEFAULT
        .lines()
        .filter(|line| !line.contains("_file"))
        .map(|line| {
            line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    let small = "[kafka]\nbrokers = \"b:9092\"\nstart = \"latest\"\n[pool]\nmost = 7\ncapacity_mb = 4096.0\nfunctions = [\"guest/*\"]\n\
        [[workflow]]\nfile = \"w.json\"\ntune = true\n[openwhisk]\nurl = \"https://ow:443\"\n[log]\njson = true\n";
    let variables =
        "\0POOL_MOST=7\0KAFKA_BROKERS=a:1,b:2\0OPENWHISK_AUTH=user:hunter2hunter2\0ACTUATOR_KIND=dry-run";
    vec![uncommented.into(), small.into(), format!("{small}{variables}").into(), variables.into()]
}
