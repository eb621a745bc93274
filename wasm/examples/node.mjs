// Tunes a shipped workflow against its simulator: `node wasm/examples/node.mjs [NAME]` after `make wasm`.
// In a project of yours, import from "aquatope-wasm".
import { readFileSync } from "node:fs";
import { Study, Workflow } from "../pkg/nodejs.cjs";

const name = process.argv[2] ?? "ml4";
const file = readFileSync(new URL(`../../fixtures/workflows/${name}.json`, import.meta.url), "utf8");
const workflow = new Workflow(file);
const study = new Study({ workflow: file, seed: 1 });

for (let asked = 0; asked < 40; ) {
    for (const { id, levels } of study.ask(asked === 0 ? 10 : 3)) {
        study.tell(id, workflow.simulate(levels, { noise: 0.1, outliers: 0.05, seed: 1, sample: id }).outcome);
        asked += 1;
    }
}
const best = study.recommendation();
console.table(workflow.resources(best.levels));
console.log(`cost ${best.cost.median.toFixed(3)}, latency ${best.latency.median.toFixed(3)} s,`);
console.log(`meets ${workflow.describe().qos} s with probability ${best.feasible.toFixed(3)}`);
