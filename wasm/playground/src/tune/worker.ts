/**
 * Tunes in the background: ask, measure in the simulator, tell; the same steps, seeds and noise as
 * `aquatope tune --workflow FILE --noise N --outliers P --trials T --batch B --seed S`.
 */

import init, { Study, Workflow } from "aquatope-wasm/web";
import type { Outcome, WorkflowDescription } from "aquatope-wasm/web";
import type { Plan, Quartiles, Reply, Request, Slice, Step, Truth } from "./protocol";
import { Uniform } from "./uniform";

/** Trials of the first ask; measurements of the starting configuration. Those of the command line. */
const INITIAL = 10;
const PROFILE = 50;
/** The profile has a noise stream of its own. */
const PROFILE_SEED = 0x00abcdef;
const PROFILE_SAMPLE = 1_000_000;

/** Runs of random search. */
const RANDOM_RUNS = 32;
/** The least time a batch is shown, milliseconds. */
const PACE_MS = 120;

const ready = init();

interface Run {
  number: number;
  plan: Plan;
  workflow: Workflow;
  description: WorkflowDescription;
  study: Study;
}

let current: Run | undefined;
let paused = false;
let resume = () => {};
let sliced = 0;

const reply = (message: Reply) => postMessage(message);
const text = (error: unknown) => (error instanceof Error ? error.message : String(error));

addEventListener("message", async ({ data }: MessageEvent<Request>) => {
  try {
    await ready;
  } catch (error) {
    return reply({ type: "failed", run: data.type === "run" ? data.run : 0, error: `The optimiser cannot be loaded: ${text(error)}` });
  }
  switch (data.type) {
    case "check":
      return check(data.ticket, data.file);
    case "run":
      return run(data.run, data.plan);
    case "pause":
      paused = data.paused;
      if (!paused) resume();
      return;
    case "slice":
      sliced = data.axis;
      if (current) sendSlice(current);
      return;
    case "export":
      return reply({ type: "exported", study: current && exported(current) });
  }
});

function check(ticket: number, file: unknown): void {
  try {
    const workflow = new Workflow(file as string);
    const description = workflow.describe();
    workflow.free();
    const error = description.simulated ? undefined : "The functions have no simulator parameters (serial_s and so on), which the page needs to measure them.";
    reply({ type: "checked", ticket, description, error });
  } catch (error) {
    reply({ type: "checked", ticket, error: text(error) });
  }
}

async function run(number: number, plan: Plan): Promise<void> {
  current?.study.free();
  current?.workflow.free();
  current = undefined;
  paused = false;
  resume();
  let run: Run;
  try {
    run = begin(number, plan);
  } catch (error) {
    return reply({ type: "failed", run: number, error: text(error) });
  }
  current = run;
  try {
    await tune(run);
  } catch (error) {
    // A run that was replaced meanwhile has nothing more to say.
    if (current === run) reply({ type: "failed", run: number, error: text(error) });
  }
}

function begin(number: number, plan: Plan): Run {
  const workflow = new Workflow(plan.file as string);
  const description = workflow.describe();
  const seed = (plan.seed ^ PROFILE_SEED) >>> 0;
  const outcomes = Array.from({ length: PROFILE }, (_, k) =>
    measure(workflow, plan, description.start, seed, PROFILE_SAMPLE + k),
  );
  const study = new Study({
    workflow: plan.file as string,
    model: plan.model,
    qos: plan.qos,
    seed: plan.seed,
    initial: Math.min(INITIAL, plan.trials),
    baseline: { outcomes },
  });
  reply({
    type: "started",
    run: number,
    description,
    start: truth(workflow, description.start),
    random: randomSearch(workflow, description, plan),
    optimum: optimum(workflow, description, plan.qos),
  });
  return { number, plan, workflow, description, study };
}

async function tune(run: Run): Promise<void> {
  const { study, plan, workflow } = run;
  for (let asked = 0; asked < plan.trials; ) {
    await unpaused(run);
    if (current !== run) return;
    const began = performance.now();
    const wanted = asked < INITIAL ? INITIAL - asked : plan.batch;
    const batch = study.ask(Math.min(wanted, plan.trials - asked));
    const askMs = performance.now() - began;
    asked += batch.length;
    reply({ type: "asked", run: run.number, batch });
    for (const { id, levels } of batch) study.tell(id, measure(workflow, plan, levels, plan.seed, id));
    const step = learn(run, askMs);
    await sleep(Math.max(0, PACE_MS - (performance.now() - began)));
    if (current !== run) return;
    reply({ type: "told", run: run.number, step });
    sendSlice(run);
  }
  reply({ type: "done", run: run.number });
}

function measure(workflow: Workflow, { noise, outliers }: Plan, levels: number[], seed: number, sample: number): Outcome {
  return workflow.simulate(levels, { noise, outliers, seed, sample }).outcome;
}

function truth(workflow: Workflow, levels: number[]): Truth {
  const { cost, latency } = workflow.simulate(levels).outcome;
  return { cost, latency };
}

function optimum(workflow: Workflow, { oracle, qos: stated }: WorkflowDescription, qos: number): Truth | undefined {
  const best = oracle && stated === qos ? oracle : workflow.optimum(qos);
  return best && { cost: best.cost, latency: best.latency };
}

function learn({ study, workflow }: Run, askMs: number): Step {
  const step: Step = { trials: study.trials(), anomalous: [], windowStart: study.windowStart, askMs };
  try {
    step.anomalous = study.verdicts().filter(({ anomalous }) => anomalous).map(({ id }) => id);
    const recommendation = study.recommendation();
    const { levels } = recommendation;
    return { ...step, recommendation, truth: truth(workflow, levels), resources: workflow.resources(levels) };
  } catch {
    // Too few trials for a model yet.
    return step;
  }
}

function sendSlice(run: Run): void {
  const { study, workflow, description } = run;
  try {
    const { levels } = study.recommendation();
    const axis = Math.min(sliced, description.axes.length - 1);
    const values = description.axes[axis]?.values ?? [];
    const points = values.map((_, level) => levels.with(axis, level));
    const slice: Slice = { axis, values, beliefs: study.posterior(points), truths: points.map((point) => truth(workflow, point)), at: levels[axis] ?? 0 };
    reply({ type: "slice", run: run.number, slice });
  } catch {
    // Too few trials for a posterior yet.
  }
}

/** Random search that is told the truth about every configuration: no noise misleads it. */
function randomSearch(workflow: Workflow, { axes }: WorkflowDescription, { qos, trials, seed }: Plan): Quartiles {
  const columns: number[][] = Array.from({ length: trials }, () => []);
  for (let run = 0; run < RANDOM_RUNS; run++) {
    const uniform = new Uniform(seed * RANDOM_RUNS + run);
    let best = Infinity;
    for (const column of columns) {
      const { cost, latency } = truth(workflow, axes.map(({ values }) => uniform.below(values.length)));
      if (latency <= qos) best = Math.min(best, cost);
      column.push(best);
    }
  }
  for (const column of columns) column.sort((a, b) => a - b);
  const quantile = (share: number) => columns.map((column) => column[Math.round(share * (RANDOM_RUNS - 1))] ?? Infinity);
  return { low: quantile(0.25), median: quantile(0.5), high: quantile(0.75) };
}

/** The study as a file: what it was to do, every trial, the verdicts, the recommendation and the snapshot. */
function exported(run: Run): unknown {
  const { file, ...settings } = run.plan;
  const { trials, anomalous, windowStart, recommendation, truth } = learn(run, 0);
  const { study, description } = run;
  const snapshot = btoa(String.fromCharCode(...study.snapshot()));
  return {
    schema: "aquatope-playground-study/1",
    settings: { ...settings, workflow: description.name },
    workflow: file,
    trials,
    anomalous,
    windowStart,
    recommendation,
    truth,
    snapshot,
  };
}

async function unpaused(run: Run): Promise<void> {
  // A message must be able to come in between two batches.
  await sleep(0);
  while (paused && current === run) await new Promise<void>((done) => (resume = done));
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
