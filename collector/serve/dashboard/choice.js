// Which series are shown: at most as many as the page can draw; it names the others.

import { $, h } from "./dom.js";

export const MOST = 100;
const NAMED = 5;
const LONGEST = 200;

/** Split the series of an address: those to show, those that are unknown, and those that are too many. */
export function resolved(labels, known) {
  const there = labels.filter((label) => known.has(label));
  return { series: there.slice(0, MOST), unknown: labels.filter((label) => !known.has(label)), left: there.slice(MOST) };
}

/**
 * The series to show once *labels* were ticked (*wanted*) or unticked, and those for which there is no room.
 * Ticking what cannot become more unticks it: so a box of many series can always be emptied.
 */
export function toggled(shown, labels, wanted) {
  const others = shown.filter((label) => !labels.includes(label));
  if (!wanted) return { series: others, left: [] };
  const added = labels.filter((label) => !shown.includes(label));
  const room = MOST - shown.length;
  if (room <= 0 && added.length < labels.length) return { series: others, left: [] };
  return { series: [...shown, ...added.slice(0, Math.max(room, 0))], left: added.slice(Math.max(room, 0)) };
}

/** The lines that are shown alone once one was clicked; *add* keeps those that already are. */
export function isolated(only, label, add) {
  if (add) return only.includes(label) ? only.filter((one) => one !== label) : [...only, label];
  return only.length === 1 && only[0] === label ? [] : [label];
}

const option = (label) => h("option", { value: label }, label);

/** Show that *left* do not fit, and offer to swap one for another; *swap* is called with both. */
export function showCap(shown, left, swap) {
  const box = $("cap");
  box.hidden = !left.length;
  if (!left.length) return box.replaceChildren();
  const what = left.length === 1 ? `“${left[0]}” is not shown.` : `${left.length} series are not shown.`;
  const coming = h("select", { "aria-label": "Series to show" }, ...left.map(option));
  const going = h("select", { "aria-label": "Series to hide" }, ...shown.map(option));
  const done = h("button", { type: "button", class: "plain", onclick: () => swap(coming.value, going.value) }, "Swap");
  const close = h("button", { type: "button", class: "text", onclick: () => showCap(shown, [], swap) }, "Close");
  box.replaceChildren(
    h("p", { role: "status" }, `A chart holds ${MOST} series. ${what}`),
    h("div", { class: "swap" }, h("span", {}, "Show"), coming, h("span", {}, "in place of"), going, h("div", { class: "row" }, done, close)),
  );
}

/** Show notices about the chart, one line each, until they are closed. */
export function showNotices(lines) {
  const box = $("notices");
  box.hidden = !lines.length;
  const close = h("button", { type: "button", class: "icon small", "aria-label": "Close", onclick: () => showNotices([]) }, "×");
  box.replaceChildren(...(lines.length ? [h("div", { role: "status" }, ...lines.map((text) => h("p", {}, text))), close] : []));
}

/** Name the unknown series or profiles of an address; only the first of many. */
export function aboutUnknown(unknown, what = "series") {
  if (!unknown.length) return [];
  const more = unknown.length > NAMED ? ` and ${unknown.length - NAMED} more` : "";
  const names = unknown.slice(0, NAMED).map((label) => `“${label.slice(0, LONGEST)}”`).join(", ");
  if (what === "profile") return [`Not shown, because there is no such profile: ${names}${more}.`];
  return [`Not shown, because no profile has ${unknown.length === 1 ? "this series" : "these series"}: ${names}${more}.`];
}
