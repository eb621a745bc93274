//! Progress on stderr: bars on a terminal, elsewhere a line now and then.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

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
        self.bar_on(ProgressDrawTarget::stderr(), length, message, unit)
    }

    fn bar_on(&self, target: ProgressDrawTarget, length: u64, message: String, unit: &'static str) -> Bar {
        let spoke = AtomicBool::new(false);
        let Some(said) = &self.said else {
            return Bar { bar: ProgressBar::hidden(), unit, said: None, spoke };
        };
        let template = format!("{{msg:34}} {{bar:32}} {{pos:>6}}/{{len}} {unit}  {{left}}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("left", left)
            .progress_chars("━╸ ");
        let bar = ProgressBar::with_draw_target(Some(length), target).with_style(style).with_message(message);
        bar.enable_steady_tick(Duration::from_millis(200));
        let said = bar.is_hidden().then(|| Arc::clone(said));
        Bar { bar, unit, said, spoke }
    }
}

/// The time that is left, once there is a step to tell it by.
fn left(state: &ProgressState, to: &mut dyn Write) {
    let eta = state.eta();
    if state.pos() > 0 && eta >= Duration::from_secs(1) {
        let _ = write!(to, "{:#} left", HumanDuration(eta));
    }
}

/// Some steps on their way; it disappears when they end. Where there is no terminal, one that said something says so.
pub struct Bar {
    bar: ProgressBar,
    unit: &'static str,
    said: Option<Arc<Mutex<Instant>>>,
    /// Whether it said anything.
    spoke: AtomicBool,
}

impl Bar {
    /// One step further.
    pub fn step(&self) {
        self.bar.inc(1);
        self.due(Instant::now()).iter().for_each(note);
    }

    /// `done` of `all` steps.
    pub fn at(&self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        self.due(Instant::now()).iter().for_each(note);
    }

    /// What the steps are now.
    pub fn rename(&self, message: String) {
        self.bar.set_message(message);
    }

    /// The line that is due at `now`, if one is.
    fn due(&self, now: Instant) -> Option<String> {
        let mut said = self.said.as_ref()?.lock().ok()?;
        if now.saturating_duration_since(*said) < BETWEEN_LINES {
            return None;
        }
        *said = now;
        self.spoke.store(true, Ordering::Relaxed);
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        Some(format!("{}, {done} of {all} {}", self.bar.message(), self.unit))
    }

    /// That it ended, if it said anything.
    fn end(&self) -> Option<String> {
        let spoke = self.spoke.load(Ordering::Relaxed);
        spoke.then(|| format!("{}, ended after {:#}", self.bar.message(), HumanDuration(self.bar.elapsed())))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end().iter().for_each(note);
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;

    /// What is on a terminal's only line.
    #[derive(Clone, Debug, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("nobody panicked").push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().expect("nobody panicked").clear();
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_terminal_a_step_says_where_it_is_and_that_it_ended() {
        let progress = Progress::visible();
        let bar = |message: &str| progress.bar_on(ProgressDrawTarget::hidden(), 3, message.into(), "rounds");
        let long = bar("light: training");
        assert_eq!(long.end(), None);
        let now = Instant::now() + BETWEEN_LINES;
        long.bar.inc(1);
        assert_eq!(long.due(now).as_deref(), Some("light: training, 1 of 3 rounds"));
        long.bar.inc(1);
        assert_eq!(long.due(now + BETWEEN_LINES / 2), None, "a line was said just before");
        assert!(long.end().is_some_and(|line| line.starts_with("light: training, ended after ")));
        // A short one after it says nothing at all.
        let short = bar("light: simulating");
        assert_eq!((short.due(now + BETWEEN_LINES / 2), short.end()), (None, None));
    }

    #[test]
    fn on_a_terminal_a_bar_is_drawn_until_the_step_ends() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = Progress::visible().bar_on(target, 3, "light: training".into(), "rounds");
        bar.at(2, 3);
        let later = Instant::now() + BETWEEN_LINES;
        assert_eq!((bar.due(later), bar.end()), (None, None), "lines are for where there is no terminal");
        let shown = || terminal.0.lock().expect("nobody panicked").clone();
        let drawn = |line: String| line.contains("light: training") && line.contains("2/3 rounds");
        while !drawn(shown()) {
            assert!(bar.bar.elapsed() < Duration::from_secs(100), "{:?}", shown());
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(bar);
        assert!(!shown().contains("light: training"), "{:?}", shown());
    }

    #[test]
    fn hidden_progress_says_nothing() {
        let bar = Progress::hidden().bar(3, "light: training".into(), "rounds");
        bar.step();
        assert_eq!((bar.due(Instant::now() + BETWEEN_LINES), bar.end()), (None, None));
    }
}
