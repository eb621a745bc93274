//! What the service writes at the most talkative level of logging, what it answers and what it stores holds no secret.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aquatope::train::background::Background;
use aquatope_service::clock::Clock;
use aquatope_service::config;
use aquatope_service::serve::{Events, Service};

/// Longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// `uuid:hunter2key` and `hunter2key` as they go over the wire, in base 64.
const ENCODED: &str = "dXVpZDpodW50ZXIya2V5";
const SECRETS: [(&str, &str); 6] = [
    ("AQUATOPE_OPENWHISK_AUTH", "uuid:hunter2key"),
    ("AQUATOPE_CONTROLLER_AUTH", "controller:hunter2controller"),
    ("AQUATOPE_INVOKER_AUTH", "invoker:hunter2invoker"),
    ("AQUATOPE_COUCHDB_AUTH", "couchdb:hunter2couchdb"),
    ("AQUATOPE_KAFKA_PASSWORD", "hunter2kafka"),
    ("AQUATOPE_HTTP_TOKEN", "hunter2token"),
];

#[test]
fn no_secret_is_ever_written() {
    let (folder, config, heard) = beside_a_platform_that_refuses("program");
    let mut service = aquatope(&["serve", "--config", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (line_told, lines) = mpsc::channel();
    let stderr = BufReader::new(service.stderr.take().unwrap());
    thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| line_told.send(line)));
    let mut log = Vec::new();
    let address = loop {
        let line = lines.recv_timeout(PATIENCE).expect("it says where it serves");
        let address = line.split_once("address=").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned());
        log.push(line);
        if let Some(address) = address {
            break address;
        }
    };
    while log.len() < 20 {
        log.push(lines.recv_timeout(PATIENCE).expect("it talks much"));
    }
    let mut answers = String::new();
    for path in ["/", "/metrics", "/api/status", "/api/workflows", "/api/functions", "/api/unreadable"] {
        answers +=
            &exchange(&address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    }
    answers += &exchange(
        &address,
        "POST /api/workflows/chain3/approve HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer hunter2wrong\r\n\r\n",
    );
    assert!(answers.contains("HTTP/1.1 401") || answers.contains("HTTP/1.1 403"), "{answers}");
    // An orderly end, whose messages count too.
    let process = rustix::process::Pid::from_raw(service.id() as i32).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let mut stdout = String::new();
    service.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert!(service.wait().unwrap().success());
    log.extend(lines.iter());
    assert!(log.iter().any(|line| line.contains("DEBUG")), "{log:#?}");
    clean("log", log.join("\n").as_bytes());
    clean("standard output", stdout.as_bytes());
    clean("answers", answers.as_bytes());

    let doctor = aquatope(&["doctor", "--config", config.to_str().unwrap()]).output().unwrap();
    // The secrets are in use: the key arrived where it belongs.
    assert!(heard.try_iter().any(|request| request.contains(ENCODED)));
    clean("doctor", &[doctor.stdout, doctor.stderr].concat());
    // Malformed ones are refused without being repeated.
    let malformed = aquatope(&["serve", "--config", config.to_str().unwrap()])
        .env("AQUATOPE_OPENWHISK_AUTH", "hunter2malformed")
        .output()
        .unwrap();
    assert_eq!(malformed.status.code(), Some(2));
    clean("refusal", &[malformed.stdout, malformed.stderr].concat());
    for file in fs::read_dir(folder.join("state")).unwrap() {
        clean("state", &fs::read(file.unwrap().path()).unwrap());
    }
}

/// The same inside of this process, where events come without Kafka, so that the workflow's tuning calls the platform.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_while_the_platform_is_called() {
    let (folder, config, heard) = beside_a_platform_that_refuses("library");
    let log = folder.join("log");
    let writer = Arc::new(fs::File::create(&log).unwrap());
    tracing_subscriber::fmt().with_env_filter("trace").with_ansi(false).with_writer(writer).init();
    let environment = SECRETS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (config, secrets) = config::read(Some(&config), environment).unwrap();
    let trainer = Arc::new(Background);
    let service =
        Service::start(&config, &secrets, trainer, Clock::system(), Events::InProcess).await.unwrap();
    let called = tokio::task::spawn_blocking(move || {
        // Several times: what is tried again is logged too.
        let deadline = Instant::now() + PATIENCE;
        let wait = || heard.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let mut calls = 0;
        while calls < 2 {
            calls += usize::from(wait().expect("a call with the key").contains(ENCODED));
        }
    });
    called.await.unwrap();
    service.stop().await;
    let log = fs::read(log).unwrap();
    assert!(log.windows(5).any(|part| part == b"TRACE"), "{}", String::from_utf8_lossy(&log));
    clean("log", &log);
}

/// A folder with a configuration for a platform that refuses everything, and what that platform is asked.
fn beside_a_platform_that_refuses(test: &str) -> (PathBuf, PathBuf, mpsc::Receiver<String>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let platform = TcpListener::bind("127.0.0.1:0").unwrap();
    let platform_address = platform.local_addr().unwrap();
    let config = folder.join("aquatope.toml");
    let workflow = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/workflows/chain3.json");
    let text = format!(
        "[state]\ndirectory = {state:?}\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [openwhisk]\nurl = \"http://{platform_address}\"\ncontroller_url = \"http://{platform_address}\"\n\
         [kafka]\nbrokers = \"{platform_address}\"\nsecurity = \"sasl-plaintext\"\nsasl_mechanism = \"PLAIN\"\nusername = \"us\"\n\
         [log]\nfilter = \"trace\"\n\
         [[workflow]]\nfile = {workflow:?}\nnamespace = \"guest\"\ntune = true\n",
        state = folder.join("state"),
    );
    fs::write(&config, text).unwrap();
    let (told, heard) = mpsc::channel();
    thread::spawn(move || refuse_everything(&platform, &told));
    (folder, config, heard)
}

fn aquatope(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aquatope"));
    command.args(arguments).envs(SECRETS);
    command
}

/// Answers every request with 401, which holds what was asked, and tells of it. What is no HTTP (Kafka) is hung up on.
fn refuse_everything(listener: &TcpListener, told: &mpsc::Sender<String>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let told = told.clone();
        thread::spawn(move || {
            let mut stream = stream;
            let mut buffer = [0; 1 << 14];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let is_http = request.contains(" HTTP/1.1\r\n");
                let _ = told.send(request);
                let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}";
                if !is_http || stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
    }
}

fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// No secret, plain or in base 64, is in `bytes`.
#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    for secret in ["hunter2", ENCODED, &ENCODED[8..]] {
        let found = bytes.windows(secret.len()).position(|part| part == secret.as_bytes());
        let around = found.map(|at| {
            let (from, to) = (at.saturating_sub(200), (at + 200).min(bytes.len()));
            String::from_utf8_lossy(&bytes[from..to]).into_owned()
        });
        assert_eq!(around, None, "{what}");
    }
}
