//! Activations to windows, 64 of them open.

use crate::keep;
use aquatope_core::activation::Activation;
use aquatope_core::window::{Trigger, Window, WindowSeries, calendar, phase};

type Series = WindowSeries<64>;

pub fn keep() {
    keep! {
        Activation::arrival: fn(_) -> _,
        Activation::end: fn(_) -> _,
        Activation::is_cold_start: fn(_) -> _,
        Activation::demand: fn(_) -> _,
        Series::new: fn(_, _) -> _,
        Series::record: fn(_, _) -> _,
        Series::close_until: fn(_, _),
        Series::poll_window: fn(_) -> _,
        Series::provisional: fn(_, _) -> _,
        Series::open: fn(_) -> _,
        Series::dropped: fn(_) -> _,
        Window::mean_concurrency: fn(_) -> _,
        Trigger::from_name: fn(_) -> _,
        Trigger::one_hot: fn(_) -> _,
        calendar: fn(_) -> _,
        phase: fn(_, _) -> _,
    }
}
