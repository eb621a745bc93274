//! The back-end `warm-up`: overlapping invocations that do nothing, on any OpenWhisk.
//!
//! `n` invocations at the same time leave `n` initialised containers behind, which the platform keeps for a while. The
//! action has to play along: with our argument it waits and does nothing. The activation ids come back, so that our own
//! runs are not taken for load. The largest lack goes first; what the rate limit leaves undone may be done a minute later.

use std::collections::HashMap;

use aquatope_openwhisk::error::{Cause, RestError};
use aquatope_openwhisk::rest::{Client, Invoked, Wait};
use aquatope_workflow::fault::Fault;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Applied, OwnActivations, Wanted, Wants};
use crate::config::{Config, Secrets};
use crate::platform;

pub(crate) struct WarmUp {
    clients: HashMap<String, Client>,
    config: Config,
    secrets: Secrets,
    parameter: String,
    ledger: Ledger,
    own: OwnActivations,
}

impl WarmUp {
    pub(super) fn new(config: &Config, secrets: &Secrets, own: OwnActivations) -> Result<Self, Fault> {
        let actuator = &config.actuator;
        // So that missing credentials are told at once.
        platform::client(config, secrets, "_")?;
        let ledger = Ledger::new(actuator.warm_up_per_minute, actuator.idle_container_min);
        let parameter = actuator.warm_up_parameter.clone();
        let (config, secrets) = (config.clone(), secrets.clone());
        Ok(Self { clients: HashMap::new(), config, secrets, parameter, ledger, own })
    }

    /// What fails for one function does not keep the others cold; the failures are told together.
    pub(super) async fn apply(&mut self, wants: &Wants) -> Result<Applied, String> {
        let mut applied = Applied::default();
        let mut failures: Vec<String> = Vec::new();
        let (rounds, short) = self.ledger.rounds(wants);
        if short > 0 {
            applied.remarks.push(format!(
                "{short} warm-up invocations exceed actuator.warm_up_per_minute and are left out"
            ));
        }
        for Round { function, invocations, wait_ms } in rounds {
            let (accepted, failure) = self.invoke(&function, invocations, wait_ms).await;
            applied.calls += accepted;
            if accepted > 0 {
                self.ledger.done(wants.minute, &function.name, function.busy + accepted);
            }
            self.ledger.give_back(invocations - accepted);
            match failure {
                None => {}
                Some(error) if matches!(error.cause, Cause::NotFound(_)) => {
                    applied.remarks.push(format!("{error}: was {} deleted?", function.name));
                }
                Some(error) => failures.push(error.to_string()),
            }
        }
        match failures.as_slice() {
            [] => Ok(applied),
            [only] => Err(only.clone()),
            [first, rest @ ..] => Err(format!("{first} (and {} more functions)", rest.len())),
        }
    }

    /// All at once: one after the other they would find the first one's container. Gives how many were accepted.
    async fn invoke(
        &mut self,
        function: &Wanted,
        invocations: u32,
        wait_ms: u32,
    ) -> (u32, Option<RestError>) {
        let (namespace, action) = function.name.split_once('/').unwrap_or(("_", &function.name));
        if !self.clients.contains_key(namespace) {
            match platform::client(&self.config, &self.secrets, namespace) {
                Ok(client) => self.clients.insert(namespace.to_owned(), client),
                // `new` made such a client.
                Err(_) => return (0, None),
            };
        }
        let client = &self.clients[namespace];
        let payload = json!({ self.parameter.as_str(): wait_ms });
        let mut calls = JoinSet::new();
        for _ in 0..invocations {
            let (client, action, payload) = (client.clone(), action.to_owned(), payload.clone());
            calls.spawn(async move { client.invoke(&action, &payload, Wait::No).await });
        }
        let (mut accepted, mut failure) = (0, None);
        while let Some(call) = calls.join_next().await {
            let id = match call {
                Ok(Ok(Invoked::Accepted { id })) => id,
                Ok(Ok(Invoked::Finished(record))) => record.activation_id,
                Ok(Err(error)) => {
                    failure = Some(error);
                    continue;
                }
                Err(_) => continue,
            };
            self.own.add(&function.name, &id);
            accepted += 1;
        }
        (accepted, failure)
    }
}

/// Invocations of one function that have to overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Round {
    function: Wanted,
    invocations: u32,
    /// How long each is to wait.
    wait_ms: u32,
}

/// Long enough for calls that find warm containers to overlap. Meanwhile users find these busy.
const OVERLAP_MS: u32 = 500;
/// The longest wait.
const LONGEST_MS: u32 = 10_000;

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
            let (held, of) = wants.share.unwrap_or((1, 1));
            self.left = (u64::from(self.per_minute) * u64::from(held) / u64::from(of.max(1))) as u32;
        }
        let keep = self.warm_minutes;
        // A minute later they are still there, but would be gone before the next one ends.
        self.touched.retain(|_, (at, _)| wants.minute.saturating_sub(*at) <= keep);
        let mut lacking: Vec<(u32, &Wanted)> = wants
            .functions
            .iter()
            .filter_map(|function| {
                let fresh = self
                    .touched
                    .get(&function.name)
                    .filter(|(at, _)| wants.minute.saturating_sub(*at) < keep);
                let ours = fresh.map_or(0, |&(_, containers)| containers);
                let lack = function.containers.saturating_sub(function.warm.max(ours));
                (lack > 0).then_some((lack, function))
            })
            .collect();
        lacking.sort_by_key(|&(lack, _)| std::cmp::Reverse(lack));
        let (mut rounds, mut short) = (Vec::new(), 0);
        for (_, function) in lacking {
            // The idle ones among the warm take part, or they would be taken in place of new ones.
            let invocations = function.containers.saturating_sub(function.busy);
            let granted = invocations.min(self.left);
            self.left -= granted;
            short += invocations - granted;
            if granted > 0 {
                let alive = self.touched.get(&function.name).map_or(0, |&(_, containers)| containers);
                // New ones have to be waited for, so that all of them overlap.
                let wait_ms = if function.containers <= alive.max(function.warm) {
                    OVERLAP_MS
                } else {
                    function.cold_start_ms.saturating_mul(2).clamp(OVERLAP_MS, LONGEST_MS)
                };
                rounds.push(Round { function: function.clone(), invocations: granted, wait_ms });
            }
        }
        (rounds, short)
    }

    /// What was not accepted did not use the limit up.
    fn give_back(&mut self, invocations: u32) {
        self.left = self.left.saturating_add(invocations).min(self.per_minute);
    }

    fn done(&mut self, minute: u32, name: &str, containers: u32) {
        self.touched.insert(name.to_owned(), (minute, containers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, containers: u32, busy: u32, warm: u32) -> Wanted {
        let (name, namespace, kind) = (name.to_owned(), "a".to_owned(), "python:3".to_owned());
        Wanted { name, namespace, kind, memory_mb: 256, containers, busy, warm, cold_start_ms: 0 }
    }

    fn invoked(ledger: &mut Ledger, minute: u32, functions: &[Wanted]) -> Vec<(String, u32)> {
        let wants = Wants { minute, functions: functions.to_vec(), share: None };
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
        assert_eq!(invoked(&mut ledger, 1, &functions), [("a/g".to_owned(), 5), ("a/f".to_owned(), 1)]);
        // The limit is per minute, however often it is asked.
        assert_eq!(invoked(&mut ledger, 1, &functions), []);
        assert_eq!(invoked(&mut ledger, 2, &functions), [("a/f".to_owned(), 2)]);
        // More than a minute allows is done as far as it allows.
        assert_eq!(invoked(&mut ledger, 3, &[wanted("a/h", 80, 0, 0)]), [("a/h".to_owned(), 6)]);
    }
}
