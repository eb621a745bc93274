//! Text as a workflow file; what is accepted must simulate.

use aquatope::tune::simulator::{Scenario, Simulator};
use aquatope::tune::workflow_file::WorkflowFile;

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(file) = WorkflowFile::parse("input", text) else { return };
    let levels = file.workflow.levels();
    let points = [Some(&file.start), file.oracle.as_ref().map(|oracle| &oracle.point)];
    for point in points.into_iter().flatten() {
        assert_eq!(point.0.len(), levels.len());
        assert!(point.0.iter().zip(&levels).all(|(index, levels)| index < levels), "off the grid");
    }
    assert!(file.qos_s > 0.0);
    let Some(performance) = file.performance else { return };
    let simulator = Simulator { workflow: file.workflow, performance, noise: file.noise };
    let (cost, latency) = simulator.truth(&file.start);
    assert!(cost >= 0.0 && latency >= 0.0, "cost {cost}, latency {latency}");
    let outcome = simulator.sample(&file.start, Scenario { noise: 0.2, outliers: 0.5 }, 1, 1);
    assert!(outcome.cost >= 0.0 && outcome.latency_s >= 0.0, "{outcome:?}");
}

/// Well-formed inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        &include_bytes!("../../../fixtures/workflows/single1.json")[..],
        include_bytes!("../../../fixtures/workflows/chain3.json"),
        include_bytes!("../../../fixtures/workflows/fan5.json"),
    ]
    .map(<[u8]>::to_vec)
    .into()
}
