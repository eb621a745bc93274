//! Every fault of a workflow file is an error that names the field and how to mend it.

use aquatope::tune::shipped;
use aquatope::tune::workflow::Resource;
use aquatope::tune::workflow_file::WorkflowFile;
use aquatope_core::bo::space::Axis;
use serde_json::{Value, json};

use crate::support::{WORKFLOWS, workflow};

fn chain3() -> Value {
    serde_json::from_str(&std::fs::read_to_string(workflow("chain3")).unwrap()).unwrap()
}

#[test]
fn shipped_files_are_valid() {
    for name in WORKFLOWS {
        let file = shipped::load(&workflow(name)).unwrap();
        assert_eq!(file.name, name);
        assert_eq!(file.workflow.levels()[..2], [40, 31]);
        let (n, decisions) = (file.workflow.functions.len(), file.workflow.decisions());
        assert_eq!(decisions.len(), if name == "api4" { 3 * n } else { 2 * n });
        for (axis, decision) in decisions.into_iter().enumerate() {
            let expected = match axis / (2 * n) {
                0 => (axis / 2, [Resource::Cpu, Resource::Memory][axis % 2]),
                _ => (axis - 2 * n, Resource::Concurrency),
            };
            assert_eq!((decision.function, decision.resource), expected);
        }
    }
}

/// (pointer into chain3.json, its new value or null to remove, start of the error)
#[test]
fn faults_name_the_field() {
    let table = [
        (
            "/schema",
            json!("aquatope-workflow/9"),
            "f: schema: is \"aquatope-workflow/9\"; this version reads",
        ),
        ("/name", json!(3), "f: name: is 3; must be a text"),
        ("/functions", json!([]), "f: functions: is empty; name at least one function"),
        (
            "/functions/1",
            json!({"name": "x", "concurency": 2}),
            "f: functions[1].concurency: is not known here",
        ),
        (
            "/prices",
            json!({"cpu_per_core_s": 1, "mem_per_gb": 1}),
            "f: prices.mem_per_gb: is not known here; it may be one of cpu_per_core_s, mem_per_gb_s",
        ),
        ("/functions/1/name", json!("extract"), "f: functions[1].name: \"extract\" is used twice"),
        ("/functions/1/serial_s", json!(-0.5), "f: functions[1].serial_s: is -0.5; must not be negative"),
        ("/functions/1/serial_s", Value::Null, "f: functions[1].serial_s: is missing"),
        ("/functions/0/concurrency", json!(0), "f: functions[0].concurrency: is 0; must be at least 1"),
        (
            "/functions/0/concurrency",
            json!(1.5),
            "f: functions[0].concurrency: is 1.5; must be a whole number",
        ),
        (
            "/functions/0/concurrency",
            json!({"min": 0, "max": 4, "step": 1}),
            "f: functions[0].concurrency.min: is 0; must be at least 1",
        ),
        (
            "/functions/0/concurrency",
            json!({"min": 4, "max": 2, "step": 1}),
            "f: functions[0].concurrency.min: 4 is above max 2; the space is empty",
        ),
        (
            "/functions/0/concurrency",
            json!({"min": 1, "max": 4}),
            "f: functions[0].concurrency.step: is missing",
        ),
        (
            "/functions/0/concurrency",
            json!({"min": 1, "max": 4, "step": 1}),
            "f: reference.default_config.concurrency_idx: is missing",
        ),
        ("/functions/0/max_parallelism", json!(0), "f: functions[0].max_parallelism: is 0; must be above 0"),
        ("/edges", json!([[0, 1], [1, 2], [2, 1]]), "f: edges: form a cycle: transform -> load -> transform"),
        ("/edges", json!([[0, 0]]), "f: edges: form a cycle: extract -> extract"),
        (
            "/edges",
            json!([[0, 3]]),
            "f: edges[0][1]: unknown function 3; name a function, or its index from 0 to 2",
        ),
        ("/edges", json!([["extract", "nobody"]]), "f: edges[0][1]: unknown function \"nobody\""),
        ("/edges", json!([[0, 1], [0, 1]]), "f: edges[1]: stands twice"),
        ("/edges", json!([[0, 1, 2]]), "f: edges[0]: has 3 ends; write an edge as [from, to]"),
        ("/edge_overhead_s", json!(-1), "f: edge_overhead_s: is -1; must not be negative"),
        (
            "/prices/mem_per_gb_s",
            json!("cheap"),
            "f: prices.mem_per_gb_s: is \"cheap\"; must be a finite number",
        ),
        ("/prices", json!({"cpu_per_core_s": 0, "mem_per_gb_s": 0.0}), "f: prices: are both 0; give a price"),
        ("/space/cpu", json!({"min": 1e-200, "max": 1e200, "step": 1e199}), "f: space.cpu: goes from 0.000"),
        (
            "/space/mem_mb",
            json!({"min": 1.0, "max": f64::MAX, "step": 0.500_000_000_1 * f64::MAX}),
            "f: space.mem_mb: NaN or an infinity",
        ),
        ("/space/cpu/step", json!(0), "f: space.cpu.step: is 0; must be above 0"),
        ("/space/cpu/step", json!(1e-9), "f: space.cpu.step: is 0.000000001: more than 65535 levels"),
        ("/space/cpu/min", json!(5), "f: space.cpu.min: 5 is above max 4; the space is empty"),
        ("/space/mem_mb", Value::Null, "f: space.mem_mb.min: is missing"),
        ("/qos_s", json!(0), "f: qos_s: is 0; must be above 0"),
        ("/qos_s", json!(-1.5), "f: qos_s: is -1.5; must be above 0"),
        ("/noise/rho_common", json!(1.5), "f: noise.rho_common: is 1.5; must lie in 0..1"),
        ("/noise/outlier_mag_min", json!(9), "f: noise.outlier_mag_min: 9 is above outlier_mag_max 4"),
        (
            "/noise/invocations_per_sample",
            json!(4_000_000_000_u32),
            "f: noise.invocations_per_sample: is 4000000000; average at most 1000000 invocations",
        ),
        ("/oracle/cpu_idx", json!([1, 2]), "f: oracle.cpu_idx: has 2 levels for 3 functions"),
        ("/oracle/mem_idx", json!([0, 0, 31]), "f: oracle.mem_idx[2]: is 31; levels go from 0 to 30"),
    ];
    for (place, value, expected) in table {
        let mut document = chain3();
        *document.pointer_mut(place).unwrap() = value;
        let error = WorkflowFile::parse("f", &document.to_string()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{place}: {error}");
        assert_eq!(aquatope::error::Error::from(error).exit_code(), 2);
    }
}

#[test]
fn text_that_is_no_json_names_line_and_column() {
    let error = WorkflowFile::parse("f", "{\n \"qos_s\": NaN\n}").unwrap_err();
    assert!(error.to_string().starts_with("f:2:11: not valid JSON"), "{error}");
    assert!(WorkflowFile::parse("f", "[]").unwrap_err().to_string().contains("must be an object"));
}

/// Names as edge ends, edges in any order, no simulator parameters: a workflow that is measured outside.
#[test]
fn edges_by_name_in_any_order() {
    let mut document = chain3();
    document["functions"] =
        json!([{"name": "load"}, {"name": "extract"}, {"name": "transform", "concurrency": 4}]);
    document["edges"] = json!([["transform", "load"], ["extract", "transform"]]);
    for optional in ["oracle", "reference", "noise"] {
        document.as_object_mut().unwrap().remove(optional);
    }
    let file = WorkflowFile::parse("f", &document.to_string()).unwrap();
    assert_eq!(file.workflow.edges, [(2, 0), (1, 2)]);
    assert_eq!(file.workflow.order, [1, 2, 0]);
    assert_eq!((file.performance, file.oracle), (None, None));
    assert_eq!(file.start.0, [39, 30, 39, 30, 39, 30]);
    assert_eq!(file.workflow.functions[2].concurrency, Axis::fixed(4.0).unwrap());
}
