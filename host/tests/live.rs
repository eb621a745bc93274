//! The service beside a simulated platform, on part of the demonstration's load.

use std::ops::ControlFlow;

use aquatope::generate;
use aquatope::live;
use aquatope::progress::Progress;
use aquatope::train::light::{self, Options, Outcome, Series};

const DAY: usize = 1440;

#[test]
fn the_service_counts_every_invocation() {
    let trace = generate::trace(1, 4);
    let options = Options { rows: 1 << 17, hidden: 16, ..Options::default() };
    let trained =
        light::train(&Series::of(&trace), 3 * DAY, &options, None, |_| ControlFlow::Continue(()), |_| {});
    let Ok(Outcome::Finished(model)) = trained else { panic!("trained") };
    let live = live::run(&trace, 3 * DAY + 600, &model, &Progress::hidden()).unwrap();
    println!("{live}");
    let [long, short, ours] = &live.sides[..] else { panic!("three platforms") };
    let minutes = 3 * DAY + 600..3 * DAY + 600 + live.minutes;
    let invocations: u64 =
        trace.counts.iter().flat_map(|counts| &counts[minutes.clone()]).map(|&count| u64::from(count)).sum();
    assert!(invocations > 1_000);
    assert_eq!([long, short, ours].map(|side| side.invocations), [invocations; 3]);
    // How many of them are cold depends on how soon this machine plans; the demonstration shows it.
}
