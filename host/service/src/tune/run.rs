//! A whole tuning run: measure today's configuration, then trial by trial until the budget is used up.

use std::collections::BTreeSet;
use std::sync::Arc;

use aquatope_openwhisk::error::{Cause, RestError};
use aquatope_openwhisk::rest::Client;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::bench::{Bench, Obstacle, is_clone_of, production};
use super::error::TuneError;
use super::patient::Patient;
use super::problem::{Problem, Resources};
use super::search::{Finished, Progress, Search, Step};

/// Where a search is kept. Called on a thread that may block.
pub trait Keep: Send + Sync + 'static {
    /// Keeps `bytes` durably, instead of what was kept before.
    ///
    /// # Errors
    /// Why it could not; it is tried again, and nothing more is measured until it succeeds.
    fn save(&self, bytes: &[u8]) -> Result<(), String>;
}

/// Tunes a workflow on clones of its actions; production is only read. `saved` is what was kept last, if anything: the
/// search goes on from there, with the trial that was not finished, unless it is of another problem or not readable. A trial is kept
/// before it is run and its outcome before the next one is chosen. `see` is told after every step. The clones stay: the next
/// run takes them over, and [`remove_clones`] deletes them.
///
/// # Errors
/// [`TuneError`]. Troubles that pass are waited out, however long they last. After a call the platform refuses
/// ([`TuneError::Rest`]) nothing is concluded from it: with what was kept, this can be called again.
pub async fn tune(
    platform: &Patient,
    problem: &Arc<Problem>,
    saved: Option<Vec<u8>>,
    keep: &Arc<dyn Keep>,
    mut see: impl FnMut(&Progress) + Send,
) -> Result<Finished, TuneError> {
    let restored = match saved {
        Some(bytes) => {
            let problem = problem.clone();
            apart(move || Search::restore(problem, &bytes)).await
        }
        None => None,
    };
    let search = match restored {
        Some(mut search) if search.is_done() => return apart(move || search.finish()).await,
        Some(search) => search,
        None => {
            let today = today(platform, problem).await?;
            let problem = problem.clone();
            apart(move || Search::begin(problem, today)).await
        }
    };
    check_platform(platform, problem).await?;
    let mut bench = Bench::prepare(platform, problem).await?;
    finish(search, &mut bench, platform, keep, &mut see).await
}

/// Deletes the clones that searches of `workflow` left in the namespace, of all functions it ever had: all that can be.
///
/// # Errors
/// The first call that failed.
pub async fn remove_clones(client: &Client, workflow: &str) -> Result<(), RestError> {
    let mut left = BTreeSet::new();
    // Names may be missing in a list while others are deleted: only an empty one tells that none is left.
    for _ in 0..LISTS {
        left = client.action_names().await?;
        left.retain(|action| is_clone_of(action, workflow));
        if left.is_empty() {
            return Ok(());
        }
        let mut failed = None;
        for clone in &left {
            failed = failed.or(client.delete_action(clone).await.err());
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
    let left = left.into_iter().collect::<Vec<_>>().join(", ");
    let why = format!("{left} were deleted and are listed all the same");
    Err(RestError { at: "actions".into(), cause: Cause::Unexpected(why) })
}

/// A list may be an older one, and be brought up to date after it is read.
const LISTS: usize = 10;

/// Steps until the trials are used up.
async fn finish(
    mut search: Search,
    bench: &mut Bench<'_>,
    platform: &Patient,
    keep: &Arc<dyn Keep>,
    see: &mut (impl FnMut(&Progress) + Send),
) -> Result<Finished, TuneError> {
    loop {
        let step;
        (search, step) = apart(move || {
            let step = search.next();
            (search, step)
        })
        .await;
        let step = step?;
        keep_safe(platform, keep, search.bytes()?).await;
        let (profiling, point) = match step {
            Step::Profile(point) => (true, point),
            Step::Trial(point) => (false, point),
            Step::Done => return apart(move || search.finish()).await,
        };
        let measured = bench.measure(&point).await?;
        let progress;
        (search, progress) = apart(move || {
            let told = match measured {
                Ok(outcome) if profiling => search.profiled(outcome),
                Ok(outcome) => search.told(outcome),
                Err(Obstacle { reason, .. }) if profiling => Err(search.baseline_failed(reason)),
                Err(Obstacle { reason, starved }) => search.failed(reason, starved),
            };
            let progress = told.map(|()| search.progress());
            (search, progress)
        })
        .await;
        let progress = progress?;
        keep_safe(platform, keep, search.bytes()?).await;
        see(&progress);
    }
}

/// Fails when the platform does not allow the memory to be searched.
async fn check_platform(platform: &Patient, problem: &Problem) -> Result<(), TuneError> {
    let bounds = platform.call(|| memory_bounds(&platform.client)).await?;
    Ok(problem.check_memory(bounds)?)
}

/// The least and the largest memory an action may have, MB.
///
/// # Errors
/// The namespace's limits are not to be had.
pub(crate) async fn memory_bounds(client: &Client) -> Result<(u32, u32), RestError> {
    let limits = client.limits().await?;
    // A gateway may not pass the controller's root on; then only the namespace's bounds are known, and a PUT beyond the
    // others fails its trial.
    let system = client.system().await.unwrap_or_default();
    let megabytes = |name| system.limit(name).map(|bytes| (bytes / f64::from(1 << 20)) as u32);
    let (least, most) = limits.action_memory_mb();
    let least = least.or(megabytes("min_action_memory")).unwrap_or(0);
    let most = most.or(megabytes("max_action_memory")).unwrap_or(u32::MAX);
    Ok((least, most))
}

/// What the functions have in production.
async fn today(platform: &Patient, problem: &Problem) -> Result<Vec<Resources>, TuneError> {
    let mut today = Vec::new();
    for function in &problem.workflow.functions {
        let limits = production(platform, problem, &function.name, false).await?.limits;
        let cpu = limits.cpu.filter(|_| problem.settings.cpu_limits);
        // OpenWhisk's default where the platform does not say.
        today.push(Resources { memory_mb: limits.memory.unwrap_or(256), cpu });
    }
    Ok(today)
}

/// Keeps `bytes`, however often it takes.
async fn keep_safe(platform: &Patient, keep: &Arc<dyn Keep>, bytes: Vec<u8>) {
    let mut wait = platform.pace.retry;
    let bytes: Arc<[u8]> = bytes.into();
    loop {
        let (keep, bytes) = (keep.clone(), bytes.clone());
        let Err(error) = apart(move || keep.save(&bytes)).await else { return };
        tracing::error!(error, "a search cannot be kept; trying again");
        sleep(wait).await;
        wait = platform.pace.longer(wait);
    }
}

/// Models build their working memory, some megabytes, by value before it is boxed.
const STACK: usize = 64 << 20;

/// What `work` says, done on a thread with a large stack.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("tune".into()).stack_size(STACK);
    let spawned = thread.spawn(move || {
        // Nobody waits any more when the run was dropped.
        let _ = sender.send(work());
    });
    spawned.expect("the system has a thread left for the search");
    receiver.await.expect("the search does not panic")
}
