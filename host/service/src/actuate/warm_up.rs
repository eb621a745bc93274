//! The back-end `warm-up`: overlapping invocations that do nothing, on any OpenWhisk.
//!
//! `n` invocations at the same time leave `n` initialised containers behind, which the platform keeps for a while. The
//! action has to play along: with our argument it waits and does nothing. The activation ids come back, so that our own
//! runs are not taken for load. The largest lack goes first, after it what failed last; what the rate limit leaves undone
//! may be done a minute later. The limit goes by the clock, however fast plans follow each other.
//! A plan comes shortly before its minute: new containers are to be there when it begins, and free.
//! Containers belong to the namespace that invokes: functions that other namespaces than the key's own invoke cannot be
//! warmed from here.

use std::collections::{HashMap, HashSet};

use aquatope_core::time::{Minute, Timestamp};
use aquatope_openwhisk::error::{Cause, RestError};
use aquatope_openwhisk::rest::{Client, Invoked, Wait};
use aquatope_workflow::fault::Fault;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Applied, OwnActivations, Wanted, Wants};
use crate::clock::Clock;
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
    /// ends it until the next minute: requests that are turned away count too. A plan comes at the end of a minute that users
    /// may have used up; what is left undone is then to be done when its own begins.
    pub(super) async fn apply(&mut self, wants: &Wants, clock: Clock) -> Result<Applied, String> {
        let mut applied = Applied::default();
        let mut failures: Vec<String> = Vec::new();
        let wants = self.ours(wants, &mut applied.remarks).await?;
        let (rounds, short) = self.ledger.rounds(&wants, clock.now());
        let begins = Minute(wants.minute).start();
        let may_be_done_later = |now: Timestamp| (now < begins).then_some(begins);
        if short > 0 {
            applied.remarks.push(format!(
                "{short} warm-up invocations exceed actuator.warm_up_per_minute and are left out"
            ));
            applied.again_at = may_be_done_later(clock.now());
        }
        for Round { function, invocations, awaits_cold } in rounds {
            // The rounds before this one took their time.
            let now = clock.now();
            let left_ms = u32::try_from(begins.0.saturating_sub(now.0)).unwrap_or(u32::MAX);
            let wait_ms = if awaits_cold { wait_ms(function.cold_start_ms, left_ms) } else { OVERLAP_MS };
            let Called { accepted, unsent, refused, throttled, failure } =
                self.invoke(&function, invocations, wait_ms).await;
            applied.calls += accepted;
            if accepted > 0 {
                self.ledger.done(&function.name, function.busy + accepted);
            } else if unsent == 0 && throttled.is_none() {
                self.ledger.failed(&function.name);
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
                self.own.refused(&function.namespace, now.minute(), refused);
                applied.again_at = may_be_done_later(now);
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
                    called.refused += u32::from(error.is_beyond_rate());
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
    /// Those beyond the rate of the namespace.
    refused: u32,
    throttled: Option<RestError>,
    failure: Option<RestError>,
}

/// Invocations of one function, made at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Round {
    function: Wanted,
    invocations: u32,
    /// Whether they have to wait until new containers are there, so that all overlap.
    awaits_cold: bool,
}

/// Long enough for calls that find warm containers to overlap. Meanwhile users find these busy.
const OVERLAP_MS: u32 = 500;
/// The longest wait.
const LONGEST_MS: u32 = 10_000;
/// Minutes. What was planned for one longer ago is read from a backlog, and not what is wanted now.
const OLD: u32 = 5;

/// How long calls wait that new containers are made for, so that all of them overlap. The minute they are wanted for begins in
/// `left_ms`: they take half of what the cold start leaves of that, at least [`OVERLAP_MS`], so that users find them free.
fn wait_ms(cold_start_ms: u32, left_ms: u32) -> u32 {
    let overlap = cold_start_ms.saturating_mul(2).clamp(OVERLAP_MS, LONGEST_MS);
    if left_ms == 0 {
        // Users come at any time from now on.
        return overlap;
    }
    overlap.min(left_ms.saturating_sub(cold_start_ms) / 2).max(OVERLAP_MS)
}

/// What we have touched when, and what the rate limit still allows.
#[derive(Debug)]
struct Ledger {
    per_minute: u32,
    /// Minutes a container we touched counts as warm: one less than it is kept.
    warm_minutes: u32,
    /// Minute, and containers that were touched then, by function.
    touched: HashMap<String, (u32, u32)>,
    /// Functions whose last invocations failed, all of them.
    failing: HashSet<String>,
    /// The present minute, by the clock, and what is left of it.
    minute: u32,
    left: u32,
}

impl Ledger {
    fn new(per_minute: u32, idle_container_min: f64) -> Self {
        let warm_minutes = (idle_container_min as u32).saturating_sub(1).max(1);
        let (touched, failing) = (HashMap::new(), HashSet::new());
        Self { per_minute, warm_minutes, touched, failing, minute: 0, left: per_minute }
    }

    /// What to invoke `now`, the largest lack first, and how many invocations there is no room for.
    fn rounds(&mut self, wants: &Wants, now: Timestamp) -> (Vec<Round>, u32) {
        let now = now.minute().0;
        if self.minute != now {
            self.minute = now;
            let (held, of) = wants.share.unwrap_or((1, 1));
            self.left = (u64::from(self.per_minute) * u64::from(held) / u64::from(of.max(1))) as u32;
        }
        if wants.minute.saturating_add(OLD) < now {
            return (Vec::new(), 0);
        }
        if !self.failing.is_empty() {
            let names: HashSet<&str> =
                wants.functions.iter().map(|function| function.name.as_str()).collect();
            self.failing.retain(|name| names.contains(name.as_str()));
        }
        let keep = self.warm_minutes;
        // A minute later they are still there, but would be gone before the next one ends.
        self.touched.retain(|_, (at, _)| now.saturating_sub(*at) <= keep);
        let mut lacking: Vec<(bool, u32, u32, &Wanted)> = wants
            .functions
            .iter()
            .filter_map(|function| {
                let ours = self.fresh(&function.name).map_or(0, |(_, containers)| containers);
                let warm = function.warm.max(ours);
                let lack = function.containers.saturating_sub(warm);
                (lack > 0).then(|| (self.failing.contains(&function.name), lack, warm, function))
            })
            .collect();
        lacking.sort_by_key(|&(failing, lack, ..)| (failing, std::cmp::Reverse(lack)));
        let (mut rounds, mut short) = (Vec::new(), 0);
        for (failing, _, warm, function) in lacking {
            // The idle ones among the warm take part, or they would be taken in place of new ones.
            let mut invocations = function.containers.saturating_sub(function.busy);
            if failing {
                // One tells whether it works again.
                invocations = invocations.min(1);
            }
            let mut granted = invocations.min(self.left);
            if function.busy.saturating_add(granted) <= warm && !failing {
                // All of them would land on what is warm.
                granted = 0;
            }
            self.left -= granted;
            short += invocations - granted;
            if granted > 0 {
                let alive = self.touched.get(&function.name).map_or(0, |&(_, containers)| containers);
                let awaits_cold = granted > 1 && function.containers > alive.max(function.warm);
                rounds.push(Round { function: function.clone(), invocations: granted, awaits_cold });
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

    /// What was touched and will not be evicted within a minute.
    fn fresh(&self, name: &str) -> Option<(u32, u32)> {
        self.touched.get(name).copied().filter(|(at, _)| self.minute.saturating_sub(*at) < self.warm_minutes)
    }

    /// So many containers of the function were touched; more of them that were before are still there.
    fn done(&mut self, name: &str, containers: u32) {
        self.failing.remove(name);
        if self.fresh(name).is_none_or(|(_, before)| before <= containers) {
            self.touched.insert(name.to_owned(), (self.minute, containers));
        }
    }

    /// None of its invocations was accepted.
    fn failed(&mut self, name: &str) {
        self.failing.insert(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        accepted(ledger, &wants, Minute(minute))
    }

    /// What is invoked by `wants`, all of which is accepted.
    fn accepted(ledger: &mut Ledger, wants: &Wants, now: Minute) -> Vec<(String, u32)> {
        let (rounds, _) = ledger.rounds(wants, now.start());
        for round in &rounds {
            ledger.done(&round.function.name, round.function.busy + round.invocations);
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
        let (rounds, short) = ledger
            .rounds(&Wants { minute: 3, functions: functions.to_vec(), share: None }, Minute(3).start());
        assert_eq!((rounds, short), (vec![], 80), "and it is told");
        // Before they are evicted they are touched again.
        assert_eq!(invoked(&mut ledger, 10, &functions), [("a/f".to_owned(), 60)]);
    }

    #[test]
    fn the_limit_goes_by_the_clock_and_minutes_long_gone_are_left_out() {
        let mut ledger = Ledger::new(60, 10.0);
        let wants = |minute: u32, of: u32| {
            let functions = (0..10).map(|id| wanted(&format!("a/{of}-{id}"), 4, 0, 0)).collect();
            Wants { minute, functions, share: None }
        };
        // Two hours are read in one minute of the clock, and then the plan of before comes again.
        let mut invoked = 0;
        for minute in (4_880..=5_000).chain([4_998]) {
            let calls: u32 =
                accepted(&mut ledger, &wants(minute, minute), Minute(5_000)).iter().map(|r| r.1).sum();
            assert!(minute >= 4_995 || calls == 0, "minute {minute}");
            invoked += calls;
        }
        assert_eq!(invoked, 60);
        let calls =
            |ledger: &mut Ledger, minute, now| accepted(ledger, &wants(minute, now), Minute(now)).len();
        assert_eq!(calls(&mut ledger, 5_001, 5_001), 10);
        // What the platform turns away is not offered again for the rest of the minute, whatever is planned.
        ledger.exhaust();
        assert_eq!([calls(&mut ledger, 5_000, 5_001), calls(&mut ledger, 5_002, 5_001)], [0, 0]);
        assert_eq!(calls(&mut ledger, 5_002, 5_002), 10);
    }

    #[test]
    fn what_fails_leaves_the_limit_to_the_others_and_is_tried_with_one() {
        let mut ledger = Ledger::new(60, 10.0);
        let functions = [wanted("a/broken", 60, 0, 3), wanted("a/f", 5, 0, 0)];
        let mut salvo = |minute: u32, works: bool| {
            let wants = Wants { minute, functions: functions.to_vec(), share: None };
            let (rounds, short) = ledger.rounds(&wants, Minute(minute).start());
            for Round { function, invocations, .. } in &rounds {
                match works || function.name == "a/f" {
                    true => ledger.done(&function.name, *invocations),
                    false => ledger.failed(&function.name),
                }
            }
            let of = |round: Round| (round.function.name, round.invocations);
            (rounds.into_iter().map(of).collect::<Vec<_>>(), short)
        };
        let (f, broken) = ("a/f".to_owned(), "a/broken".to_owned());
        assert_eq!(salvo(1, false), (vec![(broken.clone(), 60)], 5));
        assert_eq!(salvo(2, false), (vec![(f, 5), (broken.clone(), 1)], 0));
        assert_eq!(salvo(3, true), (vec![(broken.clone(), 1)], 0));
        assert_eq!(salvo(4, true), (vec![(broken, 60)], 0));
    }

    #[test]
    fn a_round_that_mostly_failed_does_not_hide_what_is_warm() {
        let mut ledger = Ledger::new(100, 10.0);
        assert_eq!(invoked(&mut ledger, 1, &[wanted("a/f", 60, 0, 0)]), [("a/f".to_owned(), 60)]);
        let eighty = [wanted("a/f", 80, 0, 0)];
        let wants = |minute| Wants { minute, functions: eighty.to_vec(), share: None };
        assert_eq!(ledger.rounds(&wants(5), Minute(5).start()).0[0].invocations, 80);
        ledger.done("a/f", 1);
        assert_eq!(invoked(&mut ledger, 6, &[wanted("a/f", 60, 0, 0)]), [], "they are still warm");
        // Not for longer than they are kept.
        assert_eq!(invoked(&mut ledger, 10, &[wanted("a/f", 60, 0, 0)]), [("a/f".to_owned(), 60)]);
    }

    #[test]
    fn targets_that_are_held_are_kept_warm_once_users_may_have_gone() {
        let mut ledger = Ledger::new(60, 10.0);
        let mut wants = Wants { minute: 100, functions: vec![wanted("a/f", 5, 2, 5)], share: None };
        let mut salvos = Vec::new();
        // Nothing has been planned for minute 101 and all that follow.
        for minute in 100..=130_u32 {
            let passed = Duration::from_secs(u64::from(minute - 100) * 60 + 15);
            wants = wants.held(100, passed, 9).unwrap_or(wants);
            assert_eq!((wants.minute, wants.functions[0].containers), (minute, 5));
            assert_eq!(wants.held(100, passed, 9), None, "once a minute");
            let calls = accepted(&mut ledger, &wants, Minute(minute));
            salvos.extend(calls.into_iter().map(|(_, calls)| (minute, calls)));
        }
        assert_eq!(salvos, [(109, 5), (118, 5), (127, 5)]);
        assert_eq!(Wants::default().held(100, Duration::from_secs(600), 9), None, "nothing was ever wanted");
    }

    #[test]
    fn what_is_invoked_before_its_minute_is_free_soon_after_it_began() {
        // A second of the two that the cold start leaves; nothing is left of it by the slower ones.
        let waits = |left_ms| [500, 3_000, 4_999, 5_000, 60_000].map(|cold_ms| wait_ms(cold_ms, left_ms));
        assert_eq!(waits(5_000), [1_000, 1_000, 500, 500, 500]);
        assert_eq!(waits(1), [500; 5]);
        assert_eq!(waits(0), [1_000, 6_000, 9_998, 10_000, 10_000], "the minute has begun");
        let mut ledger = Ledger::new(60, 10.0);
        let functions = vec![wanted("a/one", 1, 0, 0), wanted("a/two", 2, 0, 0), wanted("a/warm", 9, 9, 6)];
        let mut awaits_cold = |minute, functions| -> Vec<(String, bool)> {
            let (rounds, _) =
                ledger.rounds(&Wants { minute, functions, share: None }, Minute(minute).start());
            ledger.done("a/two", 2);
            rounds.into_iter().map(|round| (round.function.name, round.awaits_cold)).collect()
        };
        assert_eq!(awaits_cold(7, functions), [("a/two".into(), true), ("a/one".into(), false)]);
        let again = awaits_cold(16, vec![wanted("a/two", 2, 0, 0)]);
        assert_eq!(again, [("a/two".into(), false)], "they are kept a minute longer");
    }

    async fn start(per_minute: u32) -> (Standin, WarmUp) {
        start_with(per_minute, 1000, 1000).await
    }

    /// The same on a platform with these limits, per minute and at a time.
    async fn start_with(per_minute: u32, rate: u64, concurrent: u64) -> (Standin, WarmUp) {
        let action = |name| Action::new(name, "python:3", Model::default());
        let config = aquatope_standin::config::Config {
            actions: vec![action("f"), action("g")],
            concurrent,
            per_minute: rate,
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

    /// A clock that stands still at the begin of `minute`.
    fn at(minute: u32) -> Clock {
        Clock::fast(Minute(minute).start(), 0.0)
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
        let applied = warm_up.apply(&guests(1, &functions), at(1)).await.unwrap();
        assert_eq!((applied.calls, &applied.failure), (0, &None), "nothing to be tried again at once");
        assert!(applied.remarks[0].contains("lower actuator.warm_up_per_minute"), "{applied:?}");
        assert_eq!(standin.with(|platform| platform.counts().throttled), 5, "one salvo");
        let again = warm_up.apply(&guests(1, &functions), at(1)).await.unwrap();
        assert_eq!((again.calls, standin.with(|platform| platform.counts().throttled)), (0, 5));
        standin.set_faults(Faults::default());
        assert_eq!(warm_up.apply(&guests(2, &functions), at(2)).await.unwrap().calls, 8);
    }

    #[tokio::test]
    async fn what_users_left_no_room_for_is_invoked_when_its_minute_begins() {
        let (standin, mut warm_up) = start(60).await;
        standin.set_faults(Faults { throttled: true, ..Faults::default() });
        let wants = guests(2, &[("guest/f", 5)]);
        let before = Clock::fast(Timestamp(Minute(2).start().0 - 5_000), 0.0);
        let applied = warm_up.apply(&wants, before).await.unwrap();
        assert_eq!((applied.calls, applied.again_at), (0, Some(Minute(2).start())));
        // A minute that users did not use up.
        standin.set_faults(Faults::default());
        let applied = warm_up.apply(&wants, at(2)).await.unwrap();
        assert_eq!((applied.calls, applied.again_at), (5, None));
        // Beyond our own limit it is the same.
        let (_standin, mut warm_up) = start(8).await;
        let wants = guests(2, &[("guest/f", 5), ("guest/g", 5)]);
        let applied = warm_up.apply(&wants, before).await.unwrap();
        assert_eq!((applied.calls, applied.again_at), (8, Some(Minute(2).start())));
        // The three that are there and two new ones.
        let applied = warm_up.apply(&wants, at(2)).await.unwrap();
        assert_eq!((applied.calls, applied.again_at), (5, None));
    }

    #[tokio::test]
    async fn only_what_is_beyond_the_rate_counts_as_refused_for_it() {
        for (rate, concurrent, refused) in [(0, 1000, 8), (1000, 0, 0)] {
            let (_standin, warm_up) = start_with(60, rate, concurrent).await;
            let called = warm_up.invoke(&guests(1, &[("guest/f", 8)]).functions[0], 8, 500).await;
            assert!(called.throttled.is_some(), "{called:?}");
            assert_eq!(called.refused, refused, "{called:?}");
        }
    }

    #[tokio::test]
    async fn only_calls_without_a_connection_are_given_back() {
        let (standin, mut warm_up) = start(8).await;
        assert_eq!(warm_up.apply(&guests(1, &[("guest/f", 1)]), at(1)).await.unwrap().calls, 1);
        let failing = vec![Refused { method: "POST", path: "g".into(), status: 500 }];
        standin.set_faults(Faults { refused: failing, ..Faults::default() });
        let applied = warm_up.apply(&guests(2, &[("guest/f", 2), ("guest/g", 5)]), at(2)).await.unwrap();
        assert_eq!(applied.calls, 2, "the other function's calls count in spite of the failure");
        assert!(applied.failure.unwrap().contains("refused with 500"));
        assert_eq!(warm_up.ledger.left, 1);
        let (standin, mut warm_up) = start(8).await;
        warm_up.namespaces = Some(vec!["guest".into()]);
        standin.stop();
        let applied = warm_up.apply(&guests(3, &[("guest/g", 5)]), at(3)).await.unwrap();
        assert!(applied.failure.is_some());
        assert_eq!(warm_up.ledger.left, 8);
    }

    #[tokio::test]
    async fn what_other_namespaces_invoke_is_remarked_on_once_and_left_alone() {
        let (_standin, mut warm_up) = start(60).await;
        let mut wants = guests(1, &[("guest/f", 2), ("shared/h", 1)]);
        wants.functions.push(wanted("a/x", 4, 0, 0));
        let applied = warm_up.apply(&wants, at(1)).await.unwrap();
        assert_eq!(
            (applied.calls, &applied.failure),
            (2, &None),
            "what is forbidden is no reason to try again"
        );
        let remarks = applied.remarks.join("\n");
        assert!(remarks.contains("1 functions are invoked by other namespaces than guest"), "{remarks}");
        assert!(remarks.contains("refused with 403"), "{remarks}");
        let applied = warm_up.apply(&Wants { minute: 2, ..wants }, at(2)).await.unwrap();
        assert!(!applied.remarks.join("\n").contains("other namespaces"), "{applied:?}");
    }
}
