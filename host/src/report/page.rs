//! The HTML page around charts: style sheet, headings, text and tables.

use std::fmt::Write;

use super::{escape, palette};

/// A page under construction, from top to bottom.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        let body = format!("<h1>{}</h1>\n", escape(&title));
        Self { title, body }
    }

    /// The sentence a reader should leave with.
    pub fn lead(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p class=\"lead\">{}</p>", escape(text));
    }

    /// A heading.
    pub fn section(&mut self, heading: &str) {
        let _ = writeln!(self.body, "<h2>{}</h2>", escape(heading));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
    }

    /// Figures side by side where there is room.
    pub fn figures(&mut self, figures: &[String]) {
        let _ = writeln!(self.body, "<div class=\"figures\">\n{}</div>", figures.concat());
    }

    /// A table; the first column is text, the others are numbers. The row `emphasised` stands out.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>], emphasised: Option<usize>) {
        self.body.push_str("<div class=\"wide\"><table>\n<thead><tr>");
        for column in header {
            let _ = write!(self.body, "<th>{}</th>", escape(column));
        }
        self.body.push_str("</tr></thead>\n<tbody>\n");
        for (index, row) in rows.iter().enumerate() {
            self.body.push_str(if emphasised == Some(index) { "<tr class=\"ours\">" } else { "<tr>" });
            for field in row {
                let _ = write!(self.body, "<td>{}</td>", escape(field));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// The finished document.
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
             <style>\n{}{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
            escape(&self.title),
            palette::page(),
            self.body
        )
    }
}

const STYLE: &str = "\
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 1.2rem; margin: 40px 0 8px; }
p { margin: 8px 0; max-width: 75ch; color: var(--soft); }
p.lead { color: var(--text); font-size: 1.15rem; }
.figures { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); }
figure { margin: 0; padding: 12px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; min-width: 0; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 2px 0 6px; font-size: 0.8rem; }
.legend span { display: inline-flex; align-items: center; gap: 5px; color: var(--soft); }
.legend i { width: 14px; height: 4px; border-radius: 2px; background: var(--ink); }
svg { display: block; width: 100%; height: auto; }
.tick, .name { font: 12px system-ui, sans-serif; fill: var(--soft); }
@media (max-width: 600px) { .tick { font-size: 15px; } }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.grid { stroke: var(--rule); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; }
.line { fill: none; stroke: var(--ink); stroke-width: 1.6; stroke-linejoin: round; }
.whisker { fill: none; stroke: var(--ink); stroke-width: 1.2; stroke-opacity: 0.45; }
.band { fill: var(--ink); fill-opacity: 0.22; stroke: none; }
.ring { fill: none; stroke: var(--ink); stroke-width: 1.6; }
.dot { fill: var(--ink); stroke: var(--card); stroke-width: 1; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
tr.ours td { font-weight: 600; background: var(--card); }
";
