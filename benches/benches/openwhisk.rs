//! Decoding of OpenWhisk's events, and the stand-in's platform without its HTTP side.

use std::hint::black_box;

use aquatope_openwhisk::event::decode;
use aquatope_standin::config::{Action, Config, Model};
use aquatope_standin::platform::Platform;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// The first message of the fixtures: a warm run in today's form, 370 bytes.
fn message() -> &'static [u8] {
    let lines = include_str!("../../fixtures/wire/events.txt").lines();
    lines.into_iter().find(|line| line.starts_with('{')).unwrap_or_default().as_bytes()
}

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("openwhisk/event");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |b| b.iter(|| decode(black_box(message())).is_ok()));
    group.finish();
}

/// Ten seconds of 1,000 invocations a second of 100 actions, events encoded.
fn platform(c: &mut Criterion) {
    const INVOCATIONS: i64 = 10_000;
    let action = |i| Action::new(&format!("f{i}"), "python:3", Model { noise: 0.3, ..Model::default() });
    let actions: Vec<Action> = (0..100).map(action).collect();
    let config = Config { actions, invokers_mb: vec![65_536; 4], ..Config::default() };
    let mut group = c.benchmark_group("openwhisk/standin");
    group.sample_size(20).throughput(Throughput::Elements(INVOCATIONS as u64));
    group.bench_function("load", |b| {
        b.iter_batched_ref(
            || Platform::new(config.clone(), 0),
            |platform| {
                for at_ms in 0..INVOCATIONS {
                    platform.advance(at_ms);
                    let taken = platform.load(&format!("f{}", at_ms * 7 % 100), None);
                    assert!(taken.is_ok());
                    black_box(platform.take_outputs());
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, decoding, platform);
criterion_main!(benches);
