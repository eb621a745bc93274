//! Our own HTTP interface: metrics, health, a JSON API and the dashboard. It reads; the one thing that can be written, the
//! approval of a workflow's configuration, needs a token that the operator sets.
//!
//! Bounded in every way: connections, the time a client may take for its headers and for a whole request, and bodies.

mod api;
mod metrics;

use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

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

use crate::board::Board;
use crate::share::Share;
use crate::source::SharedStatus;

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
    /// What authenticates approvals; none: they are refused.
    pub token: Option<Secret>,
}

impl Shared {
    /// How far the events that were read lie behind now, seconds.
    fn behind_s(&self) -> f64 {
        Duration::from_millis(self.ingest.get().behind_ms).as_secs_f64()
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
    let mut builder = Builder::new(TokioExecutor::new());
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

/// Ready: this is the instance that acts, events are being read, not far behind, and a minute has been planned.
async fn ready(axum::extract::State(shared): axum::extract::State<Shared>) -> (StatusCode, String) {
    let ingest = shared.ingest.get();
    let unavailable = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"));
    if let Some(reason) = ingest.duty.reason() {
        return unavailable(ingest.group_error.as_deref().unwrap_or(reason));
    }
    if let Some(cluster) = &ingest.cluster {
        if let Some(error) = ingest.group_error.as_ref().or(cluster.error.as_ref()) {
            return unavailable(error);
        }
        if cluster.assigned != cluster.held {
            return unavailable("shards are being taken over");
        }
        if cluster.joined && cluster.held.is_empty() {
            return (StatusCode::OK, "ready; all shards are with other instances\n".to_owned());
        }
    }
    let planned = crate::read(&shared.board).planned();
    if planned.is_none() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no minute has been planned yet\n".to_owned());
    }
    let behind_s = shared.behind_s();
    if behind_s > READY_BEHIND.as_secs_f64() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("events are {behind_s:.0} s behind\n"));
    }
    (StatusCode::OK, "ready\n".to_owned())
}

/// The socket of [`serve`].
///
/// # Errors
/// The system's, such as an address in use.
pub async fn bind(listen: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).await
}
