/** What the page and the worker that tunes say to each other. */

import type { Outcome, Recommendation, Trial, Belief, WorkflowDescription } from "aquatope-wasm/web";
import type { Model } from "../settings";

/** To the worker. */
export type Request =
  /** Answered by `Checked`. */
  | { type: "check"; ticket: number; file: unknown }
  /** Answered by the events of a run; the one before ends. */
  | { type: "run"; run: number; plan: Plan }
  | { type: "pause"; paused: boolean }
  /** Answered by `Slice`, and again after every batch. */
  | { type: "slice"; axis: number }
  /** Answered by `Exported`. */
  | { type: "export" };

/** A run. */
export interface Plan {
  file: unknown;
  model: Model;
  qos: number;
  noise: number;
  outliers: number;
  trials: number;
  batch: number;
  seed: number;
}

/** Cost and latency (s) without noise. */
export interface Truth {
  cost: number;
  latency: number;
}

/** From the worker; those with `run` belong to that run. */
export type Reply =
  | { type: "checked"; ticket: number; description?: WorkflowDescription; error?: string }
  | { type: "started"; run: number; description: WorkflowDescription; start: Truth; random: Quartiles; optimum?: Truth }
  | { type: "asked"; run: number; batch: Trial[] }
  | { type: "told"; run: number; step: Step }
  | { type: "slice"; run: number; slice: Slice }
  | { type: "done"; run: number }
  | { type: "exported"; study: unknown }
  | { type: "failed"; run: number; error: string };

/** The best of random search, told the truth, after each trial: quartiles of the cost; infinite before there is one. */
export type Quartiles = { low: number[]; median: number[]; high: number[] };

/** What a batch taught. */
export interface Step {
  trials: Trial[];
  /** Trials left out as anomalies. */
  anomalous: number[];
  windowStart: number;
  recommendation?: Recommendation;
  truth?: Truth;
  resources?: { name: string; cpu: number; memoryMb: number; concurrency: number }[];
  /** Milliseconds the optimiser took to ask for the batch. */
  askMs: number;
}

/** The posterior along one axis through the recommendation. */
export interface Slice {
  axis: number;
  values: number[];
  beliefs: Belief[];
  truths: Truth[];
  /** Index of the recommendation in `values`. */
  at: number;
}

export type { Outcome, Recommendation, Trial };
