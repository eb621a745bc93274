/** Pictures of every view, for the eye: `node test/screenshots.mjs FOLDER`. */

import { mkdir } from "node:fs/promises";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const folder = process.argv[2] ?? "screenshots";
await mkdir(folder, { recursive: true });
const { url, close } = await serve(new URL("../dist", import.meta.url).pathname);
const browser = await launch();
for (const [size, viewport] of Object.entries({ desktop: { width: 1280, height: 900 }, phone: { width: 400, height: 850 } })) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport, colorScheme });
    page.on("console", (message) => console.log(size, colorScheme, message.text()));
    page.on("pageerror", (error) => console.log(size, colorScheme, error.message));
    for (const [tab, start, state] of [["tune", "#run", "#tune-status"], ["pool", undefined, "#pool-status"]]) {
      if (process.argv[3] && process.argv[3] !== tab) continue;
      await page.goto(`${url}#${tab}`);
      if (start) await page.click(start);
      await page.waitForFunction((at) => document.querySelector(at).textContent.startsWith("Done"), state, { timeout: 120_000 }).catch((error) => console.log(error.message));
      await page.waitForTimeout(200);
      await page.screenshot({ path: `${folder}/${tab}-${size}-${colorScheme}.png`, fullPage: true });
    }
    await page.close();
  }
}
await browser.close();
close();
