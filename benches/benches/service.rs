//! A planning tick of the service: every function's history, the light model's forecast, targets and the memory limit.

use std::collections::HashMap;
use std::time::Duration;

use aquatope_core::activation::FunctionId;
use aquatope_core::forecast::features::Profile;
use aquatope_core::forecast::light::{GAINS, header, network_len};
use aquatope_core::pool::{Hysteresis, Prices};
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use aquatope_service::observe::{FunctionInfo, MinuteReport};
use aquatope_service::plan::{Managed, PlanConfig, Planner};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const FIRST: u32 = 29_000_000;
/// Minutes of history.
const PAST: u32 = 300;

fn window(function: u32, minute: u32) -> (FunctionId, Window) {
    let peak = (function * 7 + minute * 13) % 5;
    let window = Window { minute: Minute(minute), invocations: 3 * peak, peak, ..Window::default() };
    (FunctionId(function), window)
}

/// Functions that were all busy lately, and a model of the usual size.
fn planner(functions: u32) -> Planner {
    let config = PlanConfig {
        prices: Prices::ratio(2.25),
        most: 1000,
        capacity_mb: f64::from(functions) * 256.0,
        hysteresis: Hysteresis::NONE,
        stale_after: Duration::from_secs(120),
        idle_minutes: 10,
    };
    let mut planner = Planner::new(config, Managed::default(), HashMap::new());
    for id in 0..functions {
        let name = format!("guest/f{id}");
        let info = FunctionInfo { name, memory_mb: 256, first: Minute(FIRST), ..FunctionInfo::default() };
        planner.add(FunctionId(id), info);
    }
    for minute in FIRST..FIRST + PAST {
        let windows: Vec<_> = (0..functions).map(|id| window(id, minute)).collect();
        planner.finals(&windows);
    }
    let mut values: Vec<f32> = (0..network_len(64)).map(|k| ((k * 37 % 101) as f32 - 50.0) / 500.0).collect();
    values[GAINS].fill(0.1);
    let head = header(64, 1).to_bytes(&values).expect("finite weights");
    let head = head.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let weights = head.chain(values.iter().map(|value| value.to_bits())).collect();
    planner.set_model(weights, |_| Profile::UNKNOWN).expect("a model of this version");
    planner
}

fn tick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("service/tick");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for functions in [1_000_u32, 10_000, 70_000] {
        let mut planner = planner(functions);
        let open = FIRST + PAST;
        // Six minutes that are not final, in which one function in five was busy.
        let provisional = |minute: u32| {
            (0..functions)
                .step_by(5)
                .flat_map(move |id| (open..=minute).map(move |m| window(id, m)))
                .collect()
        };
        let minute = open + 5;
        let report = MinuteReport {
            minute: Minute(minute),
            open: Minute(open),
            provisional: provisional(minute),
            ..MinuteReport::default()
        };
        group.throughput(Throughput::Elements(u64::from(functions)));
        group.bench_function(format!("{functions} functions"), |bencher| {
            bencher.iter_batched(|| report.clone(), |report| planner.plan(&report), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, tick);
criterion_main!(benches);
