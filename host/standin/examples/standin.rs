//! A stand-in to be asked by hand: `cargo run -p aquatope-standin --example standin -- --port 3233 [--speed 1]`.
//!
//! Prints how to ask it, then every event it sends.

use std::process::ExitCode;

use aquatope_openwhisk::manifest::Manifest;
use aquatope_standin::Standin;
use aquatope_standin::config::{Action, Config, Model};

const MANIFEST: &str = r#"{"runtimes":{"fn-resize":[{"kind":"fn-resize:1","stemCells":[{"initialCount":2,"memory":"256 MB"}]}]}}"#;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<(), String> {
    let (mut port, mut speed) = (3233_u16, 1.0_f64);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(format!("{option} needs a value"))?;
        let wrong = format!("{option} {value} is no number it can be");
        match option.as_str() {
            "--port" => port = value.parse().map_err(|_| wrong)?,
            "--speed" => {
                let in_range = |speed: &f64| (0.001..=10_000.0).contains(speed);
                speed = value.parse().ok().filter(in_range).ok_or(wrong)?;
            }
            _ => return Err(format!("{option} is unknown; there are --port and --speed")),
        }
    }
    let model = Model { fixed_ms: 100.0, work_ms: 200.0, parallelism: 2.0, noise: 0.1, ..Model::default() };
    let config = Config {
        actions: vec![
            Action::new("resize", "fn-resize:1", model),
            Action::new("store", "python:3", Model::default()),
            Action::sequence("upload", &["resize", "store"]),
        ],
        manifest: Manifest::parse(MANIFEST).map_err(|error| error.to_string())?,
        ..Config::default()
    };
    let key = format!("{}:{}", config.subject.user, config.subject.secret.reveal());
    let print = |event: Vec<u8>| println!("{}", String::from_utf8_lossy(&event));
    let standin =
        Standin::start(config, speed, port, print).await.map_err(|error| format!("port {port}: {error}"))?;
    let url = standin.url();
    eprintln!("An OpenWhisk stand-in is at {url}. Ask it:");
    eprintln!("  curl -u {key} -X POST '{url}/api/v1/namespaces/_/actions/resize?blocking=true'");
    eprintln!("  curl -u {key} -X POST '{url}/api/v1/namespaces/_/actions/upload'");
    eprintln!("  curl -u {key} '{url}/api/v1/namespaces/_/activations?limit=5'");
    eprintln!("  curl -u invoker.user:invoker.pass {url}/invoker0/getRuntime");
    eprintln!("Its events:");
    std::future::pending::<()>().await;
    drop(standin);
    Ok(())
}
