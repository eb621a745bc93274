//! Progress bars on stderr; nothing is drawn when it is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Draws one bar at a time, or none.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    visible: bool,
}

impl Progress {
    /// Bars on stderr when it is a terminal.
    pub fn on_terminal() -> Self {
        Self { visible: true }
    }

    /// No bars, for tests.
    pub fn hidden() -> Self {
        Self { visible: false }
    }

    /// Simulations of one policy; the length is set later.
    pub fn simulating(&self, label: &str) -> ProgressBar {
        self.bar(0, format!("{label}: simulating"), "settings")
    }

    /// Minutes forecast by one policy.
    pub fn minutes(&self, label: &str, minutes: usize) -> ProgressBar {
        self.bar(minutes as u64, format!("{label}: forecasting"), "minutes")
    }

    /// `length` steps of anything else, such as training.
    pub fn bar(&self, length: u64, message: String, unit: &str) -> ProgressBar {
        if !self.visible {
            return ProgressBar::hidden();
        }
        let template = format!("{{msg:34}} {{bar:32}} {{pos:>6}}/{{len}} {unit}  {{eta}} left");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸ ");
        let bar = ProgressBar::new(length).with_style(style).with_message(message);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}
