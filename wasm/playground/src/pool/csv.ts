/** Reading a trace: `minute,func,cnt,act`, one row a function and minute; rows that are left out are idle minutes. */

/** The minutes of one function, from 0. */
export interface Series {
  func: number;
  /** Invocations started. */
  counts: Uint32Array;
  /** Peak busy containers. */
  peaks: Uint32Array;
}

export interface Trace {
  minutes: number;
  functions: Series[];
}

/** The largest file read, bytes; the longest trace, minutes; the most functions. */
export const MAX_BYTES = 16 << 20;
export const MAX_MINUTES = 60 * 1440;
export const MAX_FUNCTIONS = 200;
const COLUMNS = ["minute", "func", "cnt", "act"] as const;
const MOST: Record<(typeof COLUMNS)[number], number> = { minute: MAX_MINUTES - 1, func: 2 ** 31, cnt: 1e9, act: 65535 };

/** The trace in `text`; an error names line and column. */
export function readTrace(text: string): Trace {
  if (text.length > MAX_BYTES) {
    throw new Error(`The file has ${(text.length / 2 ** 20).toFixed(0)} MB; at most ${MAX_BYTES >> 20} MB are read. Keep fewer functions or days.`);
  }
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const head = (lines[0] ?? "").split(",").map((name) => name.trim().toLowerCase());
  const missing = COLUMNS.filter((name) => !head.includes(name));
  if (missing.length > 0) {
    const found = (lines[0] ?? "").slice(0, 60);
    throw new Error(`Line 1 must name the columns minute,func,cnt,act: ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing in “${found}”.`);
  }
  const at = COLUMNS.map((name) => head.indexOf(name));
  const rows = new Map<number, [number, number, number][]>();
  let minutes = 0;
  for (let line = 1; line < lines.length; line++) {
    const said = lines[line]!;
    if (said.trim() === "") continue;
    const cells = said.split(",");
    const values = COLUMNS.map((name, column) => whole(cells[at[column]!], name, line + 1));
    const [minute, func, count, peak] = values as [number, number, number, number];
    let of = rows.get(func);
    if (!of) {
      if (rows.size === MAX_FUNCTIONS) throw new Error(`Line ${line + 1}: more than ${MAX_FUNCTIONS} functions. Keep fewer.`);
      rows.set(func, (of = []));
    }
    of.push([minute, count, peak]);
    minutes = Math.max(minutes, minute + 1);
  }
  if (rows.size === 0) throw new Error("The file has no rows after its first line; give lines such as 0,0,12,3.");
  const functions = [...rows].sort(([a], [b]) => a - b).map(([func, of]) => {
    const [counts, peaks] = [new Uint32Array(minutes), new Uint32Array(minutes)];
    for (const [minute, count, peak] of of) [counts[minute], peaks[minute]] = [count, peak];
    return { func, counts, peaks };
  });
  return { minutes, functions };
}

function whole(cell: string | undefined, column: (typeof COLUMNS)[number], line: number): number {
  const text = cell?.trim() ?? "";
  const value = Number(text);
  if (text === "" || !Number.isInteger(value) || value < 0) {
    throw new Error(`Line ${line}, column ${column}: “${text.slice(0, 40)}” is not a whole number, 0 or more.`);
  }
  if (value > MOST[column]) throw new Error(`Line ${line}, column ${column}: ${value} is more than the ${MOST[column]} that are read.`);
  return value;
}
