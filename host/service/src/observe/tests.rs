//! The observer against the core's windows, through crashes, duplicates, disorder and clocks that jump.

use std::collections::BTreeMap;

use aquatope_core::activation::Activation;
use aquatope_core::window::WindowSeries;
use proptest::prelude::*;

use super::input::LONGEST_MS;
use super::*;

/// The first minute of the tests, and its first instant in ms.
const START: Minute = Minute(27_000_000);
const START_MS: u64 = 27_000_000 * 60_000;

/// One activation of a test: function, arrival (ms after the start), wait, initialisation and run.
#[derive(Clone, Copy, Debug)]
struct Case {
    function: u8,
    arrival: u64,
    wait: u64,
    init: u64,
    run: u64,
}

impl Case {
    fn ended(&self) -> u64 {
        START_MS + self.arrival + self.wait + self.init + self.run
    }
}

/// A message in a partition: which case, and when it was produced.
#[derive(Clone, Copy, Debug)]
struct Message {
    case: usize,
    produced: u64,
}

fn name(function: u8) -> String {
    format!("guest/f{function}")
}

fn finished<'a>(name: &'a str, id: u64, case: &Case) -> Finished<'a> {
    Finished {
        name,
        namespace: "guest",
        kind: "python:3",
        id: Some(ActivationId(id)),
        ended: Timestamp(case.ended()),
        duration_ms: case.init + case.run,
        wait_ms: case.wait,
        init_ms: case.init,
        memory_mb: 256,
        is_sequence: false,
        failed: false,
    }
}

/// What the core counts.
fn truth(cases: &[Case], minutes: u32) -> BTreeMap<(String, Minute), Window> {
    let mut windows = BTreeMap::new();
    for function in 0..4 {
        let mut series = Box::new(WindowSeries::<512>::new(START, Duration::ZERO));
        for (id, case) in cases.iter().enumerate().filter(|(_, case)| case.function == function) {
            let activation = Activation {
                function: FunctionId(0),
                id: ActivationId(id as u64),
                start: Timestamp(START_MS + case.arrival + case.wait),
                duration: Duration::from_millis(case.init + case.run),
                wait: Duration::from_millis(case.wait),
                init: Duration::from_millis(case.init),
            };
            series.record(&activation).unwrap();
        }
        series.close_until(Minute(START.0 + minutes).start());
        while let Some(window) = series.poll_window() {
            if window.peak > 0 {
                windows.insert((name(function), window.minute), window);
            }
        }
    }
    windows
}

/// What a store would hold.
#[derive(Default)]
struct Durable {
    restored: Restored,
    windows: BTreeMap<(String, Minute), Window>,
}

impl Durable {
    fn apply(&mut self, commit: &Commit) {
        for (id, info) in &commit.functions {
            let at = id.0 as usize;
            if at == self.restored.functions.len() {
                self.restored.functions.push(info.clone());
            } else {
                self.restored.functions[at] = info.clone();
            }
        }
        for (id, window) in &commit.windows {
            let name = self.restored.functions[id.0 as usize].name.clone();
            let twice = self.windows.insert((name, window.minute), *window);
            assert_eq!(twice, None, "a window is final once");
        }
        self.restored.open = commit.open;
        self.restored.offsets = commit.offsets.clone();
        if let Some(exclusions) = &commit.exclusions {
            self.restored.exclusions = exclusions.clone();
        }
    }
}

/// Begin, or go on after a crash: reading starts where the store says.
fn start(durable: &Durable, partitions: usize, config: ObserverConfig) -> (Observer, Vec<usize>) {
    let mut observer = Observer::new(config, durable.restored.clone());
    let positions: Vec<usize> = (0..partitions)
        .map(|p| observer.stored(p as i32).map_or(0, |stored| stored.resume) as usize)
        .collect();
    for (partition, &position) in positions.iter().enumerate() {
        observer.handle_assigned(partition as i32, position as i64);
    }
    (observer, positions)
}

fn close(observer: &mut Observer, durable: &mut Durable) {
    if let Some(commit) = observer.poll_commit() {
        durable.apply(&commit);
        observer.handle_committed(commit);
    }
}

fn cases() -> impl Strategy<Value = Vec<Case>> {
    let case = (0_u8..4, 0_u64..1_200, 0_u64..30, prop_oneof![Just(0), 1_u64..20], 0_u64..200).prop_map(
        // Whole seconds make ties of starts, ends and minute boundaries likely.
        |(function, arrival, wait, init, run)| Case {
            function,
            arrival: arrival * 1_000,
            wait: wait * 1_000,
            init: init * 1_000,
            run: run * 1_000,
        },
    );
    prop::collection::vec(case, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Messages in any partition, late by up to half a minute and doubled, read at any pace; crashes anywhere, before
    /// and after the store has a commit: the final windows are those the core counts.
    #[test]
    fn nothing_is_lost_and_nothing_counts_twice(
        cases in cases(),
        deliveries in prop::collection::vec((0_usize..3, 0_u64..30_000, any::<bool>()), 80..81),
        steps in prop::collection::vec((0_usize..3, 0_usize..8, 0_u64..40_000, 0_u8..10), 60..120),
        partitions in 1_usize..4,
    ) {
        let mut topic: Vec<Vec<Message>> = vec![Vec::new(); partitions];
        for (case, &(partition, delay, twice)) in deliveries.iter().enumerate().take(cases.len()) {
            let produced = cases[case].ended() + delay;
            topic[partition % partitions].push(Message { case, produced });
            if twice {
                topic[(partition + delay as usize) % partitions].push(Message { case, produced: produced + delay });
            }
        }
        topic.iter_mut().for_each(|messages| messages.sort_by_key(|message| message.produced));
        let names: Vec<String> = (0..4).map(name).collect();
        let config = ObserverConfig::default();
        let mut durable = Durable::default();
        let (mut observer, mut positions) = start(&durable, partitions, config);
        let mut now = START_MS;
        let read = |observer: &mut Observer, positions: &mut [usize], partition: usize, most: usize, now: u64| {
            let waiting = topic[partition][positions[partition]..].iter().take_while(|m| m.produced <= now);
            for message in waiting.take(most) {
                let case = &cases[message.case];
                let place = Place { partition: partition as i32, offset: positions[partition] as i64 };
                let finished = finished(&names[case.function as usize], message.case as u64, case);
                observer.handle_activation(Origin::Message(place), &finished);
                positions[partition] += 1;
            }
            if topic[partition].get(positions[partition]).is_none_or(|m| m.produced > now) {
                observer.handle_caught_up(partition as i32, Timestamp(now));
            }
        };
        for &(partition, most, pause, action) in &steps {
            now += pause;
            observer.handle_timeout(Timestamp(now));
            read(&mut observer, &mut positions, partition % partitions, most, now);
            observer.handle_timeout(Timestamp(now));
            match action {
                0 => (observer, positions) = start(&durable, partitions, config),
                1 => {
                    // Killed between the store's commit and the notice of it.
                    if let Some(commit) = observer.poll_commit() {
                        durable.apply(&commit);
                    }
                    (observer, positions) = start(&durable, partitions, config);
                }
                2 => drop(observer.poll_commit()),
                3 => {
                    let commit = observer.poll_checkpoint();
                    durable.apply(&commit);
                    observer.handle_committed(commit);
                }
                _ => close(&mut observer, &mut durable),
            }
            if let Some(report) = observer.poll_report() {
                prop_assert!(report.provisional.iter().all(|(_, w)| w.minute >= report.open));
                prop_assert!(report.provisional.iter().all(|(_, w)| w.minute <= report.minute));
            }
        }
        now = now.max(START_MS + 30 * 60_000) + 20 * 60_000;
        observer.handle_timeout(Timestamp(now));
        for partition in 0..partitions {
            read(&mut observer, &mut positions, partition, usize::MAX, now);
        }
        observer.handle_timeout(Timestamp(now));
        close(&mut observer, &mut durable);
        let minutes = durable.restored.open.unwrap().0 - START.0;
        prop_assert_eq!(&durable.windows, &truth(&cases, minutes));
    }
}

/// One partition, assigned from its beginning, at `START` plus `seconds`.
fn observer(config: ObserverConfig) -> Observer {
    let mut observer = Observer::new(config, Restored::default());
    observer.handle_assigned(0, 0);
    advance(&mut observer, 3);
    let past = observer.poll_commit().unwrap();
    observer.handle_committed(past);
    assert_eq!(observer.poll_report().map(|report| report.minute), Some(Minute(START.0 - 1)));
    observer
}

fn message(observer: &mut Observer, offset: i64, id: u64, case: Case) {
    let name = name(case.function);
    let place = Place { partition: 0, offset };
    observer.handle_activation(Origin::Message(place), &finished(&name, id, &case));
}

fn advance(observer: &mut Observer, seconds: u64) {
    let now = Timestamp(START_MS + seconds * 1_000);
    observer.handle_caught_up(0, now);
    observer.handle_timeout(now);
}

const SECOND: Case = Case { function: 0, arrival: 1_000, wait: 0, init: 0, run: 1_000 };

#[test]
fn provisional_then_final() {
    let mut observer = observer(ObserverConfig::default());
    message(&mut observer, 0, 1, SECOND);
    advance(&mut observer, 54);
    assert_eq!(observer.poll_report(), None, "it is too early");
    advance(&mut observer, 55);
    let report = observer.poll_report().unwrap();
    assert_eq!((report.minute, report.finals.len()), (START, 0));
    let window = Window { minute: START, invocations: 1, cold_starts: 0, peak: 1, busy_ms: 1_000 };
    assert_eq!(report.provisional, [(FunctionId(0), window)]);
    assert_eq!(report.functions[0].1.name, "guest/f0");
    assert_eq!(observer.poll_report(), None);
    advance(&mut observer, 420);
    let commit = observer.poll_commit().unwrap();
    assert_eq!((commit.open, &commit.windows), (Some(Minute(START.0 + 1)), &vec![(FunctionId(0), window)]));
    assert_eq!(observer.poll_commit().as_ref(), Some(&commit), "until it is durable it is asked for again");
    observer.handle_committed(commit);
    assert_eq!(observer.poll_commit(), None);
    let report = observer.poll_report().unwrap();
    assert_eq!((report.finals, report.provisional), (vec![(FunctionId(0), window)], vec![]));
}

#[test]
fn a_minute_is_told_before_it_ends_and_in_full_with_the_next_one() {
    let mut observer = observer(ObserverConfig::default());
    message(&mut observer, 0, 1, SECOND);
    advance(&mut observer, 55);
    let counted = |observer: &mut Observer| {
        let report = observer.poll_report().unwrap();
        let of = |(_, window): &(FunctionId, Window)| (window.minute.0, window.invocations, window.peak);
        (report.minute.0, report.provisional.iter().map(of).collect::<Vec<_>>())
    };
    assert_eq!(counted(&mut observer), (START.0, vec![(START.0, 1, 1)]));
    // In its last seconds two runs and a warm-up call for the next one, which lasts into it.
    message(&mut observer, 1, 2, Case { arrival: 57_000, ..SECOND });
    message(&mut observer, 2, 3, Case { arrival: 57_500, ..SECOND });
    observer.exclude("guest/f0", ActivationId(4));
    message(&mut observer, 3, 4, Case { arrival: 55_500, run: 6_000, ..SECOND });
    message(&mut observer, 4, 5, Case { arrival: 60_000, ..SECOND });
    // The id of another one comes after its event.
    message(&mut observer, 5, 6, Case { arrival: 55_500, run: 7_000, ..SECOND });
    observer.exclude("guest/f0", ActivationId(6));
    advance(&mut observer, 114);
    assert_eq!(observer.poll_report(), None, "the minute has been told of");
    advance(&mut observer, 115);
    let next = START.0 + 1;
    assert_eq!(counted(&mut observer), (next, vec![(START.0, 3, 2), (next, 1, 1)]));
    // What is read late is told once, however many minutes have begun meanwhile.
    message(&mut observer, 6, 7, Case { arrival: 116_000, ..SECOND });
    advance(&mut observer, 290);
    let told = vec![(START.0, 3, 2), (next, 2, 1)];
    assert_eq!(counted(&mut observer), (START.0 + 3, told));
}

#[test]
fn without_any_time_ahead_a_minute_is_told_when_it_has_ended() {
    let mut observer = observer(ObserverConfig { ahead: Duration::ZERO, ..ObserverConfig::default() });
    message(&mut observer, 0, 1, SECOND);
    advance(&mut observer, 59);
    assert_eq!(observer.poll_report(), None);
    advance(&mut observer, 60);
    assert_eq!(observer.poll_report().map(|report| report.minute), Some(START));
}

#[test]
fn offsets_wait_for_the_minutes_they_touch() {
    let mut observer = observer(ObserverConfig::default());
    message(&mut observer, 0, 1, SECOND);
    message(&mut observer, 1, 2, Case { arrival: 30_000, run: 100_000, ..SECOND });
    message(&mut observer, 2, 3, Case { arrival: 40_000, ..SECOND });
    advance(&mut observer, 420);
    let commit = observer.poll_commit().unwrap();
    assert_eq!(commit.offsets, [PartitionOffsets { partition: 0, resume: 1, position: 3 }]);
    observer.handle_committed(commit);
    advance(&mut observer, 600);
    let offsets = observer.poll_commit().unwrap().offsets;
    assert_eq!(offsets, [PartitionOffsets { partition: 0, resume: 3, position: 3 }]);
}

#[test]
fn a_silent_or_slow_partition_holds_the_watermark() {
    let mut observer = observer(ObserverConfig::default());
    observer.handle_assigned(1, 0);
    message(&mut observer, 0, 1, SECOND);
    advance(&mut observer, 1_000);
    assert_eq!((observer.poll_commit(), observer.poll_report()), (None, None));
    observer.handle_caught_up(1, Timestamp(START_MS + 70_000));
    advance(&mut observer, 1_001);
    assert_eq!(observer.poll_report().map(|report| report.minute), Some(START));
    assert_eq!(observer.behind(), Duration::from_secs(931));
}

#[test]
fn a_backlog_closes_by_its_own_time() {
    let mut observer = observer(ObserverConfig::default());
    observer.handle_timeout(Timestamp(START_MS + 7_200_000));
    for id in 0..3_600 {
        // One message from a clock that is an hour ahead of the others does not close their minutes.
        let arrival = if id == 100 { 3_600_000 } else { id * 1_000 };
        message(&mut observer, id as i64, id, Case { arrival, ..SECOND });
        observer.handle_timeout(Timestamp(START_MS + 7_200_000));
        if let Some(commit) = observer.poll_commit() {
            observer.handle_committed(commit);
        }
    }
    let counters = observer.counters();
    assert_eq!((counters.activations, counters.late, counters.partly), (3_600, 0, 0));
    assert!(observer.open().unwrap() > Minute(START.0 + 45));
    assert!(observer.watermark() < Timestamp(START_MS + 3_600_000));
}

#[test]
fn warm_up_calls_do_not_count_whichever_comes_first() {
    let mut observer = observer(ObserverConfig::default());
    observer.exclude("guest/f0", ActivationId(1));
    message(&mut observer, 0, 1, SECOND);
    message(&mut observer, 1, 2, SECOND);
    observer.exclude("guest/f0", ActivationId(2));
    message(&mut observer, 2, 3, SECOND);
    let counters = observer.counters();
    assert_eq!(
        (counters.activations, counters.own),
        (2, 2),
        "one of them was counted before it was known to be ours"
    );
    // After a crash they are known, though their events are read again.
    let mut durable = Durable::default();
    durable.apply(&observer.poll_checkpoint());
    let (mut observer, positions) = start(&durable, 1, ObserverConfig::default());
    assert_eq!(positions, [1]);
    advance(&mut observer, 3);
    message(&mut observer, 1, 2, SECOND);
    message(&mut observer, 2, 3, SECOND);
    message(&mut observer, 3, 1, SECOND);
    advance(&mut observer, 420);
    assert_eq!(observer.poll_commit().unwrap().windows[0].1.invocations, 1);
}

#[test]
fn absurd_durations_and_waits_touch_no_minute() {
    let mut observer = observer(ObserverConfig { exact_runs: 4, ..ObserverConfig::default() });
    let absurd = [
        (i64::MAX as u64, 0, 0),
        (0, i64::MAX as u64, 0),
        (i64::MAX as u64, i64::MAX as u64, i64::MAX as u64),
        (1_000, 0, i64::MAX as u64),
        (LONGEST_MS + 1, 0, 0),
        (0, LONGEST_MS + 1, 0),
    ];
    let mut offset = 0;
    for (duration_ms, wait_ms, init_ms) in absurd.into_iter().cycle().take(60) {
        let run = Finished { duration_ms, wait_ms, init_ms, ..finished("guest/f0", offset, &SECOND) };
        observer.handle_activation(Origin::Message(Place { partition: 0, offset: offset as i64 }), &run);
        offset += 1;
    }
    let early = Finished { ended: Timestamp(999), ..finished("guest/f0", offset, &SECOND) };
    observer.handle_activation(Origin::Message(Place { partition: 0, offset: offset as i64 }), &early);
    message(&mut observer, offset as i64 + 1, offset + 1, SECOND);
    let counters = observer.counters();
    assert_eq!((counters.implausible, counters.activations, counters.partly), (61, 1, 0));
    assert_eq!((observer.functions(), observer.sampled()), (1, 0));
    advance(&mut observer, 600);
    let commit = observer.poll_commit().unwrap();
    assert_eq!(commit.windows.len(), 1);
    let position = offset as i64 + 2;
    assert_eq!(commit.offsets, [PartitionOffsets { partition: 0, resume: position, position }]);
}

#[test]
fn strangers_are_left_out_and_counted() {
    let mut observer = observer(ObserverConfig::default());
    let place = |offset| Origin::Message(Place { partition: 0, offset });
    let system = Finished { namespace: SYSTEM, ..finished("whisk.system/health", 1, &SECOND) };
    observer.handle_activation(place(0), &system);
    message(&mut observer, 1, 2, Case { arrival: 2 * AHEAD_MS, ..SECOND });
    assert!(observer.handle_unreadable(Place { partition: 0, offset: 2 }));
    assert!(!observer.handle_unreadable(Place { partition: 0, offset: 2 }), "told again by the broker");
    message(&mut observer, 3, 3, SECOND);
    message(&mut observer, 3, 3, SECOND);
    message(&mut observer, 4, 3, SECOND);
    advance(&mut observer, 600);
    let commit = observer.poll_commit().unwrap();
    observer.handle_committed(commit);
    message(&mut observer, 5, 4, SECOND);
    message(&mut observer, 6, 5, Case { run: 250_000, ..SECOND });
    let expected = Counters {
        activations: 2,
        partly: 1,
        system: 1,
        ahead: 1,
        unreadable: 1,
        duplicates: 1,
        late: 1,
        ..Counters::default()
    };
    assert_eq!(observer.counters(), expected);
}

#[test]
fn clock_jumps() {
    let mut observer = observer(ObserverConfig::default());
    message(&mut observer, 0, 1, SECOND);
    advance(&mut observer, 62);
    observer.handle_timeout(Timestamp(0));
    assert_eq!(observer.behind(), Duration::ZERO);
    assert!(observer.poll_report().is_some());
    // Weeks later: one report, no window for the idle minutes, and a message from before is late.
    advance(&mut observer, 2_000_000);
    let commit = observer.poll_commit().unwrap();
    assert_eq!(commit.windows.len(), 1, "though more than a day passed at once");
    observer.handle_committed(commit);
    close(&mut observer, &mut Durable::default());
    assert_eq!(observer.poll_commit(), None, "what is idle takes one step");
    let report = observer.poll_report().unwrap();
    assert_eq!((report.minute.0, report.provisional.len()), (START.0 + 33_332, 0));
    message(&mut observer, 1, 2, SECOND);
    assert_eq!(observer.counters().late, 1);
    observer.handle_timeout(Timestamp(u64::MAX));
    assert_eq!(observer.poll_commit(), None);
    // A clock that was a day ahead for a moment leaves no trace.
    observer.handle_timeout(Timestamp(START_MS + 2_000_060_000));
    assert_eq!(observer.behind(), Duration::from_secs(60));
}

#[test]
fn days_without_a_commit_are_stored_step_by_step() {
    let mut observer = observer(ObserverConfig { exact_runs: 8, ..ObserverConfig::default() });
    let hours = 4 * 24;
    for hour in 0..hours {
        advance(&mut observer, hour * 3_600 + 10);
        message(&mut observer, hour as i64, hour, Case { arrival: hour * 3_600_000, ..SECOND });
    }
    advance(&mut observer, hours * 3_600);
    let mut durable = Durable::default();
    let mut open = observer.open().unwrap();
    while let Some(commit) = observer.poll_commit() {
        let until = commit.open.unwrap();
        assert!(open < until && until.0 - open.0 <= HORIZON + 6, "{open:?} to {until:?}");
        let resume = commit.offsets[0].resume;
        assert_eq!(resume, i64::from((until.0 - START.0).div_ceil(60)), "what is open is read again");
        durable.apply(&commit);
        observer.handle_committed(commit);
        open = until;
    }
    let counted: u32 = durable.windows.values().map(|window| window.invocations).sum();
    assert_eq!((u64::from(counted), durable.windows.len() as u64), (hours, hours), "nothing was dropped");
}

#[test]
fn a_gap_is_filled_from_records() {
    let mut observer = observer(ObserverConfig::default());
    let first = name(0);
    observer.hold();
    advance(&mut observer, 900);
    assert_eq!(observer.poll_commit(), None, "nothing closes meanwhile");
    observer.handle_activation(Origin::Record, &finished(&first, 1, &SECOND));
    observer.handle_activation(Origin::Record, &finished(&first, 2, &SECOND));
    // The event of the same run has slightly other times.
    message(&mut observer, 0, 2, Case { arrival: 1_004, ..SECOND });
    observer.release();
    advance(&mut observer, 900);
    assert_eq!(observer.poll_commit().unwrap().windows[0].1.invocations, 2);
    assert_eq!(observer.counters().duplicates, 1);
}

#[test]
fn sequences_and_refusals_are_told_apart() {
    let mut observer = observer(ObserverConfig::default());
    let place = |offset| Place { partition: 0, offset };
    let whole = Finished { is_sequence: true, failed: true, ..finished("guest/seq", 1, &SECOND) };
    observer.handle_activation(Origin::Message(place(0)), &whole);
    observer.handle_activation(Origin::Message(place(1)), &whole);
    observer.handle_throttled(place(2), "guest", Timestamp(START_MS + 5_000));
    observer.handle_throttled(place(3), "other", Timestamp(START_MS + 65_000));
    advance(&mut observer, 62);
    let report = observer.poll_report().unwrap();
    let one = |name: &str| BTreeMap::from([(name.to_owned(), 1)]);
    let sequences = |failed| BTreeMap::from([("guest/seq".to_owned(), SequenceRuns { runs: 1, failed })]);
    assert_eq!(report.sequences, sequences(1));
    assert_eq!(report.throttled, [one("guest"), one("other")].into_iter().flatten().collect());
    assert_eq!((report.provisional.len(), observer.functions()), (0, 0));
    // What comes after its minute was reported is in the next report, and what was reported is not told again.
    let later = Finished { is_sequence: true, ..finished("guest/seq", 2, &SECOND) };
    observer.handle_activation(Origin::Message(place(4)), &later);
    observer.handle_throttled(place(5), "guest", Timestamp(START_MS + 6_000));
    advance(&mut observer, 302);
    let report = observer.poll_report().unwrap();
    assert_eq!(
        (report.minute, report.sequences),
        (Minute(START.0 + 4), sequences(0)),
        "several minutes at once"
    );
    assert_eq!(report.throttled, one("guest"));
    advance(&mut observer, 362);
    let report = observer.poll_report().unwrap();
    assert!(report.sequences.is_empty() && report.throttled.is_empty());
    // What was read before a restart was told before it.
    let mut durable = Durable::default();
    advance(&mut observer, 363);
    durable.apply(&observer.poll_checkpoint());
    let (mut observer, positions) = start(&durable, 1, ObserverConfig::default());
    assert_eq!(positions, [0]);
    observer.handle_timeout(Timestamp(START_MS + 363_000));
    for at in [0, 1, 4] {
        let run = if at == 4 { &later } else { &whole };
        observer.handle_activation(Origin::Message(place(at)), run);
    }
    let third = Finished { is_sequence: true, ..finished("guest/seq", 3, &SECOND) };
    observer.handle_activation(Origin::Message(place(6)), &third);
    observer.handle_activation(Origin::Message(place(7)), &later);
    advance(&mut observer, 364);
    assert_eq!(observer.poll_report().unwrap().sequences, sequences(0));
    assert_eq!((observer.counters().sequences, observer.counters().duplicates), (1, 1));
}

#[test]
fn names_are_told_apart_up_to_a_number() {
    let mut observer = observer(ObserverConfig { functions: 2, ..ObserverConfig::default() });
    for (offset, function) in [0, 1, 2, 3, 0].into_iter().enumerate() {
        message(&mut observer, offset as i64, offset as u64, Case { function, ..SECOND });
    }
    let counters = observer.counters();
    assert_eq!((observer.functions(), counters.activations, counters.excess), (2, 3, 2));
    for offset in 5..20_005 {
        observer.handle_throttled(Place { partition: 0, offset }, &format!("n{offset}"), Timestamp(START_MS));
    }
    advance(&mut observer, 62);
    let refused = observer.poll_report().unwrap().throttled;
    assert_eq!((refused.len(), refused["(others)"], refused["n5"]), (10_001, 10_000, 1));
}

#[test]
fn our_own_calls_are_known_after_a_long_outage() {
    let mut observer = observer(ObserverConfig::default());
    observer.exclude("guest/f0", ActivationId(1));
    let mut durable = Durable::default();
    durable.apply(&observer.poll_checkpoint());
    let (mut observer, _) = start(&durable, 1, ObserverConfig::default());
    observer.handle_timeout(Timestamp(START_MS + 5 * 3_600_000));
    message(&mut observer, 0, 1, SECOND);
    assert_eq!((observer.counters().own, observer.counters().activations), (1, 0));
    // Once all of the next hour has been read, it is forgotten.
    advance(&mut observer, 3_600);
    assert!(observer.exclusions.contains(ActivationId(1)));
    advance(&mut observer, 3_610);
    assert!(!observer.exclusions.contains(ActivationId(1)));
}

#[test]
fn many_runs_are_sampled_and_memory_stays() {
    let config = ObserverConfig { exact_runs: 16, ..ObserverConfig::default() };
    let mut observer = observer(config);
    for id in 0..10_000 {
        let case = |id| Case { arrival: id * 6, run: 3_000, ..SECOND };
        message(&mut observer, id as i64 * 2, id, case(id));
        message(&mut observer, id as i64 * 2 + 1, id / 2, case(id / 2));
    }
    assert_eq!(observer.sampled(), 1);
    advance(&mut observer, 420);
    let window = observer.poll_commit().unwrap().windows[0].1;
    assert_eq!((window.invocations, window.peak), (10_000, 500));
    assert_eq!(observer.counters().duplicates, 10_000);
}

#[test]
fn a_gap_is_found_again_until_what_stands_in_for_it_is_durable() {
    let mut observer = observer(ObserverConfig::default());
    message(&mut observer, 0, 0, SECOND);
    let minute = START;
    observer.handle_gap(0, 50, false, minute);
    let commit = observer.poll_checkpoint();
    assert_eq!(commit.offsets, [PartitionOffsets { partition: 0, resume: 0, position: 50 }]);
    message(&mut observer, 50, 1, SECOND);
    advance(&mut observer, 600);
    let commit = observer.poll_commit().unwrap();
    assert_eq!(commit.offsets, [PartitionOffsets { partition: 0, resume: 51, position: 51 }]);
    // All of another topic: nothing of it was seen.
    observer.handle_committed(commit);
    observer.handle_gap(0, 0, true, Minute(minute.0 + 11));
    let commit = observer.poll_checkpoint();
    assert_eq!(commit.offsets, [PartitionOffsets { partition: 0, resume: -1, position: 0 }]);
    observer.handle_removed(0);
    assert_eq!(observer.poll_checkpoint().offsets, []);
}
