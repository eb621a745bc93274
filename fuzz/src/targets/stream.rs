//! Lines of the stream protocol after a good `HELLO`: every forecast asked for in order is answered whole.

use crate::files;
use aquatope::forecast::{Forecaster, Observation, stream};
use aquatope_core::forecast::Forecast;
use std::io::Cursor;

const FUNCTIONS: usize = 2;

const FILES: [&str; 3] = ["functions.csv", "series.csv", "split.csv"];

const TRACE: &str = "func,name,workflow,parent,cold_s,mem_mb,dur_mean_s\n0,front,3,-1,1.5,128,2\n1,back,3,0,2,512,4\n\0\
    minute,func,cnt,act\n0,0,2,1\n1,1,1,1\n\0key,value\ntrain_end,1\nvalid_end,2\nend,9\n";

/// Forecasts the last peak, and checks that it is told of whole minutes.
struct Last(Vec<Observation>);

impl Forecaster for Last {
    fn name(&self) -> &str {
        "last"
    }

    fn forecast(&mut self) -> Vec<Forecast> {
        let forecast = |of: &Observation| Forecast { mean: of.peak as f32, ..Forecast::default() };
        self.0.iter().map(forecast).collect()
    }

    fn forecast_ahead(&mut self, _: &[Observation]) -> Vec<Forecast> {
        unreachable!("the protocol tells of whole minutes")
    }

    fn observe(&mut self, minute: &[Observation]) {
        assert_eq!(minute.len(), FUNCTIONS);
        self.0.copy_from_slice(minute);
    }
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let folder = files::write(TRACE.as_bytes(), &FILES);
    let [functions, series, split] = FILES.map(|name| folder.path().join(name).display().to_string());
    let mut input = format!("HELLO 1 {functions} {series} {split}\n").into_bytes();
    input.extend(bytes);
    let mut output = Vec::new();
    let told = stream::serve(Cursor::new(&input), &mut output, |trace, _| {
        assert_eq!(trace.functions.len(), FUNCTIONS);
        Ok(Box::new(Last(vec![Observation::default(); FUNCTIONS])))
    });
    let output = String::from_utf8(output).expect("text");
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("READY"));
    let mut answers = 0;
    while let Some(first) = lines.next() {
        for (function, line) in [Some(first), lines.next()].into_iter().enumerate() {
            let line = line.expect("a line a function");
            let numbers: Vec<f32> = line.split(',').map(|number| number.parse().expect("a number")).collect();
            assert_eq!((numbers.len(), numbers[1]), (14, function as f32), "{line}");
        }
        assert_eq!(lines.next(), Some("END"));
        answers += 1;
    }
    if told.is_ok() {
        let text = String::from_utf8_lossy(bytes);
        let asked = text.lines().map(|line| line.split_whitespace().next());
        assert_eq!(
            answers,
            asked.take_while(|word| *word != Some("BYE")).filter(|word| *word == Some("P")).count()
        );
    }
}

/// Well-formed inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    ["P 2\nA 2 0:3:2 1:1:1\nP 3\nA 3\nP 4\nA 4 1:9:4\nBYE\n", "P 2\nP 2\nA 2 0:1:1 0:2:2\n\nA 3\nBYE\nP 9\n"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
