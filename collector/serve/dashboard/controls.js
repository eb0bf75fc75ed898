// Clicks and keys: each changes the view.

import { getText } from "./api.js";
import { speak } from "./chart.js";
import { $, h } from "./dom.js";
import { iso } from "./format.js";
import * as views from "./view.js";

const SWITCHES = ["compare", "zero", "log"];

/** Add the listeners. *page* has the view and can change it. */
export function listen(page) {
  const moves = {
    back: () => views.moved(page.view(), page.now(), -0.5),
    on: () => views.moved(page.view(), page.now(), 0.5),
    in: () => views.zoomed(page.view(), page.now(), 0.5),
    out: () => views.zoomed(page.view(), page.now(), 2),
  };
  const preset = (name) => h("button", { type: "button", value: name, onclick: () => page.go({ ...page.view(), range: name, start: null, end: null }) }, name);
  $("presets").replaceChildren(...Object.keys(views.PRESETS).map(preset));
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => page.go(moves[button.dataset.move]()));
  for (const name of SWITCHES) $(name).addEventListener("click", () => page.go({ ...page.view(), [name]: !page.view()[name] }, true));
  $("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address holds the view
    $("chart").focus();
  });
  $("download").addEventListener("click", () => download(page));
  $("chart").addEventListener("keydown", (event) => key(event, page, moves));
  $("only-errors").addEventListener("click", (event) => {
    const only = event.target.getAttribute("aria-pressed") !== "true";
    event.target.setAttribute("aria-pressed", `${only}`);
    page.errorsOnly(only);
  });
  for (const [id, over, out] of [["readout", "pointerover", "pointerleave"], ["profiles", "pointerover", "pointerleave"], ["profiles", "focusin", "focusout"]]) {
    $(id).addEventListener(over, (event) => page.emphasise(labelOf(event.target)));
    $(id).addEventListener(out, () => page.emphasise(null));
  }
  $("theme").addEventListener("click", () => switchTheme(page));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", page.redraw);
  addEventListener("popstate", page.restored);
}

function key(event, page, moves) {
  const wanted = { "+": "in", "=": "in", "-": "out", _: "out" }[event.key];
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.target !== $("chart") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (wanted) page.go(moves[wanted]());
  else if (by && event.shiftKey) page.go(moves[by < 0 ? "back" : "on"]());
  else if (by) speak(page.read(page.chart.step(by)));
  else return;
  event.preventDefault();
}

/** The series of a row or a line of the page; null for none. */
const labelOf = (element) =>
  element.closest("[data-label]")?.dataset.label ?? element.closest("li")?.querySelector(":scope > label [data-series], :scope > .row [data-series]")?.dataset.series ?? null;

function switchTheme(page) {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  page.redraw();
}

/** Save the stored points of the view. If periods are compared, the previous one comes first. */
async function download(page) {
  const { series, compare } = page.view();
  const { start, end } = views.period(page.view(), page.now());
  const shift = views.control({ start, end });
  try {
    const tables = await Promise.all(
      (compare ? [shift, 0] : [0]).map((by) =>
        getText("points", { series, start: iso(start - by), end: iso(end - by), format: "csv" }),
      ),
    );
    const text = tables.map((table, place) => (place ? table.slice(table.indexOf("\n") + 1) : table));
    const blob = new Blob(text, { type: "text/csv" });
    const source = document.documentElement.dataset.simulator ? "simulated" : "radar";
    const anchor = h("a", { href: URL.createObjectURL(blob), download: `${source}-${iso(start).slice(0, 10)}-${iso(end).slice(0, 10)}.csv` });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
  } catch (error) {
    page.notice(`The points could not be downloaded: ${error.message}.`);
  }
}
