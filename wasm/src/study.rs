//! [`Study`]: ask, tell, screen, reject, fail, recommendation, snapshot.

use aquatope_core::bo::trial::TrialId;
use aquatope_core::bo::{MAX_BATCH, snapshot};
use aquatope_core::snapshot::Format;
use aquatope_workflow::models;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::engine::{self, Checked, Engine, SNAPSHOT};
use crate::plain;
use crate::study_types::StudyOptions;

/// A search for the cheapest configuration that meets the QoS: ask for trials, evaluate them, tell what came of them.
#[wasm_bindgen]
pub struct Study {
    engine: Box<dyn Engine>,
    /// Completed calls of `ask`; every one draws from its own random stream.
    asks: u64,
}

#[wasm_bindgen]
impl Study {
    /// A study without trials.
    ///
    /// # Errors
    /// Options that are wrong, naming the place.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "StudyOptions")] options: &JsValue,
    ) -> Result<Self, JsError> {
        let options: StudyOptions = plain::read("options", options)?;
        Ok(Self { engine: engine::begin(options)?, asks: 0 })
    }

    /// Asks for up to `count` trials (3 unless given, at most 16) to be evaluated next. Fewer come at the end of the
    /// initial design. Trials may be told in any order and at any time.
    ///
    /// # Errors
    /// A full study: 128 trials are kept, and all of them are pending or complete.
    #[wasm_bindgen(unchecked_return_type = "Trial[]")]
    pub fn ask(
        &mut self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] count: &JsValue,
    ) -> Result<JsValue, JsError> {
        let count = plain::read::<Option<usize>>("count", count)?.unwrap_or(3);
        if !(1..=MAX_BATCH).contains(&count) {
            return Err(JsError::new(&format!(
                "count: is {count}; ask for 1 to {MAX_BATCH} trials at a time"
            )));
        }
        let seed = self.engine.config().seed;
        let ids = self.engine.ask(count, &mut models::stream(seed, self.asks))?;
        self.asks += 1;
        plain::show(&ids.into_iter().filter_map(|id| self.engine.trial(id)).collect::<Vec<_>>())
    }

    /// Tells the outcome of a pending trial.
    ///
    /// # Errors
    /// A trial that is not pending, numbers that cannot be, or, with the structured model, not one duration per function;
    /// the study is then unchanged.
    pub fn tell(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Outcome")] outcome: &JsValue,
    ) -> Result<(), JsError> {
        self.engine.tell(read_id(id)?, self.read_outcome(outcome)?)
    }

    /// What the verdict on a pending trial's outcome would be, were it told now. Changes nothing.
    ///
    /// # Errors
    /// A trial that is not pending, numbers that cannot be, or too few other trials.
    #[wasm_bindgen(unchecked_return_type = "Verdict")]
    pub fn screen(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Outcome")] outcome: &JsValue,
    ) -> Result<JsValue, JsError> {
        let outcome = self.read_outcome(outcome)?;
        plain::show(&self.engine.screen(read_id(id)?, &outcome)?)
    }

    /// Rules a pending or complete trial out: its outcome is kept, but no model sees it.
    ///
    /// # Errors
    /// A trial that is neither, or numbers that cannot be.
    pub fn reject(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Outcome")] outcome: &JsValue,
    ) -> Result<(), JsError> {
        self.engine.reject(read_id(id)?, self.read_outcome(outcome)?)
    }

    /// The evaluation of a pending trial failed; nothing was measured.
    ///
    /// # Errors
    /// A trial that is not pending.
    pub fn fail(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
    ) -> Result<(), JsError> {
        self.engine.fail(read_id(id)?)
    }

    /// All trials the study keeps, by ascending number.
    ///
    /// # Errors
    /// None in practice.
    #[wasm_bindgen(unchecked_return_type = "Trial[]")]
    pub fn trials(&self) -> Result<JsValue, JsError> {
        plain::show(&self.engine.trials())
    }

    /// The verdicts on all trials the study keeps, re-decided from all of them.
    ///
    /// # Errors
    /// Too few trials.
    #[wasm_bindgen(unchecked_return_type = "Verdict[]")]
    pub fn verdicts(&self) -> Result<JsValue, JsError> {
        plain::show(&self.engine.verdicts()?)
    }

    /// The configuration to use: the cheapest that meets the QoS with the stated confidence. Changes nothing.
    ///
    /// # Errors
    /// Too few trials.
    #[wasm_bindgen(unchecked_return_type = "Recommendation")]
    pub fn recommendation(&self) -> Result<JsValue, JsError> {
        plain::show(&self.engine.recommendation()?)
    }

    /// What is believed of configurations, one level per axis each: their cost and latency without noise. Changes nothing.
    ///
    /// # Errors
    /// Levels that are not on the grid, or too few trials.
    #[wasm_bindgen(unchecked_return_type = "Belief[]")]
    pub fn posterior(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[][]")] points: &JsValue,
    ) -> Result<JsValue, JsError> {
        plain::show(&self.engine.posterior(&plain::read::<Vec<Vec<u16>>>("points", points)?)?)
    }

    /// The first trial that still counts: above 0 once the behaviour of the workflow has changed.
    #[wasm_bindgen(getter, js_name = windowStart)]
    pub fn window_start(&self) -> u32 {
        self.engine.window_start().0
    }

    /// Which model proposes and recommends now, and why if it is not the one asked for.
    ///
    /// # Errors
    /// None in practice.
    #[wasm_bindgen(unchecked_return_type = "ModelInCharge")]
    pub fn model(&self) -> Result<JsValue, JsError> {
        plain::show(&self.engine.model())
    }

    /// The study as bytes, versioned and with a checksum.
    ///
    /// # Errors
    /// None in practice.
    pub fn snapshot(&self) -> Result<Vec<u8>, JsError> {
        plain::room(3 * SNAPSHOT)?;
        let (structured, study) = self.engine.snapshot()?;
        let mut buffer = vec![0; SNAPSHOT];
        let used = SAVED.encode(&Saved { asks: self.asks, structured, study }, &mut buffer)?.len();
        buffer.truncate(used);
        Ok(buffer)
    }

    /// The study that `snapshot` wrote; it goes on as that one would have.
    ///
    /// # Errors
    /// Bytes that are something else, damaged, or of another version.
    pub fn restore(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array | ArrayBuffer")] bytes: &JsValue,
    ) -> Result<Self, JsError> {
        let Saved { asks, structured, study } = SAVED.decode(&plain::bytes("bytes", bytes)?)?;
        Ok(Self { engine: engine::restore(structured, &study)?, asks })
    }
}

impl Study {
    fn read_outcome(&self, value: &JsValue) -> Result<Checked, JsError> {
        engine::checked("outcome", plain::read("outcome", value)?, self.engine.functions())
    }
}

/// What a snapshot holds: that of the core, and what the core does not know.
#[derive(Serialize, Deserialize)]
struct Saved {
    asks: u64,
    structured: bool,
    study: Vec<u8>,
}

const SAVED: Format = Format { magic: *b"AQWS", version: snapshot::STUDY.version };

fn read_id(id: &JsValue) -> Result<TrialId, JsError> {
    Ok(TrialId(plain::read("id", id)?))
}
