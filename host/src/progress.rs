//! Progress on stderr: bars on a terminal, elsewhere a line now and then.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::error::note;

/// Shows one bar at a time, or none.
#[derive(Clone, Debug)]
pub struct Progress {
    /// When the last line was said where there is no terminal; none for no progress at all.
    said: Option<Arc<Mutex<Instant>>>,
}

/// Between two lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

impl Progress {
    /// On stderr.
    pub fn visible() -> Self {
        Self { said: Some(Arc::new(Mutex::new(Instant::now()))) }
    }

    /// Nowhere, for tests and for programs that listen.
    pub fn hidden() -> Self {
        Self { said: None }
    }

    /// Simulations of one policy; the length is set later.
    pub fn simulating(&self, label: &str) -> Bar {
        self.bar(0, format!("{label}: simulating"), "settings")
    }

    /// Minutes forecast by one policy.
    pub fn minutes(&self, label: &str, minutes: usize) -> Bar {
        self.bar(minutes as u64, format!("{label}: forecasting"), "minutes")
    }

    /// `length` steps of anything else, such as training.
    pub fn bar(&self, length: u64, message: String, unit: &'static str) -> Bar {
        let Some(said) = &self.said else {
            return Bar { bar: ProgressBar::hidden(), unit, said: None };
        };
        let template = format!("{{msg:34}} {{bar:32}} {{pos:>6}}/{{len}} {unit}  {{left}}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("left", left)
            .progress_chars("━╸ ");
        let bar = ProgressBar::new(length).with_style(style).with_message(message);
        bar.enable_steady_tick(Duration::from_millis(200));
        let said = bar.is_hidden().then(|| Arc::clone(said));
        Bar { bar, unit, said }
    }
}

/// The time that is left, once there is a step to tell it by.
fn left(state: &ProgressState, to: &mut dyn Write) {
    let eta = state.eta();
    if state.pos() > 0 && eta >= Duration::from_secs(1) {
        let _ = write!(to, "{:#} left", HumanDuration(eta));
    }
}

/// Some steps on their way; it disappears when they are done.
pub struct Bar {
    bar: ProgressBar,
    unit: &'static str,
    said: Option<Arc<Mutex<Instant>>>,
}

impl Bar {
    /// One step further.
    pub fn step(&self) {
        self.bar.inc(1);
        self.say();
    }

    /// `done` of `all` steps.
    pub fn at(&self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        self.say();
    }

    /// What the steps are now.
    pub fn rename(&self, message: String) {
        self.bar.set_message(message);
    }

    fn say(&self) {
        let Some(mut said) = self.said.as_ref().and_then(|said| said.lock().ok()) else { return };
        if said.elapsed() >= BETWEEN_LINES {
            *said = Instant::now();
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
            note(format_args!("{}, {done} of {all} {}", self.bar.message(), self.unit));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
