/** The tab *Tune a workflow*: its form, and what it shows of a run. */

import type { Slice as SliceData, Plan, Quartiles, Reply, Request, Step, Truth } from "./protocol";
import type { Belief, Recommendation, Trial, WorkflowDescription, WorkflowFile } from "aquatope-wasm/web";
import { around, draw, type Dot, type Mark } from "../chart";
import { byId, download, number, percent } from "../dom";
import { fillSelect, NumberInput, showTiles, table, type Tile } from "../form";
import type { Page } from "../page";
import { qosOf, TUNE_FIELDS, type TuneSettings } from "../settings";
import { WORKFLOWS } from "../workflows";
import { Editor } from "./editor";
import { drawGraph } from "./graph";

/** A part of the tab that is drawn by itself. */
type Part = "figures" | "cloud" | "convergence" | "cost" | "latency" | "tables";

/** What is known of a run so far. */
interface Progress {
  plan: Plan;
  description?: WorkflowDescription;
  start?: Truth;
  optimum?: Truth;
  random?: Quartiles;
  pending: Trial[];
  step?: Step;
  /** Of every batch: trials asked, and the truth about the recommendation. */
  path: { trials: number; truth: Truth }[];
  slice?: SliceData;
  asks: number[];
  done: boolean;
}

export class TuneView {
  private worker: Worker | undefined;
  private readonly inputs: Record<keyof typeof TUNE_FIELDS, NumberInput>;
  private readonly editor: Editor;
  private progress: Progress | undefined;
  private run = 0;
  private ticket = 0;
  private paused = false;
  /** What has something new to show; one part is drawn a frame, so that no frame is late. */
  private readonly stale = new Set<Part>();

  constructor(
    private settings: TuneSettings,
    private readonly page: Page,
  ) {
    const changed = (key: keyof typeof TUNE_FIELDS) => (value: number) => {
      this.settings[key] = value;
      this.page.changed();
    };
    const keys = Object.keys(TUNE_FIELDS) as (keyof typeof TUNE_FIELDS)[];
    const inputs = keys.map((key) => [key, new NumberInput(TUNE_FIELDS[key], "tune", changed(key))] as const);
    this.inputs = Object.fromEntries(inputs) as typeof this.inputs;
    byId("tune-fields").append(...inputs.map(([, input]) => input.element));
    this.editor = new Editor(byId("editor-body"), (file) => this.edited(file));
    this.listen();
    this.set(settings);
  }

  /** Takes over settings from outside. */
  set(settings: TuneSettings): void {
    this.settings = settings;
    const names = Object.keys(WORKFLOWS).map((name): [string, string] => [name, describeShipped(name)]);
    const custom: [string, string][] = settings.workflow === "custom" ? [["custom", "your own"]] : [];
    fillSelect(byId("workflow"), [...names, ...custom], settings.workflow);
    for (const [key, input] of Object.entries(this.inputs)) input.value = settings[key as keyof typeof TUNE_FIELDS];
    byId<HTMLSelectElement>("model").value = settings.model;
    this.editor.set(this.file());
    drawGraph(byId("graph"), this.file());
    if (settings.workflow === "custom") this.check();
  }

  /** The tab was opened. */
  show(): void {
    this.send({ type: "check", ticket: ++this.ticket, file: this.file() });
    this.redraw();
  }

  redraw(parts: Part[] = ["figures", "cloud", "convergence", "cost", "latency", "tables"]): void {
    if (this.stale.size === 0) requestAnimationFrame(() => this.render());
    for (const part of parts) this.stale.add(part);
  }

  private file(): WorkflowFile {
    return (this.settings.workflow === "custom" ? this.settings.file : WORKFLOWS[this.settings.workflow]) as WorkflowFile;
  }

  private listen(): void {
    byId("workflow").addEventListener("change", ({ target }) => {
      const workflow = (target as HTMLSelectElement).value;
      const file = workflow === "custom" ? this.settings.file : undefined;
      const qos = qosOf(WORKFLOWS[workflow]) ?? this.settings.qos;
      this.set({ ...Object.assign(this.settings, { workflow, file, qos }) });
      Object.assign(this.settings, { workflow });
      this.page.changed();
    });
    byId("model").addEventListener("change", ({ target }) => {
      this.settings.model = (target as HTMLSelectElement).value as TuneSettings["model"];
      this.page.changed();
    });
    byId("tune-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    byId("pause").addEventListener("click", () => this.pause(!this.paused));
    byId("axis").addEventListener("change", ({ target }) => {
      this.send({ type: "slice", axis: Number((target as HTMLSelectElement).value) });
    });
    byId("export-study").addEventListener("click", () => this.send({ type: "export" }));
    byId("trials-details").addEventListener("toggle", () => this.redraw());
  }

  private edited(file: WorkflowFile): void {
    const wasShipped = this.settings.workflow !== "custom";
    Object.assign(this.settings, { workflow: "custom", file });
    const names = Object.keys(WORKFLOWS).map((name): [string, string] => [name, describeShipped(name)]);
    if (wasShipped) fillSelect(byId("workflow"), [...names, ["custom", "your own"]], "custom");
    drawGraph(byId("graph"), file);
    this.check();
    this.page.changed();
  }

  /** Has the optimiser check the workflow that is being edited. */
  private check(): void {
    this.send({ type: "check", ticket: ++this.ticket, file: this.file() });
  }

  private send(request: Request): void {
    if (!this.worker) {
      this.worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "tune" });
      this.worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.receive(data));
      this.worker.addEventListener("error", ({ message }) => {
        this.page.complain(`The optimiser stopped: ${message || "its script cannot be loaded"}. Reload the page.`);
      });
    }
    this.worker.postMessage(request);
  }

  private start(): void {
    const wrong = Object.values(this.inputs).filter((input) => input.read() === undefined);
    if (wrong[0]) return wrong[0].focus();
    const { workflow: _, file: __, ...rest } = this.settings;
    const plan: Plan = { ...rest, file: this.file() };
    this.progress = { plan, pending: [], path: [], asks: [], done: false };
    this.pause(false);
    this.send({ type: "run", run: ++this.run, plan });
    byId<HTMLButtonElement>("pause").disabled = false;
    byId<HTMLButtonElement>("export-study").disabled = true;
    byId("run").textContent = "Tune again";
    this.page.announce("Tuning has begun.");
    this.redraw();
  }

  private pause(paused: boolean): void {
    this.paused = paused;
    byId("pause").textContent = paused ? "Go on" : "Pause";
    this.send({ type: "pause", paused });
    this.redraw();
  }

  private receive(reply: Reply): void {
    if (reply.type === "checked") {
      if (reply.ticket === this.ticket) this.editor.complain(reply.error ?? "");
      return;
    }
    if (reply.type === "exported") {
      const name = `aquatope-study-${this.progress?.description?.name ?? "workflow"}.json`;
      return download(name, "application/json", JSON.stringify(reply.study, null, 1));
    }
    const progress = this.progress;
    if (reply.run !== this.run || !progress) return;
    switch (reply.type) {
      case "started":
        Object.assign(progress, { description: reply.description, start: reply.start, random: reply.random, optimum: reply.optimum });
        this.fillAxes(reply.description);
        break;
      case "asked":
        progress.pending = reply.batch;
        break;
      case "told":
        progress.pending = [];
        progress.step = reply.step;
        progress.asks.push(reply.step.askMs);
        if (reply.step.truth) progress.path.push({ trials: reply.step.trials.length, truth: reply.step.truth });
        byId<HTMLButtonElement>("export-study").disabled = false;
        break;
      case "slice":
        progress.slice = reply.slice;
        break;
      case "done":
        progress.done = true;
        byId<HTMLButtonElement>("pause").disabled = true;
        this.page.announce(`Tuning is done. ${this.finding()}`);
        break;
      case "failed":
        this.page.complain(reply.error);
        this.progress = undefined;
        byId<HTMLButtonElement>("pause").disabled = true;
        break;
    }
    const partial: Partial<Record<Reply["type"], Part[]>> = {
      asked: ["figures"],
      told: ["figures", "cloud", "convergence", "tables"],
      slice: ["cost", "latency"],
    };
    this.redraw(partial[reply.type]);
  }

  private fillAxes(description: WorkflowDescription): void {
    const select = byId<HTMLSelectElement>("axis");
    const names = { cpu: "CPU", memory: "memory", concurrency: "requests a container" };
    const options = description.axes.map(({ function: of, resource }, index): [string, string] => [
      String(index),
      `${names[resource]} of ${description.functions[of]}`,
    ]);
    const chosen = Number(select.value) < options.length ? select.value || "0" : "0";
    fillSelect(select, options, chosen);
    this.send({ type: "slice", axis: Number(chosen) });
  }

  private finding(): string {
    const { step, plan, optimum } = this.progress ?? {};
    if (!step?.recommendation || !step.truth || !plan) return "No recommendation yet.";
    const { cost, feasible } = step.recommendation;
    const above = optimum ? `, ${percent(step.truth.cost / optimum.cost - 1)} above the optimum` : "";
    return `Recommended cost ${number(cost.median)}${above}; meets the QoS of ${number(plan.qos)} s with probability ${percent(feasible)}.`;
  }

  private render(): void {
    const [part] = this.stale;
    if (!part) return;
    this.stale.delete(part);
    if (this.stale.size > 0) requestAnimationFrame(() => this.render());
    switch (part) {
      case "figures":
        this.renderStatus();
        return this.renderTiles();
      case "cloud":
        return this.renderCloud();
      case "convergence":
        return this.renderConvergence();
      case "cost":
        return this.renderSlice("cost", "Cost per invocation (price units)");
      case "latency":
        return this.renderSlice("latency", "Latency (s)");
      case "tables":
        this.renderConfiguration();
        return this.renderTrials();
    }
  }

  private renderStatus(): void {
    const { progress } = this;
    const bar = byId<HTMLProgressElement>("tune-progress");
    bar.max = progress?.plan.trials ?? 1;
    bar.value = progress?.step?.trials.length ?? 0;
    byId("tune-status").textContent = progress ? this.status(progress) : "Press Tune to begin.";
  }

  private status({ plan, step, asks, pending, done }: Progress): string {
    const told = step?.trials.length ?? 0;
    const ask = asks.length > 1 ? `, ${number(asks.slice(1).reduce((a, b) => a + b, 0) / (asks.length - 1), 2)} ms to ask for a batch` : "";
    const anomalies = step?.anomalous.length ?? 0;
    const changed = step?.windowStart ? `; behaviour changed at trial ${step.windowStart}` : "";
    const doing = done ? "Done" : this.paused ? "Paused" : pending.length ? `Measuring ${pending.length} trials` : "Tuning";
    return `${doing}: ${told} of ${plan.trials} trials, ${anomalies} taken for anomalies${ask}${changed}`;
  }

  private renderTiles(): void {
    const { step, optimum, start, plan } = this.progress ?? {};
    const { recommendation, truth } = step ?? {};
    const tiles: Tile[] = [
      { name: "Recommended cost", value: recommendation ? number(recommendation.cost.median) : "–", note: recommendation && interval(recommendation.cost) },
      { name: "Its latency", value: recommendation ? `${number(recommendation.latency.median)} s` : "–", note: recommendation && interval(recommendation.latency, " s") },
      {
        name: "Meets the QoS",
        value: recommendation ? percent(recommendation.feasible) : "–",
        note: truth && plan && `${truth.latency <= plan.qos ? "and does" : "but does not"}: ${number(truth.latency)} of ${number(plan.qos)} s without noise`,
        mood: truth && plan ? (truth.latency <= plan.qos ? "good" : "bad") : undefined,
      },
      { name: "Above the optimum", value: truth && optimum ? percent(truth.cost / optimum.cost - 1) : "–", note: truth && `${number(truth.cost)} without noise` },
      { name: "Saves of today’s cost", value: truth && start ? percent(1 - truth.cost / start.cost) : "–", note: start && `today ${number(start.cost)} at ${number(start.latency)} s` },
    ];
    showTiles(byId("tune-tiles"), tiles);
  }

  private renderCloud(): void {
    const { step, pending = [], optimum, start, plan, description } = this.progress ?? {};
    const anomalous = new Set(step?.anomalous);
    const shown = (step?.trials ?? []).filter(({ outcome }) => outcome);
    const dot = ({ id, outcome }: Trial): Dot => ({
      x: outcome!.latency,
      y: outcome!.cost,
      title: `Trial ${id}: ${number(outcome!.latency)} s, cost ${number(outcome!.cost)}`,
    });
    const good = shown.filter(({ id }) => !anomalous.has(id));
    const latest = step ? shown.slice(-(step.trials.length - (this.progress?.path.at(-2)?.trials ?? 0))) : [];
    // Anomalies may lie far away; the frame is that of the others.
    const places = [...good.map(dot), ...[start, optimum, step?.truth].filter((at) => at).map((at) => ({ x: at!.latency, y: at!.cost }))];
    const qos = plan?.qos ?? this.settings.qos;
    const [x, y] = [cloudRange(places.map(({ x }) => x), qos), cloudRange(places.map(({ y }) => y))];
    const beyond = shown.filter(({ outcome }) => outcome!.latency > x[1] || outcome!.cost > y[1]).length;
    const marks: Mark[] = [
      { type: "rule", kind: "qos", x: qos, label: `QoS ${number(qos)} s` },
      { type: "dots", kind: "trial", points: good.map(dot) },
      { type: "dots", kind: "anomaly", shape: "cross", points: shown.filter(({ id }) => anomalous.has(id)).map(dot) },
    ];
    if (!this.progress?.done) marks.push({ type: "dots", kind: "pending", shape: "ring", points: latest.map(dot) });
    if (start) marks.push({ type: "dots", kind: "start", shape: "square", points: [{ x: start.latency, y: start.cost, title: "Today’s configuration, without noise" }] });
    if (optimum) marks.push({ type: "dots", kind: "best", shape: "star", points: [{ x: optimum.latency, y: optimum.cost, title: "Optimum, without noise" }] });
    if (step?.truth) marks.push({ type: "dots", kind: "chosen", shape: "diamond", points: [{ x: step.truth.latency, y: step.truth.cost, title: "Recommendation, without noise" }] });
    draw(byId("cloud"), {
      title: "Cost against latency of the trials",
      description: `${shown.length} trials measured, ${anomalous.size} crossed out as anomalies, ${pending.length} pending. ${this.finding()}`,
      x: { label: "End-to-end latency (s)", range: x },
      y: { label: "Cost per invocation (price units)", range: y },
      note: beyond ? `${beyond} slower or dearer beyond this frame` : "",
      marks,
      legend: [
        { kind: "trial", shape: "circle", text: "trial" },
        { kind: "pending", shape: "ring", text: "latest batch" },
        { kind: "anomaly", shape: "cross", text: "anomaly" },
        { kind: "chosen", shape: "diamond", text: "recommended" },
        { kind: "best", shape: "star", text: "optimum" },
        ...(description ? [{ kind: "start", shape: "square" as const, text: "today" }] : []),
      ],
    });
  }

  private renderConvergence(): void {
    const { path = [], random, optimum, plan } = this.progress ?? {};
    const qos = plan?.qos ?? Infinity;
    const trials = plan?.trials ?? this.settings.trials;
    const band = (random?.median ?? []).map((median, index) => ({ at: index + 1, low: random!.low[index]!, median, high: random!.high[index]! }));
    const known = band.filter(({ median }) => Number.isFinite(median));
    const costs = [...path.map(({ truth }) => truth.cost), ...known.map(({ median }) => median), ...(optimum ? [optimum.cost] : [])];
    // Room below for the label of the optimum.
    const [low, high] = around(costs, [0, 1]);
    const range: [number, number] = [low - 0.05 * (high - low), high];
    const marks: Mark[] = [
      { type: "band", kind: "random", points: known.map(({ at, low, high }) => [at, low, Math.min(high, 2 * range[1])]) },
      { type: "line", kind: "random", points: known.map(({ at, median }) => [at, median]) },
      { type: "line", kind: "aquatope", step: true, points: path.map(({ trials, truth }) => [trials, truth.cost]) },
      { type: "dots", kind: "met", points: path.filter(({ truth }) => truth.latency <= qos).map(({ trials, truth }) => ({ x: trials, y: truth.cost })) },
      { type: "dots", kind: "missed", shape: "ring", points: path.filter(({ truth }) => truth.latency > qos).map(({ trials, truth }) => ({ x: trials, y: truth.cost, title: `misses the QoS: ${number(truth.latency)} s` })) },
    ];
    if (optimum) marks.unshift({ type: "rule", kind: "optimum", y: optimum.cost, label: `optimum ${number(optimum.cost)}`, below: true });
    draw(byId("convergence"), {
      title: "Cost of the recommended configuration by number of trials",
      description: `${this.finding()} Random search reaches a median of ${number(random?.median.at(-1) ?? NaN)} after ${trials} trials.`,
      x: { label: "Trials", range: [0, trials], format: (value) => String(value) },
      y: { label: "Cost without noise (price units)", range },
      marks,
      legend: [
        { kind: "aquatope", shape: "line", text: "Aquatope’s recommendation" },
        { kind: "missed", shape: "ring", text: "misses the QoS" },
        { kind: "random", shape: "band", text: "random search, noise-free: quartiles" },
      ],
    });
  }

  private renderSlice(of: "cost" | "latency", label: string): void {
    const { slice, description, plan } = this.progress ?? {};
    const axis = slice && description?.axes[slice.axis];
    const units = { cpu: "CPU (cores)", memory: "Memory (MB)", concurrency: "Requests a container" };
    const points = (slice?.beliefs ?? []).map((belief: Belief, index) => ({ x: slice!.values[index]!, ...belief[of], truth: slice!.truths[index]![of] }));
    // Far from the recommendation thrashing makes both huge; what matters is near it.
    const sorted = points.map(({ median }) => median).sort((a, b) => a - b);
    const most = Math.max(2.5 * (sorted[Math.floor(sorted.length / 2)] ?? 1), of === "latency" ? 1.2 * (plan?.qos ?? 0) : 0);
    const values = points.flatMap(({ low, high, truth }) => [low, Math.min(high, most), Math.min(truth, most)]);
    const name = axis ? `${units[axis.resource]} of ${description!.functions[axis.function]}` : "Resource";
    const marks: Mark[] = [
      { type: "band", kind: "belief", points: points.map(({ x, low, high }) => [x, low, high]) },
      { type: "line", kind: "belief", points: points.map(({ x, median }) => [x, median]) },
      { type: "line", kind: "truth", points: points.map(({ x, truth }) => [x, truth]) },
    ];
    if (slice) marks.push({ type: "rule", kind: "at", x: slice.values[slice.at] ?? 0, label: "recommended" });
    if (of === "latency" && plan) marks.push({ type: "rule", kind: "qos", y: plan.qos, label: `QoS ${number(plan.qos)} s` });
    const low = slice?.values[0] ?? 0;
    draw(byId(`slice-${of}`), {
      title: `Posterior of the ${of} along ${name}`,
      description: slice ? `Median ${number(points[slice.at]?.median ?? NaN)} at the recommended ${number(slice.values[slice.at] ?? NaN)}.` : "No posterior yet.",
      x: { label: name, range: [low, slice?.values.at(-1) ?? 1] },
      y: { label, range: around(values, [0, 1]) },
      marks,
      legend: [
        { kind: "belief", shape: "line", text: "median" },
        { kind: "belief", shape: "band", text: "95 % interval" },
        { kind: "truth", shape: "line", text: "truth (simulator)" },
      ],
      height: 260,
    });
  }

  private renderConfiguration(): void {
    const resources = this.progress?.step?.resources;
    const rows = (resources ?? []).map(({ name, cpu, memoryMb, concurrency }) => [name, number(cpu), number(memoryMb), number(concurrency)]);
    const head = ["Function", "CPU (cores)", "Memory (MB)", "Requests a container"];
    byId("recommended").replaceChildren(resources ? table(head, rows) : "Comes with the first batches.");
  }

  private renderTrials(): void {
    if (!byId<HTMLDetailsElement>("trials-details").open) return;
    const { step } = this.progress ?? {};
    const anomalous = new Set(step?.anomalous);
    const rows = (step?.trials ?? []).map(({ id, values, outcome }) => [
      String(id),
      outcome ? number(outcome.cost) : "–",
      outcome ? number(outcome.latency) : "–",
      anomalous.has(id) ? "anomaly" : "",
      values.map((value) => number(value)).join(" · "),
    ]);
    const classes = (step?.trials ?? []).map(({ id }) => (anomalous.has(id) ? "out" : undefined));
    byId("trials-table").replaceChildren(table(["Trial", "Cost", "Latency (s)", "Verdict", "Configuration"], rows, classes));
  }
}

function describeShipped(name: string): string {
  const functions = WORKFLOWS[name]?.functions.length ?? 0;
  return `${name} (${functions} function${functions === 1 ? "" : "s"})`;
}

function interval({ low, high }: Recommendation["cost"], unit = ""): string {
  return `95 %: ${number(low)} to ${number(high)}${unit}`;
}

/** A range of the cloud: outliers beyond twice the median do not squeeze the rest. */
function cloudRange(values: number[], shown = NaN): [number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const most = 2 * (sorted[Math.floor(sorted.length / 2)] ?? 1);
  return around([...sorted.filter((value) => value <= most), shown], [0, 1.5 * (shown || 1)]);
}
