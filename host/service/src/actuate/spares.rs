//! From containers to stem cells: idle spares per kind and memory on every invoker.
//!
//! A plan counts *all* containers of a function; stem cells are idle ones beside those that are warm already, and
//! each one taken is replaced. So the spares of a function are its target without what is warm, and every invoker keeps
//! its share of them, rounded up.

use std::collections::BTreeMap;

use super::Wanted;

/// Spares on every one of `invokers`, by kind and memory (MB). Pairs that need none are left out. Containers of kind
/// `blackbox` and of unknown memory have no stem cells.
pub(super) fn spares(wanted: &[Wanted], invokers: u32) -> BTreeMap<(String, u32), u32> {
    let mut totals: BTreeMap<(String, u32), u32> = BTreeMap::new();
    for function in wanted.iter().filter(|function| has_stem_cells(function)) {
        let spare = function.containers.saturating_sub(function.warm.max(function.busy));
        let total = totals.entry((function.kind.clone(), function.memory_mb)).or_default();
        *total = total.saturating_add(spare);
    }
    totals.retain(|_, total| *total > 0);
    totals.into_iter().map(|(pair, total)| (pair, total.div_ceil(invokers.max(1)))).collect()
}

/// Whether the platform keeps stem cells for such a function.
pub(super) fn has_stem_cells(function: &Wanted) -> bool {
    function.kind != "blackbox" && function.memory_mb > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: &str, memory_mb: u32, containers: u32, warm: u32, busy: u32) -> Wanted {
        let (name, namespace, kind) = ("guest/f".into(), "guest".into(), kind.into());
        Wanted { name, namespace, kind, memory_mb, containers, busy, warm, cold_start_ms: 0 }
    }

    #[test]
    fn spares_by_hand() {
        let functions = [
            wanted("python:3", 256, 7, 2, 1),
            wanted("python:3", 256, 3, 0, 1),
            wanted("python:3", 512, 2, 5, 0),
            wanted("blackbox", 256, 9, 0, 0),
        ];
        // 5 and 2 spares over three invokers: three each. The third function has more than it wants.
        let expected = BTreeMap::from([(("python:3".to_owned(), 256), 3)]);
        assert_eq!(spares(&functions, 3), expected);
        assert_eq!(spares(&functions, 0), spares(&functions, 1));
    }
}
