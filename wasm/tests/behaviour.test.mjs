// The bindings at work: the native numbers, strict arguments, no growth, in the plain module and the SIMD one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bindings, forecasts, golden, modules, run, workflowText } from "./study.mjs";

/** A workflow file with a mistake. */
const misspelt = (edit) => {
    const file = JSON.parse(workflowText("chain3"));
    edit(file);
    return file;
};

const axes = (count) => Array.from({ length: count }, () => ({ min: 0.1, max: 4, step: 0.1, log: true }));

for (const name of Object.keys(modules)) {
    const api = await bindings(name);
    const { Study, Workflow, PoolPlanner, Forecaster } = api;

    test(`${name}: proposals, outcomes and recommendations are the native ones, bit for bit`, () => {
        for (const { asked, recommended, ...of } of golden()) {
            assert.deepEqual(run(api, of), { asked, recommended });
        }
    });

    test(`${name}: a restored study goes on as the original`, () => {
        const study = new Study({ axes: axes(3), qos: 9, seed: 3, initial: 6 });
        const tell = ({ id, values }) => {
            const latency = values.reduce((sum, value) => sum + 1 / value, 0.1);
            study.tell(id, { cost: latency * values[0], latency });
        };
        for (let i = 0; i < 4; i++) study.ask(3).forEach(tell);
        const restored = Study.restore(study.snapshot());
        assert.deepEqual(restored.trials(), study.trials());
        assert.deepEqual(restored.ask(3), study.ask(3));
        assert.deepEqual(restored.recommendation(), study.recommendation());
        assert.equal(study.posterior([[0, 1, 2], [3, 4, 5]]).length, 2);
    });

    test(`${name}: screen, reject and fail`, () => {
        const study = new Study({ axes: axes(1), qos: 9, initial: 8 });
        const trials = study.ask(8);
        trials.slice(0, 6).forEach(({ id }) => study.tell(id, { cost: 1, latency: 2 + 0.01 * id }));
        assert.equal(study.screen(6, { cost: 1, latency: 2 }).id, 6);
        study.reject(6, { cost: 1, latency: 50 });
        study.fail(7);
        assert.deepEqual(study.trials().map((trial) => trial.state).slice(5), ["complete", "rejected", "failed"]);
        assert.throws(() => study.tell(7, { cost: 1, latency: 1 }), /trial 7/);
        assert.equal(study.verdicts().length, 8);
    });

    test(`${name}: what is wrong is an Error that names the place, and changes nothing`, () => {
        const study = new Study({ axes: axes(2), qos: 9 });
        const before = (study.ask(2), study.snapshot());
        const cyclic = { axes: [] };
        cyclic.axes.push(cyclic);
        const table = [
            [() => new Study({ axes: axes(1) }), /options\.qos: is missing/],
            [() => new Study({ axes: axes(1), qos: NaN }), /options\.qos: is NaN/],
            [() => new Study({ axes: axes(1), qos: -1 }), /options\.qos: the latency limit/],
            [() => new Study({ axes: axes(1), qos: 1, qoss: 2 }), /options\.qoss: unknown field `qoss`/],
            [() => new Study({ axes: [{ min: 1, max: 2, step: 0.1, steps: 3 }], qos: 1 }), /axes\[0\]\.steps: unknown field/],
            [() => new Study({ axes: [{ min: "1", max: 2, step: 0.1 }], qos: 1 }), /options\.axes\[0\]\.min: is a text; must be a number/],
            [() => new Study({ axes: axes(33), qos: 1 }), /options\.axes: has 33; give at most 32/],
            [() => new Study({ axes: [], qos: 1 }), /options\.axes: the search space has no axis/],
            [() => new Study({ axes: [...axes(1), { min: 4, max: 1, step: 1 }], qos: 1 }), /options\.axes\[1\]: min 4 is above max 1/],
            [() => new Study({ axes: [{ min: 0, max: 1, step: 0.1, log: true }], qos: 1 }), /options\.axes\[0\]: a logarithmic axis/],
            [() => new Study({ axes: axes(1), qos: 1, initial: 70000 }), /options\.initial: is 70000; must be a whole number from 0 to 65535/],
            [() => new Study({ axes: axes(1), qos: 1, baseline: { levels: [0], outcomes: Array(5).fill({ cost: 1, latency: 0 }) } }), /options\.baseline\.outcomes\[0\]: latency is 0/],
            [() => new Study({ axes: axes(1), qos: 1, baseline: { levels: [0], outcomes: [] } }), /options\.baseline\.outcomes: has 0; give 5 or more/],
            [() => new Study({ axes: axes(1), qos: 1, effort: { mcSamples: 129 } }), /options\.effort\.mcSamples: is 129; give 1 to 128/],
            [() => new Study({ axes: axes(1), qos: 1, effort: { restarts: 0 } }), /options\.effort\.restarts: is 0/],
            [() => study.tell(0, Promise.resolve({ cost: 1, latency: 1 })), /outcome: is a Promise; await it first/],
            [() => study.posterior([[0, 100]]), /points\[0\]: axis 1 has levels 0 to 39/],
            [() => new Workflow(misspelt((file) => (file.functions[0].concurency = 2))), /functions\[0\]\.concurency: is not known here; it may be one of name, concurrency/],
            [() => new Workflow(misspelt((file) => (file.refrence = {}))), /workflow: refrence: is not known here/],
            [() => new Workflow(misspelt((file) => Object.assign(file, { functions: Array.from({ length: 17 }, (_, i) => ({ name: `${i}` })), oracle: null, reference: null }))), /workflow\.functions: has 17; give at most 16/],
            [() => new Forecaster(forecasts().model, { profile: { mean: -1, period: 60, periodCorrelation: 0 } }), /options\.profile\.mean: is -1/],
            [() => Forecaster.profile([]), /peaks: is empty/],
            [() => new PoolPlanner({ memoryMb: 0, coldStart: 1 }), /options\.memoryMb: is 0; must be above 0/],
            [() => new PoolPlanner({ memoryMb: 256, coldStart: 1e12 }), /options\.coldStart: is so far above/],
            [() => new PoolPlanner({ memoryMb: 256, coldStart: 1, step: 0 }), /options\.step: is 0/],
            [() => new Study({ axes: axes(1), qos: 1, model: "structured" }), /options\.model/],
            [() => new Study({ axes: axes(1), qos: 1, seed: -1 }), /options\.seed: is -1; must be a whole number from 0 to 2\^53/],
            [() => new Study({ axes: axes(1), qos: 1, confidence: 1 }), /options\.confidence: the confidence/],
            [() => new Study({ workflow: cyclic }), /nested too deeply/],
            [() => new Study(), /options/],
            [() => new Study("x"), /options: is a text; must be an object/],
            [() => study.ask(0), /count: is 0/],
            [() => study.ask(17), /count: is 17/],
            [() => study.ask("3"), /count: is a text; must be a number/],
            [() => study.tell(0, { cost: 0, latency: 1 }), /outcome: cost is 0/],
            [() => study.tell(0, { cost: 1, latency: Infinity }), /outcome\.latency: is inf/],
            [() => study.tell(0, { cost: 1, latency: 1, durations: [1, NaN] }), /outcome\.durations\[1\]: is NaN/],
            [() => study.tell(0, { cost: 1 }), /missing field `latency`/],
            [() => study.tell(9, { cost: 1, latency: 1 }), /trial 9/],
            [() => study.tell(-1, { cost: 1, latency: 1 }), /id: is -1; must be a whole number from 0 to 4294967295/],
            [() => study.tell({}, { cost: 1, latency: 1 }), /id: is an object; must be a number/],
            [() => study.posterior([[0]]), /points\[0\]/],
            [() => study.recommendation(), /complete trials/],
            [() => Study.restore(new Uint8Array([1, 2, 3])), /cut short/],
            [() => Study.restore(new Uint8Array(100)), /no such snapshot/],
            [() => Study.restore(before.with(60, before[60] ^ 1)), /checksum/],
            [() => Study.restore("bytes"), /Uint8Array/],
            [() => new Workflow("{"), /workflow: is not valid JSON/],
            [() => new Workflow({ schema: "other" }), /workflow: schema/],
            [() => new Workflow(workflowText("chain3")).simulate([0]), /levels:/],
            [() => new Workflow(workflowText("chain3")).criticalPath([1, 2]), /2 durations for 3/],
            [() => new Forecaster(new Uint8Array(100)), /model: not a weight file/],
            [() => new Forecaster(new TextEncoder().encode("AQWT cut..")), /model: .* of 10 bytes/],
            [() => Forecaster.profile(3), /peaks: is a number; must be an array/],
            [() => Forecaster.profile([1, 1.5]), /peaks\[1\]: is 1\.5; must be a whole/],
            [() => new PoolPlanner({ memoryMb: 256 }), /options\.coldStart: is missing/],
            [() => new PoolPlanner({ memoryMb: 256, coldStart: -1 }), /options\.coldStart/],
        ];
        for (const [call, message] of table) {
            assert.throws(call, (error) => {
                assert.ok(error instanceof Error && !(error instanceof WebAssembly.RuntimeError), `${error}`);
                assert.match(error.message, message);
                return true;
            });
        }
        assert.deepEqual(study.snapshot(), before);
    });

    test(`${name}: a call after free is an Error, and others go on`, () => {
        const [gone, here] = [0, 1].map(() => new Study({ axes: axes(1), qos: 1 }));
        gone.free();
        for (const call of [() => gone.ask(1), () => gone.windowStart]) {
            assert.throws(call, { name: "Error", message: "this Study was freed; make a new one" });
        }
        gone.free(); // again, as the end of a `using` does
        assert.equal(here.ask(1).length, 1);
    });

    test(`${name}: a structured study refuses outcomes without the durations of all functions`, () => {
        const study = new Study({ workflow: workflowText("chain3") });
        const [{ id }] = study.ask(1);
        const before = study.snapshot();
        for (const call of ["tell", "screen", "reject"]) {
            assert.throws(() => study[call](id, { cost: 1, latency: 1 }), /outcome\.durations: is missing; .* 3 functions/);
            assert.throws(() => study[call](id, { cost: 1, latency: 1, durations: [1] }), /outcome\.durations: has 1 for 3/);
        }
        const baseline = { outcomes: Array(5).fill({ cost: 1, latency: 1 }) };
        assert.throws(() => new Study({ workflow: workflowText("chain3"), baseline }), /options\.baseline\.outcomes\[0\]\.durations/);
        assert.deepEqual(study.snapshot(), before);
        const blackbox = new Study({ workflow: workflowText("chain3"), model: "blackbox" });
        blackbox.tell(blackbox.ask(1)[0].id, { cost: 1, latency: 1 });
        assert.deepEqual(blackbox.model(), { model: "blackbox" });
    });

    test(`${name}: a study says when its structure does not hold`, () => {
        const workflow = new Workflow(workflowText("chain3"));
        const study = new Study({ workflow: workflowText("chain3") });
        assert.deepEqual(study.model(), { model: "structured" });
        for (const { id, levels } of study.ask(5)) {
            const { outcome } = workflow.simulate(levels);
            study.tell(id, { ...outcome, latency: 2 * outcome.latency });
        }
        const { model, reason } = study.model();
        assert.equal(model, "blackbox");
        assert.match(reason, /latencies are 2\.00 times what the durations compose to/);
    });

    test(`${name}: an argument that throws is an Error, and leaves the study usable`, () => {
        const study = new Study({ axes: axes(1), qos: 1 });
        study.ask(1);
        const broken = new Proxy({}, { ownKeys() { throw new Error("no keys"); } });
        const detached = new ArrayBuffer(100);
        structuredClone(detached, { transfer: [detached] });
        for (let times = 0; times < 1000; times++) {
            assert.throws(() => study.tell(0, { get cost() { throw new Error("no cost"); } }), /outcome\.cost: cannot be read \(no cost\)/);
        }
        assert.throws(() => study.tell(0, broken), /outcome: cannot be read \(no keys\)/);
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        assert.throws(() => study.tell(0, proxy), /outcome: cannot be read/);
        assert.throws(() => study.posterior([proxy]), /points\[0\]: cannot be read/);
        const throwing = (exception) => ({ get cost() { throw exception; } });
        assert.throws(() => study.tell(0, throwing({ message: 7 })), /outcome\.cost: cannot be read \(it throws\)/);
        assert.throws(() => study.tell(0, throwing({ get message() { throw 1; } })), /outcome\.cost: cannot be read \(it throws\)/);
        assert.throws(() => study.tell(0, throwing(null)), /outcome\.cost: cannot be read \(it throws\)/);
        // What frameworks hide in an object is no member of it.
        const hidden = Object.defineProperty({ cost: 1, latency: NaN }, "__ob__", { value: 1, enumerable: false });
        assert.throws(() => study.tell(0, hidden), /outcome\.latency/);
        assert.throws(() => study.tell(0, () => 1), /outcome: is neither/);
        assert.throws(() => study.tell(0, { cost: 1n, latency: 1 }), /outcome\.cost: is neither/);
        assert.throws(() => Study.restore(detached), /Uint8Array or an ArrayBuffer|cut short/);
        study.tell(0, { cost: 1, latency: 1 });
    });

    test(`${name}: too much at once is an Error before memory is asked for it`, () => {
        const before = api.memory.buffer.byteLength;
        const study = new Study({ axes: axes(1), qos: 1 });
        assert.throws(() => study.posterior(new Array(2 ** 21)), /points: has too many values/);
        assert.throws(() => Study.restore(new Uint8Array((64 << 20) + 1)), /at most 67108864 are read/);
        assert.throws(() => new Forecaster(new ArrayBuffer((64 << 20) + 1)), /at most 67108864 are read/);
        assert.ok(api.memory.buffer.byteLength - before <= 4 << 20);
    });

    test(`${name}: a memory that is full is an Error, and what there is goes on`, async () => {
        // The module with no more than 32 MB.
        const { Study, memory } = await bindings(name, function limited(bytes) {
            return withMemory(bytes, 32 << 20);
        });
        const studies = [];
        const fill = () => {
            for (;;) studies.push(new Study({ axes: axes(2), qos: 1 }));
        };
        assert.throws(fill, (error) => error instanceof Error && !(error instanceof WebAssembly.RuntimeError) && /out of memory/.test(error.message));
        assert.ok(studies.length > 10 && memory.buffer.byteLength <= 32 << 20);
        for (let times = 0; times < 100; times++) assert.throws(() => studies[0].ask(1), /out of memory/);
        assert.throws(() => Study.restore(new Uint8Array(8 << 20)), /out of memory/);
        assert.throws(() => studies[0].snapshot(), /out of memory/);
        const count = studies.length;
        studies.splice(count / 2).forEach((study) => study.free());
        for (const { id } of studies[0].ask(4)) studies[0].tell(id, { cost: 1, latency: 1 });
        assert.equal(Study.restore(studies[0].snapshot()).trials().length, 4);
        assert.throws(fill, /out of memory/);
        assert.ok(studies.length >= count - 1);
    });

    test(`${name}: a full study says so`, () => {
        const study = new Study({ axes: axes(1), qos: 1, initial: 1000 });
        for (let i = 0; i < 8; i++) study.ask(16);
        assert.throws(() => study.ask(1), /the study is full: it keeps 128 trials/);
    });

    test(`${name}: workflows compose, and say what their files say`, () => {
        const workflow = new Workflow(workflowText("chain3"));
        const { functions, qos, start, oracle } = workflow.describe();
        assert.equal(functions.length, 3);
        assert.deepEqual(workflow.criticalPath([1, 2, 3]).functions, [0, 1, 2]);
        const truth = workflow.simulate(oracle.levels).outcome;
        assert.ok(Math.abs(truth.cost / oracle.cost - 1) < 1e-9 && truth.latency <= qos);
        assert.deepEqual(workflow.compose(oracle.levels, truth.durations), truth);
        assert.deepEqual(workflow.optimum().levels, oracle.levels);
        assert.equal(workflow.resources(start)[0].cpu, 4);
    });

    test(`${name}: forecasts of a trained model are the native ones within 1e-5`, () => {
        const { model, series, observed, golden } = forecasts();
        series.forEach((minutes, func) => {
            const profile = Forecaster.profile(minutes.slice(0, observed).map(({ peak }) => peak));
            const forecaster = new Forecaster(model, { profile });
            forecaster.push(minutes.slice(0, observed));
            let compared = 0;
            for (let minute = observed; minute < minutes.length; minute++) {
                assert.equal(forecaster.minute, minute);
                for (const native of golden.filter((native) => native.func === func && native.minute === minute)) {
                    const { mean, quantiles } = forecaster.forecast();
                    assert.equal(quantiles.length, native.quantiles.length);
                    [native.mean, ...native.quantiles].forEach((theirs, i) => {
                        const ours = [mean, ...quantiles][i];
                        assert.ok(Math.abs(ours - theirs) <= 1e-5 * Math.max(1, theirs), `${func} at ${minute}: ${ours}, ${theirs}`);
                    });
                    compared += 1;
                }
                forecaster.push(minutes[minute]);
            }
            assert.ok(compared > 40);
            forecaster.free();
        });
    });

    test(`${name}: a pool is the quantile at the price`, () => {
        const levels = [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995].map(Math.fround);
        const forecast = { mean: 4, levels, quantiles: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], epistemic: 0 };
        // A cold start at the price of 19 idle minutes of a GB: level .95. A patient pool keeps its size.
        const planner = new PoolPlanner({ memoryMb: 1024, coldStart: 19, patience: 1 });
        assert.equal(planner.plan(forecast), 7);
        assert.equal(planner.plan({ ...forecast, quantiles: Array(11).fill(2) }), 7);
        assert.equal(planner.plan({ ...forecast, quantiles: Array(11).fill(2) }), 2);
        assert.throws(() => planner.plan({ ...forecast, quantiles: [1] }), /forecast\.quantiles/);
    });

    test(`${name}: 10,000 cycles of ask and tell take no more memory than the first ones`, () => {
        // Nine tenths of the asks fit the model and search; a search of the least effort, which takes as much memory as any.
        const effort = { mcSamples: 8, restarts: 1, rawSamples: 4 };
        const many = (cycles) => {
            for (let done = 0; done < cycles; done += 40) {
                let study = new Study({ axes: axes(2), qos: 1.2, initial: 4, seed: done, effort });
                for (let i = 0; i < 40; i++) {
                    for (const { id, values } of study.ask(1)) study.tell(id, { cost: values[0] + 1, latency: 0.5 + 1 / values[1] });
                }
                assert.equal(study.trials().length, 40);
                const restored = Study.restore(study.snapshot());
                study.free();
                restored.recommendation();
                restored.free();
            }
        };
        many(200);
        const before = api.memory.buffer.byteLength;
        many(10_000);
        assert.equal(api.memory.buffer.byteLength, before);
    });
}

/** A module whose memory cannot grow beyond `most` bytes: its memory section gets a maximum. */
function withMemory(bytes, most) {
    const leb = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
    const read = (at) => {
        let [value, shift] = [0, 0];
        for (;; shift += 7) {
            value |= (bytes[at] & 127) << shift;
            if (bytes[at++] < 128) return [value, at];
        }
    };
    for (let at = 8; at < bytes.length; ) {
        const [length, body] = read(at + 1);
        if (bytes[at] === 5) {
            assert.deepEqual([...bytes.subarray(body, body + 2)], [1, 0], "one memory without a maximum");
            const [least] = read(body + 2);
            const section = [1, 1, ...leb(least), ...leb(most >> 16)];
            return Buffer.concat([bytes.subarray(0, at), Buffer.from([5, ...leb(section.length), ...section]), bytes.subarray(body + length)]);
        }
        at = body + length;
    }
    assert.fail("no memory section");
}
