// What the benches time, wherever they run: one ask of the black box (3 trials after 30, in 8 dimensions), milliseconds.
// `host/workflow/examples/ask.rs` is the native twin.

/** Asks after which an engine has compiled well what they run: it starts with code that is made fast and runs slowly. */
const WARM_UP = 40;

/** The study that asks, as a snapshot: made elsewhere, so that what is timed has not run before. */
export function prepared({ Study }) {
    const axis = { min: 0.1, max: 4, step: 0.1, log: true };
    const study = new Study({ axes: Array(8).fill(axis), qos: 10, seed: 1 });
    while (study.trials().length < 30) {
        for (const { id, values } of study.ask(study.trials().length < 10 ? 10 : 3)) {
            const latency = values.reduce((sum, value) => sum + 1 / value, 0);
            study.tell(id, { cost: latency * values.reduce((sum, value) => sum + value, 1), latency });
        }
    }
    const saved = study.snapshot();
    study.free();
    return saved;
}

/** Times of the first asks of a module (`early`, their median), and of as many after the warm-up. */
export function timeAsk({ Study }, saved, repetitions = 15, clock = () => performance.now()) {
    const ask = () => {
        const copy = Study.restore(saved);
        const before = clock();
        copy.ask(3);
        const time = clock() - before;
        copy.free();
        return time;
    };
    const times = (count) => Array.from({ length: count }, ask).sort((a, b) => a - b);
    const early = times(repetitions)[repetitions >> 1];
    times(WARM_UP);
    const warm = times(repetitions);
    return { early, median: warm[repetitions >> 1], best: warm[0] };
}
