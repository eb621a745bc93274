//! The bindings called from Rust, inside of WebAssembly: whole studies and the errors of every class. Runs by
//! `wasm-pack test --node wasm`, and with `--headless --chrome` in Chromium (Makefile, wasm-test).
#![cfg(target_arch = "wasm32")]

use aquatope_wasm::{Forecaster, PoolPlanner, Study, Workflow};
use js_sys::{Array, JSON, Reflect};
use serde_json::{Value, json};
use wasm_bindgen::{JsCast, JsError, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;

const GOLDEN: &str = include_str!("../../fixtures/golden/study.json");

/// `fixtures/golden/study.json` is what the native test `golden_study` holds as well.
#[wasm_bindgen_test]
fn studies_are_the_native_ones_bit_for_bit() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for run in golden.as_array().unwrap() {
        let text = match run["workflow"].as_str().unwrap() {
            "chain3" => include_str!("../../fixtures/workflows/chain3.json"),
            "ml4" => include_str!("../../fixtures/workflows/ml4.json"),
            "api4" => include_str!("../../fixtures/workflows/api4.json"),
            "social10" => include_str!("../../fixtures/workflows/social10.json"),
            other => panic!("add {other} here"),
        };
        let workflow = Workflow::new(&text.into()).ok().unwrap();
        let seed = &run["seed"];
        let options = js(&json!({ "workflow": text, "model": run["model"], "seed": seed }));
        let mut study = Study::new(&options).ok().unwrap();
        let expected = run["asked"].as_array().unwrap();
        let mut asked = 0;
        while asked < expected.len() {
            let count = if asked == 0 { 10 } else { 3 };
            for trial in Array::from(&study.ask(&count.into()).ok().unwrap()).iter() {
                let (id, levels) = (get(&trial, "id"), get(&trial, "levels"));
                let scenario = js(
                    &json!({ "noise": 0.1, "outliers": 0.1, "seed": seed, "sample": id.as_f64().unwrap() as u32 }),
                );
                let outcome = get(&workflow.simulate(&levels, &scenario).ok().unwrap(), "outcome");
                let found = json!({ "levels": value(&levels), "cost": get(&outcome, "cost").as_f64(), "latency": get(&outcome, "latency").as_f64() });
                assert_eq!(found, expected[asked], "trial {asked} of {}", run["workflow"]);
                study.tell(&id, &outcome).ok().unwrap();
                asked += 1;
            }
        }
        let best = study.recommendation().ok().unwrap();
        let median = |of: &str| get(&get(&best, of), "median").as_f64();
        let found = json!({
            "levels": value(&get(&best, "levels")), "cost": median("cost"), "latency": median("latency"),
            "feasible": get(&best, "feasible").as_f64(),
        });
        assert_eq!(found, run["recommended"], "{}", run["workflow"]);
        // What was saved goes on as what is here.
        let bytes = js_sys::Uint8Array::from(&study.snapshot().ok().unwrap()[..]);
        let mut restored = Study::restore(&bytes).ok().unwrap();
        let next =
            [&mut study, &mut restored].map(|study| value(&study.ask(&JsValue::UNDEFINED).ok().unwrap()));
        assert_eq!(next[0], next[1]);
    }
}

#[wasm_bindgen_test]
fn what_is_wrong_is_an_error_that_names_the_place() {
    let axes = json!([{ "min": 1, "max": 2, "step": 0.1 }]);
    let cases = [
        (Study::new(&js(&json!({ "axes": axes, "qos": "1" }))).err(), "options.qos: is a text"),
        (Study::new(&js(&json!({ "axes": axes, "qos": 1, "sead": 1 }))).err(), "options.sead: unknown field"),
        (Study::restore(&js_sys::Uint8Array::new_with_length(90)).err(), "no such snapshot"),
        (Workflow::new(&js(&json!({ "schema": 3 }))).err(), "workflow: schema: is 3; must be a text"),
        (
            Forecaster::new(&js_sys::Uint8Array::new_with_length(90), &JsValue::NULL).err(),
            "not a weight file",
        ),
        (PoolPlanner::new(&js(&json!({ "memoryMb": -1, "coldStart": 1 }))).err(), "options.memoryMb: is -1"),
    ];
    for (error, expected) in cases {
        let message = message(error.expect(expected));
        assert!(message.contains(expected), "{message}");
    }
}

fn js(value: &Value) -> JsValue {
    JSON::parse(&value.to_string()).unwrap()
}

fn value(value: &JsValue) -> Value {
    serde_json::from_str(&String::from(JSON::stringify(value).unwrap())).unwrap()
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap()
}

fn message(error: JsError) -> String {
    JsValue::from(error).unchecked_into::<js_sys::Error>().message().into()
}
