/**
 * What the page is set to, and how that stands in its address: `#tune?workflow=ml4&qos=4.6&...`.
 *
 * Reading is strict: what an address or an input says wrongly is named, and the default stands in for it.
 */

import type { Plan } from "./tune/protocol";

/** A number that the user sets. */
export interface NumberField {
  key: string;
  label: string;
  unit?: string;
  help?: string;
  min: number;
  max: number;
  whole?: boolean;
  initial: number;
}

export const TUNE_FIELDS = {
  qos: { key: "qos", label: "QoS", unit: "s", help: "largest good end-to-end latency", min: 1e-3, max: 1e5, initial: 4.631 },
  noise: { key: "noise", label: "Noise", unit: "σ of ln duration", min: 0, max: 2, initial: 0.1 },
  outliers: { key: "outliers", label: "Outliers", unit: "probability", help: "samples slowed 1.5 to 4 times by a noisy neighbour", min: 0, max: 1, initial: 0.1 },
  trials: { key: "trials", label: "Trials", unit: "in all", min: 5, max: 100, whole: true, initial: 55 },
  batch: { key: "batch", label: "Batch", unit: "trials at a time", min: 1, max: 16, whole: true, initial: 3 },
  seed: { key: "seed", label: "Seed", min: 0, max: 2 ** 31 - 1, whole: true, initial: 1 },
} satisfies Record<string, NumberField>;

export const POOL_FIELDS = {
  ratio: { key: "ratio", label: "Cost of a cold start", unit: "GB-minutes of idle memory", min: 0.02, max: 500, initial: 2.25 },
  memory: { key: "memory", label: "Memory of a container", unit: "MB", min: 1, max: 65536, initial: 256 },
  func: { key: "func", label: "Function", min: 0, max: 1e6, whole: true, initial: 1 },
} satisfies Record<string, NumberField>;

export type Model = "structured" | "blackbox";

/** A run, and the workflow it is of by name. */
export interface TuneSettings extends Omit<Plan, "file"> {
  /** Name of a shipped workflow, or `custom` with `file`. */
  workflow: string;
  file?: unknown;
}

export interface PoolSettings {
  /** Name of a shipped trace; a file of the user's stays with the user. */
  trace: string;
  func: number;
  memory: number;
  ratio: number;
}

export type Tab = "tune" | "pool";

export interface Settings {
  tab: Tab;
  tune: TuneSettings;
  pool: PoolSettings;
}

/** The number in `text`, or what is wrong with it. */
export function readNumber(field: NumberField, text: string): number | Error {
  const value = Number(text.trim().replace(",", "."));
  const between = `${field.whole ? "a whole number" : "a number"} from ${field.min} to ${field.max}`;
  const wrong = text.trim() === "" || !(value >= field.min && value <= field.max) || (field.whole && !Number.isInteger(value));
  return wrong ? new Error(`${field.label}: “${text.slice(0, 40)}” cannot be; give ${between}.`) : value;
}

/** The settings in an address, with what is wrong in it. */
export async function fromAddress(hash: string, workflows: Record<string, { qos_s: number }>): Promise<[Settings, string[]]> {
  const problems: string[] = [];
  const [name = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  if (!["", "tune", "pool"].includes(name)) problems.push(`The address names no tab “${name.slice(0, 40)}”; there are tune and pool.`);
  const tab: Tab = name === "pool" ? "pool" : "tune";
  const given = new URLSearchParams(query);
  const number = (field: NumberField, initial = field.initial) => {
    const text = given.get(field.key);
    if (text === null) return initial;
    const value = readNumber(field, text);
    if (value instanceof Error) problems.push(`In the address, ${value.message} ${initial} is used instead.`);
    return value instanceof Error ? initial : value;
  };
  const tune = await readTune(tab === "tune" ? given : new URLSearchParams(), number, workflows, problems);
  const pool: PoolSettings = {
    trace: (tab === "pool" && given.get("trace")) || "demo",
    func: number(POOL_FIELDS.func),
    memory: number(POOL_FIELDS.memory),
    ratio: number(POOL_FIELDS.ratio),
  };
  return [{ tab, tune, pool }, problems];
}

async function readTune(
  given: URLSearchParams,
  number: (field: NumberField, initial?: number) => number,
  workflows: Record<string, { qos_s: number }>,
  problems: string[],
): Promise<TuneSettings> {
  let workflow = given.get("workflow") ?? "ml4";
  let file: unknown;
  if (workflow === "custom") {
    try {
      file = JSON.parse(await unpacked(given.get("file") ?? ""));
      if (shapeProblem(file)) throw new Error("no workflow");
    } catch {
      problems.push("The workflow in the address is damaged; ml4 is used instead. Ask for the link again, or for the workflow as JSON.");
      workflow = "ml4";
    }
  } else if (!Object.hasOwn(workflows, workflow)) {
    const shipped = Object.keys(workflows).join(", ");
    problems.push(`The address names a workflow “${workflow.slice(0, 40)}” that is not shipped; there are ${shipped}. ml4 is used instead.`);
    workflow = "ml4";
  }
  const model = given.get("model") ?? "structured";
  if (model !== "structured" && model !== "blackbox") {
    problems.push(`The address names a model “${model.slice(0, 40)}”; there are structured and blackbox. structured is used instead.`);
  }
  return {
    workflow,
    file,
    model: model === "blackbox" ? "blackbox" : "structured",
    qos: number(TUNE_FIELDS.qos, qosOf(file) ?? workflows[workflow]?.qos_s ?? TUNE_FIELDS.qos.initial),
    noise: number(TUNE_FIELDS.noise),
    outliers: number(TUNE_FIELDS.outliers),
    trials: number(TUNE_FIELDS.trials),
    batch: number(TUNE_FIELDS.batch),
    seed: number(TUNE_FIELDS.seed),
  };
}

/** What a study can hold. */
export const MAX_FUNCTIONS = 16;

/** Why `file` cannot even be shown as a workflow; what else is wrong with it the core tells. */
export function shapeProblem(file: unknown): string | undefined {
  const functions = (file as { functions?: unknown } | null)?.functions;
  if (!Array.isArray(functions)) return "This is no workflow: give an object with the fields of schema aquatope-workflow/1.";
  const named = functions.every((of) => typeof of === "object" && of !== null && typeof of.name === "string");
  if (functions.length < 1 || functions.length > MAX_FUNCTIONS || !named) {
    return `functions: give 1 to ${MAX_FUNCTIONS} objects with a name each.`;
  }
  return undefined;
}

/** The QoS that a file states, if it states one. */
export function qosOf(file: unknown): number | undefined {
  const qos = (file as { qos_s?: unknown } | undefined)?.qos_s;
  return typeof qos === "number" && Number.isFinite(qos) ? qos : undefined;
}

/** The address of the open tab, to be read by `fromAddress`. */
export async function toAddress({ tab, tune, pool }: Settings): Promise<string> {
  const said = new URLSearchParams();
  if (tab === "tune") {
    const { file, ...rest } = tune;
    for (const [key, value] of Object.entries(rest)) said.set(key, String(value));
    if (tune.workflow === "custom") said.set("file", await packed(JSON.stringify(file)));
  } else {
    for (const [key, value] of Object.entries(pool)) said.set(key, String(value));
  }
  return `#${tab}?${said}`;
}

/** The largest workflow an address may hold, unpacked. */
const MAX_UNPACKED = 1 << 18;

async function packed(text: string): Promise<string> {
  const bytes = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(text));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

async function unpacked(text: string): Promise<string> {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  return new TextDecoder().decode(await through(new DecompressionStream("deflate-raw"), bytes));
}

async function through(stream: CompressionStream | DecompressionStream, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > MAX_UNPACKED) throw new Error("too large");
    parts.push(part.value);
  }
  const whole = new Uint8Array(length);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
