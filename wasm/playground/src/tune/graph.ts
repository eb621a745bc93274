/** The graph of a workflow as a drawing, layer by layer; with `connect` functions can be picked to join or part them. */

import type { WorkflowFile } from "aquatope-wasm/web";
import { svg } from "../dom";

const [WIDE, HIGH, GAP_X, GAP_Y] = [92, 26, 30, 12];

export interface Connect {
  /** The function that was picked first. */
  picked?: number;
  pick(index: number): void;
}

export function drawGraph(figure: HTMLElement, file: WorkflowFile, connect?: Connect): void {
  const names = file.functions.map(({ name }) => name);
  const edges = edgesOf(file);
  const places = layout(names.length, edges);
  const columns = Math.max(0, ...places.map(([column]) => column)) + 1;
  const rows = Math.max(0, ...places.map(([, row]) => row)) + 1;
  const [width, height] = [columns * (WIDE + GAP_X) - GAP_X, rows * (HIGH + GAP_Y) - GAP_Y];
  const at = (index: number): [number, number] => {
    const [column, row] = places[index] ?? [0, 0];
    const beside = places.filter(([other]) => other === column).length;
    return [column * (WIDE + GAP_X), (row + (rows - beside) / 2) * (HIGH + GAP_Y)];
  };
  const text = edges.map(([from, to]) => `${names[from]} before ${names[to]}`).join(", ");
  const drawing = svg(
    "svg",
    { viewBox: `-2 -2 ${width + 4} ${height + 4}`, style: `max-width: ${1.15 * width + 4}px`, role: connect ? "group" : "img", "aria-label": `Graph of the workflow: ${text || names.join(", ")}` },
    ...edges.flatMap(([from, to]) => arrow(at(from), at(to))),
    ...names.map((name, index) => node(name, index, at(index), connect)),
  );
  figure.replaceChildren(drawing);
}

/** Edges between functions that exist, by number. */
export function edgesOf(file: WorkflowFile): [number, number][] {
  const { functions } = file;
  const number = (end: number | string) => (typeof end === "number" ? end : functions.findIndex(({ name }) => name === end));
  const edges = Array.isArray(file.edges) ? file.edges : [];
  return edges
    .filter(Array.isArray)
    .map(([from, to]): [number, number] => [number(from), number(to)])
    .filter(([from, to]) => from in functions && to in functions);
}

/** Column and row of every function: a function stands right of those before it. */
function layout(count: number, edges: [number, number][]): [number, number][] {
  const column = Array<number>(count).fill(0);
  // As often as there are functions: enough without a cycle, and an end with one.
  for (let round = 0; round < count; round++) {
    for (const [from, to] of edges) column[to] = Math.min(count - 1, Math.max(column[to]!, column[from]! + 1));
  }
  const filled = Array<number>(count).fill(0);
  return column.map((at) => [at, filled[at]!++]);
}

function node(name: string, index: number, [x, y]: [number, number], connect?: Connect): SVGElement {
  const pick = () => connect?.pick(index);
  const press = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    pick();
  };
  const button = connect && { role: "button", tabindex: 0, "aria-pressed": String(connect.picked === index), "data-index": index, click: pick, keydown: press };
  const short = name.length > 13 ? `${name.slice(0, 12)}…` : name;
  return svg(
    "g",
    { class: "node", transform: `translate(${x} ${y})`, ...button },
    svg("title", {}, name),
    svg("rect", { width: WIDE, height: HIGH, rx: 5 }),
    svg("text", { x: WIDE / 2, y: HIGH / 2 + 4 }, short),
  );
}

function arrow([x, y]: [number, number], [toX, toY]: [number, number]): SVGElement[] {
  const [fromX, fromY, endX, endY] = [x + WIDE, y + HIGH / 2, toX, toY + HIGH / 2];
  const bend = Math.max(14, (endX - fromX) / 2);
  return [
    svg("path", { class: "edge", d: `M${fromX} ${fromY}C${fromX + bend} ${fromY} ${endX - bend} ${endY} ${endX - 5} ${endY}` }),
    svg("path", { class: "head", d: `M${endX} ${endY}l-7 -3.5v7z` }),
  ];
}
