/**
 * Makes what the playground ships and is tested against, with the native program:
 *
 *     cargo build --release -p aquatope && cargo build -p aquatope-core --example targets
 *     node generate/make.mjs ../../target/release/aquatope ../../target/debug/examples/targets
 *
 * - `assets/demo.csv`: the load of seed 2, functions 0 to 4, four days;
 * - `assets/light.weights`: `aquatope train --model light` on the load of seed 1, fifteen functions, fourteen days; its
 *   weight file alone, without what is those functions' own;
 * - `test/golden/forecast.json`: `aquatope forecast --stream` with that model and the profiles that `aquatope train`
 *   learns from the first day, on the shipped load, and what the targets of the core for two prices come to;
 * - `test/golden/tune.json`: `aquatope tune --json` of some runs.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { load, NAMES, series } from "./load.mjs";

const [program, targets] = process.argv.slice(2);
if (!program || !targets) throw new Error("give the paths of the program `aquatope` and of the example `targets`");
const here = (path) => new URL(`../${path}`, import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "aquatope-playground-"));
const SHOWN = [0, 1, 2, 3, 4];
const [OBSERVED, MINUTES] = [1440, 4 * 1440];
const every = NAMES.map((_, func) => func);
const functions = ["func,name,workflow,parent,cold_s,mem_mb,dur_mean_s", ...every.map((func) => `${func},${NAMES[func]},-1,-1,2,256,2`), ""].join("\n");

mkdirSync(here("assets"), { recursive: true });
mkdirSync(here("test/golden"), { recursive: true });

const shown = load(2, 4);
writeFileSync(here("assets/demo.csv"), series(shown, SHOWN, MINUTES));
train();
forecast();
tune();
rmSync(folder, { recursive: true });

function train() {
  const [days, model] = [14, join(folder, "light.aqlm")];
  const others = aqlm(load(1, days), days);
  writeFileSync(here("assets/light.weights"), others.weights);
  // The weights of that model, and the profiles of the functions shown.
  const { about } = aqlm(shown, OBSERVED / 1440);
  const body = Buffer.concat([others.weights, about]);
  const head = Buffer.from(others.head);
  head.writeUInt32LE(crc32(body), 12);
  writeFileSync(model, Buffer.concat([head, body]));
}

/** A light model trained on the first days of a load: the parts of its file, as `host/src/train/model_file.rs` has them. */
function aqlm(of, days) {
  const out = mkdtempSync(join(folder, "model-"));
  writeFileSync(join(out, "series.csv"), series(of, every, days * 1440));
  writeFileSync(join(out, "functions.csv"), functions);
  execFileSync(program, ["train", "--model", "light", "--trace", out, "--train-days", days, "--out", out, "--seed", "1"], { stdio: "inherit" });
  const file = readFileSync(join(out, "light.aqlm"));
  const end = 16 + file.readUInt32LE(8);
  return { head: file.subarray(0, 16), weights: file.subarray(16, end), about: file.subarray(end) };
}

function forecast() {
  const paths = ["functions.csv", "observed.csv", "split.csv"].map((name) => join(folder, name));
  writeFileSync(paths[0], functions);
  writeFileSync(paths[1], series(shown, SHOWN, OBSERVED));
  writeFileSync(paths[2], `key,value\ntrain_end,${OBSERVED - 60}\nvalid_end,${OBSERVED}\nend,${MINUTES}\n`);
  const lines = [`HELLO 1 ${paths.join(" ")}`];
  for (let minute = OBSERVED; minute < MINUTES; minute++) {
    const seen = SHOWN.map((func) => [func, ...shown[func][minute]].join(":"));
    lines.push(`P ${minute}`, `A ${minute} ${seen.join(" ")}`);
  }
  lines.push("BYE", "");
  const arguments_ = ["forecast", "--stream", "--model", "light", "--models", folder];
  const answer = execFileSync(program, arguments_, { input: lines.join("\n"), maxBuffer: 1 << 30 }).toString();
  const rows = answer.split("\n").filter((line) => /^\d/.test(line)).map((line) => line.split(",").map(Number));
  const prices = [
    { ratio: 2.25, memory: 256 },
    { ratio: 20, memory: 512 },
  ];
  const tallies = prices.flatMap((price) => tally(price, rows));
  // Every hundredth minute in full.
  const kept = rows.filter(([minute, func]) => SHOWN.includes(func) && (minute - OBSERVED) % 100 === 0);
  const forecasts = kept.map(([minute, func, mean, ...quantiles]) => ({ minute, func, mean, quantiles }));
  writeFileSync(here("test/golden/forecast.json"), `${JSON.stringify({ observed: OBSERVED, minutes: MINUTES, tallies, forecasts })}\n`);
}

/** What keeping the core's targets comes to, for every function shown. */
function tally({ ratio, memory }, rows) {
  const input = rows.map((row) => row.join(",")).join("\n");
  const answer = execFileSync(targets, [String(ratio), String(memory)], { input, maxBuffer: 1 << 28 }).toString();
  const sums = SHOWN.map((func) => ({ ratio, memory, func, wanted: 0, cold: 0, idle: 0 }));
  for (const line of answer.trim().split("\n")) {
    const [minute, func, target] = line.split(",").map(Number);
    const sum = sums[func];
    if (!sum) continue;
    const peak = shown[func][minute][1];
    sum.wanted += peak;
    sum.cold += Math.max(0, peak - target);
    sum.idle += Math.max(0, target - peak);
  }
  return sums;
}

function tune() {
  const runs = [
    { workflow: "ml4", model: "structured", noise: 0.1, outliers: 0.1, trials: 31, batch: 3, seed: 1 },
    { workflow: "fan5", model: "structured", noise: 0.05, outliers: 0, trials: 18, batch: 4, seed: 5 },
  ];
  const done = runs.map((run) => {
    const options = Object.entries(run).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return { run, result: JSON.parse(execFileSync(program, ["tune", ...options, "--json"]).toString()) };
  });
  writeFileSync(here("test/golden/tune.json"), `${JSON.stringify(done)}\n`);
}
