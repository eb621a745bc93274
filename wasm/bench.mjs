// One ask of the black box (3 trials after 30, in 8 dimensions) in both modules, CPU milliseconds: `node wasm/bench.mjs`.
import { bindings, modules } from "./tests/study.mjs";

const axis = { min: 0.1, max: 4, step: 0.1, log: true };
for (const name of Object.keys(modules)) {
    const { Study } = await bindings(name);
    const study = new Study({ axes: Array(8).fill(axis), qos: 10, seed: 1 });
    while (study.trials().length < 30) {
        for (const { id, values } of study.ask(study.trials().length < 10 ? 10 : 3)) {
            const latency = values.reduce((sum, value) => sum + 1 / value, 0);
            study.tell(id, { cost: latency * values.reduce((sum, value) => sum + value, 1), latency });
        }
    }
    const saved = study.snapshot();
    const times = Array.from({ length: 15 }, () => {
        const copy = Study.restore(saved);
        const before = process.cpuUsage();
        copy.ask(3);
        const { user, system } = process.cpuUsage(before);
        copy.free();
        return (user + system) / 1000;
    });
    times.sort((a, b) => a - b);
    console.log(`${name}: median ${times[7].toFixed(1)} ms, best ${times[0].toFixed(1)} ms`);
}
