//! One row per item, one dot per series: how several methods do on many functions.

use std::fmt::Write;

use super::chart::{Spacing, WIDTH, legend};
use super::escape;
use super::palette::Ink;
use super::scale::{Scale, label};

const LABELS: f64 = 150.0;
const RIGHT: f64 = 14.0;
const ROW: f64 = 17.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 6.0;

/// A figure with a labelled row per item. Each series has one value per row, drawn as a dot on a linear axis from
/// zero to `high`; larger values are held at the edge, which the axis then says.
pub fn dot_rows(
    title: &str,
    axis: &str,
    rows: &[String],
    high: f64,
    series: &[(&str, Ink, Vec<f64>)],
) -> String {
    let height = TOP + rows.len() as f64 * ROW + BOTTOM;
    let x = Scale::new(Spacing::Linear, (0.0, high), (LABELS, WIDTH - RIGHT));
    let mut html = format!("<figure>\n<figcaption>{}</figcaption>\n", escape(title));
    html.push_str(&legend(series.iter().map(|(name, ink, _)| (*name, *ink))));
    let _ = writeln!(
        html,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    );
    let bottom = height - BOTTOM;
    for tick in x.ticks(6) {
        let at = x.place(tick);
        let _ = writeln!(
            html,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"tick middle\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 16.0,
            label(tick)
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + (index as f64 + 0.5) * ROW;
        let _ = writeln!(
            html,
            "<text class=\"name end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <line class=\"grid\" x1=\"{LABELS}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
            LABELS - 8.0,
            y + 4.0,
            escape(row),
            WIDTH - RIGHT
        );
        for (name, ink, values) in series {
            let Some(&value) = values.get(index) else { continue };
            let _ = writeln!(
                html,
                "<circle class=\"dot {}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}: {value:.3}</title></circle>",
                ink.class(),
                x.place(value),
                escape(name)
            );
        }
    }
    let beyond = series.iter().flat_map(|(_, _, values)| values).any(|&value| value > high);
    let _ = writeln!(
        html,
        "<text class=\"tick middle\" x=\"{:.1}\" y=\"{:.1}\">{}{}</text>\n</svg>\n</figure>",
        (LABELS + WIDTH - RIGHT) / 2.0,
        height - 6.0,
        escape(axis),
        if beyond { " (larger ones at the edge)" } else { "" }
    );
    html
}
