/** The shipped workflows, embedded when the page is built. */

import type { WorkflowFile } from "aquatope-wasm/web";

const files = import.meta.glob<WorkflowFile>("../../../fixtures/workflows/*.json", { eager: true, import: "default" });

/** By name. */
export const WORKFLOWS: Record<string, WorkflowFile> = Object.fromEntries(
  Object.values(files).map((file) => [file.name, file]),
);
