//! Parts of slices, rows of matrices and short lists, without a panic.
//!
//! Lengths are checked where data enters, and errors are returned there. The loops behind that know that an index is in
//! range and the compiler does not: with these a range that is not there is empty and a number that is not there is
//! NaN. Neither ever happens, and what the answer then would be is not specified: builds with debug assertions, as tests,
//! fuzzing and Miri are, panic where it does.

use core::ops::Range;
use core::slice::{ChunksExact, ChunksExactMut};
use heapless::Vec;

/// Parts of a slice.
pub(crate) trait Part<T> {
    /// The first `count` elements, or all.
    fn head(&self, count: usize) -> &[T];
    /// [`Part::head`], to be changed.
    fn head_mut(&mut self, count: usize) -> &mut [T];
    /// The elements of `range`; none when not all of them are there.
    fn part(&self, range: Range<usize>) -> &[T];
    /// [`Part::part`], to be changed.
    fn part_mut(&mut self, range: Range<usize>) -> &mut [T];
}

impl<T> Part<T> for [T] {
    #[inline(always)]
    fn head(&self, count: usize) -> &[T] {
        &self[..count.min(self.len())]
    }

    #[inline(always)]
    fn head_mut(&mut self, count: usize) -> &mut [T] {
        let count = count.min(self.len());
        &mut self[..count]
    }

    #[inline(always)]
    fn part(&self, range: Range<usize>) -> &[T] {
        debug_assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {}", self.len());
        self.get(range).unwrap_or_default()
    }

    #[inline(always)]
    fn part_mut(&mut self, range: Range<usize>) -> &mut [T] {
        debug_assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {}", self.len());
        self.get_mut(range).unwrap_or_default()
    }
}

/// One number of a slice.
pub(crate) trait At {
    /// Number `index`; NaN when it is not there.
    fn at(&self, index: usize) -> f64;
}

impl At for [f64] {
    #[inline(always)]
    fn at(&self, index: usize) -> f64 {
        debug_assert!(index < self.len(), "{index} of {}", self.len());
        self.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// Some `columns` of a `row` of a row-major matrix with rows of length `stride`.
#[inline(always)]
pub(crate) fn row<T>(matrix: &[T], stride: usize, row: usize, columns: Range<usize>) -> &[T] {
    let start = row.saturating_mul(stride);
    matrix.part(start.saturating_add(columns.start)..start.saturating_add(columns.end))
}

/// [`row`], to be changed.
#[inline(always)]
pub(crate) fn row_mut<T>(matrix: &mut [T], stride: usize, row: usize, columns: Range<usize>) -> &mut [T] {
    let start = row.saturating_mul(stride);
    matrix.part_mut(start.saturating_add(columns.start)..start.saturating_add(columns.end))
}

/// The whole rows of a row-major matrix; rows without length count as one long.
#[inline(always)]
pub(crate) fn rows<T>(matrix: &[T], stride: usize) -> ChunksExact<'_, T> {
    matrix.chunks_exact(stride.max(1))
}

/// [`rows`], to be changed.
#[inline(always)]
pub(crate) fn rows_mut<T>(matrix: &mut [T], stride: usize) -> ChunksExactMut<'_, T> {
    matrix.chunks_exact_mut(stride.max(1))
}

/// Copies as much of `from` as there is room for.
#[inline(always)]
pub(crate) fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    let count = to.len().min(from.len());
    to[..count].copy_from_slice(&from[..count]);
}

/// Moves every element but the first down by one place; the last one stands there twice.
pub(crate) fn drop_first<T: Copy>(values: &mut [T]) {
    for k in 1..values.len() {
        values[k - 1] = values[k];
    }
}

/// A list of the items, or of the first `N`.
pub(crate) fn list<T, const N: usize>(items: impl IntoIterator<Item = T>) -> Vec<T, N> {
    let mut list = Vec::new();
    extend(&mut list, items);
    list
}

/// Puts the items behind those of the list, as long as there is room.
pub(crate) fn extend<T, const N: usize>(list: &mut Vec<T, N>, items: impl IntoIterator<Item = T>) {
    for item in items {
        if list.push(item).is_err() {
            break;
        }
    }
}
