// What the tests share: both modules, loaded as a page would, and a whole study on a shipped workflow.

import { readFileSync } from "node:fs";

export const pkg = new URL("../pkg/", import.meta.url);
const fixtures = new URL("../../fixtures/", import.meta.url);

export const modules = { plain: "aquatope_wasm_bg.wasm", simd: "aquatope_wasm_simd_bg.wasm" };

/** The bindings with their own instance of a module. */
export async function bindings(name) {
    // Another address is another instance of the glue.
    const glue = await import(`../pkg/aquatope_wasm_web.js?${name}`);
    const memory = glue.initSync({ module: readFileSync(new URL(modules[name], pkg)) }).memory;
    return { ...glue, memory };
}

export const workflowText = (name) => readFileSync(new URL(`workflows/${name}.json`, fixtures), "utf8");
export const golden = () => JSON.parse(readFileSync(new URL("golden/study.json", fixtures), "utf8"));

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

