//! Reading a policy's sweep: the memory it needs for a stated level of cold starts.

/// The memory at `cold` percent on the lower left hull of `points` (memory, cold percent): linear in memory against
/// the logarithm of cold starts between the two neighbours. `None` when no point is as low.
pub fn memory_at(points: &[(f64, f64)], cold: f64) -> Option<f64> {
    let hull = hull(points);
    let reached = hull.iter().position(|&(_, percent)| percent <= cold)?;
    let (memory, percent) = hull[reached];
    let Some(&(memory_before, percent_before)) = reached.checked_sub(1).and_then(|i| hull.get(i)) else {
        return Some(memory);
    };
    // A thousandth of a percent keeps the logarithm finite where no start is cold.
    let scale = |percent: f64| (percent + 1e-3).ln();
    let share = (scale(percent_before) - scale(cold)) / (scale(percent_before) - scale(percent));
    Some(memory_before + share * (memory - memory_before))
}

/// The points that no other one beats in both, by memory.
pub fn hull(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for point in sorted {
        if hull.last().is_none_or(|last| point.1 < last.1) {
            hull.push(point);
        }
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_between_the_neighbours_on_the_hull() {
        // (2.0, 9.0) is beaten by (1.5, 4.0).
        let points = [(3.0, 1.0), (1.0, 16.0), (2.0, 9.0), (1.5, 4.0)];
        assert_eq!(hull(&points), [(1.0, 16.0), (1.5, 4.0), (3.0, 1.0)]);
        // The geometric middle of 4 and 1 lies half-way from 1.5 to 3.
        let middle = memory_at(&points, 2.0).expect("2 % is reached");
        assert!((middle - 2.25).abs() < 1e-3, "{middle}");
        assert_eq!(memory_at(&points, 20.0), Some(1.0));
        assert_eq!(memory_at(&points, 0.5), None);
        assert_eq!(memory_at(&[], 4.0), None);
    }
}
