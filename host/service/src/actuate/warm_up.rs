//! The back-end `warm-up`: overlapping invocations that do nothing, on any OpenWhisk.
//!
//! `n` invocations at the same time leave `n` initialised containers behind, which the platform keeps for a while. The
//! action has to play along: with our argument it waits and does nothing. The activation ids come back, so that our own
//! runs are not taken for load. The largest lack goes first; what the rate limit leaves undone may be done a minute later.
//! Containers belong to the namespace that invokes: functions that other namespaces than the key's own invoke cannot be
//! warmed from here.

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
    client: Client,
    /// The namespaces the key is for, once they are known; none when the platform does not tell.
    namespaces: Option<Vec<String>>,
    /// Functions invoked by other namespaces, as was remarked last.
    foreign: usize,
    parameter: String,
    ledger: Ledger,
    own: OwnActivations,
}

impl WarmUp {
    pub(super) fn new(config: &Config, secrets: &Secrets, own: OwnActivations) -> Result<Self, Fault> {
        let actuator = &config.actuator;
        Ok(Self {
            client: platform::client(config, secrets, "_")?,
            namespaces: None,
            foreign: 0,
            parameter: actuator.warm_up_parameter.clone(),
            ledger: Ledger::new(actuator.warm_up_per_minute, actuator.idle_container_min),
            own,
        })
    }

    /// What fails for one function does not keep the others cold; the failures are told together. A limit of the platform
    /// ends it until the next minute: requests that are turned away count too.
    pub(super) async fn apply(&mut self, wants: &Wants) -> Result<Applied, String> {
        let mut applied = Applied::default();
        let mut failures: Vec<String> = Vec::new();
        let wants = self.ours(wants, &mut applied.remarks).await?;
        let (rounds, short) = self.ledger.rounds(&wants);
        if short > 0 {
            applied.remarks.push(format!(
                "{short} warm-up invocations exceed actuator.warm_up_per_minute and are left out"
            ));
        }
        for Round { function, invocations, wait_ms } in rounds {
            let Called { accepted, unsent, throttled, failure } =
                self.invoke(&function, invocations, wait_ms).await;
            applied.calls += accepted;
            if accepted > 0 {
                self.ledger.done(wants.minute, &function.name, function.busy + accepted);
            }
            self.ledger.give_back(unsent);
            match failure {
                None => {}
                Some(error) if matches!(error.cause, Cause::NotFound(_) | Cause::Forbidden(_)) => {
                    applied
                        .remarks
                        .push(format!("{error}: was {} deleted, or is it not ours?", function.name));
                }
                Some(error) => failures.push(error.to_string()),
            }
            if let Some(error) = throttled {
                applied.remarks.push(format!("{error}; or lower actuator.warm_up_per_minute"));
                self.ledger.exhaust();
                break;
            }
        }
        Ok(applied.with_failures(&failures))
    }

    /// What the key's own namespace invokes.
    async fn ours(&mut self, wants: &Wants, remarks: &mut Vec<String>) -> Result<Wants, String> {
        let namespaces = match &self.namespaces {
            Some(namespaces) => namespaces,
            None => match self.client.namespaces().await {
                Ok(namespaces) => self.namespaces.insert(namespaces),
                // A gateway may not pass it on.
                Err(error) if error.is_not_found() => self.namespaces.insert(Vec::new()),
                Err(error) => return Err(error.to_string()),
            },
        };
        let mut ours = wants.clone();
        if !namespaces.is_empty() {
            ours.functions.retain(|function| namespaces.contains(&function.namespace));
        }
        let foreign = wants.functions.len() - ours.functions.len();
        if foreign > self.foreign {
            remarks.push(format!(
                "{foreign} functions are invoked by other namespaces than {}, the key's own, and are not warmed",
                namespaces.join(", ")
            ));
        }
        self.foreign = foreign;
        Ok(ours)
    }

    /// All at once: one after the other they would find the first one's container.
    async fn invoke(&self, function: &Wanted, invocations: u32, wait_ms: u32) -> Called {
        let (namespace, action) = function.name.split_once('/').unwrap_or(("_", &function.name));
        let client = self.client.with_namespace(namespace);
        let payload = json!({ self.parameter.as_str(): wait_ms });
        let mut calls = JoinSet::new();
        for _ in 0..invocations {
            let (client, action, payload) = (client.clone(), action.to_owned(), payload.clone());
            calls.spawn(async move { client.invoke(&action, &payload, Wait::No).await });
        }
        let mut called = Called::default();
        while let Some(call) = calls.join_next().await {
            let id = match call {
                Ok(Ok(Invoked::Accepted { id })) => id,
                Ok(Ok(Invoked::Finished(record))) => record.activation_id,
                Ok(Err(error)) => {
                    called.unsent += u32::from(matches!(error.cause, Cause::Unreachable(_)));
                    let place =
                        if error.is_throttled() { &mut called.throttled } else { &mut called.failure };
                    *place = Some(error);
                    continue;
                }
                Err(_) => continue,
            };
            self.own.add(&function.name, &id);
            called.accepted += 1;
        }
        called
    }
}

/// What became of the invocations of one function.
#[derive(Debug, Default)]
struct Called {
    accepted: u32,
    /// Those without a connection. Others that failed may have been counted by the platform, or even run.
    unsent: u32,
    throttled: Option<RestError>,
    failure: Option<RestError>,
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
        let mut lacking: Vec<(u32, u32, &Wanted)> = wants
            .functions
            .iter()
            .filter_map(|function| {
                let fresh = self
                    .touched
                    .get(&function.name)
                    .filter(|(at, _)| wants.minute.saturating_sub(*at) < keep);
                let ours = fresh.map_or(0, |&(_, containers)| containers);
                let warm = function.warm.max(ours);
                let lack = function.containers.saturating_sub(warm);
                (lack > 0).then_some((lack, warm, function))
            })
            .collect();
        lacking.sort_by_key(|&(lack, ..)| std::cmp::Reverse(lack));
        let (mut rounds, mut short) = (Vec::new(), 0);
        for (_, warm, function) in lacking {
            // The idle ones among the warm take part, or they would be taken in place of new ones.
            let invocations = function.containers.saturating_sub(function.busy);
            let mut granted = invocations.min(self.left);
            if function.busy.saturating_add(granted) <= warm {
                // All of them would land on what is warm.
                granted = 0;
            }
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

    /// What was not sent did not use the limit up.
    fn give_back(&mut self, invocations: u32) {
        self.left = self.left.saturating_add(invocations).min(self.per_minute);
    }

    /// The platform takes no more in this minute.
    fn exhaust(&mut self) {
        self.left = 0;
    }

    fn done(&mut self, minute: u32, name: &str, containers: u32) {
        self.touched.insert(name.to_owned(), (minute, containers));
    }
}

#[cfg(test)]
mod tests {
    use aquatope_openwhisk::credentials::Secret;
    use aquatope_standin::Standin;
    use aquatope_standin::config::{Action, Model};
    use aquatope_standin::faults::{Faults, Refused};

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

    #[test]
    fn what_only_touches_warm_containers_again_is_not_done() {
        let mut ledger = Ledger::new(60, 10.0);
        let functions = [wanted("a/f", 80, 0, 0), wanted("a/g", 3, 0, 0)];
        assert_eq!(invoked(&mut ledger, 1, &functions), [("a/f".to_owned(), 60)]);
        // 60 more would find the 60 idle ones. They are left to those who gain by them.
        assert_eq!(invoked(&mut ledger, 2, &functions), [("a/g".to_owned(), 3)]);
        let (rounds, short) = ledger.rounds(&Wants { minute: 3, functions: functions.to_vec(), share: None });
        assert_eq!((rounds, short), (vec![], 80), "and it is told");
        // Before they are evicted they are touched again.
        assert_eq!(invoked(&mut ledger, 10, &functions), [("a/f".to_owned(), 60)]);
    }

    async fn start(per_minute: u32) -> (Standin, WarmUp) {
        let action = |name| Action::new(name, "python:3", Model::default());
        let config = aquatope_standin::config::Config {
            actions: vec![action("f"), action("g")],
            concurrent: 1000,
            per_minute: 1000,
            ..Default::default()
        };
        let standin = Standin::start(config, 1000.0, 0, |_| {}).await.unwrap();
        let mut config = Config::default();
        config.openwhisk.url = standin.url();
        config.actuator.warm_up_per_minute = per_minute;
        let subject = standin.subject();
        let key = Secret::new(format!("{}:{}", subject.user, subject.secret.reveal()));
        let secrets = Secrets { openwhisk: Some(key), ..Secrets::default() };
        let warm_up = WarmUp::new(&config, &secrets, OwnActivations::default()).unwrap();
        (standin, warm_up)
    }

    fn guests(minute: u32, functions: &[(&str, u32)]) -> Wants {
        let guest = |&(name, containers): &(&str, u32)| Wanted {
            namespace: "guest".into(),
            ..wanted(name, containers, 0, 0)
        };
        Wants { minute, functions: functions.iter().map(guest).collect(), share: None }
    }

    #[tokio::test]
    async fn a_limit_of_the_platform_ends_it_until_the_next_minute() {
        let (standin, mut warm_up) = start(60).await;
        standin.set_faults(Faults { throttled: true, ..Faults::default() });
        let functions = [("guest/f", 5), ("guest/g", 3)];
        let applied = warm_up.apply(&guests(1, &functions)).await.unwrap();
        assert_eq!((applied.calls, &applied.failure), (0, &None), "nothing to be tried again at once");
        assert!(applied.remarks[0].contains("lower actuator.warm_up_per_minute"), "{applied:?}");
        assert_eq!(standin.with(|platform| platform.counts().throttled), 5, "one salvo");
        let again = warm_up.apply(&guests(1, &functions)).await.unwrap();
        assert_eq!((again.calls, standin.with(|platform| platform.counts().throttled)), (0, 5));
        standin.set_faults(Faults::default());
        assert_eq!(warm_up.apply(&guests(2, &functions)).await.unwrap().calls, 8);
    }

    #[tokio::test]
    async fn only_calls_without_a_connection_are_given_back() {
        let (standin, mut warm_up) = start(8).await;
        assert_eq!(warm_up.apply(&guests(1, &[("guest/f", 1)])).await.unwrap().calls, 1);
        let failing = vec![Refused { method: "POST", path: "g".into(), status: 500 }];
        standin.set_faults(Faults { refused: failing, ..Faults::default() });
        let applied = warm_up.apply(&guests(2, &[("guest/f", 2), ("guest/g", 5)])).await.unwrap();
        assert_eq!(applied.calls, 2, "the other function's calls count in spite of the failure");
        assert!(applied.failure.unwrap().contains("refused with 500"));
        assert_eq!(warm_up.ledger.left, 1);
        let (standin, mut warm_up) = start(8).await;
        warm_up.namespaces = Some(vec!["guest".into()]);
        standin.stop();
        let applied = warm_up.apply(&guests(3, &[("guest/g", 5)])).await.unwrap();
        assert!(applied.failure.is_some());
        assert_eq!(warm_up.ledger.left, 8);
    }

    #[tokio::test]
    async fn what_other_namespaces_invoke_is_remarked_on_once_and_left_alone() {
        let (_standin, mut warm_up) = start(60).await;
        let mut wants = guests(1, &[("guest/f", 2), ("shared/h", 1)]);
        wants.functions.push(wanted("a/x", 4, 0, 0));
        let applied = warm_up.apply(&wants).await.unwrap();
        assert_eq!(
            (applied.calls, &applied.failure),
            (2, &None),
            "what is forbidden is no reason to try again"
        );
        let remarks = applied.remarks.join("\n");
        assert!(remarks.contains("1 functions are invoked by other namespaces than guest"), "{remarks}");
        assert!(remarks.contains("refused with 403"), "{remarks}");
        let applied = warm_up.apply(&Wants { minute: 2, ..wants }).await.unwrap();
        assert!(!applied.remarks.join("\n").contains("other namespaces"), "{applied:?}");
    }
}
