/**
 * What a pool costs, minute by minute: `target` containers are warm when a minute begins, and its peak needs `peak`.
 * Containers that are missing start cold, those beyond the peak idle.
 */

import type { Tally } from "./protocol";

export function tally(targets: ArrayLike<number>, peaks: ArrayLike<number>, from = 0): Tally {
  const sum: Tally = { minutes: targets.length, wanted: 0, cold: 0, idle: 0 };
  for (let minute = 0; minute < targets.length; minute++) {
    const [target, peak] = [targets[minute]!, peaks[from + minute]!];
    sum.wanted += peak;
    sum.cold += Math.max(0, peak - target);
    sum.idle += Math.max(0, target - peak);
  }
  return sum;
}

/** Targets of a pool that keeps what the busiest of the last `minutes` minutes needed. */
export function keepAlive(peaks: ArrayLike<number>, from: number, minutes: number): Uint32Array {
  return Uint32Array.from({ length: peaks.length - from }, (_, index) => {
    let most = 0;
    for (let back = 1; back <= minutes; back++) most = Math.max(most, peaks[from + index - back] ?? 0);
    return most;
  });
}
