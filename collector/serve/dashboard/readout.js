// The values under the cursor, or the newest ones: one row per line, with its sum and its share.

import { $, h, keepingFocus, swatch } from "./dom.js";
import { about, compact, duration, local, number, percent, period, points } from "./format.js";
import { changeOf, isPartial, newest, overlapOf, stackable } from "./frame.js";
import { logarithmic } from "./lines.js";
import { revisionsAt } from "./marks.js";
import { USUAL_WEEKS, WIDTHS } from "./view.js";

const GAPS = { missing: "gap: not there yet", upstream: "gap: Radar has no value" };

/** Show the values of a column, or the newest if *place* is null; return them as one sentence. *isolate* shows one line alone. */
export function readout(frame, marks, place, ink, isolate) {
  const shown = place === null || place >= frame.times.length ? null : place;
  const shares = stackable(frame.lines) && frame.lines.length > 1 && new Set(frame.lines.map((one) => one.profile)).size === 1;
  const whole = [...frame.lines, ...frame.hidden, ...frame.rest].reduce((all, one) => all + (one.other ? 0 : (one.total ?? 0)), 0);
  const standing = standingOf(frame);
  const rows = frame.lines.map((line) => row(line, { frame, marks, place: shown, ink, isolate, whole: shares ? whole : null, standing }));
  const title = shown === null ? "Newest in this period" : period(frame.times[shown], frame.ends[shown]);
  const words = shown === null || !local.on ? title : `${title} (${local.period(frame.times[shown], frame.ends[shown])})`;
  const sums = frame.lines.some((one) => one.additive || one.derived === "of");
  const titles = [words, "Value", ...(frame.previous.length ? (frame.today ? ["Known now", "Change since"] : ["Before", "Change"]) : []), ...(sums ? ["In this period"] : []), ...(shares ? ["Share"] : []), ...standing.titles, ""];
  $("readout-head").replaceChildren(h("tr", {}, ...titles.map((text, i) => h(text ? "th" : "td", { scope: text ? "col" : null, class: i && text ? "number" : "" }, text))));
  const rest = frame.others && frame.type === "line" ? [row(frame.others, { frame, marks, place: shown, ink, isolate, whole: shares ? whole : null, standing })] : [];
  keepingFocus($("readout"), () => $("readout").replaceChildren(...[...rows, ...rest].map((one) => one.element), ...hidden(frame, ink, isolate, titles.length), ...refusals(frame, titles.length)));
  return `${title}: ${rows.slice(0, 10).map((one) => one.spoken).join("; ")}${rows.length > 10 ? `; and ${rows.length - 10} more` : ""}`;
}

/**
 * The columns that compare shares and ranks of the period with those of the other one: titles, and a function that gives
 * the texts of a line. A share that is a part of what is shown stays one.
 */
function standingOf(frame) {
  const all = frame.compared?.rows;
  if (!all) return { titles: [], texts: () => [] };
  const shown = [...frame.lines, ...frame.hidden, ...frame.rest].filter((one) => !one.other && all.has(one.label)).map((one) => all.get(one.label));
  const sum = (name) => shown.reduce((sums, one) => sums + (one[name] ?? 0), 0);
  const wholes = { total: sum("total"), compared: sum("compared") };
  const shareIn = (rows, name, share) => {
    if (!rows.length || rows.some((one) => !one || one[share] === null)) return null;
    return rows.reduce((parts, one) => parts + (frame.of ? one[share] : (100 * one[name]) / wholes[name]), 0);
  };
  const withShares = shown.some((one) => one.compared_share !== null);
  const texts = (line) => {
    const rows = (line.other ? frame.rest.map((one) => one.label) : [line.label]).map((label) => all.get(label));
    const [now, before] = [shareIn(rows, "total", "share"), shareIn(rows, "compared", "compared_share")];
    const [{ rank = null, compared_rank: earlier = null } = {}] = line.other ? [] : rows;
    const ranks = rank === null && earlier === null ? "" : `${number(rank)} (${number(earlier)})`;
    return [...(withShares ? [before === null ? "" : percent(before), now === null || before === null ? "" : points(now - before)] : []), ranks];
  };
  return { titles: [...(withShares ? ["Share before", "Difference"] : []), "Rank, before"], texts };
}

function row(line, { frame, marks, place, ink, isolate, whole, standing }) {
  const at = place ?? newest(line);
  const value = at < 0 ? null : line.values[at];
  const before = frame.previous.find(({ label, unit }) => label === line.label && unit === line.unit)?.values[at] ?? null;
  const notes = value !== null ? notesOn(line, at, frame, marks) : [absent(line, marks, place === null ? null : [frame.times[at], frame.ends[at]])];
  if (place === null && value !== null) notes.unshift(period(frame.times[at], frame.ends[at]));
  const write = line.thinned && !frame.per ? about : number;
  const text = write(value);
  const cells = [h("td", { class: "number strong" }, text)];
  if (frame.previous.length) {
    cells.push(h("td", { class: "number", "data-title": "before" }, write(before)), h("td", { class: "number" }, at < 0 ? "" : changeOf(frame, line, at, before)));
  }
  const share = line.derived === "of" ? frame.stats?.get(line.label)?.share ?? null : null;
  if (frame.lines.some((one) => one.derived === "of")) cells.push(h("td", { class: "number sum" }, share === null ? "" : percent(share)));
  else if (frame.lines.some((one) => one.additive)) cells.push(h("td", { class: "number sum" }, line.additive && line.total !== null ? compact(line.total) : ""));
  if (whole !== null) cells.push(h("td", { class: "number sum" }, line.total !== null && whole ? percent((100 * line.total) / whole) : ""));
  standing.texts(line).forEach((one, i) => cells.push(h("td", { class: "number", "data-title": standing.titles[i].toLowerCase() }, one)));
  return {
    spoken: [line.label, text, ...notes].join(", "),
    element: h("tr", { "data-label": line.label }, heading(line, ink(line), isolate), ...cells, h("td", { class: "muted notes" }, notes.join(" · "))),
  };
}

/** Name and interval of a series; a click shows it alone. */
function heading(line, style, isolate) {
  const interval = line.summed ? `${line.interval}, summed to ${line.bucket}` : line.interval;
  const name = isolate && !line.other
    ? h("button", { type: "button", class: "text plainly", "data-key": line.label, title: "Show it alone; with Shift: show it as well", onclick: (event) => isolate(line, event.shiftKey) }, ...named(line))
    : h("span", {}, ...named(line));
  return h("th", { scope: "row" }, style ? swatch(style) : h("span", { class: "none" }), name, " ", h("span", { class: "interval" }, interval));
}

/** A label; the part of the profile is pale if a value follows it. */
function named({ label, profile }) {
  const prefix = `${profile}/`;
  return label.startsWith(prefix) ? [h("span", { class: "muted" }, prefix), label.slice(prefix.length)] : [label];
}

/** The series that are hidden because others are shown alone. */
function hidden(frame, ink, isolate, columns) {
  return frame.hidden.slice(0, 20).map((line) => h("tr", { class: "off", "data-label": line.label }, heading(line, ink(line), isolate), h("td", { class: "muted notes", colSpan: columns - 1 }, "hidden")));
}

/** A row for each series that does not fit on this axis, with the reason. A former unit has a row only if it has points here. */
function refusals(frame, columns) {
  return frame.refused.map((series) => h("tr", { class: "refused", "data-label": series.label },
    heading({ ...series, summed: false }, null, null),
    h("td", { class: "notes", colSpan: columns - 1 }, `Not drawn: ${series.refused}.`)));
}

const unitOf = ({ unit, normalization, derived }) => (derived ? unit : (normalization === "RAW_VALUES" ? unit : `${unit}, ${normalization}`).replaceAll("_", " ").toLowerCase());

/** The label of the axes: unit, bucket, over how long it is averaged if there are too few pixels, and where the axis begins. */
export function showMeasure(frame) {
  const [first] = frame.lines.filter((line) => line.axis === "y" && line.values.some((value) => value !== null));
  const second = frame.lines.find((line) => line.axis === "y2");
  if (!first) return void ($("measure").textContent = "");
  const mean = first.thinned && !frame.per ? `, each value the mean of ${duration(first.width)}` : "";
  const summed = frame.lines.some((line) => line.summed) ? "; finer series are summed, incomplete sums left out" : "";
  const share = frame.type === "share" ? "share of the sum of these series, " : "";
  const notes = [
    second && `right axis: ${unitOf(second)} per ${WIDTHS[second.bucket]}`,
    ...(frame.notes ?? []),
    frame.compareRefused && `nothing to compare with, because ${frame.compareRefused}`,
    frame.compared?.refused && `shares and ranks are not compared: ${frame.compared.refused}`,
    frame.compared?.rows && `shares and ranks before are of ${period(frame.compared.start, frame.compared.end)}`,
    frame.perRefused && `not per ${frame.wantedPer}, because ${frame.perRefused}`,
    frame.refusedType && `drawn as lines, because ${overlapOf(frame.lines) ?? `only counts of one unit can be ${frame.refusedType === "share" ? "shares of a sum" : "put on each other"}`}`,
    frame.wantedLog && !frame.log && "a linear axis, because parts of a sum have no logarithmic one",
    frame.type !== "line" && frame.previous.length && "the other period is in the table only",
    frame.type !== "line" && new Set(frame.lines.map((one) => one.profile)).size > 1 && "series of several profiles may overlap: what is in two of them counts twice",
    frame.rest.length && frame.type === "line" && `the ${frame.lines.length} largest; ${frame.rest.length} smaller ones are ${frame.others ? "summed in the table" : "not drawn"}`,
    frame.rest.length && frame.type !== "line" && !frame.others && `only the ${frame.lines.length} largest: ${frame.rest.length} smaller ones are of several profiles`,
  ].filter(Boolean);
  $("measure").textContent = [`${share}${unitOf(first)} per ${frame.per ?? WIDTHS[first.bucket]}${mean}${summed}`, ...notes].join("; ");
}

/** Why there is no value in a column. */
function absent(line, marks, between) {
  if (!between) return "no value";
  const gap = marks.gaps.find((one) => one.series === line.label && one.start < between[1] && one.end > between[0]);
  return gap ? GAPS[gap.reason] : line.summed ? `gap: not all ${line.interval} values are there` : "no value";
}

function notesOn(line, at, frame, marks) {
  const notes = [];
  const [start, end] = [frame.times[at], frame.ends[at]];
  if (isPartial(line, at)) notes.push(`partial: ${Math.floor(line.part[at] * 100)} % of the ${frame.per} is there`);
  else if (line.thinned && !frame.per && line.low[at] !== null) notes.push(`mean of ${duration(end - start)}, ${number(line.low[at])} to ${number(line.high[at])}`);
  const final = marks.finals.get(line.profile);
  if (final !== undefined && end > final) notes.push("may still be revised");
  return [...notes, ...(line.other || line.derived ? [] : revisionsAt(frame, line, [start, end]))];
}

/** Explain only the signs that are visible. */
export function showKey(frame, marks, showAll) {
  const signs = [];
  if (marks.gaps.some((gap) => gap.reason === "missing")) signs.push(["gap", "gap"]);
  if (marks.gaps.some((gap) => gap.reason === "upstream")) signs.push(["gap upstream", "gap, Radar has no value"]);
  if (frame.annotations.some((one) => !one.own)) signs.push(["note", "annotation"]);
  if (frame.annotations.some((one) => one.own)) signs.push(["note own", "mark"]);
  if (marks.finalUntil !== null && marks.finalUntil < frame.end) signs.push(["young", "may still be revised"]);
  if (frame.type === "line" && !frame.per && frame.lines.some((line) => line.thinned)) signs.push(["band", "least to most"]);
  if (frame.type === "line" && frame.partial) signs.push(["square", `${number(frame.partial)} sums lack a part: they are what is there`]);
  if (frame.type !== "line" && frame.left) signs.push(["gap", `${number(frame.left)} columns are left out, because a part is missing`]);
  if (!frame.per && frame.lines.some((line) => !line.thinned && !line.summed && frame.revisions.some((one) => one.series === line.label))) signs.push(["ring", "revised"]);
  if (frame.previous.length && frame.type === "line") signs.push(["dashes", frame.today ? "as known now" : frame.usual ? `the mean of the same time in the ${USUAL_WEEKS} weeks before` : `${duration(frame.shift)} earlier`]);
  const { zeros, negative } = frame.log ? logarithmic(frame) : {};
  if (zeros) signs.push(["zero", `a logarithmic axis has no zero: ${number(zeros)} ${zeros === 1 ? "value is" : "values are"} drawn at its lower end`]);
  if (negative) signs.push(["zero", `${number(negative)} values below zero are left out`]);
  const items = signs.map(([sign, text]) => h("li", {}, h("span", { class: `sign ${sign}` }), text));
  if (frame.hidden.length) items.push(h("li", {}, `${frame.hidden.length} series hidden `, h("button", { type: "button", class: "text", id: "show-all", "data-key": "all", onclick: showAll }, "Show all")));
  keepingFocus($("key"), () => $("key").replaceChildren(...items));
}
