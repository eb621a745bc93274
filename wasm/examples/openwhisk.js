// An OpenWhisk action that is a study: its state travels in the parameters, so that the action keeps none.
//
//   zip -r study.zip openwhisk.js package.json node_modules     with "main": "openwhisk.js" and aquatope-wasm installed
//   wsk action create study study.zip --kind nodejs:20
//   wsk action invoke study --result --param-file request.json
//
// Request: {"options": {...}} begins a study, {"state": "..."} continues one; {"tell": [{"id", "outcome"} or {"id",
// "failed": true}]} are outcomes, {"ask": 3} asks for trials. Reply: the state, the trials asked, and what is best.
const { Study } = require("aquatope-wasm");

function main({ options, state, tell = [], ask = 0 }) {
    const study = state ? Study.restore(Buffer.from(state, "base64")) : new Study(options);
    try {
        for (const { id, outcome, failed } of tell) {
            if (failed) study.fail(id);
            else study.tell(id, outcome);
        }
        const trials = ask > 0 ? study.ask(ask) : [];
        const told = study.trials().filter((trial) => trial.state === "complete").length;
        return {
            trials,
            recommendation: told >= 3 ? study.recommendation() : null,
            state: Buffer.from(study.snapshot()).toString("base64"),
        };
    } finally {
        study.free();
    }
}

exports.main = main;
