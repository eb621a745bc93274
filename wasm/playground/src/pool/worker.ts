/**
 * Forecasts in the background, minute by minute: each is forecast from the minutes before it, planned, and then shown to
 * the forecaster.
 */

import init, { Forecaster, PoolPlanner } from "aquatope-wasm/web";
import type { Forecast } from "aquatope-wasm/web";
import { readTrace, type Series, type Trace } from "./csv";
import type { Band, FrontPoint, Plan, Prices, Reply, Request } from "./protocol";
import { keepAlive, tally } from "./tally";
import weights from "../../assets/light.weights?url";

const DAY = 1440;
/** Minutes forecast between two pictures, and the milliseconds between them. */
const CHUNK = 20;
const PACE_MS = 16;
/** The prices of the front, GB-minutes for a cold start: from hardly worth a container to any price. */
const FRONT = Array.from({ length: 25 }, (_, k) => Number((0.02 * 2 ** (k * 0.6)).toPrecision(3)));
/** Keep-alive times it is compared with, minutes. */
const KEEP_ALIVE = [1, 5, 10, 30];

const ready = Promise.all([init(), fetch(weights).then((answer) => answer.arrayBuffer())]);

interface Replay {
  run: number;
  series: Series;
  from: number;
  forecasts: Forecast[];
  /** The pool under the present prices, minute by minute. */
  prices: Prices;
  planner: PoolPlanner;
  targets: number[];
}

let trace: Trace | undefined;
let current: Replay | undefined;
let paused = false;
let resume = () => {};

const reply = (message: Reply) => postMessage(message);
const text = (error: unknown) => (error instanceof Error ? error.message : String(error));

addEventListener("message", async ({ data }: MessageEvent<Request>) => {
  switch (data.type) {
    case "load":
      return load(data);
    case "replay":
      paused = false;
      resume();
      return start(data).catch((error) => reply({ type: "failed", run: data.run, error: text(error) }));
    case "pause":
      paused = data.paused;
      if (!paused) resume();
      return;
    case "plan":
      if (!current) return;
      replan(current, data.prices);
      reply({ type: "planned", run: current.run, plan: planOf(current) });
  }
});

async function load({ ticket, name, content }: Extract<Request, { type: "load" }>): Promise<void> {
  try {
    const read = readTrace(typeof content === "string" ? content : await content.text());
    trace = read;
    const functions = read.functions.map(({ func, counts, peaks }) => ({
      func,
      invocations: counts.reduce((sum, count) => sum + count, 0),
      peak: peaks.reduce((most, peak) => Math.max(most, peak), 0),
    }));
    reply({ type: "loaded", ticket, name, minutes: read.minutes, functions });
  } catch (error) {
    reply({ type: "refused", ticket, error: `${name}: ${text(error)}` });
  }
}

async function start({ run, func, prices }: Extract<Request, { type: "replay" }>): Promise<void> {
  const series = trace?.functions.find((of) => of.func === func);
  if (!series) throw new Error(`The trace has no function ${func}; choose another.`);
  const [, model] = await ready.catch((error) => {
    throw new Error(`The forecaster cannot be loaded: ${text(error)}`);
  });
  const { counts, peaks } = series;
  // A day to learn the daily course from, or the first half of a shorter trace.
  const from = Math.min(DAY, Math.floor(peaks.length / 2));
  // What training would learn about the function from that time.
  const forecaster = new Forecaster(model, { profile: Forecaster.profile(peaks.subarray(0, from)) });
  const planner = plannerOf(prices);
  current?.planner.free();
  const replay: Replay = { run, series, from, forecasts: [], prices, planner, targets: [] };
  current = replay;
  reply({ type: "started", run, from, peaks });
  forecaster.push(Array.from(peaks.subarray(0, from), (peak, minute) => ({ invocations: counts[minute]!, peak })));
  for (let minute = from; minute < peaks.length; ) {
    await unpaused(replay);
    if (current !== replay) return forecaster.free();
    const bands: Band[] = [];
    for (const end = Math.min(minute + CHUNK, peaks.length); minute < end; minute++) {
      const forecast = forecaster.forecast();
      replay.forecasts.push(forecast);
      replay.targets.push(replay.planner.plan(forecast));
      bands.push(bandOf(forecast));
      forecaster.push({ invocations: counts[minute]!, peak: peaks[minute]! });
    }
    reply({ type: "forecast", run, bands, plan: planOf(replay) });
  }
  forecaster.free();
  const memory = replay.prices.memory;
  const front = FRONT.map((ratio): FrontPoint => {
    const targets = targetsOf(replay.forecasts, { ratio, memory });
    return { name: String(ratio), ratio, tally: tally(targets, peaks, from) };
  });
  const fixed = KEEP_ALIVE.map((minutes): FrontPoint => {
    const name = minutes === 1 ? "Last minute’s peak" : `Keep-alive ${minutes} min`;
    return { name, tally: tally(keepAlive(peaks, from, minutes), peaks, from) };
  });
  reply({ type: "done", run, front, fixed });
}

function plannerOf({ ratio, memory }: Prices): PoolPlanner {
  return new PoolPlanner({ memoryMb: memory, coldStart: ratio });
}

function targetsOf(forecasts: Forecast[], prices: Prices): number[] {
  const planner = plannerOf(prices);
  const targets = forecasts.map((forecast) => planner.plan(forecast));
  planner.free();
  return targets;
}

function replan(replay: Replay, prices: Prices): void {
  replay.planner.free();
  replay.planner = plannerOf(prices);
  replay.prices = prices;
  replay.targets = replay.forecasts.map((forecast) => replay.planner.plan(forecast));
}

function planOf({ prices, targets, series, from }: Replay): Plan {
  return { prices, targets: Uint32Array.from(targets), tally: tally(targets, series.peaks, from) };
}

function bandOf({ mean, quantiles, levels }: Forecast): Band {
  const at = (level: number) => quantiles[levels.findIndex((stated) => Math.abs(stated - level) < 1e-6)] ?? NaN;
  return { low: at(0.025), median: at(0.5), high: at(0.975), mean };
}

async function unpaused(replay: Replay): Promise<void> {
  await new Promise((done) => setTimeout(done, PACE_MS));
  while (paused && current === replay) await new Promise<void>((done) => (resume = done));
}
