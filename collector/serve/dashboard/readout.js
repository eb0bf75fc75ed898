// The values under the cursor, or the newest ones: one row per series.

import { columnAt, newest } from "./data.js";
import { $, h } from "./dom.js";
import { about, change, duration, number, period } from "./format.js";
import { logarithmic } from "./lines.js";
import { revisionsAt } from "./marks.js";
import { WIDTHS } from "./view.js";

const GAPS = { missing: "gap: not there yet", upstream: "gap: Radar has no value" };

/** Show the values of a bucket, or the newest if it is null; return them as one sentence. */
export function readout(data, marks, bucket, tint) {
  const before = (series) => data.previous?.find(({ label, unit }) => label === series.label && unit === series.unit);
  const rows = data.series.map((series) => row(series, before(series), data, marks, bucket, tint));
  const shown = bucket ? period(bucket.start, bucket.end) : "Newest in this period";
  const titles = [shown, "Value", ...(data.previous ? ["Before", "Change"] : []), ""];
  $("readout-head").replaceChildren(h("tr", {}, ...titles.map((title, i) => h(title ? "th" : "td", { scope: title ? "col" : null, class: i && title ? "number" : "" }, title))));
  $("readout").replaceChildren(...rows.map((one) => one.element), ...refusals(data, titles.length));
  return `${shown}: ${rows.map((one) => one.spoken).join("; ")}`;
}

function row(series, previous, data, marks, bucket, tint) {
  const column = bucket ? columnAt(series, bucket.start) : newest(series);
  const before = previous && column ? columnAt(previous, column.start - data.shift) : null;
  const notes = column ? notesOn(series, column, data, marks) : [absent(series, marks, bucket)];
  if (!bucket && column) notes.unshift(period(column.start, column.end));
  const value = series.thinned ? about(column?.mean) : number(column?.mean);
  const cells = [h("td", { class: "number strong" }, value)];
  if (data.previous) {
    cells.push(h("td", { class: "number", "data-title": "before" }, series.thinned ? about(before?.mean) : number(before?.mean)), h("td", { class: "number" }, column ? change(column.mean, before?.mean) : ""));
  }
  return {
    spoken: [series.label, value, ...notes].join(", "),
    element: h("tr", { "data-label": series.label }, heading(series, `swatch c${tint(series.label)}`), ...cells, h("td", { class: "muted notes" }, notes.join(" · "))),
  };
}

/** Name and interval of a series. */
function heading(series, swatch) {
  const interval = series.summed ? `${series.interval}, summed to ${series.bucket}` : series.interval;
  return h("th", { scope: "row" }, h("span", { class: swatch }), ...named(series), " ", h("span", { class: "interval" }, interval));
}

/** A label; the part of the profile is pale if a value follows it. */
function named({ label, profile }) {
  const prefix = `${profile}/`;
  return label.startsWith(prefix) ? [h("span", { class: "muted" }, prefix), label.slice(prefix.length)] : [label];
}

/** A row for each series that does not fit on this axis, with the reason. A former unit has a row only if it has points here. */
function refusals(data, columns) {
  return data.refused.map((series) => h("tr", { class: "refused", "data-label": series.label },
    heading({ ...series, summed: false }, "swatch"),
    h("td", { class: "notes", colSpan: columns - 1 }, `Not drawn: ${series.refused}.`)));
}

/** The label of the axis: unit, bucket, and over how long it is averaged if there are too few pixels. */
export function showMeasure(data) {
  const [first] = data.series.filter((series) => series.mean.length);
  if (!first) return void ($("measure").textContent = "");
  const unit = first.normalization === "RAW_VALUES" ? first.unit : `${first.unit}, ${first.normalization}`.replaceAll("_", " ").toLowerCase();
  const mean = first.thinned ? `, each value the mean of ${duration(first.width)}` : "";
  const summed = data.series.some((series) => series.summed) ? "; finer series are summed, incomplete sums left out" : "";
  $("measure").textContent = `${unit} per ${WIDTHS[first.bucket]}${mean}${summed}`;
}

/** Why there is no value in a bucket. */
function absent(series, marks, bucket) {
  if (!bucket) return "no value";
  const gap = marks.gaps.find((one) => one.series === series.label && one.start < bucket.end && one.end > bucket.start);
  return gap ? GAPS[gap.reason] : series.summed ? `no value: not all ${series.interval} values are there` : "no value";
}

function notesOn(series, column, data, marks) {
  const notes = [];
  if (series.thinned) notes.push(`mean of ${duration(column.end - column.start)}, ${number(column.least)} to ${number(column.most)}`);
  const final = marks.finals.get(series.profile);
  if (final !== undefined && column.end > final) notes.push("may still be revised");
  return [...notes, ...revisionsAt(data, series, column)];
}

/** Explain only the signs that are visible. */
export function showKey(data, marks, log) {
  const signs = [];
  if (marks.gaps.some((gap) => gap.reason === "missing")) signs.push(["gap", "gap"]);
  if (marks.gaps.some((gap) => gap.reason === "upstream")) signs.push(["gap upstream", "gap, Radar has no value"]);
  if (data.annotations.length) signs.push(["note", "annotation"]);
  if (marks.finalUntil !== null && marks.finalUntil < data.end) signs.push(["young", "may still be revised"]);
  if (data.series.some((series) => series.thinned)) signs.push(["band", "least to most"]);
  if (data.series.some((series) => !series.thinned && !series.summed && data.revisions.some((one) => one.series === series.label))) signs.push(["ring", "revised"]);
  if (data.previous) signs.push(["dashes", `${duration(data.shift)} earlier`]);
  const zeros = log ? logarithmic(data).zeros : 0;
  if (zeros) signs.push(["zero", `a logarithmic axis has no zero: ${number(zeros)} ${zeros === 1 ? "value is" : "values are"} left out`]);
  $("key").replaceChildren(...signs.map(([sign, text]) => h("li", {}, h("span", { class: `sign ${sign}` }), text)));
}
