/** Inputs for numbers, checked as they are typed. */

import { html } from "./dom";
import { type NumberField, readNumber } from "./settings";

/** An input with its label, unit and message. */
export class NumberInput {
  readonly element: HTMLElement;
  private readonly input: HTMLInputElement;
  private readonly message: HTMLElement;

  constructor(
    private readonly field: NumberField,
    prefix: string,
    changed: (value: number) => void,
  ) {
    const id = `${prefix}-${field.key}`;
    this.message = html("span", { class: "error", id: `${id}-error` });
    this.input = html("input", {
      id,
      inputmode: field.whole ? "numeric" : "decimal",
      autocomplete: "off",
      "aria-describedby": `${id}-error`,
      title: field.help,
      input: () => {
        const value = this.read();
        if (value !== undefined) changed(value);
      },
    });
    const unit = field.unit ? html("span", { class: "unit" }, ` ${field.unit}`) : null;
    this.element = html("div", { class: "field" }, html("label", { for: id }, field.label, unit), this.input, this.message);
  }

  set value(value: number) {
    this.input.value = String(value);
    this.read();
  }

  /** The number, or nothing: what is wrong is then said at the input. */
  read(): number | undefined {
    const value = readNumber(this.field, this.input.value);
    const wrong = value instanceof Error;
    this.input.setAttribute("aria-invalid", String(wrong));
    this.message.textContent = wrong ? value.message : "";
    return wrong ? undefined : value;
  }

  focus(): void {
    this.input.focus();
  }
}

/** The options of a list. */
export function fillSelect(select: HTMLSelectElement, options: [value: string, text: string][], chosen: string): void {
  select.replaceChildren(...options.map(([value, text]) => html("option", { value }, text)));
  select.value = chosen;
}

/** A table; the first column names the rows. `classes` may mark rows. */
export function table(head: string[], rows: string[][], classes: (string | undefined)[] = []): HTMLElement {
  return html(
    "table",
    {},
    html("thead", {}, html("tr", {}, ...head.map((text) => html("th", { scope: "col" }, text)))),
    html(
      "tbody",
      {},
      ...rows.map(([first = "", ...rest], row) =>
        html(
          "tr",
          { class: classes[row] },
          html("th", { scope: "row" }, first),
          ...rest.map((text) => html("td", {}, text)),
        ),
      ),
    ),
  );
}

/** One figure of the row at the top. */
export interface Tile {
  name: string;
  value: string;
  note?: string;
  mood?: "good" | "bad";
}

export function showTiles(list: HTMLElement, tiles: Tile[]): void {
  list.replaceChildren(
    ...tiles.map(({ name, value, note, mood }) =>
      html("div", {}, html("dt", {}, name), html("dd", { class: mood }, value, note ? html("small", {}, note) : null)),
    ),
  );
}
