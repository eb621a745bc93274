// One ask of the black box in both builds of both modules, CPU milliseconds in Node: `node wasm/bench.mjs`.
// In Chromium, beside the native program: `make wasm-figures`.
import { prepared, timeAsk } from "./tests/ask.mjs";
import { bindings, modules, studyModules } from "./tests/study.mjs";

const cpu = () => process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000;
const saved = prepared(await bindings("study, plain"));
for (const name of [...Object.keys(modules), ...Object.keys(studyModules)]) {
    const { median, best } = timeAsk(await bindings(name), saved, 15, cpu);
    console.log(`${name}: median ${median.toFixed(1)} ms, best ${best.toFixed(1)} ms`);
}
