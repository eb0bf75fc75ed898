// The values under the cursor, or the newest ones: one row per series.

import { $, h } from "./dom.js";
import { columnAt, newest } from "./data.js";
import { about, change, duration, moment, number } from "./format.js";
import { revisionsAt } from "./marks.js";
import { WIDTHS } from "./view.js";

/** Show the values at a moment, or the newest where *at* is null; gives the same in one sentence. */
export function readout(data, marks, at, tint) {
  const compared = data.previous !== null;
  const rows = data.series.map((series) => row(series, data.previous?.find(({ label, unit }) => label === series.label && unit === series.unit), data, marks, at, tint));
  const shown = at === null ? "Newest in this period" : moment(rows.map((one) => one.start).find((start) => start !== null) ?? at);
  const titles = [shown, "Value", ...(compared ? ["Before", "Change"] : []), ""];
  $("readout-head").replaceChildren(h("tr", {}, ...titles.map((title, i) => h(title ? "th" : "td", { scope: title ? "col" : null, class: i && title ? "number" : "" }, title))));
  $("readout").replaceChildren(...rows.map((one) => one.element));
  return `${shown}: ${rows.map((one) => one.spoken).join("; ")}`;
}

function row(series, previous, data, marks, at, tint) {
  const column = at === null ? newest(series) : columnAt(series, at);
  const before = previous && column ? columnAt(previous, column.start - data.shift) : null;
  const notes = column ? remarks(series, column, data, marks) : [gapAt(series, marks, at) ? "gap" : "no value"];
  const value = series.thinned ? about(column?.mean) : number(column?.mean);
  const cells = [h("td", { class: "number strong" }, value)];
  if (data.previous) {
    cells.push(h("td", { class: "number", "data-title": "before" }, series.thinned ? about(before?.mean) : number(before?.mean)), h("td", { class: "number" }, column ? change(column.mean, before?.mean) : ""));
  }
  const name = h("th", { scope: "row" }, h("span", { class: `swatch c${tint(series.label)}` }), ...named(series));
  return {
    start: column?.start ?? null,
    spoken: [series.label, value, ...notes].join(", "),
    element: h("tr", { "data-label": series.label }, name, ...cells, h("td", { class: "muted notes" }, notes.join(" · "))),
  };
}

/** A label whose profile steps back where a value follows it. */
function named({ label, profile }) {
  const prefix = `${profile}/`;
  return label.startsWith(prefix) ? [h("span", { class: "muted" }, prefix), label.slice(prefix.length)] : [label];
}

/** What the axis counts: the unit, in which buckets, and over how long it is averaged for want of pixels. */
export function showMeasure(data) {
  const each = (of) => [...new Set(data.series.map(of).filter(Boolean))].join(" and ");
  const units = each(({ unit, normalization }) => (normalization === "RAW_VALUES" ? unit : `${unit}, ${normalization}`.replaceAll("_", " ").toLowerCase()));
  const columns = each((series) => series.thinned && `the mean of ${duration(series.width)}`);
  $("measure").textContent = units && data.series.some((series) => series.mean.length) ? `${units} per ${each((series) => WIDTHS[series.interval])}${columns ? `, each value ${columns}` : ""}` : "";
}

function gapAt(series, marks, at) {
  return at !== null && marks.gaps.some((gap) => gap.series === series.label && gap.start <= at && at < gap.end);
}

function remarks(series, column, data, marks) {
  const notes = [];
  if (series.thinned) notes.push(`mean of ${duration(column.end - column.start)}, ${number(column.least)} to ${number(column.most)}`);
  const final = marks.finals.get(series.profile);
  if (final !== undefined && column.end > final) notes.push("may still be revised");
  return [...notes, ...revisionsAt(data, series.label, column)];
}

/** Explain only those signs that are there to be seen. */
export function showKey(data, marks, moved) {
  const signs = [];
  if (marks.gaps.length) signs.push(["gap", "gap"]);
  if (data.annotations.length) signs.push(["note", "annotation"]);
  if (marks.finalUntil !== null && marks.finalUntil < data.end) signs.push(["young", "may still be revised"]);
  if (data.series.some((series) => series.thinned)) signs.push(["band", "least to most"]);
  if (data.revisions.length) signs.push(["ring", "revised"]);
  if (data.previous) signs.push(["dashes", `${duration(moved)} earlier`]);
  $("key").replaceChildren(...signs.map(([sign, text]) => h("li", {}, h("span", { class: `sign ${sign}` }), text)));
}
