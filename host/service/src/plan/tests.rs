use std::collections::HashMap;

use aquatope_core::forecast::light::{GAINS, header, network_len};

use super::*;
use crate::observe::Asked;

fn config() -> PlanConfig {
    PlanConfig {
        prices: Prices::ratio(19.0),
        most: 100,
        capacity_mb: f64::INFINITY,
        hysteresis: Hysteresis::NONE,
        stale_after: Duration::from_secs(120),
        idle_minutes: 10,
    }
}

fn info(name: &str) -> FunctionInfo {
    FunctionInfo {
        name: name.into(),
        kind: "python:3".into(),
        memory_mb: 1024,
        first: Minute(0),
        ..FunctionInfo::default()
    }
}

fn window(minute: u32, invocations: u32, peak: u32) -> Window {
    Window { minute: Minute(minute), invocations, peak, ..Window::default() }
}

fn report(minute: u32, open: u32) -> MinuteReport {
    MinuteReport { minute: Minute(minute), open: Minute(open), ..MinuteReport::default() }
}

fn planner(config: PlanConfig, functions: &[&str]) -> Planner {
    let mut planner = Planner::new(config, Managed::new(vec!["guest/*".into()]), HashMap::new());
    for (id, name) in functions.iter().enumerate() {
        planner.add(FunctionId(id as u32), info(name));
    }
    planner
}

fn containers_of(plan: &PoolPlan) -> Vec<u32> {
    plan.targets.iter().map(|target| target.containers).collect()
}

/// A weight file of one network with small weights of both signs.
fn weights() -> Vec<u32> {
    let mut values: Vec<f32> = (0..network_len(8)).map(|k| ((k * 37 % 101) as f32 - 50.0) / 500.0).collect();
    values[GAINS].fill(0.1);
    let head = header(8, 1).to_bytes(&values).unwrap();
    let head = head.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    head.chain(values.iter().map(|value| value.to_bits())).collect()
}

#[test]
fn an_hour_of_peaks_forecasts_the_next_minute() {
    let mut planner = planner(config(), &["guest/f", "other/f"]);
    let mut plan = None;
    for minute in 0..60 {
        let both = |peak| (0..2).map(|id| (FunctionId(id), window(minute, 9, peak))).collect();
        let finals = both(if minute % 6 == 0 { 5 } else { 2 });
        plan = Some(planner.plan(&MinuteReport { finals, ..report(minute, minute + 1) }));
    }
    let plan = plan.unwrap();
    // One minute in six has 5: more than the 5 % that a cold start at the price of 19 idle minutes allows.
    assert_eq!((plan.minute, containers_of(&plan)), (Minute(60), vec![5]), "and only what is managed");
    assert_eq!(plan.targets[0].warm, 5);
}

#[test]
fn provisional_minutes_are_seen_and_not_kept() {
    let mut planner = planner(config(), &["guest/f"]);
    let provisional = vec![(FunctionId(0), window(7, 3, 3))];
    let plan = planner.plan(&MinuteReport { provisional, ..report(7, 5) });
    assert_eq!((plan.targets[0].busy, plan.targets[0].containers), (3, 3));
    // It turns out that there were four, and that minute 8 was idle.
    let finals = vec![(FunctionId(0), window(7, 4, 4))];
    let plan = planner.plan(&MinuteReport { finals, ..report(8, 9) });
    assert_eq!((plan.targets[0].busy, plan.targets[0].warm), (0, 4));
    let history = planner.members[0].state.as_ref().unwrap().history();
    assert_eq!((history.peak(1), history.peak(2), history.seen()), (Some(0), Some(4), 9));
    // What was busy longer ago than idle containers are kept is not warm, final or not.
    let provisional = vec![(FunctionId(0), window(16, 2, 2))];
    let plan = planner.plan(&MinuteReport { provisional: provisional.clone(), ..report(16, 12) });
    assert_eq!(plan.targets[0].warm, 4);
    let plan = planner.plan(&MinuteReport { provisional, ..report(17, 12) });
    assert_eq!(plan.targets[0].warm, 2);
}

#[test]
fn the_model_forecasts_from_the_same_history() {
    let mut planner = planner(config(), &["guest/f"]);
    let profile = Profile { mean: 2.0, period: 7, period_correlation: 0.5 };
    planner.set_model(weights(), |_| profile).unwrap();
    let mut state = FunctionState::<FULL_HISTORY>::new(Minute(0), profile);
    let mut plan = None;
    for minute in 0..100_u32 {
        let peak = minute % 7;
        // The last three minutes are provisional all the time.
        let of = |m: u32| (FunctionId(0), window(m, 2 * (m % 7), m % 7));
        let finals = minute.checked_sub(3).map(of).into_iter().filter(|(_, w)| w.peak > 0).collect();
        let open = minute.saturating_sub(2);
        let provisional = (open..=minute).map(of).filter(|(_, w)| w.peak > 0).collect();
        plan = Some(planner.plan(&MinuteReport { finals, provisional, ..report(minute, open) }));
        state.push(2 * peak, peak);
    }
    let words = weights();
    let weights = Weights::parse(bytemuck::cast_slice(&words)).unwrap();
    let expected = LightModel::new(&weights).unwrap().forecast(&state.read(None));
    let found = plan.unwrap().targets[0].forecast;
    // The profile's period was set when half a history was there, so its expert's error differs by nothing here.
    assert_eq!(found, expected);
    assert!(planner.set_model(vec![1, 2, 3], |_| profile).is_err() && planner.has_model());
}

#[test]
fn forecasts_are_scored_by_whole_minutes() {
    let mut planner = planner(config(), &["guest/f"]);
    let mut tell = |minute: u32, peaks: &[(u32, u32)]| {
        let of = |&(minute, peak): &(u32, u32)| (FunctionId(0), window(minute, peak, peak));
        let provisional = peaks.iter().map(of).collect();
        planner.plan(&MinuteReport { provisional, ..report(minute, 10) });
        planner.drift().share().map(|share| (100.0 * share).round())
    };
    assert_eq!(tell(10, &[(10, 1)]), None);
    assert_eq!(tell(11, &[(10, 1), (11, 1)]), None, "minute 11 is the first one forecast, and still runs");
    assert_eq!(tell(12, &[(10, 1), (11, 1), (12, 1)]), Some(0.0), "it has ended");
    // Minute 12 was as forecast until the plan was made; five came in its last seconds.
    assert_eq!(tell(13, &[(10, 1), (11, 1), (12, 5)]), Some(50.0));
    // Nine came in minute 14 so far; what is scored is minute 13, which was quiet.
    assert_eq!(tell(14, &[(10, 1), (11, 1), (12, 5), (14, 9)]), Some(33.0));
    // For minutes that were skipped nothing was forecast.
    assert_eq!(tell(20, &[(19, 50), (20, 50)]), Some(33.0));
    assert_eq!(tell(21, &[(20, 50), (21, 50)]), Some(33.0));
    assert_eq!(tell(22, &[(20, 50), (21, 90), (22, 50)]), Some(50.0), "after the pause it was");
}

#[test]
fn behind_by_too_much_targets_only_grow() {
    let mut planner = planner(config(), &["guest/f"]);
    for minute in 0..5 {
        let finals = vec![(FunctionId(0), window(minute, 4, 4))];
        planner.plan(&MinuteReport { finals, ..report(minute, minute + 1) });
    }
    let late = Duration::from_secs(121);
    let stale = planner.plan(&MinuteReport { behind: late, ..report(400, 400) });
    assert!(stale.stale);
    assert_eq!(containers_of(&stale), [4]);
    let fresh = planner.plan(&report(401, 401));
    assert_eq!((fresh.stale, containers_of(&fresh)), (false, vec![0]));
}

#[test]
fn what_the_rate_limit_refused_was_asked_for() {
    let mut planner = planner(PlanConfig { most: 7, ..config() }, &["guest/f", "guest/g", "guest/h"]);
    planner.members[2].info.namespace = "another".into();
    planner.members[..2].iter_mut().for_each(|member| member.info.namespace = "guest".into());
    let mut containers = |minute: u32, refused: u64| {
        let provisional = vec![
            (FunctionId(0), window(minute, 30, 4)),
            (FunctionId(1), window(minute, 10, 1)),
            (FunctionId(2), window(minute, 10, 3)),
        ];
        let asked = [("guest", 40, refused), ("nobody", 0, 9)];
        let beyond_rate = asked.map(|(name, ran, refused)| (name.to_owned(), Asked { ran, refused })).into();
        containers_of(&planner.plan(&MinuteReport { provisional, beyond_rate, ..report(minute, minute) }))
    };
    assert_eq!(containers(10, 0), [4, 1, 3]);
    // 40 ran and 10 were refused: a quarter more.
    assert_eq!(containers(11, 10), [5, 2, 3]);
    // Twice as much at most, and no more than one function may have.
    assert_eq!(containers(12, 1000), [7, 2, 3]);
    assert_eq!(containers(13, 0), [4, 1, 3], "it is forgotten with the minute");
}

#[test]
fn memory_is_shared_and_busy_containers_stay() {
    let mut planner = planner(PlanConfig { capacity_mb: 6.0 * 1024.0, ..config() }, &["guest/f", "guest/g"]);
    for minute in 0..60 {
        let finals = vec![(FunctionId(0), window(minute, 4, 4)), (FunctionId(1), window(minute, 9, 5))];
        let plan = planner.plan(&MinuteReport { finals, ..report(minute, minute + 1) });
        assert!(plan.fit.granted_mb <= 6.0 * 1024.0 && plan.targets.iter().all(|t| t.containers >= t.busy));
    }
    // All that is busy is more than there is.
    let provisional = vec![(FunctionId(0), window(60, 4, 4)), (FunctionId(1), window(60, 9, 5))];
    let plan = planner.plan(&MinuteReport { provisional, ..report(60, 60) });
    assert_eq!(containers_of(&plan), [4, 5]);
}

#[test]
fn ids_may_come_in_any_order_and_a_report_may_skip_minutes() {
    let mut planner = planner(config(), &[]);
    let functions = vec![(FunctionId(4), info("guest/e"))];
    let finals = vec![(FunctionId(4), window(2, 1, 1)), (FunctionId(9), window(2, 1, 1))];
    let plan = planner.plan(&MinuteReport { functions, finals, ..report(5000, 5000) });
    assert_eq!(plan.targets.len(), 1);
    assert_eq!(planner.functions().count(), 1);
}

#[test]
fn memory_is_as_stated() {
    let idle = size_of::<Member>();
    let busy = idle + size_of::<FunctionState<FULL_HISTORY>>();
    assert!(idle <= 300 && busy <= 9 << 10, "{idle}, {busy}");
}
