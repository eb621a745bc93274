// The examples, run as their first lines say.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { pkg, workflowText } from "./study.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const example = (name) => join(root, "wasm/examples", name);
const run = (command, ...args) => execFileSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

test("node.mjs tunes a shipped workflow", () => {
    const said = run(process.execPath, example("node.mjs"), "chain3");
    assert.match(said, /extract/);
    assert.match(said, /meets [\d.]+ s with probability (0\.9[5-9]\d*|1\.000)/);
});

test("openwhisk.js is an action that keeps no state of its own", () => {
    const folder = mkdtempSync(join(tmpdir(), "aquatope-action-"));
    after(() => rmSync(folder, { recursive: true }));
    copyFileSync(example("openwhisk.js"), join(folder, "openwhisk.js"));
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(fileURLToPath(pkg), join(folder, "node_modules/aquatope-wasm"));
    const { main } = createRequire(join(folder, "x.js"))("./openwhisk.js");
    // Parameters and results of actions are JSON.
    const invoke = (parameters) => JSON.parse(JSON.stringify(main(JSON.parse(JSON.stringify(parameters)))));

    const { Study, Workflow } = createRequire(join(folder, "x.js"))("aquatope-wasm");
    const file = workflowText("single1");
    const [workflow, kept] = [new Workflow(file), new Study({ workflow: file, seed: 5 })];
    let { trials, state, recommendation } = invoke({ options: { workflow: file, seed: 5 }, ask: 8 });
    for (let round = 0; round < 4; round++) {
        assert.deepEqual(trials, kept.ask(round === 0 ? 8 : 3));
        const tell = trials.map(({ id, levels }) => (id === 2 ? { id, failed: true } : { id, outcome: workflow.simulate(levels, { noise: 0.1, sample: id }).outcome }));
        for (const { id, outcome, failed } of tell) failed ? kept.fail(id) : kept.tell(id, outcome);
        ({ trials, state, recommendation } = invoke({ state, tell, ask: 3 }));
    }
    assert.deepEqual(trials, kept.ask(3));
    assert.deepEqual(recommendation, kept.recommendation());
    assert.throws(() => invoke({ state: "bm9uc2Vuc2U=" }), /cut short/);
});

test("wasi.mjs runs the very same optimiser: its output is the native program's", () => {
    const cargo = process.env.CARGO ?? "cargo";
    const build = ["--quiet", "--locked", "-p", "aquatope-core", "--features", "serde", "--example", "ask_tell"];
    run(cargo, "build", ...build, "--target", "wasm32-wasip1");
    const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
    const native = run(cargo, "run", ...build);
    const wasi = run(process.execPath, "--no-warnings", example("wasi.mjs"), join(target, "wasm32-wasip1/debug/examples/ask_tell.wasm"));
    assert.equal(wasi, native);
    assert.match(native, /use \d\.\d CPUs and \d+ MB/);
});
