//! One execution of a workflow: which stage can start when, and with what input.

use aquatope_workflow::workflow::Workflow;
use serde_json::{Map, Value};

/// An execution under way. A stage without predecessors gets the workflow's input, another one the results of its
/// predecessors merged into one object: where two have the same key, that of the later function in the file counts.
#[derive(Debug)]
pub(super) struct Execution<'w> {
    workflow: &'w Workflow,
    input: &'w Value,
    results: Vec<Option<Value>>,
    /// Predecessors that have not finished, by function.
    missing: Vec<usize>,
    ready: Vec<usize>,
}

impl<'w> Execution<'w> {
    pub(super) fn new(workflow: &'w Workflow, input: &'w Value) -> Self {
        let functions = workflow.functions.len();
        let missing: Vec<usize> =
            (0..functions).map(|i| workflow.edges.iter().filter(|edge| edge.1 == i).count()).collect();
        let ready = (0..functions).rev().filter(|&i| missing[i] == 0).collect();
        Self { workflow, input, results: vec![None; functions], missing, ready }
    }

    /// A stage to be started now, with its input.
    pub(super) fn next(&mut self) -> Option<(usize, Value)> {
        let function = self.ready.pop()?;
        let mut before =
            self.workflow.edges.iter().filter(|edge| edge.1 == function).map(|edge| edge.0).peekable();
        if before.peek().is_none() {
            return Some((function, self.input.clone()));
        }
        let mut before: Vec<usize> = before.collect();
        before.sort_unstable();
        let mut merged = Map::new();
        for result in before.into_iter().filter_map(|i| self.results[i].as_ref()) {
            // A result that is no object has no keys to hand on.
            merged.extend(
                result.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        Some((function, merged.into()))
    }

    /// A stage finished.
    pub(super) fn finished(&mut self, function: usize, result: Value) {
        self.results[function] = Some(result);
        for edge in self.workflow.edges.iter().filter(|edge| edge.0 == function) {
            self.missing[edge.1] -= 1;
            if self.missing[edge.1] == 0 {
                self.ready.push(edge.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aquatope_workflow::workflow_file::WorkflowFile;
    use serde_json::json;

    use super::*;

    fn diamond() -> Workflow {
        let text = json!({
            "schema": "aquatope-workflow/1", "name": "d",
            "functions": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}],
            "edges": [["a", "b"], ["a", "c"], ["c", "d"], ["b", "d"]], "edge_overhead_s": 0,
            "prices": {"cpu_per_core_s": 1, "mem_per_gb_s": 1}, "qos_s": 1,
            "space": {"cpu": {"min": 1, "max": 1, "step": 1}, "mem_mb": {"min": 128, "max": 256, "step": 64}},
        });
        WorkflowFile::parse("d.json", &text.to_string()).unwrap().workflow
    }

    #[test]
    fn stages_start_when_all_before_them_are_done_and_get_what_these_said() {
        let (workflow, input) = (diamond(), json!({"in": 1}));
        let mut execution = Execution::new(&workflow, &input);
        assert_eq!(execution.next(), Some((0, json!({"in": 1}))));
        assert_eq!(execution.next(), None);
        execution.finished(0, json!({"from": "a"}));
        let both = [execution.next().unwrap(), execution.next().unwrap()];
        assert!(both.contains(&(1, json!({"from": "a"}))) && both.contains(&(2, json!({"from": "a"}))));
        execution.finished(2, json!({"from": "c", "c": 1}));
        assert_eq!(execution.next(), None);
        execution.finished(1, json!({"from": "b", "b": 1}));
        assert_eq!(execution.next(), Some((3, json!({"from": "c", "b": 1, "c": 1}))));
        execution.finished(3, json!("no object"));
        assert_eq!(execution.next(), None);
    }
}
