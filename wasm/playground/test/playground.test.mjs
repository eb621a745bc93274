/** Drives the built page in Chromium, end to end; needs `dist/`, made by `npm run build`. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const here = (path) => new URL(path, import.meta.url).pathname;
const golden = (name) => JSON.parse(readFileSync(here(`golden/${name}.json`), "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let server;
let browser;
before(async () => {
  server = await serve(here("../dist"));
  browser = await launch();
});
after(async () => {
  await browser.close();
  server.close();
});

/** A test with a page of its own, which must not complain in the console nor ask another origin for anything. */
function withPage(name, run, options = {}) {
  test(name, async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
    page.setDefaultTimeout(120_000);
    const said = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
    page.on("pageerror", (error) => said.push(error.message));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(server.url) && !url.startsWith("blob:") && !url.startsWith("data:")) said.push(`asked for ${url}`);
    });
    try {
      await run(page);
      assert.deepEqual(said, []);
    } finally {
      await page.close();
    }
  });
}

const open = (page, hash = "") => page.goto(`${server.url}${hash}`);
const done = (page, tab) =>
  page.waitForFunction((at) => document.querySelector(at).textContent.startsWith("Done"), `#${tab}-status`);
const problems = (page) => page.locator("#problems span").allTextContents();
const tile = async (page, list, index) => (await page.locator(`#${list} dd`).nth(index).innerText()).replace(/\s+/g, " ");

async function downloaded(page, button) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return readFileSync(await file.path(), "utf8");
}

/** The value of every axis, of a configuration as the command line writes it: 2.8 for its 2.8000000000000003. */
const valuesOf = ({ functions }) => functions.flatMap(({ cpu, memory_mb }) => [cpu, memory_mb]).map((value) => Math.round(value * 1e9) / 1e9);

/** The study that the page exports after a run. */
async function tuned(page, run) {
  await open(page, `#tune?${new URLSearchParams(run)}`);
  await page.click("#run");
  await done(page, "tune");
  return JSON.parse(await downloaded(page, "#export-study"));
}

for (const { run, result } of golden("tune")) {
  withPage(`tuning ${run.workflow} with the ${run.model} model asks and recommends what the command line does`, async (page) => {
    const study = await tuned(page, run);
    assert.equal(study.trials.length, run.trials);
    study.trials.forEach((trial, id) => {
      const native = result.trials[id];
      assert.deepEqual(trial.values, valuesOf(native), `trial ${id}`);
      assert.equal(trial.outcome.cost, native.cost, `cost of trial ${id}`);
      assert.equal(trial.outcome.latency, native.latency_s, `latency of trial ${id}`);
      assert.equal(study.anomalous.includes(id), native.anomalous, `verdict on trial ${id}`);
    });
    const { recommendation } = result;
    assert.deepEqual(study.recommendation.values, valuesOf(recommendation));
    assert.equal(study.recommendation.cost.median, recommendation.cost.median);
    // And the page says so.
    assert.equal(Number.parseFloat(await tile(page, "tune-tiles", 0)), Number(recommendation.cost.median.toPrecision(4)));
    assert.equal(Number.parseFloat(await tile(page, "tune-tiles", 1)), Number(recommendation.latency_s.median.toPrecision(4)));
    assert.equal(await page.locator("#cloud .dot.anomaly").count(), study.anomalous.length + 1, "crossed out, and the legend’s");
    const status = await page.locator("#tune-status").textContent();
    assert.match(status, new RegExp(`${run.trials} of ${run.trials} trials, ${study.anomalous.length} taken for anomalies`));
    for (const chart of ["cloud", "convergence", "slice-cost", "slice-latency"]) {
      const lines = await page.locator(`#${chart} svg g[clip-path] > *`).count();
      assert.ok(lines >= 3, `${chart} shows something`);
    }
    await page.selectOption("#axis", "1");
    await page.waitForFunction(() => document.querySelector("#slice-cost svg").textContent.includes("Memory (MB)"));
    await page.click("#trials-details summary");
    await page.waitForFunction((count) => document.querySelectorAll("#trials-table tbody tr").length === count, run.trials);
  });
}

withPage("a run can be paused, gone on with and begun anew", async (page) => {
  await open(page, "#tune?workflow=single1&model=blackbox&trials=60");
  await page.click("#run");
  await page.waitForFunction(() => /[1-9]\d* of 60/.test(document.querySelector("#tune-status").textContent));
  await page.click("#pause");
  await page.waitForFunction(() => document.querySelector("#tune-status").textContent.startsWith("Paused"));
  await page.waitForTimeout(400);
  const text = () => page.locator("#tune-status").textContent();
  const stopped = await text();
  await page.waitForTimeout(400);
  assert.equal(await text(), stopped);
  await page.click("#pause");
  await done(page, "tune");
  await page.click("#run");
  await page.waitForFunction(() => !document.querySelector("#tune-status").textContent.startsWith("Done"));
  await done(page, "tune");
});

// `make wasm-figures` counts the frames; here is what does not depend on how busy the machine is.
withPage("the page's own thread stays free while the optimiser works", async (page) => {
  await open(page, "#tune?workflow=ml4&trials=40");
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const computed = async () => (await session.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value;
  const [before, began] = [await computed(), performance.now()];
  await page.click("#run");
  await done(page, "tune");
  const share = (1000 * ((await computed()) - before)) / (performance.now() - began);
  assert.ok(share < 0.6, `the page's thread computes ${(100 * share).toFixed(0)} % of the time`);
});

withPage("forecasts and cold starts are those of the command line", async (page) => {
  const { observed, minutes, tallies, forecasts } = golden("forecast");
  for (const { ratio, memory, func, wanted, cold, idle } of tallies.filter(({ func }) => func === 1 || func === 3)) {
    await page.goto("about:blank");
    await open(page, `#pool?trace=demo&func=${func}&ratio=${ratio}&memory=${memory}`);
    await done(page, "pool");
    assert.match(await tile(page, "pool-tiles", 0), new RegExp(` ${cold} of ${wanted} containers$`));
    const hours = (idle * memory) / 1024 / 60;
    // Three digits; the last may round either way.
    const shown = Number.parseFloat((await tile(page, "pool-tiles", 1)).replace(",", ""));
    assert.ok(Math.abs(shown / hours - 1) < 0.005, `${shown} GB h, natively ${hours}`);
    const rows = (await downloaded(page, "#export-forecast")).trim().split("\n").slice(1);
    assert.equal(rows.length, minutes - observed);
    for (const native of forecasts.filter((forecast) => forecast.func === func)) {
      const [minute, , mean, low, median, high] = rows[native.minute - observed].split(",").map(Number);
      assert.equal(minute, native.minute);
      const pairs = [[mean, native.mean], [low, native.quantiles[0]], [median, native.quantiles[4]], [high, native.quantiles[8]]];
      for (const [ours, theirs] of pairs) assert.ok(Math.abs(ours - theirs) <= 1e-5 * Math.max(1, theirs), `minute ${minute}: ${ours}, ${theirs}`);
    }
  }
});

withPage("the price of a cold start moves along the front", async (page) => {
  await open(page, "#pool?func=1");
  await done(page, "pool");
  const shares = [];
  for (const position of [20, 50, 80]) {
    const before = await page.locator("#pool-tiles dd").first().innerText();
    await page.locator("#ratio").fill(String(position));
    await page.waitForFunction((before) => document.querySelector("#pool-tiles dd").innerText !== before, before);
    const text = await page.locator("#pool-tiles dd").first().innerText();
    shares.push({ text, cold: Number.parseFloat(text), idle: Number.parseFloat(await tile(page, "pool-tiles", 1)) });
  }
  assert.ok(shares[0].cold > shares[1].cold && shares[1].cold > shares[2].cold, JSON.stringify(shares));
  assert.ok(shares[0].idle < shares[1].idle && shares[1].idle < shares[2].idle, JSON.stringify(shares));
  assert.match(page.url(), /ratio=66(&|$)/);
  assert.ok((await page.locator("#front .dot.chosen").count()) === 2, "the present price, and the legend’s");
  assert.equal(await page.locator("#comparison tbody tr").count(), 5);
  // Looking back.
  await page.locator("#until").fill("2000");
  await page.waitForFunction(() => document.querySelector("#forecast desc").textContent.includes("to 2000:"));
});

withPage("a trace of one’s own is read, and a wrong one is refused by line and column", async (page) => {
  await open(page, "#pool");
  await done(page, "pool");
  const choose = (name, content) => page.setInputFiles("#file", { name, mimeType: "text/csv", buffer: Buffer.from(content) });
  const rows = Array.from({ length: 400 }, (_, minute) => `${minute},7,${minute % 5},${minute % 3}`);
  await choose("mine.csv", `minute,func,cnt,act\n${rows.join("\n")}\n`);
  await page.waitForFunction(() => document.querySelector("#func").textContent.startsWith("7:"));
  await page.waitForFunction(() => document.querySelector("#pool-status").textContent.includes("of 400"));
  await done(page, "pool");
  assert.deepEqual(await problems(page), []);
  assert.match(page.url(), /trace=mine\.csv&func=7/);
  const wrong = [
    ["columns.csv", "minute,function,count\n0,1,2\n", /columns\.csv: Line 1 must name the columns minute,func,cnt,act: func, cnt, act are missing/],
    ["text.csv", "minute,func,cnt,act\n0,0,1,1\n1,0,many,1\n", /text\.csv: Line 3, column cnt: “many” is not a whole number/],
    ["nan.csv", "minute,func,cnt,act\n0,0,1,NaN\n", /Line 2, column act: “NaN” is not/],
    ["far.csv", "minute,func,cnt,act\n99999999,0,1,1\n", /Line 2, column minute: 99999999 is more than/],
    ["empty.csv", "minute,func,cnt,act\n", /has no rows/],
    ["big.csv", "minute,func,cnt,act\n".padEnd((16 << 20) + 1, "0,0,1,1\n"), /big\.csv has 16 MB; at most 16 MB are read/],
  ];
  for (const [index, [name, content, expected]] of wrong.entries()) {
    await choose(name, content);
    await page.waitForFunction((count) => document.querySelectorAll("#problems span").length > count, index);
    assert.match((await problems(page)).at(-1), expected);
  }
  await page.locator("#problems button").first().click();
  assert.equal((await problems(page)).length, wrong.length - 1);
});

withPage("what an address or an input says wrongly is named, and the page goes on", async (page) => {
  await open(page, "#tune?workflow=none&qos=NaN&noise=-1&trials=1e99&seed=1.5&model=magic&outliers=");
  const said = (await problems(page)).join("\n");
  for (const expected of [/workflow “none”/, /QoS: “NaN” cannot be/, /Noise: “-1”/, /Trials: “1e99”/, /Seed: “1.5”/, /model “magic”/, /Outliers: “”/]) {
    assert.match(said, expected);
  }
  await page.goto("about:blank");
  await open(page, "#tune?workflow=custom&file=%%%damaged");
  assert.match((await problems(page)).join(), /The workflow in the address is damaged/);
  await page.goto("about:blank");
  await open(page, "#pool?trace=mine.csv&ratio=-3&func=99");
  await page.waitForFunction(() => document.querySelectorAll("#problems span").length === 3);
  assert.match((await problems(page)).join(), /Cost of a cold start: “-3”.*trace “mine.csv”.*no function 99/);
  await page.goto("about:blank");
  await open(page, "#nowhere");
  assert.match((await problems(page)).join(), /no tab “nowhere”/);

  await page.fill("#tune-qos", "NaN");
  await page.click("#run");
  assert.match(await page.locator("#tune-qos-error").textContent(), /“NaN” cannot be; give a number from/);
  assert.equal(await page.locator("#tune-status").textContent(), "Press Tune to begin.");
  assert.equal(await page.evaluate(() => document.activeElement.id), "tune-qos");
  // A QoS that nothing meets is no error: the recommendation says that it does not.
  await page.fill("#tune-qos", "0.5");
  await page.fill("#tune-trials", "12");
  await page.click("#run");
  await done(page, "tune");
  assert.match(await tile(page, "tune-tiles", 2), /but does not/);
});

withPage("a workflow can be edited, tuned and shared by its address", async (page) => {
  await open(page, "#tune?workflow=chain3&trials=14");
  await page.click("#editor summary");
  await page.click("text=Add a function");
  await page.fill("#function-3-name", "report");
  await page.locator("#function-3-name").blur();
  await page.fill("#function-3-serial_s", "0.2");
  // With the keyboard: the edge from the last of the chain to the new function.
  const node = (index) => page.locator(`#editor-body .node[data-index="${index}"]`);
  await node(2).focus();
  await page.keyboard.press("Enter");
  assert.equal(await node(2).getAttribute("aria-pressed"), "true");
  await node(3).focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#graph svg").getAttribute("aria-label").includes("load before report"));
  // And back to the first: a cycle, which the core refuses.
  await node(3).click();
  await node(0).click();
  await page.waitForFunction(() => /cycl/i.test(document.querySelector("#editor-body [role=alert]").textContent));
  await node(3).click();
  await node(0).click();
  await page.waitForFunction(() => document.querySelector("#editor-body [role=alert]").textContent === "");
  await page.click("#run");
  await done(page, "tune");
  assert.deepEqual(await page.locator("#recommended tbody th").allTextContents(), ["extract", "transform", "load", "report"]);

  const shared = page.url();
  await page.goto("about:blank");
  await page.goto(shared);
  await page.waitForFunction(() => document.querySelector("#graph svg").getAttribute("aria-label").includes("load before report"));
  assert.deepEqual(await problems(page), []);

  await page.click("#editor summary");
  await page.fill("#workflow-json", "{");
  await page.locator("#workflow-json").blur();
  assert.match(await page.locator("#editor-body [role=alert]").textContent(), /This is not JSON/);
  await page.fill("#workflow-json", '{"schema":"aquatope-workflow/1","functions":[{"name":"f"}]}');
  await page.locator("#workflow-json").blur();
  await page.waitForFunction(() => /name|edges|missing/.test(document.querySelector("#editor-body [role=alert]").textContent));
});

test("the package’s example of a page works without a bundler, with the answers of Node", async () => {
  const files = await serve(here("../.."));
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  const said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  try {
    await page.goto(`${files.url}examples/browser.html`);
    await page.waitForFunction(() => document.querySelector("#out").textContent.startsWith("{"));
    const { simd, ...best } = JSON.parse(await page.locator("#out").textContent());
    assert.equal(simd, true);
    const { Study } = await import("../../pkg/nodejs.cjs");
    const study = new Study({ axes: [{ min: 0.1, max: 4, step: 0.1, log: true }, { min: 128, max: 2048, step: 64, log: true }], qos: 1.2, seed: 1 });
    for (let asked = 0; asked < 30; ) {
      for (const { id, values: [cpu, memory] } of study.ask(asked === 0 ? 10 : 3)) {
        const latency = (0.2 + 1.5 / cpu) * Math.max(700 / memory, 1);
        study.tell(id, { cost: (cpu * 0.173 + (memory / 1024) * 0.05) * latency, latency });
        asked += 1;
      }
    }
    assert.deepEqual(best, study.recommendation());
    assert.deepEqual(said.filter((text) => !/favicon|404/.test(text)), []);
  } finally {
    await page.close();
    files.close();
  }
});

withPage("charts are saved as SVG that needs no style sheet", async (page) => {
  await open(page, "#tune?workflow=single1&trials=12");
  await page.click("#run");
  await done(page, "tune");
  const text = await downloaded(page, "#cloud .save");
  assert.match(text, /^<svg[^>]* xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  assert.doesNotMatch(text, /class=|var\(/);
  assert.match(text, /End-to-end latency \(s\)/);
  assert.equal(await page.evaluate((text) => new DOMParser().parseFromString(text, "image/svg+xml").querySelector("parsererror"), text), null);
});

withPage("tabs and theme work from the keyboard", async (page) => {
  await open(page);
  await page.focus("#tab-tune");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.locator("#panel-pool").isVisible(), true);
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-pool");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.locator("#panel-tune").isVisible(), true);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.focus("#theme");
  await page.keyboard.press("Enter");
  const light = await paper();
  await page.keyboard.press("Enter");
  assert.notEqual(await paper(), light);
});

withPage("both tabs can be worked without a pointer, and what has the focus shows it", async (page) => {
  /** Presses Tab until `selector` has the focus. */
  const reach = async (selector, key = "Tab") => {
    for (let presses = 0; presses < 80; presses++) {
      await page.keyboard.press(key);
      const [there, shown, who] = await page.evaluate((selector) => {
        const { activeElement: focused } = document;
        const style = getComputedStyle(focused.matches(".node") ? focused.querySelector("rect") : focused);
        const shown = focused.matches(".node") ? style.strokeDasharray !== "none" : style.outlineStyle !== "none";
        return [focused.matches(selector), shown || focused === document.body, focused.outerHTML.slice(0, 80)];
      }, selector);
      assert.ok(shown, `nothing shows that this has the focus: ${who}`);
      if (there) return;
    }
    assert.fail(`${selector} cannot be reached`);
  };
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());

  await open(page, "#tune?workflow=chain3&trials=16");
  await reach(".skip");
  await press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  assert.match(page.url(), /#tune\?/);
  await reach("#workflow");
  await reach("#editor summary");
  await press("Enter");
  await reach("#editor-body .node");
  await reach("#tune-trials");
  await press("Control+A", "1", "3");
  await reach("#run");
  await press("Enter");
  await done(page, "tune");
  assert.match(await page.locator("#tune-status").textContent(), /13 of 13 trials/);
  await reach("#cloud .save");
  await reach("#axis");
  await press("ArrowDown");
  await page.waitForFunction(() => document.querySelector("#slice-cost svg").textContent.includes("Memory (MB)"));
  await reach("#trials-details summary");
  await press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#trials-table tbody tr").length === 13);
  await reach("#export-study");
  const [file] = await Promise.all([page.waitForEvent("download"), press("Enter")]);
  assert.match(file.suggestedFilename(), /chain3\.json$/);

  await reach("#tab-tune", "Shift+Tab");
  await press("ArrowRight");
  await done(page, "pool");
  await reach("#trace");
  await reach("#file");
  await reach("#func");
  await press("ArrowDown");
  await page.waitForFunction(() => location.hash.includes("func=2"));
  await reach("#ratio");
  await press("End");
  await page.waitForFunction(() => location.hash.includes("ratio=500"));
  await done(page, "pool");
  await reach("#until");
  await press("Home");
  await page.waitForFunction(() => document.querySelector("#forecast desc").textContent.startsWith("From minute 1440 to 1440"));
  await reach("#span");
  await press("ArrowDown");
  await reach("#export-forecast");
  const [forecasts] = await Promise.all([page.waitForEvent("download"), press("Space")]);
  assert.match(forecasts.suggestedFilename(), /forecast-2\.csv$/);
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 400]) {
    withPage(`axe finds nothing at ${width} px, ${colorScheme}`, async (page) => {
      await open(page, "#tune?workflow=chain3&trials=13");
      await page.click("#editor summary");
      await page.click("#trials-details summary");
      await page.click("#run");
      await done(page, "tune");
      await check(page);
      await page.click("#tab-pool");
      await done(page, "pool");
      await check(page);
    }, { colorScheme, viewport: { width, height: 850 } });
  }
}

async function check(page) {
  // Colours fade over a moment.
  await page.waitForTimeout(300);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
  assert.deepEqual(found, []);
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(beyond <= 0, `${beyond} px wider than the window`);
}

test("the scripts are small", () => {
  const folder = here("../dist/assets");
  const scripts = readdirSync(folder).filter((name) => name.endsWith(".js"));
  const size = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(`${folder}/${name}`)).length, 0);
  assert.ok(size <= 100 << 10, `${size} bytes`);
});
