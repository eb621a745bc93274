//! Studies of workflows: the structured model, and the black box on the axes of a workflow.

use aquatope_core::bo::space::{Point, SearchSpace};
use aquatope_workflow::models::{self, Structured, StructuredMemory};
use wasm_bindgen::prelude::JsError;

use crate::engine::{self, Checked, Engine, Kind, Memory};
use crate::study_types::{ModelName, StudyOptions};
use crate::workflow;

/// A study of `options.workflow`.
///
/// # Errors
/// Options that cannot be, naming the place.
pub(crate) fn begin(options: StudyOptions) -> Result<Box<dyn Engine>, JsError> {
    let (Some(value), None) = (&options.workflow, &options.axes) else {
        return Err(JsError::new("options: give either workflow or axes"));
    };
    let file = workflow::parse("options.workflow", value)?;
    let (space, qos, start) = (models::space(&file.workflow)?, Some(file.qos_s), Some(&file.start.0[..]));
    if options.model == Some(ModelName::BlackBox) {
        return engine::black_box(space, &options, qos, start);
    }
    let mut model = models::structured(&file.workflow, &space, engine::effort(&options))?;
    let learn = |space: &SearchSpace<_>, start: Option<&Point<_>>, outcomes: &[Checked]| {
        if let Some(start) = start {
            model.learn_baseline(space, start, outcomes);
        }
        model
    };
    engine::study(space, &options, qos, start, learn)
}

impl Kind for Structured {
    const STRUCTURED: bool = true;
    fn scratch(memory: &mut Memory) -> &mut StructuredMemory {
        memory
    }
}
