/** What the page and the worker that forecasts say to each other. */

/** To the worker. */
export type Request =
  /** Answered by `Loaded`. */
  | { type: "load"; ticket: number; name: string; content: Blob | string }
  /** Answered by the events of a replay; the one before ends. */
  | { type: "replay"; run: number; func: number; prices: Prices }
  | { type: "pause"; paused: boolean }
  /** Answered by `Planned`. */
  | { type: "plan"; prices: Prices };

export interface Prices {
  /** A cold start, in GB-minutes of idle memory. */
  ratio: number;
  /** MB of one container. */
  memory: number;
}

/** What is known of a function before it is replayed. */
export interface FunctionSummary {
  func: number;
  invocations: number;
  /** Largest peak, containers. */
  peak: number;
}

/** From the worker; those with `run` belong to that replay. */
export type Reply =
  | { type: "loaded"; ticket: number; name: string; minutes: number; functions: FunctionSummary[] }
  | { type: "refused"; ticket: number; error: string }
  /** A replay begins with minute `from`; all of the load comes at once, and is shown as it is forecast. */
  | { type: "started"; run: number; from: number; peaks: Uint32Array }
  | { type: "forecast"; run: number; bands: Band[]; plan: Plan }
  | { type: "planned"; run: number; plan: Plan }
  | { type: "done"; run: number; front: FrontPoint[]; fixed: FrontPoint[] }
  | { type: "failed"; run: number; error: string };

/** The forecast of one minute, in containers. */
export interface Band {
  low: number;
  median: number;
  high: number;
  mean: number;
}

/** Containers to keep in every minute forecast so far, and what that comes to. */
export interface Plan {
  prices: Prices;
  targets: Uint32Array;
  tally: Tally;
}

/** What keeping some containers came to. */
export interface Tally {
  minutes: number;
  /** Containers wanted at the peaks of all minutes together. */
  wanted: number;
  /** Of these, the ones that were not warm. */
  cold: number;
  /** Container-minutes kept warm beyond the peaks. */
  idle: number;
}

/** One setting of a policy. */
export interface FrontPoint {
  name: string;
  ratio?: number;
  tally: Tally;
}
