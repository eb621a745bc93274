//! Layers, encoder and prediction network against PyTorch with explicit weights and masks
//! (`fixtures/golden/nn`, `fixtures/generate/golden_nn.py`).

use aquatope_core::forecast::encoder::{Encoder, EncoderMasks, Latent};
use aquatope_core::forecast::predictor::{Nonlinearity, Predictor, PredictorMasks};
use aquatope_core::nn::lstm::Variational;
use aquatope_core::nn::{Dropout, Linear, Lstm, Mask, Real};
use serde_json::Value;

/// Tolerances relative to the largest value of a tensor: rounding of the type, and of the fast `f32` functions.
const TOLERANCE_F64: f64 = 1e-10;
const TOLERANCE_F32: f64 = 2e-5;

const CASES: [&str; 3] = ["tiny", "release_shape_small", "batch1"];

#[test]
fn f64_layers_agree_with_pytorch() {
    for name in CASES {
        Case::<f64>::load(name, "f64", TOLERANCE_F64).check();
    }
}

#[test]
fn f32_layers_agree_with_pytorch() {
    for name in CASES {
        Case::<f32>::load(name, "f32", TOLERANCE_F32).check();
    }
}

/// Masks on inputs and recurrent state: `recurrent.json`, `fixtures/generate/golden_recurrent.py`.
#[test]
fn recurrent_masks_agree_with_pytorch() {
    fn check<R: Real>(results: &'static str, tolerance: f64) {
        let case = Case::<R>::load("recurrent", results, tolerance);
        let weights = case.lstm_weights("r");
        let layer = Lstm::new(&weights.input, &weights.recurrent, &weights.bias).unwrap();
        case.lstm(&layer, "x", "r_h", |row| Variational {
            input: case.mask("x", row),
            recurrent: case.mask("h", row),
        });
    }
    check::<f64>("f64", TOLERANCE_F64);
    check::<f32>("f32", TOLERANCE_F32);
}

struct Case<R> {
    name: &'static str,
    json: Value,
    results: &'static str,
    tolerance: f64,
    number: std::marker::PhantomData<R>,
}

/// Weights of one LSTM in the layout of `aquatope_core::nn`.
struct Weights<R> {
    input: Vec<R>,
    recurrent: Vec<R>,
    bias: Vec<R>,
}

impl<R: Real> Case<R> {
    fn load(name: &'static str, results: &'static str, tolerance: f64) -> Self {
        let path = format!("{}/../fixtures/golden/nn/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        Self { name, json, results, tolerance, number: std::marker::PhantomData }
    }

    fn check(&self) {
        let [batch, steps, ahead, width] = ["B", "T", "n_out", "e"].map(|key| self.dimension(key));
        let rate = self.rate("p_lstm");
        let layers = ["e1", "e2", "d1", "d2"].map(|layer| self.lstm_weights(layer));
        let [e1, e2, d1, d2] = layers.each_ref().map(|w| Lstm::new(&w.input, &w.recurrent, &w.bias).unwrap());

        // The encoder-decoder, layer by layer.
        let input = |name: &'static str| {
            move |row: usize| Variational { input: self.mask(name, row), ..Variational::NONE }
        };
        self.lstm(&e1, "x", "e1_h", |_| Variational::NONE);
        self.lstm(&e2, "act.e1_h", "e2_h", input("e1"));
        self.lstm(&d1, "act.dec_in", "d1_h", |_| Variational::NONE);
        self.lstm(&d2, "act.d1_h", "d2_h", input("d1"));
        self.linear("fc1", &self.results("act.d2_drop"), "act.fc1", batch);
        self.linear("fc2", &self.results("act.fc1"), "act.out", batch);

        // The encoder as it runs in a forecast: deterministic part once, then the pass.
        let encoder = Encoder::new(e1, e2, Latent::EveryStepRectified).unwrap();
        let x = self.numbers("x");
        let mut z = vec![R::ZERO; batch * steps * width];
        let (mut prepared, mut scratch) =
            (vec![R::ZERO; encoder.prepared_len(steps)], vec![R::ZERO; encoder.scratch_len(1)]);
        for row in 0..batch {
            let x = &x[row * steps * encoder.inputs()..][..steps * encoder.inputs()];
            encoder.prepare(x, rate, &mut prepared, &mut scratch).unwrap();
            let masks = EncoderMasks { between: self.mask("e1", row), latent: self.mask("e2", row) };
            let z = &mut z[row * steps * width..][..steps * width];
            encoder.pass(&prepared, &[masks], z, &mut scratch).unwrap();
        }
        self.compare(&z, "act.z");
        assert!(ahead > 0);

        // The prediction network.
        let latents = steps * width;
        let (m1, b1) = self.linear_weights("m1");
        let (m2, b2) = self.linear_weights("m2");
        let (m3, b3) = self.linear_weights("m3");
        let (second, third) = (Linear::new(&m2, &b2).unwrap(), Linear::new(&m3, &b3).unwrap());
        let predictor = Predictor::new(latents, &m1, &b1, second, third, Nonlinearity::Relu).unwrap();
        let externals = self.numbers("ext");
        let (mut base, mut out) = (vec![R::ZERO; b1.len()], vec![R::ZERO; batch]);
        let mut scratch = vec![R::ZERO; predictor.scratch_len()];
        for row in 0..batch {
            predictor.prepare(&externals[row * 4..][..4], &mut base).unwrap();
            let masks = PredictorMasks {
                before: self.mask("m1a", row),
                first: self.mask("m1b", row),
                second: self.mask("m2", row),
            };
            let z = &z[row * latents..][..latents];
            predictor.pass(&base, z, &[masks], &mut out[row..=row], &mut scratch).unwrap();
        }
        self.compare(&out, "mlp.out");
    }

    /// One LSTM over every sample of the batch, each with its `masks`.
    fn lstm(&self, layer: &Lstm<'_, R>, input: &str, expected: &str, masks: impl Fn(usize) -> Variational) {
        let x = if input == "x" { self.numbers(input) } else { self.results(input) };
        let batch = self.dimension("B");
        let steps = x.len() / batch / layer.inputs();
        let mut out = vec![R::ZERO; batch * steps * layer.hidden()];
        let mut scratch = vec![R::ZERO; layer.scratch_len()];
        let rows = x.chunks_exact(steps * layer.inputs()).zip(out.chunks_exact_mut(steps * layer.hidden()));
        for (row, (x, out)) in rows.enumerate() {
            layer.forward(x, &masks(row), out, &mut scratch).unwrap();
        }
        self.compare(&out, &format!("act.{expected}"));
    }

    fn linear(&self, name: &str, x: &[R], expected: &str, batch: usize) {
        let (weight, bias) = self.linear_weights(name);
        let layer = Linear::new(&weight, &bias).unwrap();
        let mut out = vec![R::ZERO; batch * bias.len()];
        layer.forward(x, &mut out).unwrap();
        self.compare(&out, expected);
    }

    fn lstm_weights(&self, layer: &str) -> Weights<R> {
        let [input, recurrent, bias, second_bias] =
            ["w_ih", "w_hh", "b_ih", "b_hh"].map(|p| self.numbers(&format!("params.{layer}.{p}")));
        let bias: Vec<R> = bias.iter().zip(second_bias).map(|(&a, b)| a + b).collect();
        let rows = bias.len();
        Weights { input: transpose(&input, rows), recurrent: transpose(&recurrent, rows), bias }
    }

    fn linear_weights(&self, layer: &str) -> (Vec<R>, Vec<R>) {
        let bias = self.numbers(&format!("params.{layer}.b"));
        (transpose(&self.numbers(&format!("params.{layer}.w")), bias.len()), bias)
    }

    /// PyTorch's 0/1 mask of one sample.
    fn mask(&self, name: &str, row: usize) -> Mask {
        let kept = self.numbers(&format!("masks.{name}"));
        let width = kept.len() / self.dimension("B");
        let bits = kept[row * width..][..width]
            .iter()
            .enumerate()
            .fold(0, |bits, (unit, &kept)| bits | u64::from(kept == R::ZERO) << unit);
        self.rate(if name.starts_with('m') { "p_mlp" } else { "p_lstm" }).mask(bits)
    }

    fn compare(&self, found: &[R], expected: &str) {
        let expected_values = self.results(expected);
        assert_eq!(found.len(), expected_values.len(), "{} {expected}", self.name);
        let largest = expected_values.iter().map(|v| v.to_f64().abs()).fold(0.0, f64::max);
        for (k, (a, b)) in found.iter().zip(&expected_values).enumerate() {
            let error = (a.to_f64() - b.to_f64()).abs();
            assert!(error <= self.tolerance * largest, "{} {expected}[{k}]: {a:?} not {b:?}", self.name);
        }
    }

    fn results(&self, path: &str) -> Vec<R> {
        flatten(path.split('.').fold(&self.json[self.results], |value, key| &value[key]))
    }

    /// `path` from the root; parameter names have a dot of their own.
    fn numbers(&self, path: &str) -> Vec<R> {
        flatten(match path.split_once('.') {
            Some((outer, inner)) => &self.json[outer][inner],
            None => &self.json[path],
        })
    }

    fn dimension(&self, key: &str) -> usize {
        self.json["dims"][key].as_u64().unwrap() as usize
    }

    fn rate(&self, key: &str) -> Dropout {
        Dropout::new(self.json["dims"][key].as_f64().unwrap()).unwrap()
    }
}

fn flatten<R: Real>(value: &Value) -> Vec<R> {
    match value {
        Value::Array(items) => items.iter().flat_map(flatten).collect(),
        number => vec![R::from_f64(number.as_f64().expect("a number"))],
    }
}

/// `[rows][columns]` to `[columns][rows]`.
fn transpose<R: Real>(matrix: &[R], rows: usize) -> Vec<R> {
    let columns = matrix.len() / rows;
    (0..matrix.len()).map(|k| matrix[k % rows * columns + k / rows]).collect()
}
