import { defineConfig } from "vite";

export default defineConfig({
  // Relative paths: the built folder works wherever it is put.
  base: "./",
  worker: { format: "es" },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
});
