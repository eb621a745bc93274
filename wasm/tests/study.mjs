// What the tests share: both modules, loaded as a page would, whole studies on shipped workflows, and native forecasts.

import { readFileSync } from "node:fs";

export const pkg = new URL("../pkg/", import.meta.url);
const fixtures = new URL("../../fixtures/", import.meta.url);

export const modules = { plain: "aquatope_wasm_bg.wasm", simd: "aquatope_wasm_simd_bg.wasm" };
/** The optimiser alone. */
export const studyModules = { "study, plain": "aquatope_study_bg.wasm", "study, simd": "aquatope_study_simd_bg.wasm" };

/** The bindings with their own instance of a module; `edit` may change its bytes. */
export async function bindings(name, edit = (bytes) => bytes) {
    const file = modules[name] ?? studyModules[name];
    // Another address is another instance of the glue.
    const address = new URL(`${file.replace(/(_simd)?_bg.wasm/, "_web.js")}?${name}${edit.name}`, pkg);
    const glue = await import(address);
    const memory = glue.initSync({ module: edit(readFileSync(new URL(file, pkg))) }).memory;
    return { ...glue, memory };
}

export const workflowText = (name) => readFileSync(new URL(`workflows/${name}.json`, fixtures), "utf8");
export const golden = () => JSON.parse(readFileSync(new URL("golden/study.json", fixtures), "utf8"));

/** The playground's model and load, and what `aquatope forecast --stream` says to them (playground/generate/make.mjs). */
export function forecasts() {
    const playground = new URL("../playground/", import.meta.url);
    const { observed, minutes, forecasts: golden } = JSON.parse(readFileSync(new URL("test/golden/forecast.json", playground), "utf8"));
    const quiet = () => Array.from({ length: minutes }, () => ({ invocations: 0, peak: 0 }));
    const series = [...new Set(golden.map(({ func }) => func))].sort().map(quiet);
    const [, ...rows] = readFileSync(new URL("assets/demo.csv", playground), "utf8").trim().split("\n");
    for (const row of rows) {
        const [minute, func, invocations, peak] = row.split(",").map(Number);
        series[func][minute] = { invocations, peak };
    }
    return { model: readFileSync(new URL("assets/light.weights", playground)), series, observed, golden };
}

/** Runs a study against the simulator and gives what `golden/study.json` has of it. */
export function run({ Study, Workflow }, { workflow, model, seed, trials }) {
    const file = workflowText(workflow);
    const simulator = new Workflow(file);
    const study = new Study({ workflow: file, model, seed });
    const asked = [];
    while (asked.length < trials) {
        for (const { id, levels } of study.ask(asked.length === 0 ? 10 : 3)) {
            const { outcome } = simulator.simulate(levels, { noise: 0.1, outliers: 0.1, seed, sample: id });
            asked.push({ levels, cost: outcome.cost, latency: outcome.latency });
            study.tell(id, outcome);
        }
    }
    const { levels, cost, latency, feasible } = study.recommendation();
    simulator.free();
    study.free();
    return { asked, recommended: { levels, cost: cost.median, latency: latency.median, feasible } };
}

