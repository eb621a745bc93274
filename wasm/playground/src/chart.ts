/**
 * Charts as SVG: linear axes with labels and units, and marks that the caller gives in data coordinates.
 *
 * Colours come from the style sheet, so that a chart follows the page's theme; `exported` writes them into the file.
 */

import { download, number, svg } from "./dom";

/** One axis. */
export interface Axis {
  label: string;
  /** Smallest and largest value shown. */
  range: [number, number];
  format?: (value: number) => string;
  /** The distance of two ticks, where round numbers are not the natural ones. */
  step?: number;
}

/** Something drawn in data coordinates; `kind` is its class in the style sheet. */
export type Mark =
  | { type: "line"; kind: string; points: [number, number][]; step?: boolean }
  | { type: "band"; kind: string; points: [number, number, number][]; step?: boolean }
  | { type: "dots"; kind: string; points: Dot[]; shape?: Shape }
  | { type: "rule"; kind: string; x?: number; y?: number; label: string; below?: boolean };

/** A point and what a pointer over it is told. */
export interface Dot {
  x: number;
  y: number;
  title?: string;
}

export type Shape = "circle" | "ring" | "cross" | "diamond" | "star" | "square" | "triangle";

/** A chart's content. */
export interface Chart {
  title: string;
  /** The finding in words, for those who do not see it. */
  description: string;
  x: Axis;
  y: Axis;
  marks: Mark[];
  /** Something the marks do not show, in a row of its own below the legend; an empty one keeps the place. */
  note?: string;
  legend: { kind: string; shape: Shape | "line" | "band"; text: string }[];
  height?: number;
}

const MARGIN = { top: 12, right: 22, bottom: 42, left: 58 };
const LEGEND_ROW = 18;

/** Draws `chart` into `figure`, as wide as it is. */
export function draw(figure: HTMLElement, chart: Chart): void {
  const width = Math.max(280, Math.floor(figure.clientWidth) || 560);
  const legend = layoutLegend(chart, width);
  const height = (chart.height ?? 300) + legend.height;
  const inner = {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: MARGIN.top + legend.height,
    bottom: height - MARGIN.bottom,
  };
  const across = scale(chart.x.range, [inner.left, inner.right]);
  const up = scale(chart.y.range, [inner.bottom, inner.top]);
  const id = `clip-${figure.id}`;
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", class: "chart" },
    svg("title", {}, chart.title),
    svg("desc", {}, chart.description),
    svg(
      "clipPath",
      { id },
      svg("rect", { x: inner.left, y: inner.top - 6, width: inner.right - inner.left, height: inner.bottom - inner.top + 12 }),
    ),
    ...legend.items,
    ...gridX(chart.x, across, inner),
    ...gridY(chart.y, up, inner),
    svg("g", { "clip-path": `url(#${id})` }, ...chart.marks.flatMap((mark) => drawMark(mark, across, up, inner))),
  );
  figure.querySelector("svg.chart")?.remove();
  figure.prepend(drawing);
}

/** Offers the chart in `figure` as an SVG file that looks the same outside the page. */
export function save(figure: HTMLElement, name: string): void {
  const drawing = figure.querySelector<SVGSVGElement>("svg.chart");
  if (drawing) download(`${name}.svg`, "image/svg+xml", exported(drawing));
}

const STYLES = [
  "fill",
  "fill-opacity",
  "stroke",
  "stroke-width",
  "stroke-opacity",
  "stroke-dasharray",
  "stroke-linejoin",
  "paint-order",
  "opacity",
  "font-family",
  "font-size",
  "font-weight",
  "text-anchor",
];

/** The drawing with the style sheet's values written into every element. */
export function exported(drawing: SVGSVGElement): string {
  const copy = drawing.cloneNode(true) as SVGSVGElement;
  const originals = [drawing, ...drawing.querySelectorAll<SVGElement>("*")];
  const copies = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  originals.forEach((original, index) => {
    const style = getComputedStyle(original);
    for (const name of STYLES) copies[index]?.setAttribute(name, style.getPropertyValue(name));
    copies[index]?.removeAttribute("class");
  });
  const background = getComputedStyle(document.body).backgroundColor;
  copy.insertBefore(svg("rect", { width: "100%", height: "100%", fill: background }), copy.firstChild);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new XMLSerializer().serializeToString(copy);
}

/** A range with some air around the values, or `fallback` when there are none. */
export function around(values: number[], fallback: [number, number], from?: number): [number, number] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return fallback;
  const low = from ?? finite.reduce((a, b) => Math.min(a, b));
  const high = finite.reduce((a, b) => Math.max(a, b), low);
  const air = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
  return [from ?? low - air, high + air];
}

/** Round numbers within a range, about `wanted` of them. */
export function ticks([low, high]: [number, number], wanted: number, step = roundStep((high - low) / wanted)): number[] {
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / (2 * wanted)));
  const found: number[] = [];
  // Adding 0 makes a negative 0 positive.
  for (let k = Math.ceil(first / every) * every; k <= last; k += every) found.push(k * step + 0);
  return found;
}

function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const factor = [1, 2, 5, 10].find((factor) => factor * power >= step * 0.75) ?? 10;
  return factor * power;
}

type Scale = (value: number) => number;
interface Inner {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

function scale([low, high]: [number, number], [from, to]: [number, number]): Scale {
  const factor = (to - from) / (high - low || 1);
  // Far outside is as good as outside, and keeps the file free of huge numbers.
  return (value) => round(Math.min(1e5, Math.max(-1e5, from + (value - low) * factor)));
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}

function gridX(axis: Axis, across: Scale, inner: Inner): SVGElement[] {
  const format = axis.format ?? ((value: number) => number(value));
  const wanted = Math.max(3, Math.floor((inner.right - inner.left) / 85));
  const marks = ticks(axis.range, wanted, axis.step).map((value) => {
    const x = across(value);
    return svg(
      "g",
      {},
      svg("line", { class: "grid", x1: x, x2: x, y1: inner.top, y2: inner.bottom }),
      svg("text", { class: "tick middle", x, y: inner.bottom + 16 }, format(value)),
    );
  });
  const middle = (inner.left + inner.right) / 2;
  return [...marks, svg("text", { class: "label middle", x: middle, y: inner.bottom + 35 }, axis.label)];
}

function gridY(axis: Axis, up: Scale, inner: Inner): SVGElement[] {
  const format = axis.format ?? ((value: number) => number(value));
  const wanted = Math.max(2, Math.floor((inner.bottom - inner.top) / 48));
  const marks = ticks(axis.range, wanted, axis.step).map((value) => {
    const y = up(value);
    return svg(
      "g",
      {},
      svg("line", { class: "grid", x1: inner.left, x2: inner.right, y1: y, y2: y }),
      svg("text", { class: "tick end", x: inner.left - 7, y: y + 4 }, format(value)),
    );
  });
  const middle = (inner.top + inner.bottom) / 2;
  const turned = `translate(13 ${middle}) rotate(-90)`;
  return [...marks, svg("text", { class: "label middle", transform: turned }, axis.label)];
}

function drawMark(mark: Mark, across: Scale, up: Scale, inner: Inner): SVGElement[] {
  switch (mark.type) {
    case "line":
      return [svg("path", { class: `line ${mark.kind}`, d: path(mark.points, across, up, mark.step) })];
    case "band":
      return [svg("path", { class: `band ${mark.kind}`, d: bandPath(mark.points, across, up, mark.step) })];
    case "dots":
      return mark.points.map((dot) => drawDot(dot, mark.kind, mark.shape ?? "circle", across, up));
    case "rule":
      return drawRule(mark, across, up, inner);
  }
}

function drawRule(mark: Extract<Mark, { type: "rule" }>, across: Scale, up: Scale, inner: Inner): SVGElement[] {
  if (mark.x !== undefined) {
    const x = across(mark.x);
    const end = x > (inner.left + inner.right) / 2;
    const place = { class: `note ${end ? "end" : ""}`, x: end ? x - 5 : x + 5, y: inner.top + 11 };
    return [
      svg("line", { class: `line ${mark.kind}`, x1: x, x2: x, y1: inner.top, y2: inner.bottom }),
      svg("text", place, mark.label),
    ];
  }
  const y = up(mark.y ?? 0);
  return [
    svg("line", { class: `line ${mark.kind}`, x1: inner.left, x2: inner.right, y1: y, y2: y }),
    svg("text", { class: "note end", x: inner.right - 4, y: mark.below ? y + 14 : y - 5 }, mark.label),
  ];
}

function path(points: [number, number][], across: Scale, up: Scale, step = false): string {
  let drawn = "";
  for (const [index, [x, y]] of points.entries()) {
    if (index === 0) drawn += `M${across(x)} ${up(y)}`;
    else drawn += step ? `H${across(x)}V${up(y)}` : `L${across(x)} ${up(y)}`;
  }
  return drawn;
}

function bandPath(points: [number, number, number][], across: Scale, up: Scale, step = false): string {
  if (points.length === 0) return "";
  const upper = path(points.map(([x, , high]) => [x, high]), across, up, step);
  let lower = "";
  let last: number | undefined;
  for (const [x, low] of points.toReversed()) {
    // Backwards a step goes up or down first.
    lower += step && last !== undefined ? `V${up(low)}H${across(x)}` : `L${across(x)} ${up(low)}`;
    last = x;
  }
  return `${upper}${lower}Z`;
}

function drawDot(dot: Dot, kind: string, shape: Shape, across: Scale, up: Scale): SVGElement {
  return svg(
    "g",
    { class: `dot ${kind}`, transform: `translate(${across(dot.x)} ${up(dot.y)})` },
    drawShape(shape),
    dot.title ? svg("title", {}, dot.title) : null,
  );
}

function drawShape(shape: Shape): SVGElement {
  switch (shape) {
    case "circle":
      return svg("circle", { r: 3.4 });
    case "ring":
      return svg("circle", { r: 4.6, class: "hollow" });
    case "cross":
      return svg("path", { d: "M-4 -4L4 4M-4 4L4 -4", class: "hollow" });
    case "diamond":
      return svg("path", { d: "M0 -7L6 0L0 7L-6 0Z" });
    case "triangle":
      return svg("path", { d: "M0 -9L4 -2.5H-4Z" });
    case "square":
      return svg("path", { d: "M-3.2 -3.2H3.2V3.2H-3.2Z" });
    case "star": {
      const corner = (k: number) => {
        const [radius, angle] = [k % 2 ? 3 : 7.5, (Math.PI * k) / 5];
        return `${round(radius * Math.sin(angle))} ${round(-radius * Math.cos(angle))}`;
      };
      return svg("path", { d: `M${Array.from({ length: 10 }, (_, k) => corner(k)).join("L")}Z` });
    }
  }
}

/** Keys from left to right in rows; text is about 6.6 units a letter. */
function layoutLegend(chart: Chart, width: number): { items: SVGElement[]; height: number } {
  let [x, row] = [MARGIN.left, 0];
  const items: SVGElement[] = chart.legend.map(({ kind, shape, text }) => {
    const wide = 34 + 6.6 * text.length;
    if (x + wide > width && x > MARGIN.left) [x, row] = [MARGIN.left, row + 1];
    const key =
      shape === "line"
        ? svg("line", { class: `line ${kind}`, x1: 0, x2: 14, y1: 0, y2: 0 })
        : shape === "band"
          ? svg("rect", { class: `band ${kind}`, x: 0, y: -5, width: 14, height: 10 })
          : svg("g", { class: `dot ${kind}`, transform: `translate(7 ${shape === "triangle" ? 6 : 0})` }, drawShape(shape));
    const item = svg(
      "g",
      { transform: `translate(${x} ${10 + row * LEGEND_ROW})` },
      key,
      svg("text", { class: "key", x: 20, y: 4 }, text),
    );
    x += wide;
    return item;
  });
  if (chart.note !== undefined) items.push(svg("text", { class: "note", x: MARGIN.left, y: 14 + ++row * LEGEND_ROW }, chart.note));
  return { items, height: items.length ? (row + 1) * LEGEND_ROW : 0 };
}
