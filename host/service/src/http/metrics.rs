//! `/metrics`, in the text format of OpenMetrics.

use std::fmt;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Shared;
use crate::board::Function;
use crate::observe::{Counters, SequenceRuns};
use crate::read;

const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a text serves all who ask: their number does not multiply work and memory.
const FRESH: Duration = Duration::from_millis(250);

pub(super) async fn handler(State(shared): State<Shared>) -> Response {
    let mut last = shared.scraped.lock().await;
    if let Some((at, text)) = last.as_ref()
        && at.elapsed() < FRESH
    {
        return ([(header::CONTENT_TYPE, FORMAT)], text.clone()).into_response();
    }
    let scraped = shared.clone();
    match tokio::task::spawn_blocking(move || scrape(scraped)).await {
        Ok(Ok(text)) => {
            *last = Some((Instant::now(), text.clone()));
            ([(header::CONTENT_TYPE, FORMAT)], text).into_response()
        }
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

pub(super) fn scrape(shared: Shared) -> Result<Bytes, fmt::Error> {
    let mut registry = Registry::with_prefix("aquatope");
    registry.register_collector(Box::new(Scrape(shared)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text.into())
}

struct Scrape(Shared);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

/// A metric of every function: name, help, and the value where there is one.
type OfFunction = (&'static str, &'static str, fn(&Function) -> Option<f64>);

const GAUGES: [OfFunction; 7] = [
    ("target_containers", "Containers planned for the minute, busy ones included", |f| {
        f.target.map(|t| f64::from(t.containers))
    }),
    ("busy_containers", "Peak busy containers of the minute before the one planned, so far", |f| {
        f.target.map(|t| f64::from(t.busy))
    }),
    ("warm_containers", "Containers that are warm if the platform keeps idle ones as configured", |f| {
        f.target.map(|t| f64::from(t.warm))
    }),
    ("forecast_low_containers", "5 % quantile of the forecast peak of busy containers", |f| {
        quantile(f, 0.05)
    }),
    ("forecast_median_containers", "Median of the forecast peak of busy containers", |f| quantile(f, 0.5)),
    ("forecast_high_containers", "95 % quantile of the forecast peak of busy containers", |f| {
        quantile(f, 0.95)
    }),
    ("target_memory_megabytes", "Memory of the containers planned", |f| {
        f.target.map(|t| f64::from(t.containers) * f64::from(f.info.memory_mb))
    }),
];

const COUNTERS: [OfFunction; 2] = [
    ("invocations", "Invocations in minutes that are final", |f| Some(f.invocations as f64)),
    ("cold_starts", "Cold starts in minutes that are final", |f| Some(f.cold_starts as f64)),
];

/// What the messages were.
fn kinds(counters: &Counters) -> [(&'static str, u64); 14] {
    let Counters {
        activations,
        sequences,
        throttled,
        duplicates,
        own,
        system,
        late,
        partly,
        ahead,
        excess,
        implausible,
        unreadable,
        other,
        replayed,
    } = *counters;
    [
        ("activation", activations),
        ("sequence", sequences),
        ("throttled", throttled),
        ("duplicate", duplicates),
        ("own", own),
        ("system", system),
        ("late", late),
        ("partly_late", partly),
        ("ahead", ahead),
        ("excess", excess),
        ("implausible", implausible),
        ("unreadable", unreadable),
        ("other", other),
        ("replayed", replayed),
    ]
}

fn quantile(function: &Function, level: f32) -> Option<f64> {
    function.target.map(|target| f64::from(target.forecast.quantile(level)))
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Shared { board, ingest, .. } = &self.0;
        let ingest = ingest.get();
        let mut events = encoder.encode_descriptor(
            "events",
            "Messages read, by what they were",
            None,
            MetricType::Counter,
        )?;
        for (kind, value) in kinds(&ingest.counters) {
            ConstCounter::new(value).encode(events.encode_family(&[("kind", kind)])?)?;
        }
        let mut lag = encoder.encode_descriptor(
            "kafka_lag_messages",
            "Messages not read yet",
            None,
            MetricType::Gauge,
        )?;
        for partition in &ingest.partitions {
            let labels = [("partition", partition.partition.to_string())];
            ConstGauge::new(partition.lag).encode(lag.encode_family(&labels)?)?;
        }
        let board = read(board);
        let mut gauge = |name: &str, help: &str, value: Option<f64>| match value {
            Some(value) => ConstGauge::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Gauge,
            )?),
            None => Ok(()),
        };
        let (planned, model) = (board.planned(), board.model());
        gauge("kafka_connected", "1 when a broker answers", Some(f64::from(u8::from(ingest.connected))))?;
        gauge(
            "on_duty",
            "1 when this is the instance that acts",
            Some(f64::from(u8::from(ingest.duty.acts()))),
        )?;
        gauge(
            "store_failing",
            "1 when the last write of the state failed",
            Some(f64::from(u8::from(ingest.store_error.is_some()))),
        )?;
        let of = |count: usize| Some(count as f64);
        let cluster = ingest.cluster.as_ref();
        gauge(
            "shards_assigned",
            "Shards of the functions that the consumer group gave to this instance",
            cluster.and_then(|cluster| of(cluster.assigned.len())),
        )?;
        gauge(
            "shards_held",
            "Of these, the ones it observes and plans",
            cluster.and_then(|cluster| of(cluster.held.len())),
        )?;
        gauge(
            "cluster_state_failing",
            "1 when a shard could not be opened, the plans in Kafka could not be read the last time, or a shard does not know what the others want",
            cluster.map(|cluster| f64::from(u8::from(cluster.failing().is_some()))),
        )?;
        gauge("behind_seconds", "Clock minus watermark of the events", self.0.behind_s())?;
        gauge(
            "planned_minute",
            "The minute last planned for, since the epoch",
            planned.map(|p| f64::from(p.minute)),
        )?;
        gauge("plan_seconds", "Time the last plan took", planned.map(|p| p.took_ms / 1e3))?;
        gauge(
            "plan_stale",
            "1 when targets only grew, the events being behind",
            planned.map(|p| f64::from(u8::from(p.stale))),
        )?;
        gauge("granted_megabytes", "Memory of all containers planned", planned.map(|p| p.granted_mb))?;
        gauge("wanted_megabytes", "Memory that was wanted before the limit", planned.map(|p| p.wanted_mb))?;
        gauge(
            "forecast_above_q95_share",
            "Share of peaks above the forecast's 95 % quantile",
            model.above_q95,
        )?;
        gauge(
            "actuator_failing",
            "Failures since the last call that went well",
            Some(f64::from(board.actuator.failing)),
        )?;
        let trained = u8::from(model.trained_ms.is_some());
        gauge("model_trained", "1 when a trained model forecasts", Some(f64::from(trained)))?;
        gauge("functions", "Functions told apart", Some(ingest.functions as f64))?;
        let counters = [
            ("store_commits", "Transactions of the state", ingest.commits),
            ("gaps", "Times that messages were gone before they were read", ingest.gaps),
            ("gaps_filled", "Of these, filled from the platform's records", ingest.gaps_filled),
            ("actuator_calls", "Calls of the back-end that went well", board.actuator.calls),
            ("actuator_failures", "Calls of the back-end that failed", board.actuator.failures),
            ("trainings", "Trainings finished", model.trainings),
            ("training_failures", "Trainings that failed", model.failures),
        ];
        let of_cluster = cluster.map(|cluster| {
            let read = "Times that the state or the plans in Kafka could not be read, and minutes of a shard that did not know what the others want";
            let refused = "Shards that another instance had taken over unnoticed";
            [("cluster_read_errors", read, cluster.read_errors), ("shards_refused", refused, cluster.refused)]
        });
        for (name, help, value) in counters.into_iter().chain(of_cluster.into_iter().flatten()) {
            ConstCounter::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Counter,
            )?)?;
        }
        let mut throttled = encoder.encode_descriptor(
            "throttled_requests",
            "Requests the platform refused for its limits",
            None,
            MetricType::Counter,
        )?;
        for (namespace, requests) in &board.throttled {
            ConstCounter::new(*requests)
                .encode(throttled.encode_family(&[("namespace", namespace.as_str())])?)?;
        }
        type OfSequence = (&'static str, &'static str, fn(&SequenceRuns) -> u64);
        let of_sequences: [OfSequence; 2] = [
            ("sequence_runs", "Runs of a sequence or composition that ended", |s| s.runs),
            ("sequence_failures", "Of these, with an error", |s| s.failed),
        ];
        for (name, help, value) in of_sequences {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (name, sequence) in &board.sequences {
                let labels = [("sequence", name.as_str())];
                ConstCounter::new(value(sequence)).encode(family.encode_family(&labels)?)?;
            }
        }
        for (metrics, kind) in [(&GAUGES[..], MetricType::Gauge), (&COUNTERS[..], MetricType::Counter)] {
            for &(name, help, value) in metrics {
                let name = format!("function_{name}");
                let mut family = encoder.encode_descriptor(&name, help, None, kind)?;
                for function in board.listed() {
                    let Some(value) = value(function) else { continue };
                    let labels =
                        [("function", function.info.name.as_str()), ("kind", function.info.kind.as_str())];
                    let encoder = family.encode_family(&labels)?;
                    match kind {
                        MetricType::Counter => ConstCounter::new(value).encode(encoder)?,
                        _ => ConstGauge::new(value).encode(encoder)?,
                    }
                }
            }
        }
        Ok(())
    }
}
