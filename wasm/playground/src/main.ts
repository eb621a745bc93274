/** The page: tabs, theme, address, messages. What the tabs do is in `tune/` and `pool/`. */

import { save } from "./chart";
import { byId, html } from "./dom";
import { PoolView } from "./pool/view";
import { fromAddress, type Settings, type Tab, toAddress } from "./settings";
import { TuneView } from "./tune/view";
import { WORKFLOWS } from "./workflows";

const TABS: Tab[] = ["tune", "pool"];
/** A link longer than this is not kept in the address bar; some programs cut it. */
const MAX_ADDRESS = 8000;

const problems = byId("problems");

function complain(...texts: string[]): void {
  for (const text of texts) {
    const close = html("button", { type: "button", class: "small", click: () => line.remove() }, "Dismiss");
    const line = html("div", {}, html("span", {}, text), close);
    problems.append(line);
  }
}

function announce(text: string): void {
  byId("announcement").textContent = text;
}

let settings: Settings;
let tune: TuneView;
let pool: PoolView;
/** The address this page wrote last, to tell it from one the user typed. */
let written = "";

async function load(): Promise<void> {
  const [read, wrong] = await fromAddress(location.hash, WORKFLOWS);
  settings = read;
  problems.replaceChildren();
  complain(...wrong);
}

async function keep(): Promise<void> {
  written = await toAddress(settings);
  if (written.length <= MAX_ADDRESS) history.replaceState(null, "", written);
}

function open(tab: Tab): void {
  settings.tab = tab;
  for (const name of TABS) {
    const button = byId(`tab-${name}`);
    button.setAttribute("aria-selected", String(name === tab));
    button.tabIndex = name === tab ? 0 : -1;
    byId(`panel-${name}`).hidden = name !== tab;
  }
  (tab === "tune" ? tune : pool).show();
  void keep();
}

function listen(): void {
  TABS.forEach((tab, index) => {
    const button = byId(`tab-${tab}`);
    button.addEventListener("click", () => open(tab));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = step && TABS[(index + step + TABS.length) % TABS.length];
      if (!next) return;
      open(next);
      byId(`tab-${next}`).focus();
    });
  });
  // The address is that of the settings: it is not to become the link's.
  document.querySelector(".skip")?.addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  byId("copy-link").addEventListener("click", async ({ target }) => {
    await keep();
    const button = target as HTMLButtonElement;
    try {
      await navigator.clipboard.writeText(new URL(written, location.href).href);
      button.textContent = "Copied";
      announce("The link is in the clipboard.");
      setTimeout(() => (button.textContent = "Copy link"), 1500);
    } catch {
      complain("The browser does not let the page use the clipboard; the link is in the address bar.");
    }
  });
  for (const figure of document.querySelectorAll<HTMLElement>("figure.panel")) {
    const title = figure.querySelector("figcaption")?.textContent ?? "";
    const label = `Save the chart “${title}” as SVG`;
    figure.append(html("button", { type: "button", class: "save", "aria-label": label, click: () => save(figure, `aquatope-${figure.id}`) }, "SVG"));
  }
  let drawn = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === drawn) return;
    drawn = innerWidth;
    (settings.tab === "tune" ? tune : pool).redraw();
  });
  addEventListener("hashchange", async () => {
    if (location.hash === written) return;
    await load();
    tune.set(settings.tune);
    pool.set(settings.pool);
    open(settings.tab);
  });
}

function theme(): void {
  const order = ["auto", "light", "dark"];
  const button = byId("theme");
  const apply = (name: string) => {
    if (name === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = name;
    button.textContent = `Theme: ${name}`;
  };
  // Storage may be switched off; the theme is then kept for this visit.
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("aquatope-theme") ?? "auto";
  } catch {}
  if (!order.includes(chosen)) chosen = "auto";
  apply(chosen);
  button.addEventListener("click", () => {
    chosen = order[(order.indexOf(chosen) + 1) % order.length] ?? "auto";
    apply(chosen);
    try {
      localStorage.setItem("aquatope-theme", chosen);
    } catch {}
  });
}

async function start(): Promise<void> {
  theme();
  await load();
  const page = { complain, announce, changed: () => void keep() };
  tune = new TuneView(settings.tune, page);
  pool = new PoolView(settings.pool, page);
  listen();
  open(settings.tab);
}

void start();
