//! Colours: what they mean, and the style sheets that give them.

use std::fmt::Write;

/// What a layer's colour means; a style sheet gives each a light and a dark value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The text colour: what really happened.
    Text,
    /// The colour of comparisons that are not the point.
    Quiet,
    /// One of sixteen colours, the first being the strongest; colour-blind readers tell the first eight apart.
    Series(u8),
}

impl Ink {
    pub(super) fn class(self) -> String {
        match self {
            Self::Text => "ink-text".into(),
            Self::Quiet => "ink-quiet".into(),
            Self::Series(number) => format!("ink-{}", usize::from(number) % LIGHT.series.len()),
        }
    }
}

/// Paper, card, text, soft text, rules, and quiet ink; then the series.
struct Palette {
    grounds: [(&'static str, &'static str); 6],
    series: [&'static str; 16],
}

// The first eight colours follow Okabe and Ito's palette for colour-blind readers, darkened on white and lightened on
// black.
const LIGHT: Palette = Palette {
    grounds: [
        ("paper", "#ffffff"),
        ("card", "#f7f8fa"),
        ("text", "#1c2430"),
        ("soft", "#5b6675"),
        ("rule", "#dfe3e8"),
        ("quiet", "#9aa5b1"),
    ],
    series: [
        "#0067b1", "#d15400", "#00835f", "#b0417f", "#8a6d00", "#3a9bd0", "#6b4fb3", "#3d2c1c", "#a3231f",
        "#4d7c0f", "#0f6d7a", "#8c5a3c", "#d6336c", "#1b2a8f", "#7fae3a", "#b58bd9",
    ],
};

const DARK: Palette = Palette {
    grounds: [
        ("paper", "#12161c"),
        ("card", "#1a2029"),
        ("text", "#e7ebf0"),
        ("soft", "#a3adba"),
        ("rule", "#2e3743"),
        ("quiet", "#66717e"),
    ],
    series: [
        "#5cb3ff", "#ff9248", "#3fd0a4", "#ee8cc4", "#e0c14a", "#9bd6f7", "#b7a3f5", "#f3e4d0", "#ff7b72",
        "#a3d65c", "#4cc3d4", "#d8a37e", "#ff5c93", "#7d8dff", "#c9f08a", "#e3c8ff",
    ],
};

impl Palette {
    fn properties(&self) -> String {
        let mut css = String::new();
        for (name, colour) in self.grounds {
            let _ = write!(css, " --{name}: {colour};");
        }
        for (number, colour) in self.series.iter().enumerate() {
            let _ = write!(css, " --c{number}: {colour};");
        }
        css
    }
}

/// The colours of a page, light or dark as the reader's system is.
pub(super) fn page() -> String {
    let mut css = format!(":root {{{}}}\n", LIGHT.properties());
    let _ = writeln!(css, "@media (prefers-color-scheme: dark) {{ :root {{{}}} }}", DARK.properties());
    css.push_str(".ink-text { --ink: var(--text); } .ink-quiet { --ink: var(--quiet); }\n");
    for number in 0..LIGHT.series.len() {
        let _ = writeln!(css, ".ink-{number} {{ --ink: var(--c{number}); }}");
    }
    css
}

/// The style sheet of a drawing that is a file of its own: light, without custom properties, which few programs that
/// draw SVG files know.
pub(super) fn standalone() -> String {
    let ground = |wanted: &str| {
        LIGHT.grounds.iter().find(|(name, _)| *name == wanted).map_or("black", |(_, colour)| *colour)
    };
    let (text, soft, rule, quiet, paper) =
        (ground("text"), ground("soft"), ground("rule"), ground("quiet"), ground("paper"));
    let mut css = format!(
        "text {{ font: 12px system-ui, sans-serif; fill: {soft}; }}\n\
         .title {{ font-size: 14px; font-weight: 600; fill: {text}; }}\n\
         .middle {{ text-anchor: middle; }}\n.end {{ text-anchor: end; }}\n\
         .grid {{ stroke: {rule}; stroke-width: 1; }}\n.axis {{ stroke: {soft}; stroke-width: 1; }}\n\
         .line {{ fill: none; stroke-width: 1.6; stroke-linejoin: round; }}\n\
         .whisker {{ fill: none; stroke-width: 1.2; stroke-opacity: 0.45; }}\n\
         .ring {{ fill: none; stroke-width: 1.6; }}\n\
         .band {{ fill-opacity: 0.22; stroke: none; }}\n"
    );
    let numbered = LIGHT.series.iter().enumerate().map(|(number, colour)| (number.to_string(), *colour));
    for (name, colour) in [("text".into(), text), ("quiet".into(), quiet)].into_iter().chain(numbered) {
        let _ = writeln!(
            css,
            ".line.ink-{name}, .whisker.ink-{name}, .ring.ink-{name} {{ stroke: {colour}; }} \
             .band.ink-{name}, .key.ink-{name} {{ fill: {colour}; }} \
             .dot.ink-{name} {{ fill: {colour}; stroke: {paper}; stroke-width: 1; }}"
        );
    }
    css
}
