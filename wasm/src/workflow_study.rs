//! Studies of workflows: the structured model, and the black box on the axes of a workflow.

use aquatope_core::bo::space::{Point, SearchSpace};
use aquatope_core::structured::Status;
use aquatope_workflow::models::{self, Structured, StructuredMemory};
use wasm_bindgen::prelude::JsError;

use crate::engine::{self, Checked, CoreStudy, Engine, Kind, Memory};
use crate::study_types::{ModelInCharge, ModelName, StudyOptions};
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
    let mut model = models::structured(&file.workflow, &space, engine::effort(&options)?)?;
    let learn = |space: &SearchSpace<_>, start: Option<&Point<_>>, outcomes: &[Checked]| {
        if let Some(start) = start {
            model.learn_baseline(space, start, outcomes);
        }
        model
    };
    let functions = file.workflow.functions.len();
    engine::study(space, &options, qos, start, Some(functions), learn)
}

impl Kind for Structured {
    const STRUCTURED: bool = true;
    fn scratch(memory: &mut Memory) -> &mut StructuredMemory {
        memory
    }

    fn functions(&self) -> Option<usize> {
        Some(self.workflow().len())
    }

    fn in_charge(study: &CoreStudy<Self>, memory: &mut Memory) -> ModelInCharge {
        match study.model().status(&study.evidence(), memory) {
            Status::Structured => ModelInCharge { model: ModelName::Structured, reason: None },
            misfit => ModelInCharge { model: ModelName::BlackBox, reason: Some(misfit.to_string()) },
        }
    }
}
