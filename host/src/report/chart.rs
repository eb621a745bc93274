//! A chart with two axes: bands, lines, steps and dots, as SVG in an HTML figure or as a file of its own.
//!
//! Charts are drawn 520 units wide: two of them stand side by side on a screen, one fills a phone, and the letters
//! keep a readable size on both.

use std::fmt::Write;

use super::escape;
pub use super::palette::Ink;
use super::palette::standalone;
pub use super::scale::Spacing;
use super::scale::{Scale, label};

pub(super) const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 42.0;
/// Of a logarithmic axis, beyond the data at either end: it has no zero to stand on.
const MARGIN: f64 = 0.05;
/// In a file of its own, the legend's lines are this far apart, and a letter takes about this much of one.
const LEGEND_LINE: f64 = 16.0;
const LETTER: f64 = 7.0;

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    spacing: Spacing,
    range: Option<(f64, f64)>,
    /// Texts at 0, 1, 2, ..; empty where ticks are numbers.
    names: Vec<String>,
}

impl Axis {
    /// A linear axis over all the data, from zero.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), spacing: Spacing::Linear, range: None, names: Vec::new() }
    }

    /// A logarithmic axis over all the (positive) data, and a little more.
    pub fn logarithmic(label: impl Into<String>) -> Self {
        Self { label: label.into(), spacing: Spacing::Logarithmic, range: None, names: Vec::new() }
    }

    /// An axis with a name at each of 0, 1, 2, ..
    pub fn named(label: impl Into<String>, names: Vec<String>) -> Self {
        let last = names.len().saturating_sub(1) as f64;
        Self { names, ..Self::linear(label).range(-0.4, last + 0.4) }
    }

    /// Places and texts of the ticks, about `number` of them.
    fn ticks(&self, scale: &Scale, number: usize) -> Vec<(f64, String)> {
        if self.names.is_empty() {
            return scale.ticks(number).into_iter().map(|tick| (tick, label(tick))).collect();
        }
        self.names.iter().enumerate().map(|(at, name)| (at as f64, name.clone())).collect()
    }

    /// Show `low..high`; what lies outside is held at the edge.
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }

    fn scale(&self, values: impl Iterator<Item = f64>, paper: (f64, f64)) -> Scale {
        let usable = values.filter(|v| v.is_finite() && (self.spacing == Spacing::Linear || *v > 0.0));
        let (low, high) = usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = match self.spacing {
            Spacing::Linear => (low.min(0.0), high),
            Spacing::Logarithmic => {
                let margin = (high / low).powf(MARGIN);
                (low / margin, high * margin)
            }
        };
        Scale::new(self.spacing, self.range.unwrap_or((low, high)), paper)
    }
}

/// A chart under construction; layers are drawn in the order they are added.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x: Axis,
    y: Axis,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    name: String,
    ink: Ink,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// `(x, low, high)`.
    Band(Vec<(f64, f64, f64)>),
    /// A vertical line at every `(x, low, high)`.
    Whiskers(Vec<(f64, f64, f64)>),
    Line(Vec<(f64, f64)>),
    /// Constant until the next point.
    Step(Vec<(f64, f64)>),
    /// Connected dots with a text each, one of them emphasised.
    Dots {
        points: Vec<(f64, f64)>,
        texts: Vec<String>,
        emphasised: Option<usize>,
    },
    /// Dots on their own, with a text each.
    Scatter(Vec<(f64, f64)>, Vec<String>),
    /// The same, hollow.
    Rings(Vec<(f64, f64)>, Vec<String>),
}

impl Chart {
    /// An empty chart.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, layers: Vec::new() }
    }

    /// A band between `low` and `high` at each `(x, low, high)`.
    pub fn band(self, name: &str, ink: Ink, points: Vec<(f64, f64, f64)>) -> Self {
        self.with(name, ink, Shape::Band(points))
    }

    /// A faint vertical line from `low` to `high` at each `(x, low, high)`; the legend does not name it.
    pub fn whiskers(self, ink: Ink, points: Vec<(f64, f64, f64)>) -> Self {
        self.with("", ink, Shape::Whiskers(points))
    }

    /// A line through the points.
    pub fn line(self, name: &str, ink: Ink, points: Vec<(f64, f64)>) -> Self {
        self.with(name, ink, Shape::Line(points))
    }

    /// A line that stays at each value until the next point.
    pub fn step(self, name: &str, ink: Ink, points: Vec<(f64, f64)>) -> Self {
        self.with(name, ink, Shape::Step(points))
    }

    /// Connected dots; `texts` appear when the pointer rests on one, `emphasised` is drawn larger.
    pub fn dots(
        self,
        name: &str,
        ink: Ink,
        points: Vec<(f64, f64)>,
        texts: Vec<String>,
        emphasised: Option<usize>,
    ) -> Self {
        self.with(name, ink, Shape::Dots { points, texts, emphasised })
    }

    /// Dots that are not connected; `texts` appear when the pointer rests on one.
    pub fn scatter(self, name: &str, ink: Ink, points: Vec<(f64, f64)>, texts: Vec<String>) -> Self {
        self.with(name, ink, Shape::Scatter(points, texts))
    }

    /// Hollow dots: what is there but does not count.
    pub fn rings(self, name: &str, ink: Ink, points: Vec<(f64, f64)>, texts: Vec<String>) -> Self {
        self.with(name, ink, Shape::Rings(points, texts))
    }

    fn with(mut self, name: &str, ink: Ink, shape: Shape) -> Self {
        self.layers.push(Layer { name: name.into(), ink, shape });
        self
    }

    /// The figure: title, legend and drawing.
    pub fn html(&self) -> String {
        let mut html = format!("<figure>\n<figcaption>{}</figcaption>\n", escape(&self.title));
        html.push_str(&legend(self.layers.iter().map(|layer| (layer.name.as_str(), layer.ink))));
        let _ = writeln!(
            html,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title)
        );
        self.draw(&mut html);
        html.push_str("</svg>\n</figure>\n");
        html
    }

    /// The drawing as a file of its own: with title, legend and colours, on white.
    pub fn svg(&self) -> String {
        let mut legend = String::new();
        let (mut at, mut line) = (LEFT, 0.0);
        for layer in self.layers.iter().filter(|layer| !layer.name.is_empty()) {
            let width = 20.0 + LETTER * layer.name.chars().count() as f64;
            if at + width > WIDTH - RIGHT && at > LEFT {
                (at, line) = (LEFT, line + LEGEND_LINE);
            }
            let y = 34.0 + line;
            let _ = writeln!(
                legend,
                "<rect class=\"key {}\" x=\"{at:.1}\" y=\"{:.1}\" width=\"14\" height=\"4\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                layer.ink.class(),
                y - 6.0,
                at + 18.0,
                y,
                escape(&layer.name)
            );
            at += width + 10.0;
        }
        let top = 42.0 + line;
        let height = top + HEIGHT;
        let title = escape(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n<style>\n{}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"18\">{title}</text>\n{legend}\
             <g transform=\"translate(0 {top})\">\n",
            standalone()
        );
        self.draw(&mut svg);
        svg.push_str("</g>\n</svg>\n");
        svg
    }

    fn draw(&self, svg: &mut String) {
        let x = self.x.scale(self.layers.iter().flat_map(|l| l.shape.xs()), (LEFT, WIDTH - RIGHT));
        let y = self.y.scale(self.layers.iter().flat_map(|l| l.shape.ys()), (HEIGHT - BOTTOM, TOP));
        self.axes(&x, &y, svg);
        for layer in &self.layers {
            layer.draw(&x, &y, svg);
        }
    }

    fn axes(&self, x: &Scale, y: &Scale, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (tick, text) in self.y.ticks(y, 5) {
            let at = y.place(tick);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                escape(&text)
            );
        }
        for (tick, text) in self.x.ticks(x, 6) {
            let at = x.place(tick);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text class=\"tick middle\" x=\"{at:.1}\" y=\"{}\">{}</text>",
                bottom + 4.0,
                bottom + 17.0,
                escape(&text)
            );
        }
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text class=\"tick middle\" x=\"{:.1}\" y=\"{}\">{}</text>\
             <text class=\"tick middle\" transform=\"translate(12 {:.1}) rotate(-90)\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 6.0,
            escape(&self.x.label),
            (TOP + bottom) / 2.0,
            escape(&self.y.label)
        );
    }
}

impl Shape {
    fn xs(&self) -> Vec<f64> {
        match self {
            Self::Band(points) | Self::Whiskers(points) => points.iter().map(|p| p.0).collect(),
            Self::Line(points)
            | Self::Step(points)
            | Self::Scatter(points, _)
            | Self::Rings(points, _)
            | Self::Dots { points, .. } => points.iter().map(|p| p.0).collect(),
        }
    }

    fn ys(&self) -> Vec<f64> {
        match self {
            Self::Band(points) | Self::Whiskers(points) => points.iter().flat_map(|p| [p.1, p.2]).collect(),
            Self::Line(points)
            | Self::Step(points)
            | Self::Scatter(points, _)
            | Self::Rings(points, _)
            | Self::Dots { points, .. } => points.iter().map(|p| p.1).collect(),
        }
    }
}

impl Layer {
    fn draw(&self, x: &Scale, y: &Scale, svg: &mut String) {
        let class = self.ink.class();
        match &self.shape {
            Shape::Band(points) => {
                let upper = points.iter().map(|&(at, _, high)| (at, high));
                let lower = points.iter().rev().map(|&(at, low, _)| (at, low));
                let path = path(upper.chain(lower), x, y);
                let _ = writeln!(svg, "<path class=\"band {class}\" d=\"{path}Z\"/>");
            }
            Shape::Whiskers(points) => {
                for &(at, low, high) in points {
                    let path = path([(at, low), (at, high)].into_iter(), x, y);
                    let _ = writeln!(svg, "<path class=\"whisker {class}\" d=\"{path}\"/>");
                }
            }
            Shape::Line(points) => {
                let path = path(points.iter().copied(), x, y);
                let _ = writeln!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
            }
            Shape::Step(points) => {
                let corners = points.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
                let path = path(corners.chain(points.last().copied()), x, y);
                let _ = writeln!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
            }
            Shape::Dots { points, texts, emphasised } => {
                let path = path(points.iter().copied(), x, y);
                let _ = writeln!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
                for (index, &at) in points.iter().enumerate() {
                    let radius = if *emphasised == Some(index) { 6.0 } else { 3.0 };
                    self.dot("dot", x, y, at, radius, texts.get(index), svg);
                }
            }
            Shape::Scatter(points, texts) => {
                for (index, &at) in points.iter().enumerate() {
                    self.dot("dot", x, y, at, 3.5, texts.get(index), svg);
                }
            }
            Shape::Rings(points, texts) => {
                for (index, &at) in points.iter().enumerate() {
                    self.dot("ring", x, y, at, 4.0, texts.get(index), svg);
                }
            }
        }
    }

    fn dot(
        &self,
        shape: &str,
        x: &Scale,
        y: &Scale,
        at: (f64, f64),
        radius: f64,
        text: Option<&String>,
        svg: &mut String,
    ) {
        if at.0.is_nan() || at.1.is_nan() {
            return;
        }
        let _ = writeln!(
            svg,
            "<circle class=\"{shape} {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}: {}</title></circle>",
            self.ink.class(),
            x.place(at.0),
            y.place(at.1),
            escape(&self.name),
            escape(text.map_or("", String::as_str))
        );
    }
}

/// `M` and `L` commands through the points that have a place.
fn path(points: impl Iterator<Item = (f64, f64)>, x: &Scale, y: &Scale) -> String {
    let mut path = String::new();
    for (index, (at, value)) in points.filter(|point| !point.0.is_nan() && !point.1.is_nan()).enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", x.place(at), y.place(value));
    }
    path
}

/// Names and inks as a line of HTML that wraps.
pub(super) fn legend<'a>(entries: impl Iterator<Item = (&'a str, Ink)>) -> String {
    let mut html = String::from("<p class=\"legend\">");
    for (name, ink) in entries.filter(|(name, _)| !name.is_empty()) {
        let _ = write!(html, "<span class=\"{}\"><i></i>{}</span> ", ink.class(), escape(name));
    }
    html.push_str("</p>\n");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_holds_its_layers_and_escapes_its_texts() {
        let html = Chart::new("a < b", Axis::linear("minute"), Axis::logarithmic("cold %"))
            .line("one & two", Ink::Series(0), vec![(0.0, 1.0), (10.0, 100.0)])
            .dots("d", Ink::Quiet, vec![(5.0, 10.0)], vec!["\"q\"".into()], Some(0))
            .html();
        assert!(
            html.contains("a &lt; b") && html.contains("one &amp; two") && html.contains("&quot;q&quot;")
        );
        // The data fill the paper but for a margin of the logarithmic axis; the dot is in the middle.
        assert!(html.contains("M48.0 246.7L508.0 21.3"), "{html}");
        assert!(html.contains("cx=\"278.0\" cy=\"134.0\" r=\"6\""), "{html}");
    }

    #[test]
    fn a_file_of_its_own_has_everything_it_needs() {
        let names = vec!["one".to_string(), "two & three".into()];
        let svg = Chart::new("a < b", Axis::named("workflow", names), Axis::linear("regret"))
            .whiskers(Ink::Series(1), vec![(0.0, 0.1, 0.3)])
            .dots("method", Ink::Series(1), vec![(0.0, 0.2), (1.0, 0.4)], vec![], None)
            .svg();
        for part in [
            "xmlns=\"http://www.w3.org/2000/svg\"",
            "<style>",
            ">a &lt; b</text>",
            ">method</text>",
            ">two &amp; three</text>",
            "class=\"whisker ink-1\"",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        // Programs that draw SVG files know no custom properties.
        assert!(!svg.contains("var("));
    }

    #[test]
    fn empty_and_unusable_data_still_make_a_chart() {
        let chart = Chart::new("t", Axis::linear("x"), Axis::logarithmic("y"));
        assert!(chart.html().contains("</svg>"));
        let points = vec![(f64::NAN, 0.0), (1.0, f64::INFINITY), (2.0, f64::NAN)];
        let html = chart.line("", Ink::Text, points.clone()).dots("", Ink::Text, points, vec![], None).html();
        assert!(!html.contains("inf") && !html.contains("NaN"), "{html}");
        assert_eq!(html.matches("<circle").count(), 1);
    }
}
