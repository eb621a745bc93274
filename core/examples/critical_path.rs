//! The critical path of a small video workflow, and what it costs.
//!
//! `cargo run -p aquatope-core --example critical_path`
use aquatope_core::workflow::{Configuration, Prices, WorkflowBuilder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names = ["split", "scene-change", "transcode", "watermark", "face-detection"];
    let durations = [1.2, 0.9, 1.7, 0.8, 1.1];

    let mut builder = WorkflowBuilder::<8>::new();
    let mut stages = Vec::new();
    for _ in names {
        stages.push(builder.stage()?);
    }
    for (from, to) in [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)] {
        builder.edge(stages[from], stages[to])?;
    }
    builder.edge_overhead(0.01)?;
    let workflow = builder.build()?;

    let path = workflow.critical_path(&durations)?;
    let on_path: Vec<&str> = path.stages().iter().map(|stage| names[stage.index()]).collect();
    println!("{:.2} s end to end: {}", path.latency(), on_path.join(" -> "));

    let prices = Prices::new(0.173, 0.05)?;
    let configuration = Configuration { cpu: 2.0, memory_mb: 1024.0, concurrency: 1.0 };
    let cost: f64 = durations.iter().map(|d| d * prices.per_second(&configuration)).sum();
    println!("{cost:.3} with 2 cores and 1 GB for every function");
    Ok(())
}
