// The npm package: what is in it, how large it is, how it loads, and that its types are those of its values.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { pkg, workflowText } from "./study.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const project = mkdtempSync(join(tmpdir(), "aquatope-wasm-"));
after(() => rmSync(project, { recursive: true }));

// A fresh project that has installed the tarball.
const [{ filename, files }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", project], { cwd: pkg }));
writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
mkdirSync(join(project, "node_modules/aquatope-wasm"), { recursive: true });
execFileSync("tar", ["xzf", filename, "-C", "node_modules/aquatope-wasm", "--strip-components=1"], { cwd: project });
mkdirSync(join(project, "node_modules/@types"));
symlinkSync(join(here, "node_modules/@types/node"), join(project, "node_modules/@types/node"));

const node = (...args) => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" });

const NODE = ["--types", "node"];

/** Type-checks files of the project, as a strict project with ES modules does. */
function check(options, ...names) {
    const tsc = join(here, "node_modules/typescript/bin/tsc");
    const base = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"];
    try {
        node(tsc, ...base, ...options, ...names);
    } catch (error) {
        assert.fail(error.stdout);
    }
}

/** The examples of the README. */
const examples = [...readFileSync(new URL("README.md", pkg), "utf8").matchAll(/```js\n(.*?)```/gs)].map((match) => match[1]);

test("the package holds what it needs and nothing else", () => {
    assert.deepEqual(files.map((file) => file.path).sort(), [
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "aquatope_study_bg.wasm",
        "aquatope_study_simd_bg.wasm",
        "aquatope_study_web.d.ts",
        "aquatope_study_web.js",
        "aquatope_wasm_bg.d.ts",
        "aquatope_wasm_bg.js",
        "aquatope_wasm_bg.wasm",
        "aquatope_wasm_simd_bg.wasm",
        "aquatope_wasm_web.d.ts",
        "aquatope_wasm_web.js",
        "bundler.d.ts",
        "bundler.js",
        "light.weights",
        "load.js",
        "nodejs.cjs",
        "nodejs.d.cts",
        "package.json",
        "simd.js",
        "study.d.ts",
        "study.js",
        "web.d.ts",
        "web.js",
    ]);
    const text = readdirSync(pkg).filter((name) => /\.(c?js|ts|cts|json|md)$/.test(name));
    for (const name of text) assert.doesNotMatch(readFileSync(new URL(name, pkg), "utf8"), /\/root\/|\/home\/|\/tmp\//, name);
});

test("after gzip the optimiser alone is at most 120,000 bytes, everything at most 250,000", (t) => {
    for (const [module, limit] of [["aquatope_study", 120_000], ["aquatope_wasm", 250_000]]) {
        for (const build of ["bg", "simd_bg"]) {
            const size = gzipSync(readFileSync(new URL(`${module}_${build}.wasm`, pkg)), { level: 9 }).length;
            t.diagnostic(`${module}_${build}: ${size} bytes`);
            assert.ok(size <= limit, `${module}_${build}: ${size} bytes`);
        }
    }
});

test("all targets load", () => {
    const use = "if (new Study({ axes: [{ min: 1, max: 2, step: 0.1 }], qos: 1 }).ask(2).length !== 2) throw 1;";
    writeFileSync(join(project, "import.mjs"), `import { Study, simdSupported } from "aquatope-wasm"; if (!simdSupported()) throw 2; ${use}`);
    writeFileSync(join(project, "require.cjs"), `const { Study } = require("aquatope-wasm"); ${use}`);
    writeFileSync(join(project, "bundler.mjs"), `import { Study } from "aquatope-wasm/bundler"; ${use}`);
    const web = `import init, { Study, simdSupported } from "aquatope-wasm/web";
        import { readFileSync } from "node:fs"; // fetch knows no files
        globalThis.fetch = async (url) => new Response(readFileSync(url), { headers: { "content-type": "application/wasm" } });
        await init(); if (!simdSupported()) throw 2; ${use}`;
    writeFileSync(join(project, "web.mjs"), web);
    writeFileSync(join(project, "study.mjs"), web.replace("aquatope-wasm/web", "aquatope-wasm/study"));
    for (const name of ["import.mjs", "require.cjs", "web.mjs", "study.mjs"]) node(name);
    node("--experimental-wasm-modules", "--no-warnings", "bundler.mjs");
});

test("what a page would do without init() is an Error that says so", async () => {
    for (const name of ["web", "study"]) {
        const api = await import(join(project, `node_modules/aquatope-wasm/${name}.js`));
        const calls = [() => new api.Study({}), () => api.Study.restore(new Uint8Array(9))];
        if (name === "web") calls.push(() => new api.Workflow("{}"), () => new api.PoolPlanner({}), () => api.Forecaster.profile([]));
        for (const call of calls) assert.throws(call, { name: "Error", message: /await init\(\)/ });
    }
});

test("what is no module is an Error that says what to give", async () => {
    for (const name of ["web", "study"]) {
        const { default: init, initSync } = await import(join(project, `node_modules/aquatope-wasm/${name}.js`));
        await assert.rejects(() => init(), { name: "Error", message: /^init: cannot load .* in Node import aquatope-wasm$/ });
        for (const wrong of [undefined, {}, new Uint8Array(8)]) {
            assert.throws(() => initSync(wrong), { name: "Error", message: /^initSync: cannot load the module .* give the bytes/ });
        }
        const module = readFileSync(new URL(`aquatope_${name.replace("web", "wasm")}_bg.wasm`, pkg));
        initSync({ module });
    }
});

test("the types are enough for a project that knows the browser alone, or Node alone", () => {
    const use = (path) => `import init, { Study } from "${path}"; await init(); new Study({ axes: [], qos: 1 }).free();\n`;
    for (const name of ["web", "study"]) {
        writeFileSync(join(project, `browser-${name}.mts`), use(`aquatope-wasm/${name}`));
        check(["--typeRoots", "none", "--lib", "es2022,dom"], `browser-${name}.mts`);
        check([...NODE, "--lib", "es2022"], `browser-${name}.mts`);
    }
});

test("the examples of the README type-check and run", () => {
    assert.ok(examples.length >= 3);
    const names = examples.map((example, i) => {
        writeFileSync(join(project, `example${i}.mjs`), example);
        return `example${i}.mjs`;
    });
    check([...NODE, "--allowJs", "--checkJs", "--noImplicitAny", "false"], ...names);
    for (const name of names) node(name);
});

test("the types are those of the values", async () => {
    const { Forecaster, PoolPlanner, Study, Workflow } = await import(join(project, "node_modules/aquatope-wasm/nodejs.cjs"));
    const file = workflowText("chain3");
    const workflow = new Workflow(file);
    const study = new Study({ workflow: file });
    const scenario = { noise: 0.1, outliers: 0.1, seed: 1, sample: 2 };
    const trials = study.ask(10);
    for (const { id, levels } of trials) study.tell(id, workflow.simulate(levels, scenario).outcome);
    // Every option that the types know; one that the package does not know is refused.
    const axis = { min: 1, max: 2, step: 0.5, log: true };
    const told = { cost: 1, latency: 2, costVariance: 0.1, latencyVariance: 0.2, durations: [1, 2, 3] };
    const effort = { mcSamples: 32, restarts: 4, rawSamples: 16 };
    const baseline = { levels: trials[0].levels, outcomes: Array(5).fill(told) };
    const common = { qos: 1, model: "blackbox", sampler: "qnei", confidence: 0.9, initial: 5, seed: 1, effort };
    const [ofWorkflow, ofAxes] = [{ ...common, workflow: JSON.parse(file), baseline }, { ...common, sampler: "qlognei", axes: [axis], baseline: { levels: [0], outcomes: baseline.outcomes } }];
    const studies = [ofWorkflow, ofAxes].map((options) => new Study(options));
    studies[1].tell(studies[1].ask(1)[0].id, told);
    const profile = Forecaster.profile([1, 3, 1, 3]);
    const forecasting = { profile, firstMinute: 5, passes: 4, seed: 1 };
    const forecaster = new Forecaster(readFileSync(join(here, "playground/assets/light.weights")), forecasting);
    const minute = { invocations: 3, peak: 2, upstream: 1 };
    forecaster.push([minute]);
    const forecast = forecaster.forecast();
    const pool = { memoryMb: 256, coldStart: 2, firstColdStart: 3, idleGbMinute: 1, deviations: 2, most: 9, patience: 1, step: 1 };
    new PoolPlanner(pool).plan(forecast);
    const values = {
        "Trial[]": study.trials(), "Verdict[]": study.verdicts(), Recommendation: study.recommendation(),
        "Belief[]": study.posterior([trials[0].levels]), WorkflowDescription: workflow.describe(),
        "FunctionResources[]": workflow.resources(trials[0].levels), CriticalPath: workflow.criticalPath([1, 2, 3]),
        ModelInCharge: study.model(), Simulated: workflow.simulate(trials[0].levels), Optimum: workflow.optimum(), FunctionProfile: profile, Forecast: forecast,
        'Required<Omit<StudyOptions, "axes">>': ofWorkflow, 'Required<Omit<StudyOptions, "workflow">>': ofAxes,
        "Required<Axis>": axis, "Required<Baseline>": baseline, "Required<Effort>": effort, "Required<Outcome>": told,
        "Required<ScenarioOptions>": scenario, "Required<ForecasterOptions>": forecasting, "Required<Minute>": minute,
        "Required<PoolOptions>": pool,
    };
    const types = [...new Set(Object.keys(values).flatMap((type) => type.match(/\b(?!Required|Omit)[A-Z]\w+/g)))];
    const samples = Object.entries(values).map(([type, value], i) => `const v${i}: ${type} = ${JSON.stringify(value)};`);
    const files = ["single1", "chain3", "ml4", "api4", "fan5", "video5", "social10"];
    const literals = files.map((name, i) => `const f${i} = ${workflowText(name).trim()} satisfies WorkflowFile & Record<string, unknown>;`);
    writeFileSync(join(project, "types.mts"), `import type { ${types.join(", ")}, WorkflowFile } from "aquatope-wasm";\n${[...samples, ...literals].join("\n")}\n`);
    check(NODE, "types.mts");
    // And the check can fail.
    writeFileSync(join(project, "wrong.mts"), `import type { Interval } from "aquatope-wasm";\nconst v: Interval = { median: 1, low: 0 };\n`);
    assert.throws(() => check(NODE, "wrong.mts"), /high/);
});
