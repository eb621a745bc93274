/** The tab *Pre-warm a function*: its form, and what it shows of a replay. */

import type { Band, FrontPoint, Plan, Prices, Reply, Request } from "./protocol";
import { around, draw, type Mark } from "../chart";
import { byId, download, html, number, percent } from "../dom";
import { fillSelect, NumberInput, showTiles, table, type Tile } from "../form";
import type { Page } from "../page";
import { POOL_FIELDS, type PoolSettings } from "../settings";
import { MAX_BYTES } from "./csv";
import demo from "../../assets/demo.csv?url";

/** Loads that come with the page, with the names of their functions. */
const SHIPPED: Record<string, { title: string; url: string; names: string[] }> = {
  demo: {
    title: "Demonstration: 4 days",
    url: demo,
    names: ["steady", "diurnal", "timer and users", "bursty", "sparse"],
  },
};

/** What is known of a replay so far. */
interface Replay {
  from: number;
  peaks: Uint32Array;
  bands: Band[];
  plan: Plan;
  front: FrontPoint[];
  fixed: FrontPoint[];
  done: boolean;
}

export class PoolView {
  private worker: Worker | undefined;
  private readonly memory: NumberInput;
  private readonly price: NumberInput;
  private replay: Replay | undefined;
  private loaded = "";
  private ticket = 0;
  private run = 0;
  private paused = false;
  private following = true;
  private frame = 0;

  constructor(
    private settings: PoolSettings,
    private readonly page: Page,
  ) {
    this.memory = new NumberInput(POOL_FIELDS.memory, "pool", (memory) => this.priced({ memory }));
    this.price = new NumberInput({ ...POOL_FIELDS.ratio, label: "Exactly", unit: "GB-min" }, "pool", (ratio) => {
      this.priced({ ratio });
      this.showRatio();
    });
    byId("pool-fields").append(this.price.element, this.memory.element);
    this.listen();
    this.set(settings);
  }

  /** Takes over settings from outside. */
  set(settings: PoolSettings): void {
    this.settings = settings;
    if (settings.trace !== this.loaded && !Object.hasOwn(SHIPPED, settings.trace)) {
      const name = settings.trace.slice(0, 40);
      this.page.complain(`The address names a trace “${name}” that is not shipped: files of yours stay on your device. Choose the file again; the demonstration load is shown.`);
      settings.trace = "demo";
    }
    fillSelect(byId("trace"), Object.entries(SHIPPED).map(([name, { title }]) => [name, title]), settings.trace);
    this.memory.value = settings.memory;
    this.price.value = settings.ratio;
    this.showRatio();
  }

  /** The tab was opened. */
  show(): void {
    if (this.loaded !== this.settings.trace) void this.loadShipped(this.settings.trace);
    this.redraw();
  }

  redraw(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  private listen(): void {
    byId("trace").addEventListener("change", ({ target }) => {
      const { value } = target as HTMLSelectElement;
      if (Object.hasOwn(SHIPPED, value)) void this.loadShipped(value);
    });
    byId("func").addEventListener("change", ({ target }) => {
      this.settings.func = Number((target as HTMLSelectElement).value);
      this.page.changed();
      this.start();
    });
    byId("ratio").addEventListener("input", ({ target }) => {
      const ratio = ratioOf(Number((target as HTMLInputElement).value));
      this.price.value = ratio;
      this.priced({ ratio });
      this.showRatio();
    });
    byId("file").addEventListener("change", ({ target }) => this.loadFile((target as HTMLInputElement).files?.[0]));
    const drop = byId("drop");
    for (const name of ["dragenter", "dragover"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.loadFile(event.dataTransfer?.files[0]);
    });
    byId("pool-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    byId("pool-pause").addEventListener("click", () => this.pause(!this.paused));
    byId("until").addEventListener("input", ({ target }) => {
      const { value, max } = target as HTMLInputElement;
      this.following = value === max;
      this.redraw();
    });
    byId("span").addEventListener("change", () => this.redraw());
    byId("export-forecast").addEventListener("click", () => this.export());
  }

  private async loadShipped(name: string): Promise<void> {
    const shipped = SHIPPED[name];
    if (!shipped) return;
    this.loaded = this.settings.trace = name;
    try {
      const answer = await fetch(shipped.url);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.send({ type: "load", ticket: ++this.ticket, name, content: await answer.text() });
    } catch (error) {
      this.loaded = "";
      this.page.complain(`The demonstration load cannot be read: ${(error as Error).message}. Serve the page over HTTP.`);
    }
  }

  private loadFile(file: File | undefined): void {
    if (!file) return;
    if (file.size > MAX_BYTES) {
      this.page.complain(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MB; at most ${MAX_BYTES >> 20} MB are read. Keep fewer functions or days.`);
      return;
    }
    this.send({ type: "load", ticket: ++this.ticket, name: file.name, content: file });
  }

  private send(request: Request): void {
    if (!this.worker) {
      this.worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "pool" });
      this.worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.receive(data));
      this.worker.addEventListener("error", ({ message }) => {
        this.page.complain(`The forecaster stopped: ${message || "its script cannot be loaded"}. Reload the page.`);
      });
    }
    this.worker.postMessage(request);
  }

  private get prices(): Prices {
    return { ratio: this.settings.ratio, memory: this.settings.memory };
  }

  private priced(change: Partial<Prices>): void {
    Object.assign(this.settings, change);
    this.page.changed();
    if (this.replay) this.send({ type: "plan", prices: this.prices });
  }

  private showRatio(): void {
    const { ratio, memory } = this.settings;
    byId<HTMLInputElement>("ratio").value = String(positionOf(ratio));
    const worth = ratio / (memory / 1024);
    byId("ratio-level").textContent = `${number(ratio, 3)} GB-minutes: keeps the ${percent(worth / (1 + worth))} quantile of the forecast`;
  }

  private start(): void {
    const wrong = [this.memory, this.price].find((input) => input.read() === undefined);
    if (wrong) return wrong.focus();
    this.pause(false);
    this.following = true;
    this.send({ type: "replay", run: ++this.run, func: this.settings.func, prices: this.prices });
    byId("replay").textContent = "Watch again";
    byId<HTMLButtonElement>("pool-pause").disabled = false;
  }

  private pause(paused: boolean): void {
    this.paused = paused;
    byId("pool-pause").textContent = paused ? "Go on" : "Pause";
    this.send({ type: "pause", paused });
    this.redraw();
  }

  private receive(reply: Reply): void {
    if (reply.type === "loaded") return this.fill(reply);
    if (reply.type === "refused") {
      if (reply.ticket === this.ticket) this.page.complain(reply.error);
      return;
    }
    if (reply.run !== this.run) return;
    if (reply.type === "started") {
      const plan = { prices: this.prices, targets: new Uint32Array(), tally: { minutes: 0, wanted: 0, cold: 0, idle: 0 } };
      this.replay = { from: reply.from, peaks: reply.peaks, bands: [], plan, front: [], fixed: [], done: false };
    }
    const { replay } = this;
    if (!replay) return;
    switch (reply.type) {
      case "forecast":
        replay.bands.push(...reply.bands);
        replay.plan = reply.plan;
        break;
      case "planned":
        replay.plan = reply.plan;
        break;
      case "done":
        Object.assign(replay, { done: true, front: reply.front, fixed: reply.fixed });
        byId<HTMLButtonElement>("pool-pause").disabled = true;
        byId<HTMLButtonElement>("export-forecast").disabled = false;
        this.page.announce(`All minutes are forecast. ${this.finding()}`);
        break;
      case "failed":
        this.page.complain(reply.error);
        this.replay = undefined;
        break;
    }
    this.redraw();
  }

  private fill({ ticket, name, functions, minutes }: Extract<Reply, { type: "loaded" }>): void {
    if (ticket !== this.ticket) return;
    const select = byId<HTMLSelectElement>("trace");
    if (!Object.hasOwn(SHIPPED, name)) {
      this.loaded = this.settings.trace = name;
      fillSelect(select, [...Object.entries(SHIPPED).map(([key, { title }]): [string, string] => [key, title]), ["file", name]], "file");
    }
    const shippedName = (func: number) => (SHIPPED[name]?.names[func] ? `, ${SHIPPED[name].names[func]}` : "");
    const options = functions.map(({ func, invocations, peak }): [string, string] => [
      String(func),
      `${func}${shippedName(func)}: ${number(invocations / minutes, 2)} a minute, peak ${peak}`,
    ]);
    const known = functions.some(({ func }) => func === this.settings.func);
    if (!known) {
      if (Object.hasOwn(SHIPPED, name)) this.page.complain(`The load has no function ${this.settings.func}; function ${functions[0]?.func} is shown.`);
      this.settings.func = functions[0]?.func ?? 0;
    }
    fillSelect(byId("func"), options, String(this.settings.func));
    this.page.changed();
    this.start();
  }

  private finding(): string {
    const tally = this.replay?.plan.tally;
    if (!tally?.minutes) return "No minute is forecast yet.";
    return `${tally.cold} of ${tally.wanted} containers started cold (${percent(tally.cold / tally.wanted)}), ${number(this.idleGb(tally.idle))} GB-minutes idle.`;
  }

  private idleGb(containerMinutes: number): number {
    return (containerMinutes * this.settings.memory) / 1024;
  }

  private render(): void {
    const { replay } = this;
    const bar = byId<HTMLProgressElement>("pool-progress");
    const minutes = replay ? replay.peaks.length - replay.from : 1;
    bar.max = minutes;
    bar.value = replay?.bands.length ?? 0;
    const doing = !replay ? "Loading" : replay.done ? "Done" : this.paused ? "Paused" : "Forecasting";
    byId("pool-status").textContent = replay
      ? `${doing}: minute ${replay.from + replay.bands.length} of ${replay.peaks.length}; the first ${replay.from} are only observed`
      : doing;
    this.renderTiles();
    this.renderForecast();
    this.renderFront();
  }

  private renderTiles(): void {
    const { plan, peaks, from } = this.replay ?? {};
    const tally = plan?.tally;
    const last = tally && tally.minutes > 0 ? from! + tally.minutes - 1 : undefined;
    const tiles: Tile[] = [
      { name: "Cold starts", value: tally?.minutes ? percent(tally.cold / tally.wanted) : "–", note: tally && `${tally.cold} of ${tally.wanted} containers` },
      { name: "Idle memory", value: tally ? `${number(this.idleGb(tally.idle) / 60, 3)} GB h` : "–", note: tally?.minutes ? `${number(tally.idle / tally.minutes, 3)} idle containers on average` : undefined },
      { name: "Cost of both", value: tally ? number(tally.cold * this.settings.ratio + this.idleGb(tally.idle), 4) : "–", note: "GB-minutes, cold starts at their price" },
      { name: "Last minute", value: last === undefined ? "–" : `${peaks![last]} busy`, note: last === undefined ? undefined : `${plan!.targets.at(-1)} kept warm` },
    ];
    showTiles(byId("pool-tiles"), tiles);
  }

  private renderForecast(): void {
    const { bands = [], from = 0, plan, peaks = new Uint32Array() } = this.replay ?? {};
    const until = byId<HTMLInputElement>("until");
    until.min = String(from);
    until.max = String(from + bands.length);
    if (this.following) until.value = until.max;
    const end = Number(until.value);
    const span = Number(byId<HTMLSelectElement>("span").value);
    const start = Math.max(from, end - span);
    const minutes = Array.from({ length: Math.max(0, end - start) }, (_, index) => start + index);
    const hours = (minute: number) => minute / 60;
    /** Every minute's value holds until the next one begins. */
    const steps = (value: (minute: number) => number): [number, number][] => {
      const points = minutes.map((minute): [number, number] => [hours(minute), value(minute)]);
      return points.length ? [...points, [hours(end), points.at(-1)![1]]] : [];
    };
    const band = minutes.map((minute): [number, number, number] => [hours(minute), bands[minute - from]!.low, bands[minute - from]!.high]);
    const lastBand = band.at(-1);
    if (lastBand) band.push([hours(end), lastBand[1], lastBand[2]]);
    const target = (minute: number) => plan?.targets[minute - from] ?? 0;
    const cold = minutes.filter((minute) => peaks[minute]! > target(minute));
    const values = minutes.flatMap((minute) => [peaks[minute]!, bands[minute - from]!.high, target(minute)]);
    const marks: Mark[] = [
      { type: "band", kind: "belief", step: true, points: band },
      { type: "line", kind: "belief", step: true, points: steps((minute) => bands[minute - from]!.median) },
      { type: "line", kind: "target", step: true, points: steps(target) },
      { type: "line", kind: "load", step: true, points: steps((minute) => peaks[minute]!) },
      { type: "dots", kind: "cold", shape: "triangle", points: cold.map((minute) => ({ x: hours(minute + 0.5), y: peaks[minute]!, title: `Minute ${minute}: ${peaks[minute]! - target(minute)} cold of ${peaks[minute]}` })) },
    ];
    draw(byId("forecast"), {
      title: "Forecast of the peak of busy containers, what is kept warm, and the load",
      description: `From minute ${start} to ${end}: cold starts in ${cold.length} minutes. ${this.finding()}`,
      x: { label: "Time since the trace began (hours:minutes)", range: [hours(start), hours(Math.max(end, start + Math.min(span, 30)))], format: clock, step: span > 720 ? 3 : span > 240 ? 1 : 0.5 },
      y: { label: "Containers", range: around(values, [0, 5], 0) },
      marks,
      legend: [
        { kind: "load", shape: "line", text: "load: peak of the minute" },
        { kind: "belief", shape: "line", text: "forecast median" },
        { kind: "belief", shape: "band", text: "95 % interval" },
        { kind: "target", shape: "line", text: "kept warm" },
        { kind: "cold", shape: "triangle", text: "cold starts" },
      ],
      height: 320,
    });
  }

  private renderFront(): void {
    const { front = [], fixed = [], plan, done } = this.replay ?? {};
    const place = ({ tally }: Pick<FrontPoint, "tally">): [number, number] => [this.idleGb(tally.idle) / 60, (100 * tally.cold) / Math.max(1, tally.wanted)];
    const curve = front.map(place);
    const others = fixed.map((point) => ({ x: place(point)[0], y: place(point)[1], title: point.name }));
    const at = plan && plan.tally.minutes > 0 ? place(plan) : undefined;
    const shown = [...curve, ...others.map(({ x, y }): [number, number] => [x, y]), ...(at ? [at] : [])];
    // Prices that hardly keep a container would press all that matters to the bottom.
    const most = 2 * Math.max(...[...others.map(({ y }) => y), at?.[1] ?? 0]) || Infinity;
    const beyond = curve.filter(([, y]) => y > most).length;
    const marks: Mark[] = [
      { type: "line", kind: "belief", points: curve },
      { type: "dots", kind: "belief", points: front.map((point, index) => ({ x: curve[index]![0], y: curve[index]![1], title: `${point.name} GB-minutes` })) },
      { type: "dots", kind: "fixed", shape: "square", points: others },
    ];
    if (at) marks.push({ type: "dots", kind: "chosen", shape: "diamond", points: [{ x: at[0], y: at[1], title: "The present price" }] });
    draw(byId("front"), {
      title: "Cold starts against idle memory for all prices",
      description: done ? `${front.length} prices. ${this.finding()}` : "Comes when all minutes are forecast.",
      x: { label: "Idle memory (GB h)", range: around(shown.map(([x]) => x), [0, 1], 0) },
      y: { label: "Cold starts (% of containers)", range: around(shown.map(([, y]) => y).filter((y) => y <= most), [0, 10], 0) },
      marks,
      legend: [
        { kind: "belief", shape: "line", text: beyond ? `forecast, by price (${beyond} above)` : "forecast, by price" },
        { kind: "chosen", shape: "diamond", text: "this price" },
        { kind: "fixed", shape: "square", text: "keep-alive" },
      ],
    });
    const row = (name: string, { tally }: Pick<FrontPoint, "tally">) => [name, percent(tally.cold / Math.max(1, tally.wanted)), number(this.idleGb(tally.idle) / 60, 3), number(tally.cold * this.settings.ratio + this.idleGb(tally.idle), 4)];
    const rows = [...(at && plan ? [row("Forecast, this price", plan)] : []), ...fixed.map((point) => row(point.name, point))];
    const content = done ? table(["Policy", "Cold starts", "Idle (GB h)", "Cost (GB-min)"], rows) : html("p", { class: "hint" }, "Comes when all minutes are forecast.");
    byId("comparison").replaceChildren(content);
  }

  private export(): void {
    const { replay } = this;
    if (!replay) return;
    const rows = replay.bands.map(({ low, median, high, mean }, index) => {
      const minute = replay.from + index;
      return [minute, replay.peaks[minute], mean, low, median, high, replay.plan.targets[index]].join(",");
    });
    const head = "minute,act,forecast_mean,forecast_2.5,forecast_50,forecast_97.5,target";
    download(`aquatope-forecast-${this.settings.func}.csv`, "text/csv", `${[head, ...rows].join("\n")}\n`);
  }
}

// The slider runs over the prices on a logarithmic scale.
const [LEAST, MOST] = [POOL_FIELDS.ratio.min, POOL_FIELDS.ratio.max];

function ratioOf(position: number): number {
  return Number((LEAST * (MOST / LEAST) ** (position / 100)).toPrecision(3));
}

function positionOf(ratio: number): number {
  return Math.round((100 * Math.log(ratio / LEAST)) / Math.log(MOST / LEAST));
}

function clock(hours: number): string {
  const minutes = Math.round(60 * hours);
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
}
