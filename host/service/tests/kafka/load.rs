//! A load whose windows are known: events as OpenWhisk writes them, and what the core counts from them.

use std::collections::BTreeMap;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aquatope_core::activation::{Activation, ActivationId, FunctionId};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::{Window, WindowSeries};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Final windows by function and minute.
pub(crate) type Windows = BTreeMap<(String, Minute), Window>;

/// Runs of some functions, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) functions: u32,
    /// Mean ms between two ends of runs.
    pub(crate) gap_ms: f64,
    pub(crate) rng: Xoshiro256PlusPlus,
    /// Events so far.
    pub(crate) count: u64,
    pub(crate) now_ms: f64,
}

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) function: u32,
    pub(crate) id: u64,
    pub(crate) ended: u64,
    pub(crate) wait: u64,
    pub(crate) init: u64,
    pub(crate) run: u64,
}

impl Load {
    /// From `start` on.
    pub(crate) fn new(functions: u32, start: Timestamp, gap_ms: f64, seed: u64) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { functions, gap_ms, rng, count: 0, now_ms: start.0 as f64 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    /// The next run to end, a second sooner or later than its turn.
    pub(crate) fn next(&mut self) -> Run {
        self.now_ms += self.gap_ms;
        self.count += 1;
        let ended = self.now_ms as u64 - self.below(1_000);
        let cold = self.below(10) == 0;
        Run {
            function: self.below(u64::from(self.functions)) as u32,
            // Bits of the count spread over all of the id.
            id: self.count.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            ended,
            wait: self.below(50) + if cold { 400 } else { 0 },
            init: if cold { 200 + self.below(300) } else { 0 },
            run: 1 + self.below(2_000),
        }
    }
}

impl Run {
    pub(crate) fn name(&self) -> String {
        format!("guest/default/function-{:05}", self.function)
    }

    pub(crate) fn start(&self) -> u64 {
        self.ended - self.init - self.run
    }

    /// The record that the platform's REST interface would list.
    pub(crate) fn record(&self) -> serde_json::Value {
        serde_json::json!({
            "activationId": format!("{:016x}{:016x}", self.id, self.id),
            "namespace": "guest",
            "name": format!("function-{:05}", self.function),
            "start": self.start(),
            "end": self.ended,
            "duration": self.init + self.run,
            "statusCode": 0,
            "annotations": [
                {"key": "path", "value": self.name()},
                {"key": "kind", "value": "nodejs:20"},
                {"key": "waitTime", "value": self.wait},
                {"key": "initTime", "value": self.init},
                {"key": "limits", "value": {"memory": 256}},
            ],
        })
    }

    /// The message, appended to `text`.
    pub(crate) fn write(&self, text: &mut String) {
        use std::fmt::Write;
        let Self { function, id, ended, wait, init, run } = self;
        write!(
            text,
            "{{\"source\":\"invoker0\",\"eventType\":\"Activation\",\"timestamp\":{ended},\"subject\":\"guest\",\
             \"namespace\":\"guest\",\"userId\":\"23bc46b1-71f6-4ed5-8c54-816aa4f8c502\",\"body\":{{\
             \"name\":\"guest/default/function-{function:05}\",\"activationId\":\"{id:016x}{id:016x}\",\"statusCode\":0,\
             \"duration\":{},\"waitTime\":{wait},\"initTime\":{init},\"kind\":\"nodejs:20\",\"conductor\":false,\
             \"memory\":256,\"causedBy\":false,\"size\":42}}}}",
            init + run
        )
        .unwrap();
    }
}

/// What the core counts from `runs`.
pub(crate) fn truth(runs: &[Run]) -> Windows {
    let mut of: BTreeMap<u32, Vec<&Run>> = BTreeMap::new();
    runs.iter().for_each(|run| of.entry(run.function).or_default().push(run));
    let mut windows = Windows::new();
    for runs in of.values_mut() {
        runs.sort_by_key(|run| run.ended);
        let first = Timestamp(runs[0].ended - 10_000).minute();
        // Runs end within a second of their turn and last less than ten.
        let mut series = Box::new(WindowSeries::<8192>::new(first, Duration::from_secs(15)));
        let name = runs[0].name();
        let mut drain = |series: &mut WindowSeries<8192>, until: u64| {
            series.close_until(Timestamp(until));
            while let Some(window) = series.poll_window() {
                if window.peak > 0 {
                    windows.insert((name.clone(), window.minute), window);
                }
            }
        };
        for run in runs.iter() {
            let length = run.init + run.run;
            let activation = Activation {
                function: FunctionId(0),
                id: ActivationId(run.id),
                start: Timestamp(run.ended - length),
                duration: Duration::from_millis(length),
                wait: Duration::from_millis(run.wait),
                init: Duration::from_millis(run.init),
            };
            series.record(&activation).unwrap();
            drain(&mut series, run.ended);
        }
        drain(&mut series, runs.last().unwrap().ended + 120_000);
    }
    windows
}

pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// `count` runs of `functions` in the `minutes` that ended a quarter of an hour ago: final as soon as all is read.
pub(crate) fn past_runs(functions: u32, count: u32, minutes: u32, seed: u64) -> Vec<Run> {
    let start = Timestamp(now().0 - u64::from(minutes + 15) * 60_000);
    let mut load = Load::new(functions, start, f64::from(minutes) * 60_000.0 / f64::from(count), seed);
    (0..count).map(|_| load.next()).collect()
}

/// The first minute after all of `runs`.
pub(crate) fn after(runs: &[Run]) -> Minute {
    let last = runs.iter().map(|run| run.ended).max().unwrap();
    Minute(Timestamp(last).minute().0 + 1)
}

/// Write `runs` and wait until the brokers have them.
pub(crate) fn send(brokers: &str, topic: &str, partitions: i32, runs: &[Run]) {
    let mut sender = Sender::new(brokers, topic, partitions);
    runs.iter().for_each(|run| sender.send(run));
    sender.flush();
}

/// Write `runs` in another thread, with a pause after about every 16th.
pub(crate) fn send_slowly(
    brokers: &str,
    topic: &str,
    partitions: i32,
    runs: &[Run],
    pause: Duration,
) -> JoinHandle<()> {
    let mut sender = Sender::new(brokers, topic, partitions);
    let runs = runs.to_vec();
    thread::spawn(move || {
        for run in &runs {
            sender.send(run);
            if run.id % 16 == 0 {
                thread::sleep(pause);
            }
        }
        sender.flush();
    })
}

/// A producer that waits for its queue instead of failing.
pub(crate) struct Sender {
    producer: BaseProducer,
    topic: String,
    partitions: i32,
    sent: u64,
    text: String,
}

impl Sender {
    pub(crate) fn new(brokers: &str, topic: &str, partitions: i32) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.size", "262144")
            .set("queue.buffering.max.messages", "200000")
            .set("log_level", "0")
            .create()
            .unwrap();
        Self { producer, topic: topic.to_owned(), partitions, sent: 0, text: String::new() }
    }

    pub(crate) fn send(&mut self, run: &Run) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        run.write(&mut text);
        self.send_bytes(text.as_bytes());
        self.text = text;
    }

    pub(crate) fn send_bytes(&mut self, message: &[u8]) {
        let partition = (self.sent % self.partitions as u64) as i32;
        self.sent += 1;
        let mut record = BaseRecord::<(), [u8]>::to(&self.topic).partition(partition).payload(message);
        while let Err((error, unsent)) = self.producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full);
            self.producer.poll(Duration::from_millis(10));
            record = unsent;
        }
        if self.sent.is_multiple_of(1_024) {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// Wait until the brokers have everything.
    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(120)).unwrap();
    }
}
