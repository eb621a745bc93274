//! Self-contained HTML reports: one file, inline SVG, no script, light and dark.
//!
//! [`chart`] draws, [`page`] puts charts, tables and text together; what a report says is written beside the command
//! that makes it.

pub mod chart;
pub mod page;
mod palette;
pub mod rows;
mod scale;

/// `text` with the characters HTML gives a meaning replaced.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A whole number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let places = digits.len();
    let separated = digits.chars().enumerate().flat_map(|(place, digit)| {
        let separator = (place > 0 && (places - place).is_multiple_of(3)).then_some(',');
        separator.into_iter().chain([digit])
    });
    separated.collect()
}
