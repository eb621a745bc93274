//! The network against PyTorch (`fixtures/golden/nn`) and against finite differences.

use aquatope_core::nn::Dropout;
use serde_json::Value;

use super::super::adam::Adam;
use super::*;

const CASES: [&str; 3] = ["tiny", "release_shape_small", "batch1"];

/// Relative to the largest value of a tensor: rounding in `f64`.
const TOLERANCE: f64 = 1e-10;

struct Case {
    json: Value,
    architecture: Architecture,
    parameters: Vec<f64>,
    x: Vec<f64>,
    masks: BatchMasks,
}

impl Case {
    fn load(name: &str) -> Self {
        let path = format!("{}/../fixtures/golden/nn/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let size = |key: &str| json["dims"][key].as_u64().unwrap() as usize;
        let architecture = Architecture {
            features: size("n_feat"),
            window: size("T"),
            encoder: [size("h"), size("e")],
            latent: Latent::EveryStepRectified,
            externals: 4,
            predictor: [8, 5],
            outputs: 1,
            nonlinearity: Nonlinearity::Relu,
            decoder: size("dh"),
            bridge: 6,
            ahead: size("n_out"),
        };
        let batch = size("B");
        let masks = |name: &str| {
            let rate = json["dims"][if name.starts_with('m') { "p_mlp" } else { "p_lstm" }].as_f64().unwrap();
            let kept = numbers(&json["masks"][name]);
            let bits =
                |row: &[f64]| row.iter().rev().fold(0, |bits, &kept| bits << 1 | u64::from(kept == 0.0));
            kept.chunks_exact(kept.len() / batch)
                .map(|row| Dropout::new(rate).unwrap().mask(bits(row)))
                .collect()
        };
        let masks = BatchMasks {
            between: masks("e1"),
            latent: masks("e2"),
            decoder: masks("d1"),
            decoded: masks("d2"),
            before: masks("m1a"),
            first: masks("m1b"),
            second: masks("m2"),
        };
        let rows = numbers(&json["x"]);
        let mut x = Vec::new();
        for step in 0..size("T") {
            for row in rows.chunks_exact(size("T") * size("n_feat")) {
                x.extend_from_slice(&row[step * size("n_feat")..][..size("n_feat")]);
            }
        }
        let parameters = flat(&json["params"], |name| ["b_hh"].contains(&name), true);
        Self { json, architecture, parameters, x, masks }
    }

    fn mean_square<'a>(&'a self, targets: &str) -> impl Fn(usize, &[f64], &mut [f64]) -> f64 + 'a {
        let targets = numbers(&self.json[targets]);
        move |row, outputs, gradient| {
            let (width, count) = (outputs.len(), targets.len() as f64);
            let mut loss = 0.0;
            for ((d, y), target) in gradient.iter_mut().zip(outputs).zip(&targets[row * width..]) {
                *d = 2.0 * (y - target) / count;
                loss += (y - target) * (y - target) / count;
            }
            loss
        }
    }
}

/// All parameters of a PyTorch dictionary in our order and layout. The second bias is added to the first when `sum`,
/// else left out; missing layers are 0.
fn flat(dictionary: &Value, second_bias: impl Fn(&str) -> bool, sum: bool) -> Vec<f64> {
    let mut out = Vec::new();
    let tensor = |name: String| dictionary.get(&name).map(numbers);
    let matrix = |name: String, rows: usize, out: &mut Vec<f64>| {
        if let Some(values) = tensor(name) {
            let columns = values.len() / rows;
            out.extend((0..values.len()).map(|k| values[k % rows * columns + k / rows]));
        }
    };
    for layer in ["e1", "e2", "m1", "m2", "m3", "d1", "d2", "fc1", "fc2"] {
        if let Some(mut bias) = tensor(format!("{layer}.b_ih")) {
            matrix(format!("{layer}.w_ih"), bias.len(), &mut out);
            matrix(format!("{layer}.w_hh"), bias.len(), &mut out);
            if sum && second_bias("b_hh") {
                let second = tensor(format!("{layer}.b_hh")).unwrap();
                bias.iter_mut().zip(second).for_each(|(a, b)| *a += b);
            }
            out.extend(bias);
        } else if let Some(bias) = tensor(format!("{layer}.b")) {
            matrix(format!("{layer}.w"), bias.len(), &mut out);
            out.extend(bias);
        }
    }
    out
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (k, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= TOLERANCE * largest, "{what}[{k}]: {a} not {b}");
    }
}

#[test]
fn losses_and_gradients_agree_with_pytorch() {
    for name in CASES {
        let case = Case::load(name);
        let (architecture, expected) = (&case.architecture, &case.json["f64"]);
        let (mut work, model) = (Workspace::default(), architecture.model_len());

        let mut gradient = vec![0.0; architecture.len()];
        let loss = case.mean_square("y");
        let found =
            architecture.decode(&case.parameters, &case.x, &case.masks, &mut work, loss, Some(&mut gradient));
        assert_close(&[found], &numbers(&expected["loss1"]), "loss of phase 1");
        let phase_1: Vec<f64> = [&gradient[..architecture.encoder_len()], &gradient[model..]].concat();
        assert_close(&phase_1, &flat(&expected["grad1"], |_| false, false), name);

        for (key, through_encoder) in [("grad2", false), ("grad2_e2e", true)] {
            let mut gradient = vec![0.0; architecture.len()];
            let (external, loss) = (numbers(&case.json["ext"]), case.mean_square("y1"));
            let found = architecture.predict(
                &case.parameters,
                Input::Window { x: &case.x, train: through_encoder },
                &external,
                &case.masks,
                &mut work,
                loss,
                Some(&mut gradient),
            );
            assert_close(&[found], &numbers(&expected["loss2"]), "loss of phase 2");
            let from = if through_encoder { 0 } else { architecture.encoder_len() };
            assert_close(&gradient[from..model], &flat(&expected[key], |_| false, false), name);
        }
    }
}

#[test]
fn one_adam_step_agrees_with_pytorch() {
    for name in CASES {
        let case = Case::load(name);
        let expected = flat(&case.json["f64"]["adam1"], |_| false, false);
        // PyTorch steps its first bias alone.
        let all = flat(&case.json["params"], |_| false, false);
        let (encoder, model) = (case.architecture.encoder_len(), case.architecture.model_len());
        let mut parameters = [&all[..encoder], &all[model..]].concat();
        let gradient = flat(&case.json["f64"]["grad1"], |_| false, false);
        Adam::new(parameters.len()).step(1e-3, &mut parameters, &gradient);
        assert_close(&parameters, &expected, name);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let case = Case::load("tiny");
    let architecture =
        Architecture { latent: Latent::LastStep, nonlinearity: Nonlinearity::Tanh, ..case.architecture };
    let parameters: Vec<f64> =
        (0..architecture.len()).map(|k| ((k * 7919 % 1009) as f64 / 1009.0 - 0.5) * 0.9).collect();
    let external = numbers(&case.json["ext"]);
    let mut work = Workspace::default();
    let mut run = |parameters: &[f64], gradient: Option<&mut [f64]>, decode: bool| {
        if decode {
            architecture.decode(parameters, &case.x, &case.masks, &mut work, case.mean_square("y"), gradient)
        } else {
            let loss = case.mean_square("y1");
            let input = Input::Window { x: &case.x, train: true };
            architecture.predict(parameters, input, &external, &case.masks, &mut work, loss, gradient)
        }
    };
    for decode in [true, false] {
        let mut gradient = vec![0.0; parameters.len()];
        run(&parameters, Some(&mut gradient), decode);
        for k in (0..parameters.len()).step_by(5) {
            let mut at = |delta: f64| {
                let mut moved = parameters.clone();
                moved[k] += delta;
                run(&moved, None, decode)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (difference - gradient[k]).abs() < 1e-8,
                "parameter {k}: {difference} not {}",
                gradient[k]
            );
        }
    }
}
