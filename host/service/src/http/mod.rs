//! Our own HTTP interface: metrics, health, a JSON API and the dashboard. It reads; the one thing that can be written, the
//! approval of a workflow's configuration, needs a token that the operator sets.
//!
//! Bounded in every way: connections, the time a client may take for its headers and for a whole request, and bodies.

mod api;
mod elsewhere;
mod metrics;

use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aquatope_core::time::{Minute, Timestamp};
use aquatope_openwhisk::credentials::Secret;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};

pub(crate) use self::elsewhere::Elsewhere;
use crate::board::Board;
use crate::clock::Clock;
use crate::share::Share;
use crate::source::{IngestStatus, SharedStatus};

/// Connections served at the same time; more wait.
const CONNECTIONS: usize = 64;
/// A client may take this long for its headers.
const HEADERS: Duration = Duration::from_secs(10);
/// And a connection this long in all; clients connect again.
const CONNECTION: Duration = Duration::from_secs(120);
/// The longest body, bytes.
const BODY: usize = 4096;
/// Behind by more than this, we are not ready.
const READY_BEHIND: Duration = Duration::from_secs(300);

/// What the handlers share.
#[derive(Clone)]
pub struct Shared {
    /// What is shown.
    pub board: Arc<RwLock<Board>>,
    /// What the observing thread says of itself.
    pub ingest: SharedStatus,
    /// For the messages kept aside, and the workflows that can be approved of.
    pub(crate) share: Arc<Share>,
    /// The last text of `/metrics`, and when it was made.
    pub scraped: Arc<Mutex<Option<(Instant, Bytes)>>>,
    /// Who tunes the workflows that are not tuned here; none without a cluster.
    pub(crate) elsewhere: Option<Arc<Elsewhere>>,
    /// What authenticates approvals; none: they are refused.
    pub token: Option<Secret>,
    /// That of the service.
    pub clock: Clock,
}

impl Shared {
    /// How far the events that were read lie behind now, seconds, if any were; by our own look at the clock, as the reader
    /// may hang.
    fn behind_s(&self) -> Option<f64> {
        self.ingest.get().watermark.map(|watermark| since_s(watermark, self.clock.now()))
    }
}

/// Serve until `stop` says so.
pub async fn serve(listener: TcpListener, shared: Shared, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let router = router(shared);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: it passes when connections end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION, connection(stream, router)).await;
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // Of one version: to tell versions apart, hyper-util waits for the first bytes without a limit.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let service = TowerToHyperService::new(router);
    // What goes wrong is the client's affair.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(|| async { dashboard() }))
        .route("/metrics", get(metrics::handler))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/status", get(api::status))
        .route("/api/functions", get(api::functions))
        .route("/api/function", get(api::function))
        .route("/api/unreadable", get(api::unreadable))
        .route("/api/workflows", get(api::workflows))
        .route("/api/workflows/{name}/approve", post(api::approve))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found; GET / shows what there is\n") })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

/// The page needs nothing from elsewhere, and may load nothing from elsewhere.
fn dashboard() -> Response {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-cache")];
    (headers, Html(include_str!("dashboard.html"))).into_response()
}

async fn ready(axum::extract::State(shared): axum::extract::State<Shared>) -> (StatusCode, String) {
    let ingest = shared.ingest.get();
    if let Some(cluster) = &ingest.cluster
        && ingest.duty.acts()
        && ingest.group_error.is_none()
        && cluster.error.is_none()
        && cluster.joined
        && cluster.held.is_empty()
        && cluster.assigned == cluster.held
    {
        return (StatusCode::OK, "ready; all shards are with other instances\n".to_owned());
    }
    let unready = unready(&ingest, &crate::read(&shared.board), shared.clock.now());
    match unready {
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}

/// Ready: this is the instance that acts, events are being read, not far behind, and minutes are being planned. Why not,
/// `now`; a thread that hangs does not say so itself.
fn unready(ingest: &IngestStatus, board: &Board, now: Timestamp) -> Option<String> {
    if let Some(reason) = ingest.duty.reason() {
        return Some(ingest.group_error.as_deref().unwrap_or(reason).to_owned());
    }
    if let Some(cluster) = &ingest.cluster {
        if let Some(error) = ingest.group_error.as_ref().or(cluster.error.as_ref()) {
            return Some(error.clone());
        }
        if cluster.assigned != cluster.held {
            return Some("shards are being taken over".to_owned());
        }
        let is_planned = |shard: &&i32| board.planned.contains_key(&shard.unsigned_abs());
        if let Some(shard) = cluster.held.iter().find(|shard| !is_planned(shard)) {
            return Some(format!("shard {shard} has not been planned yet"));
        }
    }
    let Some(planned) = board.planned() else { return Some("no minute has been planned yet".to_owned()) };
    let Some(watermark) = ingest.watermark else { return Some("no events have been read yet".to_owned()) };
    let behind_s = since_s(watermark, now);
    if behind_s > READY_BEHIND.as_secs_f64() {
        return Some(format!("events are {behind_s:.0} s behind"));
    }
    // A minute is planned shortly before it begins.
    let over_s = since_s(Minute(planned.minute.saturating_add(1)).start(), now);
    if over_s > READY_BEHIND.as_secs_f64() {
        return Some(format!("the minute planned last ended {over_s:.0} s ago"));
    }
    None
}

fn since_s(at: Timestamp, now: Timestamp) -> f64 {
    Duration::from_millis(now.0.saturating_sub(at.0)).as_secs_f64()
}

/// The socket of [`serve`].
///
/// # Errors
/// The system's, such as an address in use.
pub async fn bind(listen: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::extract::State;
    use serde_json::json;

    use super::*;
    use crate::actuate::Wants;
    use crate::board::{Planned, Workflow};
    use crate::cluster::shard_of;
    use crate::cluster::told::Told;
    use crate::config::{Config, Secrets};
    use crate::source::ClusterStatus;

    fn shared(clock: Clock) -> Shared {
        Shared {
            board: Arc::default(),
            ingest: SharedStatus::default(),
            share: Share::new(None).0,
            scraped: Arc::default(),
            elsewhere: None,
            token: None,
            clock,
        }
    }

    #[tokio::test]
    async fn what_fails_in_a_cluster_is_in_the_status_for_the_page() {
        let shared = shared(Clock::system());
        shared.ingest.handle_heard(3, Some(&"it is deaf".to_owned()));
        let failing = &api::status(State(shared)).await.0["cluster_failing"];
        assert!(failing.as_str().unwrap().contains("shard 3 does not know"), "{failing}");
    }

    #[tokio::test]
    async fn nobody_is_behind_before_there_are_events() {
        let shared = shared(Clock::system());
        let behind = async || {
            let metrics = String::from_utf8(metrics::scrape(shared.clone()).unwrap().into()).unwrap();
            let status = api::status(State(shared.clone())).await.0;
            (status["behind_s"].as_f64(), metrics.contains("aquatope_behind_seconds "))
        };
        assert_eq!(behind().await, (None, false));
        shared.ingest.update(|status| status.watermark = Some(Timestamp(shared.clock.now().0 + 3_600_000)));
        assert_eq!(behind().await, (Some(0.0), true));
    }

    #[tokio::test]
    async fn what_others_tune_is_shown_with_its_age() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        let at = Minute(29_000_000).start();
        NOW.store(at.0 + 600_000, Ordering::Relaxed);
        let config = Config::default();
        let workflows = ["pair".to_owned(), "album".to_owned()];
        let elsewhere = Elsewhere::new(&config, &Secrets::default(), workflows.to_vec());
        let (share, _wanted) = Share::new(None);
        // Its events lag: an hour ago was planned.
        let (by, wants) = ("host1".to_owned(), Wants { minute: 29_000_000 - 60, ..Wants::default() });
        let workflow = Workflow { state: "searching".into(), ..Workflow::default() };
        let workflows = [("pair".to_owned(), workflow)].into();
        let shard = shard_of("pair", config.cluster.shards).unsigned_abs();
        share.hear(shard, Some(Told { by, at, wants, workflows, ..Told::default() }));
        let shared = Shared { elsewhere: Some(Arc::new(elsewhere)), share, ..shared(Clock::stepped(&NOW)) };
        let shown = api::workflows(State(shared)).await.0;
        let pair = &shown["pair"];
        assert_eq!((&pair["state"], &pair["here"]), (&json!("searching"), &json!(false)));
        assert_eq!(pair["told"], json!({"by": "host1", "at_ms": at.0, "age_s": 600.0}));
        assert_eq!((&shown["album"]["here"], &shown["album"]["told"]), (&json!(false), &json!(null)));
    }

    #[test]
    fn threads_that_hang_are_seen() {
        const MINUTE: u64 = 60_000;
        let noon = Minute(29_000_000);
        let at = |minutes: u64| Timestamp(noon.start().0 + minutes * MINUTE);
        let planned = |minute: u32| {
            let (minute, at_ms) = (noon.0 + minute, noon.start().0);
            let (took_ms, behind_s, granted_mb, wanted_mb) = (1.0, 0.0, 0.0, 0.0);
            let planned = Planned { minute, at_ms, took_ms, behind_s, stale: false, granted_mb, wanted_mb };
            Board { planned: [(0, planned)].into(), ..Board::default() }
        };
        // What the reader said last does not change any more.
        let read = |minutes: u64| IngestStatus { watermark: Some(at(minutes)), ..IngestStatus::default() };
        assert_eq!(unready(&read(0), &Board::default(), at(0)).unwrap(), "no minute has been planned yet");
        let nothing = IngestStatus::default();
        assert_eq!(unready(&nothing, &planned(0), at(0)).unwrap(), "no events have been read yet");
        assert_eq!(unready(&read(0), &planned(0), at(5)), None);
        assert_eq!(unready(&read(0), &planned(6), at(6)).unwrap(), "events are 360 s behind");
        assert_eq!(unready(&read(6), &planned(0), at(6)), None);
        assert_eq!(unready(&read(7), &planned(0), at(7)).unwrap(), "the minute planned last ended 360 s ago");
        let another = IngestStatus { duty: crate::source::Duty::Another, ..read(0) };
        assert!(unready(&another, &planned(0), at(0)).unwrap().contains("another instance"));
        // Of two shards one was planned.
        let (assigned, held) = (vec![0, 1], vec![0, 1]);
        let both = ClusterStatus { of: 2, joined: true, assigned, held, ..ClusterStatus::default() };
        let cluster = |held: &[i32]| {
            let both = ClusterStatus { assigned: held.to_vec(), held: held.to_vec(), ..both.clone() };
            IngestStatus { cluster: Some(both), ..read(0) }
        };
        assert_eq!(unready(&cluster(&[0]), &planned(0), at(0)), None);
        let reason = unready(&cluster(&[0, 1]), &planned(0), at(0));
        assert_eq!(reason.unwrap(), "shard 1 has not been planned yet");
    }
}
