// Annotations above the chart, in up to five lanes, and the details of one.

import { h, link } from "./dom.js";
import { moment, period } from "./format.js";

const LANES = 5;
const ROW = 23;
const NARROWEST = 14;
const LEGIBLE = 76;
const FEW_LANES = 3;
const WORDS = [200, 110];
const LETTER = 6.4;

/** The text of an annotation. */
const textOf = (one) => one.description || one.event_type || "";

/** Spread annotations over the lanes, with room for their texts if three lanes are enough for that. */
function spread(annotations, x, width, until) {
  for (const words of WORDS) {
    const legible = lanes(annotations, x, width, until, (one) => Math.min(textOf(one).length * LETTER + 18, words));
    if (!legible.left.length && legible.rows.length <= FEW_LANES) return legible;
  }
  return lanes(annotations, x, width, until);
}

/** Spread annotations over the lanes, each with its pixels from *start* to *end* and at least *room*; what has no room is in *left*. */
export function lanes(annotations, x, width, until, room = () => 0) {
  const rows = [];
  const left = [];
  for (const one of [...annotations].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const start = Math.min(x(one.start), width - NARROWEST);
    const end = Math.max(x(Math.min(one.end, until)), start + NARROWEST);
    let row = rows.find((placed) => placed.at(-1).taken + 4 <= start);
    if (!row && rows.length < LANES) rows.push((row = []));
    if (row) row.push({ one, start, end, taken: Math.max(end, Math.min(start + room(one), width)) });
    else left.push(one);
  }
  return { rows, left };
}

/** Place the labels of annotations above the chart, each at the start of its band, as wide as its text if there is room. */
export function layLanes(box, chart, data, opened, more) {
  const offset = chart.over.offsetLeft;
  const width = chart.over.clientWidth;
  const x = (at) => Math.min(Math.max(chart.valToPos(at, "x"), 0), width);
  const { rows, left } = spread(data.annotations, x, width, data.end);
  const labels = rows.flatMap((placed, row) => placed.map(({ one, start, end }, i) => {
    const text = textOf(one);
    const room = (placed[i + 1]?.start ?? width + 4) - 4;
    const needed = text.length * LETTER + 18;
    const wide = Math.min(Math.max(end, start + needed), room) - start;
    const before = start - (placed[i - 1]?.right ?? -4) - 4;
    placed[i].right = Math.max(end, start + wide);
    if (wide < LEGIBLE && before > 2 * LEGIBLE) return leftOf({ one, start, end, row, offset, wide: Math.min(needed, before) }, text, opened);
    const extent = h("span", { class: "extent" });
    extent.style.width = `${end - start}px`;
    const words = wide < LEGIBLE ? null : h("span", { class: "words", dir: "auto" }, text);
    const label = h("button", { type: "button", class: one.own ? "note own" : "note", title: text, "aria-label": text, onclick: () => opened(one) }, words, extent);
    label.style.left = `${offset + start}px`;
    label.style.top = `${row * ROW}px`;
    label.style.width = `${wide < LEGIBLE ? end - start : wide}px`;
    return label;
  }));
  const rest = left.length ? [h("button", { type: "button", class: "text more", onclick: () => more() }, `+ ${left.length} more`)] : [];
  const height = rows.length * ROW + (left.length ? ROW : 0) + (rows.length ? 2 : 0);
  box.style.height = `${height}px`;
  box.replaceChildren(...labels, ...rest);
  return height;
}

/** A label with its text before its mark, for one near the end of the chart. */
function leftOf({ one, start, end, row, offset, wide }, text, opened) {
  const extent = h("span", { class: "extent" });
  extent.style.width = `${end - start}px`;
  const label = h("button", { type: "button", class: one.own ? "note own before" : "note before", title: text, "aria-label": text, onclick: () => opened(one) }, h("span", { class: "words", dir: "auto" }, text), extent);
  label.style.left = `${offset + start - wide}px`;
  label.style.top = `${row * ROW}px`;
  label.style.width = `${wide + end - start}px`;
  label.style.paddingRight = `${end - start + 6}px`;
  extent.style.left = `${wide}px`;
  return label;
}

/** The details of one annotation. */
export function describe(one) {
  const when = one.is_instantaneous ? moment(one.start) : one.end === Infinity ? `since ${moment(one.start)}` : period(one.start, one.end);
  const withdrawn = one.withdrawn_at ? `, withdrawn ${moment(Date.parse(one.withdrawn_at) / 1000)}` : "";
  return [
    h("strong", { dir: "auto" }, textOf(one)),
    h("p", { class: "muted" }, [one.event_type, one.data_source, `${when}${withdrawn}`].filter(Boolean).join(" · "), one.linked_url ? " · " : "", link(one.linked_url, "more")),
  ];
}
