//! Calls that outlast troubles which pass.

use std::time::Duration;

use aquatope_openwhisk::error::RestError;
use aquatope_openwhisk::rest::Client;
use tokio::time::sleep;

/// How long to wait for what.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// After a request that a limit turned away.
    pub throttled: Duration,
    /// After the first failure of the platform or the network; twice as long after each further one in a row.
    pub retry: Duration,
    /// The longest of these.
    pub longest_retry: Duration,
    /// Between two looks for the record of a run that lasts longer than a blocking call.
    pub poll: Duration,
    /// For such a record, at most.
    pub record: Duration,
    /// Between two invocations of trials, at least: the namespace's rate limit is its users'.
    pub invocation: Duration,
    /// Between two looks at production after a change.
    pub watch: Duration,
}

impl Pace {
    /// The wait after one of `wait`, where it failed again.
    pub fn longer(&self, wait: Duration) -> Duration {
        (wait * 2).min(self.longest_retry)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            throttled: Duration::from_secs(15),
            retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
            poll: Duration::from_secs(2),
            record: Duration::from_secs(600),
            // Half of what OpenWhisk allows by default.
            invocation: Duration::from_secs(2),
            watch: Duration::from_secs(30),
        }
    }
}

/// A client that waits until the platform answers.
#[derive(Clone, Debug)]
pub struct Patient {
    /// The client.
    pub client: Client,
    /// How long to wait for what.
    pub pace: Pace,
}

/// Failures of one request that a platform in good health may have before the request is to blame.
const TRIES: usize = 5;

impl Patient {
    /// Calls until the answer is not a trouble that passes: throttling, no connection, a platform out of order. A request
    /// that keeps failing while the platform answers others is at fault itself, and its error is returned.
    pub(super) async fn call<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, RestError>
    where
        F: Future<Output = Result<T, RestError>>,
    {
        let mut wait = self.pace.retry;
        let mut failures = 0;
        loop {
            match call().await {
                Err(error) if error.is_throttled() => {
                    tracing::debug!(%error, "waiting for the namespace's limits");
                    sleep(self.pace.throttled).await;
                }
                Err(error) if error.is_transient() => {
                    if failures > TRIES {
                        return Err(error);
                    }
                    if failures < TRIES || self.client.limits().await.is_ok() {
                        // Beyond TRIES only while the platform answers others: then the next failure is the last.
                        failures += 1;
                    }
                    tracing::warn!(%error, wait_s = wait.as_secs_f64(), "OpenWhisk does not answer; trying again");
                    sleep(wait).await;
                    wait = self.pace.longer(wait);
                }
                answer => return answer,
            }
        }
    }
}
