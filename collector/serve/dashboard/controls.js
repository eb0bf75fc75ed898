// Clicks and keys: each changes the view.

import { speak } from "./chart.js";
import { wordOf } from "./derived.js";
import { $, h } from "./dom.js";
import { save } from "./download.js";
import { local } from "./format.js";
import { listenToPicker } from "./picker.js";
import { state } from "./state.js";
import * as views from "./view.js";

const SWITCHES = ["zero", "log"];

/** Add the listeners. *page* has the view and can change it. */
export function listen(page) {
  const moves = {
    back: () => views.moved(page.view(), page.range(), -0.5, page.bounds()),
    on: () => views.moved(page.view(), page.range(), 0.5, page.bounds()),
    in: () => views.zoomed(page.view(), page.range(), 0.5, page.bounds()),
    out: () => views.zoomed(page.view(), page.range(), 2, page.bounds()),
  };
  const preset = (name) => h("button", { type: "button", value: name, title: name === "all" ? "The whole history" : null, onclick: () => page.preset(name) }, name);
  $("presets").replaceChildren(...[...Object.keys(views.PRESETS), "all"].map(preset));
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => page.go(moves[button.dataset.move]()));
  for (const name of SWITCHES) $(name).addEventListener("click", () => page.change({ [name]: !page.view()[name] }));
  listenToChoices(page);
  listenToPicker(page);
  $("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address holds the view
    $("chart").focus();
  });
  for (const kind of ["csv", "drawn", "png", "svg", "link"]) $(`save-${kind}`).addEventListener("click", () => save(kind, page));
  addEventListener("keydown", (event) => event.key === "Escape" && closeMenus(event));
  document.addEventListener("pointerdown", (event) => closeMenus(event));
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
  local.on = localStorage.getItem("local") === "1";
  showZone();
  $("zone").addEventListener("click", () => {
    local.on = !local.on;
    localStorage.setItem("local", local.on ? "1" : "0");
    showZone();
    page.redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", page.redraw);
  addEventListener("popstate", page.restored);
}

function showZone() {
  $("zone").setAttribute("aria-pressed", `${local.on}`);
  $("zone").textContent = local.on ? `UTC + ${local.zone()}` : "UTC";
}

/** Drawing, period of the sums, number of lines, comparison. */
function listenToChoices(page) {
  const options = (id, all) => $(id).replaceChildren(...all.map(([value, text]) => h("option", { value }, text)));
  $("types").replaceChildren(...Object.entries(views.TYPES).map(([value, text]) => h("button", { type: "button", value, onclick: () => page.change({ type: value }) }, text)));
  options("per", [["", "as stored"], ...views.PERS.map((per) => [per, per])]);
  options("top", [["", "20 largest"], ...views.TOPS.filter((top) => top !== "20").map((top) => [top, top === "all" ? "all" : `${top} largest`])]);
  options("values", [["", "counted"], ...Object.entries(views.VALUES)]);
  $("values").addEventListener("change", (event) => page.change(chosenValues(event.target.value)));
  for (const name of ["of", "within"]) $(name).addEventListener("change", (event) => page.change({ [name]: event.target.value || null }));
  $("mean").addEventListener("change", (event) => event.target.validity.valid && event.target.value && page.change({ mean: Number(event.target.value) }));
  options("shift", [...Object.entries(views.SHIFTS), ["date", "from a date …"]]);
  $("per").addEventListener("change", (event) => page.change({ per: event.target.value || null }));
  $("top").addEventListener("change", (event) => page.change({ top: event.target.value || null }));
  $("compare").addEventListener("click", () => page.change({ compare: page.view().compare ? null : "previous" }));
  $("shift").addEventListener("change", (event) => {
    const dated = event.target.value === "date";
    $("shift-date").hidden = !dated;
    if (dated) $("shift-date").focus();
    else page.change({ compare: event.target.value });
  });
  $("shift-date").addEventListener("change", (event) => event.target.value && page.change({ compare: event.target.value }));
}

const NO_VALUES = { of: null, within: null, growth: false, cumulative: false, mean: null, rank: false };
const DEFAULT_MEAN = 7;

/** The part of a view that shows other values; a share is at first one of the first other profile. */
function chosenValues(name) {
  if (!name) return NO_VALUES;
  const first = name === "of" ? state.profiles.find((one) => !one.series.some((label) => state.view.series.includes(label)))?.name ?? state.profiles[0]?.name : null;
  return { ...NO_VALUES, [name]: name === "of" ? first : name === "mean" ? DEFAULT_MEAN : true };
}

/** Show which values are drawn, with what they need: a profile, a filter, a number. */
function showValuesOf(view) {
  const word = wordOf(view);
  $("values").value = word ?? "";
  $("of").hidden = word !== "of";
  $("mean").hidden = word !== "mean";
  if (word === "of") choices("of", state.profiles.map(({ name }) => [name, `of ${name}`]), view.of);
  if (word === "mean") $("mean").value = view.mean;
  const shown = state.profiles.filter((one) => one.series.some((label) => view.series.includes(label)));
  const filters = [...new Set(shown.flatMap((one) => [...Object.keys(one.each), ...(one.dimension ? [one.dimension] : [])].map(snake)))];
  $("within").hidden = !(word === "rank" || word === "of") || (filters.length < 2 && !view.within && word === "rank") || !filters.length;
  if (!$("within").hidden) choices("within", [["", "of all"], ...[...new Set([...filters, ...(view.within ? [view.within] : [])])].map((name) => [name, `same ${name}`])], view.within ?? "");
}

const snake = (name) => name.replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase();

function choices(id, all, value) {
  $(id).replaceChildren(...all.map(([one, text]) => h("option", { value: one }, text)));
  $(id).value = value;
}

/** Show the view in the controls. */
export function showControls(view) {
  for (const button of $("presets").children) button.setAttribute("aria-pressed", `${button.value === view.range}`);
  for (const button of $("types").children) button.setAttribute("aria-pressed", `${button.value === view.type}`);
  for (const name of [...SWITCHES, "compare"]) $(name).setAttribute("aria-pressed", `${Boolean(view[name])}`);
  $("per").value = view.per ?? "";
  $("top").value = view.top === "20" ? "" : view.top ?? "";
  showValuesOf(view);
  $("shift").hidden = !view.compare;
  const dated = Boolean(view.compare) && !Object.hasOwn(views.SHIFTS, view.compare);
  $("shift").value = dated ? "date" : view.compare ?? "previous";
  $("shift-date").hidden = !dated;
  if (dated) $("shift-date").value = view.compare;
  for (const kind of ["csv", "drawn", "png", "svg"]) $(`save-${kind}`).disabled = !view.series.length;
}

/** Close open menus, unless the event is inside. */
function closeMenus(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (event.type === "keydown") menu.querySelector("summary").focus();
    if (event.type === "keydown" || !menu.contains(event.target)) menu.open = false;
  }
}

function key(event, page, moves) {
  const wanted = { "+": "in", "=": "in", "-": "out", _: "out" }[event.key];
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.target !== $("chart") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (wanted) page.go(moves[wanted]());
  else if (event.key === "Escape") page.reset();
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
