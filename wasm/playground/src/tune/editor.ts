/** Editing a workflow: its functions in a form, its edges in the drawing, or everything as JSON. */

import type { WorkflowFile, WorkflowFunction } from "aquatope-wasm/web";
import { html } from "../dom";
import { NumberInput } from "../form";
import { MAX_FUNCTIONS, shapeProblem } from "../settings";
import { drawGraph, edgesOf } from "./graph";

/** The numbers of a function that are asked for; the others keep the values of the shipped workflows. */
const FIELDS = [
  { key: "serial_s", label: "Serial work", unit: "core·s", min: 0.001, max: 3600, initial: 0.3 },
  { key: "parallel_s", label: "Parallel work", unit: "core·s", min: 0, max: 3600, initial: 0.6 },
  { key: "max_parallelism", label: "Parallelism", unit: "cores", min: 1, max: 64, initial: 2 },
  { key: "io_s", label: "Waiting", unit: "s", min: 0, max: 3600, initial: 0.3 },
  { key: "ws_base_mb", label: "Working set", unit: "MB", min: 1, max: 65536, initial: 256 },
] as const;

const NEW: WorkflowFunction = {
  name: "function",
  serial_s: 0.3,
  parallel_s: 0.6,
  max_parallelism: 2,
  io_s: 0.3,
  cache_hit_max: 0.6,
  cache_tau_mb: 256,
  ws_base_mb: 256,
  ws_per_req_mb: 16,
  concurrency: 1,
  contention: 0.1,
  thrash_a: 3,
  thrash_b: 1.5,
  thrash_cap: 20,
};

export class Editor {
  private file!: WorkflowFile;
  private picked: number | undefined;
  private readonly functions = html("div", { class: "field" });
  private readonly graph = html("figure", { class: "graph" });
  private readonly message = html("p", { class: "error", role: "alert" });
  private readonly add: HTMLButtonElement;
  private readonly json: HTMLTextAreaElement;

  constructor(
    body: HTMLElement,
    private readonly edited: (file: WorkflowFile) => void,
  ) {
    this.add = html("button", { type: "button", class: "small", click: () => this.append() }, "Add a function");
    this.json = html("textarea", { id: "workflow-json", rows: 8, spellcheck: "false", change: () => this.readJson() });
    body.append(
      html("p", { class: "hint" }, "Pick a function and then the one that starts after it, to join or part them."),
      this.graph,
      this.message,
      this.functions,
      html("div", { class: "buttons" }, this.add),
      html("div", { class: "field" }, html("label", { for: "workflow-json" }, "As JSON (schema aquatope-workflow/1)"), this.json),
    );
  }

  set(file: WorkflowFile): void {
    this.file = structuredClone(file);
    this.picked = undefined;
    this.complain("");
    this.render();
  }

  /** Says what is wrong with the workflow; nothing, with an empty text. */
  complain(text: string): void {
    this.message.textContent = text;
  }

  private render(): void {
    const { functions } = this.file;
    this.functions.replaceChildren(...functions.map((of, index) => this.form(of, index)));
    this.add.disabled = functions.length >= MAX_FUNCTIONS;
    this.renderGraph();
  }

  private renderGraph(): void {
    drawGraph(this.graph, this.file, { picked: this.picked, pick: (index) => this.pick(index) });
    this.json.value = JSON.stringify(this.file, null, 1);
  }

  /** Passes the workflow on; an optimum or configuration stated for the one before no longer holds. */
  private changed(): void {
    this.file.name = String(this.file.name ?? "workflow").replace(/( \(edited\))?$/, " (edited)");
    delete this.file.oracle;
    delete this.file.reference;
    this.renderGraph();
    this.edited(structuredClone(this.file));
  }

  private pick(index: number): void {
    const from = this.picked;
    this.picked = from === undefined ? index : undefined;
    if (from === undefined || from === index) this.renderGraph();
    else {
      const edges = edgesOf(this.file);
      const without = edges.filter(([a, b]) => !(a === from && b === index));
      this.file.edges = without.length < edges.length ? without : [...edges, [from, index]];
      this.changed();
    }
    this.graph.querySelector<SVGElement>(`[data-index="${index}"]`)?.focus();
  }

  private append(): void {
    const names = new Set(this.file.functions.map(({ name }) => name));
    let number = this.file.functions.length + 1;
    while (names.has(`function ${number}`)) number++;
    this.file.functions.push({ ...NEW, name: `function ${number}` });
    this.changed();
    this.render();
  }

  private remove(index: number): void {
    const edges = edgesOf(this.file).filter((edge) => !edge.includes(index));
    const shifted = (end: number) => (end > index ? end - 1 : end);
    this.file.edges = edges.map(([from, to]) => [shifted(from), shifted(to)]);
    this.file.functions.splice(index, 1);
    this.changed();
    this.render();
  }

  private form(of: WorkflowFunction, index: number): HTMLElement {
    const name = html("input", {
      id: `function-${index}-name`,
      value: of.name,
      maxlength: 60,
      change: ({ target }: { target: HTMLInputElement }) => {
        // Edges by name would lose their ends.
        this.file.edges = edgesOf(this.file);
        of.name = target.value;
        this.changed();
      },
    });
    const inputs = FIELDS.map((field) => {
      const input = new NumberInput(field, `function-${index}`, (value) => {
        of[field.key] = value;
        this.changed();
      });
      input.value = of[field.key] ?? field.initial;
      return input.element;
    });
    const remove = html(
      "button",
      { type: "button", class: "small", disabled: this.file.functions.length < 2, "aria-label": `Remove ${of.name}`, click: () => this.remove(index) },
      "Remove",
    );
    return html(
      "fieldset",
      { class: "function" },
      html("legend", {}, `Function ${index}`),
      html("div", { class: "field" }, html("label", { for: name.id }, "Name"), name),
      html("div", { class: "fields" }, ...inputs),
      html("div", {}, remove),
    );
  }

  private readJson(): void {
    let file: unknown;
    try {
      file = JSON.parse(this.json.value);
    } catch (error) {
      return this.complain(`This is not JSON: ${(error as Error).message}`);
    }
    const problem = shapeProblem(file);
    if (problem) return this.complain(problem);
    this.set(file as WorkflowFile);
    this.edited(structuredClone(this.file));
  }
}
