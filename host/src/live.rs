//! The service itself at work: part of a trace on a stand-in of OpenWhisk, in fast virtual time, with it and without it.
//!
//! Each platform runs behind HTTP on loopback and sends its events to a service of its own. Where the service only looks
//! on (back-end `dry-run`) it still counts: what is told of cold starts is read from its final windows, which leave its own
//! warm-up calls out. The one that acts begins with the history and the light model of the trace, as after a restart.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use aquatope_core::activation::FunctionId;
use aquatope_core::forecast::features::FULL_HISTORY;
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::Window;
use aquatope_service::clock::Clock;
use aquatope_service::config::{self, Config, Secrets};
use aquatope_service::observe::{Commit, FunctionInfo};
use aquatope_service::serve::{Events, STORE, Service};
use aquatope_service::store::Store;
use aquatope_service::train::{MODEL, Model};
use aquatope_standin::config::{Action, Config as Platform, Model as Behaviour};
use aquatope_standin::{Arrival, Standin};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::grouped;
use crate::table::aligned;
use crate::trace::Trace;
use crate::train::background::Background;
use crate::train::light::Trained;

/// Virtual seconds in a real one: a minute is planned in half a second.
const SPEED: f64 = 120.0;
/// Minutes of load.
const MINUTES: usize = 40;
/// Days that the store keeps.
const HISTORY_DAYS: u16 = 15;

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// Minutes of the load.
    pub minutes: usize,
    /// Virtual seconds in a real one.
    pub speed: f64,
    /// Functions of the load.
    pub functions: usize,
    /// One platform each.
    pub sides: Vec<Side>,
}

/// One platform.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// How it is run, in words.
    pub name: &'static str,
    /// Invocations by users.
    pub invocations: u64,
    /// Those of them that found no warm container.
    pub cold_starts: u64,
    /// Memory of all containers over time, GB h.
    pub held_gb_h: f64,
}

impl Live {
    /// The columns of [`Self::rows`].
    pub const COLUMNS: [&'static str; 3] = ["idle containers", "cold starts", "GB h"];

    /// A row a platform.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let row = |side: &Side| {
            let share = side.cold_starts as f64 / side.invocations.max(1) as f64;
            vec![side.name.to_owned(), format!("{:.2} %", 100.0 * share), format!("{:.2}", side.held_gb_h)]
        };
        self.sides.iter().map(row).collect()
    }

    /// What was run, in a sentence.
    pub fn setting(&self) -> String {
        let invocations = self.sides.first().map_or(0, |side| side.invocations);
        format!(
            "{} minutes of the load, {} functions and {} invocations, {} times as fast, on three simulated platforms \
             behind HTTP; memory of all containers, idle ones too.",
            self.minutes,
            self.functions,
            grouped(invocations),
            self.speed,
        )
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = aligned(&Self::COLUMNS, &self.rows());
        write!(f, "\nThe service itself: {}\n{table}\n", self.setting())
    }
}

/// How a platform is run.
struct Setup {
    name: &'static str,
    /// Minutes the platform keeps an idle container.
    keep_min: u32,
    acts: bool,
}

const SETUPS: [Setup; 3] = [
    Setup { name: "kept 10 min (OpenWhisk)", keep_min: 10, acts: false },
    Setup { name: "kept 2 min", keep_min: 2, acts: false },
    Setup { name: "kept 2 min, and Aquatope", keep_min: 2, acts: true },
];

/// Run 40 minutes of `trace` from `from` on, on every platform at once. `model` has learnt from what was before.
///
/// # Errors
/// Loopback or the temporary folder cannot be used, or a service did not count every invocation.
pub fn run(trace: &Trace, from: usize, model: &Trained, progress: &Progress) -> Result<Live> {
    let load = Load { trace, minutes: from..from + MINUTES };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let bar = progress.bar(MINUTES as u64, "service: running".into(), "minutes");
    let sides = runtime.block_on(async {
        let [first, second, third] = SETUPS.map(|setup| side(setup, &load, model));
        let ticks = async {
            for _ in 0..MINUTES {
                tokio::time::sleep(Duration::from_secs_f64(60.0 / SPEED)).await;
                bar.step();
            }
            // What is left is to wait for the last windows.
            std::future::pending().await
        };
        tokio::select! {
            sides = async { tokio::try_join!(first, second, third) } => sides,
            never = ticks => never,
        }
    });
    drop(bar);
    let (first, second, third) = sides?;
    let sides = vec![first, second, third];
    Ok(Live { minutes: MINUTES, speed: SPEED, functions: trace.functions.len(), sides })
}

/// Some minutes of a trace.
struct Load<'t> {
    trace: &'t Trace,
    minutes: Range<usize>,
}

impl Load<'_> {
    /// The first minute of the trace in virtual time: the beginning of a week, as features count them.
    const BEGIN: u32 = 2_900 * 7 * 1440;

    fn minute(minute: usize) -> Minute {
        Minute(Self::BEGIN + minute as u32)
    }

    fn actions(&self) -> Vec<Action> {
        let functions = self.trace.functions.iter();
        functions
            .map(|function| {
                let cold_ms = (function.cold_start_s * 1e3) as i64;
                let behaviour = Behaviour {
                    fixed_ms: function.mean_duration_s * 1e3,
                    init_ms: cold_ms / 2,
                    create_ms: cold_ms - cold_ms / 2,
                    ..Behaviour::default()
                };
                let memory_mb = function.memory_mb as u32;
                Action { memory_mb, ..Action::new(&function.name, "python:3", behaviour) }
            })
            .collect()
    }

    fn arrivals(&self) -> impl Iterator<Item = Arrival> + '_ {
        let begin_s = self.minutes.start as f64 * 60.0;
        let end_s = self.minutes.end as f64 * 60.0;
        let of = |second: f64| self.trace.events.partition_point(|event| event.start_s < second);
        self.trace.events[of(begin_s)..of(end_s)].iter().map(move |event| Arrival {
            at_ms: ((event.start_s - begin_s) * 1e3) as i64,
            action: self.trace.functions[event.function as usize].name.clone(),
            run_ms: Some(event.duration_s * 1e3),
        })
    }

    /// What a service would have stored by now.
    fn history(&self) -> Commit {
        let first = self.minutes.start.saturating_sub(FULL_HISTORY);
        let functions = self.trace.functions.iter().map(|function| FunctionInfo {
            name: format!("guest/{}", function.name),
            kind: "python:3".into(),
            namespace: "guest".into(),
            memory_mb: function.memory_mb as u32,
            first: Self::minute(first),
            duration_ms: function.mean_duration_s * 1e3,
            cold_start_ms: function.cold_start_s * 1e3,
            ..FunctionInfo::default()
        });
        let mut windows = Vec::new();
        for minute in first..self.minutes.start {
            for (id, (counts, peaks)) in (0..).zip(self.trace.counts.iter().zip(&self.trace.peaks)) {
                if peaks[minute] > 0 {
                    let (invocations, peak) = (counts[minute], peaks[minute]);
                    let minute = Self::minute(minute);
                    windows.push((FunctionId(id), Window { minute, invocations, peak, ..Window::default() }));
                }
            }
        }
        Commit {
            open: Some(Self::minute(self.minutes.start)),
            windows,
            functions: (0..).map(FunctionId).zip(functions).collect(),
            ..Commit::default()
        }
    }
}

async fn side(setup: Setup, load: &Load<'_>, model: &Trained) -> Result<Side> {
    let begin = Load::minute(load.minutes.start);
    let platform = Platform {
        actions: load.actions(),
        invokers_mb: vec![1 << 16; 2],
        idle_timeout_ms: i64::from(setup.keep_min) * 60_000,
        per_minute: u64::MAX,
        concurrent: u64::MAX,
        begin_ms: Some(begin.start().0 as i64),
        ..Platform::default()
    };
    let events = Arc::new(Mutex::new(None::<mpsc::Sender<Vec<u8>>>));
    let heard = Arc::clone(&events);
    let standin = Standin::start(platform, SPEED, 0, move |event| {
        if let Ok(sink) = heard.lock()
            && let Some(sink) = &*sink
        {
            // The service outlives the load.
            let _ = sink.send(event);
        }
    });
    let standin = standin.await.map_err(failed)?;
    let folder = tempfile::tempdir().map_err(failed)?;
    let (config, secrets) = configure(&setup, &standin, folder.path())?;
    let path = folder.path().join(STORE);
    if setup.acts {
        prepare(&path, load, model, &config).map_err(Error::Failed)?;
    }
    let clock = Clock::fast(Timestamp(standin.now_ms() as u64), SPEED);
    let service = Service::start(&config, &secrets, Arc::new(Background), clock, Events::InProcess).await?;
    if let Ok(mut sink) = events.lock() {
        *sink = service.events();
    }
    let taken = standin.drive(load.arrivals()).await;
    let held_mb_ms = standin.with(|platform| platform.held_mb_ms());
    let counted = || -> u64 {
        let board = service.board().read();
        board.map_or(0, |board| board.functions().map(|function| function.invocations).sum())
    };
    let waiting = Instant::now();
    let missing = loop {
        let missing = taken.saturating_sub(counted());
        if missing == 0 || waiting.elapsed() >= PATIENCE {
            break missing;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    service.stop().await;
    if missing > 0 {
        return Err(Error::Failed(format!(
            "platform `{}`: {missing} of {taken} invocations are in no final window {} s after the load; either their events \
             were lost or the machine is too busy to take them in time",
            setup.name,
            PATIENCE.as_secs()
        )));
    }
    let (mut invocations, mut cold_starts) = (0, 0);
    let store = Store::open(&path, HISTORY_DAYS).map_err(|error| Error::Failed(error.to_string()))?;
    store
        .for_each_window(begin..Minute(u32::MAX), |_, window| {
            invocations += u64::from(window.invocations);
            cold_starts += u64::from(window.cold_starts);
        })
        .map_err(|error| Error::Failed(error.to_string()))?;
    Ok(Side { name: setup.name, invocations, cold_starts, held_gb_h: held_mb_ms as f64 / 1024.0 / 3.6e6 })
}

/// For the last minutes to become final, which takes `WINDOWS_FINAL_AFTER_S` and what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(100);

fn configure(setup: &Setup, standin: &Standin, folder: &Path) -> Result<(Config, Secrets)> {
    let subject = standin.subject();
    let values = [
        ("STATE_DIRECTORY", folder.display().to_string()),
        ("HTTP_LISTEN", "127.0.0.1:0".to_owned()),
        ("OPENWHISK_URL", standin.url()),
        ("OPENWHISK_AUTH", format!("{}:{}", subject.user, subject.secret.reveal())),
        ("TRAIN_ENABLED", "false".to_owned()),
        // Ten real seconds: however late the platform's events come on a busy machine, they count.
        ("WINDOWS_FINAL_AFTER_S", "1200.0".to_owned()),
        ("ACTUATOR_KIND", if setup.acts { "warm-up" } else { "dry-run" }.to_owned()),
        ("ACTUATOR_WARM_UP_PER_MINUTE", "1000".to_owned()),
        ("ACTUATOR_IDLE_CONTAINER_MIN", format!("{}.0", setup.keep_min)),
    ];
    Ok(config::read(None, values.map(|(name, value)| (format!("AQUATOPE_{name}"), value)))?)
}

/// The state of a service that has seen the trace so far and has learnt from it.
fn prepare(
    path: &Path,
    load: &Load<'_>,
    model: &Trained,
    config: &Config,
) -> std::result::Result<(), String> {
    let store = Store::open(path, HISTORY_DAYS).map_err(|error| error.to_string())?;
    store.commit(&config.kafka.topic, &load.history(), &[]).map_err(|error| error.to_string())?;
    let trained = Load::minute(load.minutes.start).start();
    let model = Model { weights: model.weights.clone(), trained };
    let bytes = postcard::to_stdvec(&model).map_err(|error| error.to_string())?;
    store.put(MODEL, &bytes).map_err(|error| error.to_string())
}

fn failed(error: std::io::Error) -> Error {
    Error::Failed(error.to_string())
}
