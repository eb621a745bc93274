/**
 * The figures of the package and the playground on this machine, in Debian's Chromium: `make wasm-figures`. Needs
 * `dist/`, made by `npm run build`. A machine that does something else at the same time gives worse ones.
 */

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { prepared } from "../../tests/ask.mjs";
import { bindings } from "../../tests/study.mjs";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const here = (path) => new URL(path, import.meta.url).pathname;
const gzip = (file) => gzipSync(readFileSync(file), { level: 9 }).length;
const browser = await launch();

for (const name of ["aquatope_study", "aquatope_wasm"]) {
  for (const build of ["bg", "simd_bg"]) console.log(`${name}_${build}.wasm: ${gzip(here(`../../pkg/${name}_${build}.wasm`))} bytes after gzip (zlib, level 9)`);
}

/**
 * One ask after the other, natively and in Chromium in turn, so that what slows the machine slows all. Chromium's are those
 * of a page that has asked before, and the first ones of a new page apart.
 */
const asks = { native: [], "Chromium, SIMD": [], "Chromium, plain": [] };
const saved = [...prepared(await bindings("study, plain"))];
const wasm = await serve(here("../.."));
for (let round = 0; round < 10; round++) {
  const said = execFileSync("cargo", ["run", "--release", "--locked", "--quiet", "-p", "aquatope-workflow", "--example", "ask"], { encoding: "utf8" });
  const [median, best] = said.match(/[\d.]+(?= ms)/g).map(Number);
  asks.native.push({ median, best });
  for (const [name, module] of [["Chromium, SIMD", "aquatope_wasm_simd_bg"], ["Chromium, plain", "aquatope_wasm_bg"]]) {
    const page = await browser.newPage();
    await page.goto(wasm.url); // nothing is there, but the origin is
    asks[name].push(
      await page.evaluate(async ([base, module, saved]) => {
        const glue = await import(`${base}pkg/web.js`);
        await glue.default(`${base}pkg/${module}.wasm`);
        return (await import(`${base}tests/ask.mjs`)).timeAsk(glue, Uint8Array.from(saved));
      }, [wasm.url, module, saved]),
    );
    await page.close();
  }
}
wasm.close();
const least = (name, of) => Math.min(...asks[name].map((time) => time[of]));
for (const name of Object.keys(asks)) {
  const ratio = ["best", "median"].map((of) => (least(name, of) / least("native", of)).toFixed(2));
  const firsts = asks[name].map(({ early }) => early).sort((a, b) => a - b);
  const early = name === "native" ? "" : `; the first 15 of a new page, median of medians ${firsts[firsts.length >> 1].toFixed(1)} ms`;
  console.log(`ask, n = 30, d = 8, q = 3, ${name}: best ${least(name, "best").toFixed(1)} ms (${ratio[0]} of native), least median ${least(name, "median").toFixed(1)} ms (${ratio[1]})${early}`);
}

const server = await serve(here("../dist"));
const paints = [];
for (let attempt = 0; attempt < 5; attempt++) {
  const page = await browser.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
  paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
  await page.close();
}
console.log(`first paint: ${paints.map((ms) => ms.toFixed(0)).join(", ")} ms`);
const scripts = readdirSync(here("../dist/assets")).filter((name) => name.endsWith(".js"));
console.log(`scripts: ${scripts.reduce((sum, name) => sum + gzip(here(`../dist/assets/${name}`)), 0)} bytes after gzip (zlib, level 9)`);

/** Times between frames, milliseconds. */
const gaps = (page) =>
  page.evaluate(() => new Promise((finish) => {
    const [gaps, begin] = [[], performance.now()];
    let last;
    const frame = (now) => {
      if (last !== undefined) gaps.push(now - last);
      last = now;
      if (now - begin < 3000) requestAnimationFrame(frame);
      else finish(gaps);
    };
    requestAnimationFrame(frame);
  }));
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
await page.goto(`${server.url}#tune?workflow=ml4&model=blackbox&trials=100`);
for (const state of ["at rest", "tuning"]) {
  if (state === "tuning") await page.click("#run");
  const found = await gaps(page);
  const mean = found.reduce((sum, gap) => sum + gap, 0) / found.length;
  const late = found.filter((gap) => gap > 25).length;
  console.log(`frames ${state}: ${(1000 / mean).toFixed(1)} a second; ${late} of ${found.length} came more than 25 ms after the last, the latest ${Math.max(...found).toFixed(0)} ms`);
}
console.log(`(${await page.locator("#tune-status").textContent()})`);
await browser.close();
server.close();
