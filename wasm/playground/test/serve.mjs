/** A static server of one folder, as plain as the ones the page is put on: `node test/serve.mjs [folder] [port]`. */

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".csv": "text/csv",
  ".wasm": "application/wasm",
};

/** Serves `folder` below `/some/place/`, so that paths that are not relative fail; answers with the address. */
export async function serve(folder, port = 0) {
  const server = createServer(async ({ url = "/" }, answer) => {
    const path = normalize(decodeURIComponent(new URL(url, "http://local").pathname));
    const file = path.startsWith("/some/place/") ? path.slice("/some/place/".length) || "index.html" : "";
    try {
      if (!file || file.startsWith("..")) throw new Error("outside");
      const content = await readFile(join(folder, file));
      answer.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(content);
    } catch {
      answer.writeHead(404).end("not found");
    }
  });
  await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
  return { url: `http://127.0.0.1:${server.address().port}/some/place/`, close: () => server.close() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve(process.argv[2] ?? "dist", Number(process.argv[3] ?? 4173));
  console.log(`the playground is at ${url} (Ctrl-C ends)`);
}
