//! A platform that runs: behind HTTP on loopback, driven by a clock.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aquatope_openwhisk::credentials::Credentials;
use axum::serve::Listener;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::Config;
use crate::faults::Faults;
use crate::platform::records::Run;
use crate::platform::{Output, Platform, Refusal};
use crate::rest;

/// A running platform. Dropping it stops it.
#[derive(Debug)]
pub struct Standin {
    shared: Shared,
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

/// A request of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// Virtual milliseconds after the start of the load.
    pub at_ms: i64,
    /// `[package/]action`.
    pub action: String,
    /// Milliseconds of the run; by the action's model when there is none.
    pub run_ms: Option<f64>,
}

impl Standin {
    /// Starts a platform on `port` of loopback (0 for any that is free). Virtual time passes `speed` times as fast as real
    /// time; with 0 it stands still but for [`Self::step`]. `sink` gets every event as soon as it is sent; it must not block.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn start<S>(config: Config, speed: f64, port: u16, sink: S) -> io::Result<Self>
    where
        S: FnMut(Vec<u8>) + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let present = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let began_ms = config.begin_ms.unwrap_or_else(present);
        let clock = Clock { began: Instant::now(), began_ms, speed, stepped_ms: Arc::default() };
        let inner = Inner {
            platform: Platform::new(config, began_ms),
            waiters: HashMap::new(),
            sink: Box::new(sink),
        };
        let shared = Shared { inner: Arc::new(Mutex::new(inner)), clock, changed: Arc::default() };
        let gate = Gate { listener, shared: shared.clone() };
        let router = rest::router(shared.clone());
        let server = tokio::spawn(async move {
            // Ends only with the task.
            let _ = axum::serve(gate, router).await;
        });
        let ticker = tokio::spawn(tick(shared.clone()));
        Ok(Self { shared, address, tasks: [server, ticker] })
    }

    /// Where the REST interface and the controller are: `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where an invoker is.
    pub fn invoker_url(&self, invoker: usize) -> String {
        format!("{}/invoker{invoker}", self.url())
    }

    /// The subject's key.
    pub fn subject(&self) -> Credentials {
        self.shared.lock().platform.config().subject.clone()
    }

    /// The virtual present, milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Virtual time goes on by `ms` at once; what happens meanwhile happens in its order.
    pub fn step(&self, ms: i64) {
        self.shared.clock.stepped_ms.fetch_add(ms, Ordering::Relaxed);
        self.with(|_| {});
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.with(|platform| platform.set_faults(faults));
    }

    /// Looks at the platform, or changes it, at the present.
    pub fn with<T>(&self, act: impl FnOnce(&mut Platform) -> T) -> T {
        self.shared.act(act)
    }

    /// Puts a load (ascending times) through the platform, without REST and limits; returns when the last one has been
    /// asked for. What comes at the same time is taken at the same time. Gives how many the platform took.
    pub async fn drive(&self, arrivals: impl IntoIterator<Item = Arrival>) -> u64 {
        let (shared, from_ms) = (self.shared.clone(), self.now_ms());
        let mut arrivals = arrivals.into_iter().peekable();
        let mut taken = 0;
        while let Some(&Arrival { at_ms, .. }) = arrivals.peek() {
            let due_ms = from_ms + at_ms;
            if due_ms > shared.clock.now_ms() {
                shared.clock.sleep_until(due_ms).await;
            }
            // At the time it should have come, as far as that has not passed: a late timer bunches no arrivals.
            taken += shared.act_at(due_ms, |platform| {
                let together = std::iter::from_fn(|| arrivals.next_if(|next| next.at_ms == at_ms));
                together.filter(|it| platform.load(&it.action, it.run_ms).is_ok()).count() as u64
            });
        }
        taken
    }

    /// Stops the platform; what runs is lost.
    pub fn stop(self) {}
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The platform and what is around it, shared by the tasks.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
    /// Something may be due earlier than before.
    changed: Arc<Notify>,
}

pub(crate) struct Inner {
    pub platform: Platform,
    /// Who waits for the end of a run.
    waiters: HashMap<String, oneshot::Sender<Run>>,
    sink: Box<dyn FnMut(Vec<u8>) + Send>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("platform", &self.platform).finish_non_exhaustive()
    }
}

/// An invocation's id, and where its end is told to those who wait.
type Started = (String, Option<oneshot::Receiver<Run>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the platform come to the present and `act` on it.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Platform) -> T) -> T {
        self.act_at(self.clock.now_ms(), act)
    }

    fn act_at<T>(&self, now_ms: i64, act: impl FnOnce(&mut Platform) -> T) -> T {
        let mut inner = self.lock();
        inner.platform.advance(now_ms);
        let result = act(&mut inner.platform);
        inner.deliver();
        self.changed.notify_one();
        result
    }

    /// Invokes an action; with `blocking` its end will be told.
    pub(crate) fn invoke(&self, name: &str, parameters: Value, blocking: bool) -> Result<Started, Refusal> {
        let mut inner = self.lock();
        inner.platform.advance(self.clock.now_ms());
        let started = inner.platform.invoke(name, parameters);
        let receiver = started.as_ref().ok().filter(|_| blocking).map(|id| {
            let (sender, receiver) = oneshot::channel();
            inner.waiters.insert(id.clone(), sender);
            receiver
        });
        inner.deliver();
        self.changed.notify_one();
        Ok((started?, receiver))
    }

    /// How long a virtual time is in reality.
    pub(crate) fn real(&self, time: Duration) -> Duration {
        if self.clock.speed > 0.0 { time.div_f64(self.clock.speed) } else { Duration::MAX }
    }
}

impl Inner {
    /// Hands on what happened.
    fn deliver(&mut self) {
        for output in self.platform.take_outputs() {
            match output {
                Output::Event(message) => (self.sink)(message),
                Output::Finished(id) => {
                    // Nobody waits for most runs, and those who do may have gone.
                    if let (Some(waiter), Some(run)) = (self.waiters.remove(&id), self.platform.run(&id)) {
                        let _ = waiter.send(run.clone());
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Clock {
    began: Instant,
    began_ms: i64,
    speed: f64,
    stepped_ms: Arc<AtomicI64>,
}

impl Clock {
    /// What it showed when it began, had the steps been taken by then.
    fn origin_ms(&self) -> i64 {
        self.began_ms + self.stepped_ms.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> i64 {
        self.origin_ms() + (self.began.elapsed().as_secs_f64() * 1000.0 * self.speed) as i64
    }

    /// If nobody steps meanwhile.
    async fn sleep_until(&self, at_ms: i64) {
        let since_ms = (at_ms - self.origin_ms()).max(0) as f64;
        match Duration::try_from_secs_f64(since_ms / 1000.0 / self.speed) {
            Ok(since) => tokio::time::sleep_until(self.began + since).await,
            // Time stands still.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Lets happen what happens by itself.
async fn tick(shared: Shared) {
    loop {
        let due_ms = shared.lock().platform.next_due_ms();
        let due = async {
            match due_ms {
                Some(due_ms) => shared.clock.sleep_until(due_ms).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = shared.changed.notified() => {}
        }
        let mut inner = shared.lock();
        inner.platform.advance(shared.clock.now_ms());
        inner.deliver();
    }
}

/// Closes new connections at once while the platform is to be down.
struct Gate {
    listener: TcpListener,
    shared: Shared,
}

impl Listener for Gate {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            if !self.shared.lock().platform.faults().down {
                // Small answers go at once.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
