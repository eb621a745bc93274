//! Sorting of the short lists that the optimiser keeps: a page of code less on a microcontroller and in a browser than
//! the sort of the standard library, which is made for long ones.

/// Sorts by insertion, in at most n^2 / 2 exchanges: `before` says whether the first of two must stand before the
/// second. Equal values keep their order.
pub(crate) fn by_insertion<T>(values: &mut [T], before: impl Fn(&T, &T) -> bool) {
    for end in 1..values.len() {
        let mut i = end;
        while i > 0 && before(&values[i], &values[i - 1]) {
            values.swap(i, i - 1);
            i -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_the_stable_sort_does(keys in proptest::collection::vec(0u8..20, 0..60)) {
            let mut ours: std::vec::Vec<_> = keys.into_iter().enumerate().collect();
            let mut theirs = ours.clone();
            by_insertion(&mut ours, |a, b| a.1 > b.1);
            theirs.sort_by_key(|&(_, key)| core::cmp::Reverse(key));
            prop_assert_eq!(ours, theirs);
        }
    }
}
