//! Errors name what was wrong: the text of each holds its data, and is more than them.

use std::error::Error;

use aquatope_core::bo::model::ModelError;
use aquatope_core::bo::space::SpaceError;
use aquatope_core::bo::study::{ConfigError, PosteriorError, ScreenError, TellError};
use aquatope_core::bo::trial::TrialId;
use aquatope_core::nn::weights::WeightsError;

#[test]
fn texts_hold_the_data() {
    let cases: [(&dyn Error, &[&str]); 23] = [
        (&ConfigError::LatencyLimit { latency_limit: -1.5 }, &["-1.5"]),
        (&ConfigError::Confidence { confidence: 1.25 }, &["1.25"]),
        (&PosteriorError::Length { points: 7, posteriors: 5 }, &["7", "5"]),
        (&PosteriorError::Point { index: 17 }, &["17"]),
        (&PosteriorError::Model(ModelError::Capacity { capacity: 31 }), &["31"]),
        (&TellError::UnknownTrial(TrialId(21)), &["21", "unknown"]),
        (&TellError::NotPending(TrialId(22)), &["22", "finished"]),
        (&ScreenError::Trial(TellError::NotPending(TrialId(23))), &["23", "finished"]),
        (&ScreenError::Model(ModelError::Capacity { capacity: 65 }), &["65"]),
        (&ModelError::TooFewTrials { complete: 1, needed: 3 }, &["1", "3"]),
        (&ModelError::Capacity { capacity: 64 }, &["64"]),
        (&SpaceError::NotFinite, &[]),
        (&SpaceError::Step { step: -0.25 }, &["-0.25"]),
        (&SpaceError::Empty { min: 4.5, max: 2.5 }, &["4.5", "2.5"]),
        (&SpaceError::Levels { levels: 70_000.0 }, &["70000"]),
        (&SpaceError::LogOfNonPositive { min: -3.0 }, &["-3"]),
        (&WeightsError::Foreign, &[]),
        (&WeightsError::Version { found: 99 }, &["99"]),
        (&WeightsError::Length { expected: 640, found: 512 }, &["640", "512"]),
        (&WeightsError::Checksum, &[]),
        (&WeightsError::UnknownKind { found: 42 }, &["42"]),
        (&WeightsError::Window { expected: 48, found: 12 }, &["48", "12"]),
        (&WeightsError::Shape { expected: 800, found: 700 }, &["800", "700"]),
    ];
    for (error, data) in cases {
        let text = error.to_string();
        assert!(text.len() > 20, "{error:?}: {text}");
        for datum in data {
            assert!(text.contains(datum), "{error:?}: {text}");
        }
    }
}
