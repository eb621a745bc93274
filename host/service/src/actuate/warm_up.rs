//! The back-end `warm-up`: overlapping invocations that do nothing, on any OpenWhisk.
//!
//! `n` invocations at the same time leave `n` initialised containers behind, which the platform keeps for a while. The
//! action has to play along: with our argument it waits and does nothing. The activation ids come back, so that our own
//! runs are not taken for load. What the rate limit leaves undone is done in the next minutes, the largest lack first.

use std::collections::HashMap;

use aquatope_openwhisk::error::Cause;
use aquatope_openwhisk::rest::{Client, Invoked, Wait};
use aquatope_workflow::fault::Fault;
use serde_json::{Map, Value};

use super::{Applied, OwnActivations, Wanted, Wants};
use crate::config::{Config, Secrets};
use crate::platform;

/// Beside the payload: how many milliseconds the action is to wait.
const SLEEP: &str = "aquatope_sleep_ms";

pub(crate) struct WarmUp {
    clients: HashMap<String, Client>,
    config: Config,
    secrets: Secrets,
    payload: Map<String, Value>,
    ledger: Ledger,
    own: OwnActivations,
}

impl WarmUp {
    pub(super) fn new(config: &Config, secrets: &Secrets, own: OwnActivations) -> Result<Self, Fault> {
        let actuator = &config.actuator;
        let payload = serde_json::from_str(&actuator.warm_up_payload)
            .map_err(|error| platform::fault("actuator.warm_up_payload", error, "write a JSON object"))?;
        // So that missing credentials are told at once.
        platform::client(config, secrets, "_")?;
        let ledger = Ledger::new(actuator.warm_up_per_minute, actuator.idle_container_min);
        let (config, secrets) = (config.clone(), secrets.clone());
        Ok(Self { clients: HashMap::new(), config, secrets, payload, ledger, own })
    }

    pub(super) async fn apply(&mut self, wants: &Wants) -> Result<Applied, String> {
        let mut applied = Applied::default();
        let (rounds, refused) = self.ledger.rounds(wants);
        if refused > 0 {
            applied.remarks.push(format!(
                "{refused} warm-up invocations exceed actuator.warm_up_per_minute and wait for the next minutes"
            ));
        }
        for Round { function, invocations } in rounds {
            let (namespace, action) = function.name.split_once('/').unwrap_or(("_", &function.name));
            if !self.clients.contains_key(namespace) {
                let client = platform::client(&self.config, &self.secrets, namespace)
                    .map_err(|fault| fault.to_string())?;
                self.clients.insert(namespace.to_owned(), client);
            }
            let client = &self.clients[namespace];
            let mut payload = self.payload.clone();
            // Longer than a cold start, so that all of them overlap.
            let wait_ms = (2 * function.cold_start_ms).clamp(500, 10_000);
            payload.insert(SLEEP.into(), wait_ms.into());
            let payload = Value::Object(payload);
            // All at once: one after the other they would find the first one's container.
            let calls: Vec<_> = (0..invocations)
                .map(|_| {
                    let (client, action, payload) = (client.clone(), action.to_owned(), payload.clone());
                    tokio::spawn(async move { client.invoke(&action, &payload, Wait::No).await })
                })
                .collect();
            let mut failure = None;
            for call in calls {
                match call.await {
                    Ok(Ok(Invoked::Accepted { id })) => {
                        self.own.add(&function.name, &id);
                        applied.calls += 1;
                    }
                    Ok(Ok(Invoked::Finished(record))) => {
                        self.own.add(&function.name, &record.activation_id);
                        applied.calls += 1;
                    }
                    Ok(Err(error)) => failure = Some(error),
                    Err(_) => {}
                }
            }
            match failure {
                None => self.ledger.done(wants.minute, &function.name, function.busy + invocations),
                Some(error) if matches!(error.cause, Cause::NotFound(_)) => {
                    applied.remarks.push(format!("{error}: was {} deleted?", function.name));
                }
                Some(error) => return Err(error.to_string()),
            }
        }
        Ok(applied)
    }
}

/// Invocations of one function that have to overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Round {
    function: Wanted,
    invocations: u32,
}

/// What we have touched when, and what the rate limit still allows.
#[derive(Debug)]
struct Ledger {
    per_minute: u32,
    /// Minutes a container we touched counts as warm: one less than it is kept.
    warm_minutes: u32,
    /// Minute, and containers that were touched then, by function.
    touched: HashMap<String, (u32, u32)>,
    minute: u32,
    left: u32,
}

impl Ledger {
    fn new(per_minute: u32, idle_container_min: f64) -> Self {
        let warm_minutes = (idle_container_min as u32).saturating_sub(1).max(1);
        Self { per_minute, warm_minutes, touched: HashMap::new(), minute: 0, left: per_minute }
    }

    /// What to invoke now, the largest lack first, and how many invocations there is no room for.
    fn rounds(&mut self, wants: &Wants) -> (Vec<Round>, u32) {
        if self.minute != wants.minute {
            self.minute = wants.minute;
            self.left = self.per_minute;
        }
        let keep = self.warm_minutes;
        self.touched.retain(|_, (at, _)| wants.minute.saturating_sub(*at) < keep);
        let mut lacking: Vec<(u32, &Wanted)> = wants
            .functions
            .iter()
            .filter_map(|function| {
                let ours = self.touched.get(&function.name).map_or(0, |&(_, containers)| containers);
                let lack = function.containers.saturating_sub(function.warm.max(ours));
                (lack > 0).then_some((lack, function))
            })
            .collect();
        lacking.sort_by_key(|&(lack, _)| std::cmp::Reverse(lack));
        let (mut rounds, mut refused) = (Vec::new(), 0);
        for (_, function) in lacking {
            // The idle ones among the warm take part, or they would be taken in place of new ones.
            let invocations = function.containers.saturating_sub(function.busy);
            if invocations <= self.left {
                self.left -= invocations;
                rounds.push(Round { function: function.clone(), invocations });
            } else {
                refused += invocations;
            }
        }
        (rounds, refused)
    }

    fn done(&mut self, minute: u32, name: &str, containers: u32) {
        self.touched.insert(name.to_owned(), (minute, containers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, containers: u32, busy: u32, warm: u32) -> Wanted {
        let (name, kind) = (name.to_owned(), "python:3".to_owned());
        Wanted { name, kind, memory_mb: 256, containers, busy, warm, cold_start_ms: 0 }
    }

    fn invoked(ledger: &mut Ledger, minute: u32, functions: &[Wanted]) -> Vec<(String, u32)> {
        let wants = Wants { minute, functions: functions.to_vec() };
        let (rounds, _) = ledger.rounds(&wants);
        for round in &rounds {
            ledger.done(minute, &round.function.name, round.function.busy + round.invocations);
        }
        rounds.into_iter().map(|round| (round.function.name, round.invocations)).collect()
    }

    #[test]
    fn what_is_warm_is_left_alone_until_it_would_be_evicted() {
        let mut ledger = Ledger::new(100, 10.0);
        let functions = [wanted("a/f", 5, 1, 3), wanted("a/g", 2, 0, 2)];
        // Two are lacking; the two idle ones take part.
        assert_eq!(invoked(&mut ledger, 1, &functions), [("a/f".to_owned(), 4)]);
        for minute in 2..10 {
            assert_eq!(invoked(&mut ledger, minute, &functions), []);
        }
        assert_eq!(invoked(&mut ledger, 10, &functions), [("a/f".to_owned(), 4)]);
    }

    #[test]
    fn the_largest_lack_goes_first_within_the_limit() {
        let mut ledger = Ledger::new(6, 10.0);
        let functions = [wanted("a/f", 2, 0, 0), wanted("a/g", 5, 0, 0)];
        assert_eq!(invoked(&mut ledger, 1, &functions), [("a/g".to_owned(), 5)]);
        // The limit is per minute, however often it is asked.
        assert_eq!(invoked(&mut ledger, 1, &functions), []);
        assert_eq!(invoked(&mut ledger, 2, &functions), [("a/f".to_owned(), 2)]);
    }
}
