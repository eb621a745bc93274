//! Which functions are managed.

use crate::tune::is_clone;

/// Patterns of `namespace/[package/]action`; `*` stands for anything, also for nothing and for slashes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Managed {
    patterns: Vec<String>,
}

impl Managed {
    /// The functions that match one of `patterns`; all, when there is none.
    pub fn new(patterns: Vec<String>) -> Self {
        Self { patterns }
    }

    /// Whether the function `name` is managed. The clones that trials of a workflow run on never are.
    pub fn contains(&self, name: &str) -> bool {
        let wanted = |pattern: &String| matches(pattern, name);
        !is_clone(name) && (self.patterns.is_empty() || self.patterns.iter().any(wanted))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_by_hand() {
        for (pattern, name, expected) in [
            ("guest/a", "guest/a", true),
            ("guest/a", "guest/ab", false),
            ("guest/*", "guest/p/a", true),
            ("*/a", "guest/p/a", true),
            ("g*t/*a", "guest/p/a", true),
            ("g*t/*b*", "guest/p/a", false),
            ("*", "x", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
