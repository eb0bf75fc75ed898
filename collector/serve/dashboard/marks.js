// Marks around the lines: annotations, gaps, values that are not final yet, revised values.

import { colour, faint, h, link } from "./dom.js";
import { moment, number, period } from "./format.js";

const LANES = 3;
const ROW = 25;
const NARROWEST = 14;
const NARROW = 6;
const LEGIBLE = 52;
const LETTER = 6.4;

function stripes(context, tint) {
  const tile = document.createElement("canvas");
  const side = 8 * devicePixelRatio;
  tile.width = tile.height = side;
  const brush = tile.getContext("2d");
  brush.strokeStyle = tint;
  brush.lineWidth = 1.2 * devicePixelRatio;
  for (const offset of [-side, 0, side]) {
    brush.beginPath();
    brush.moveTo(offset, side);
    brush.lineTo(offset + side, 0);
    brush.stroke();
  }
  return context.createPattern(tile, "repeat");
}

/** Paint the background: the part that is not final yet, annotations, gaps. */
export function drawBehind(chart, data, marks) {
  const { ctx, bbox } = chart;
  const x = (at) => Math.min(Math.max(chart.valToPos(at, "x", true), bbox.left), bbox.left + bbox.width);
  const block = (start, end, paint, least = 0) => {
    const [left, right] = [x(start), x(end)];
    if (right < bbox.left || left > bbox.left + bbox.width) return;
    ctx.fillStyle = paint;
    ctx.fillRect(left, bbox.top, Math.max(right - left, least), bbox.height);
  };
  ctx.save();
  if (marks.finalUntil !== null && marks.finalUntil < data.end) {
    block(Math.max(marks.finalUntil, data.start), data.end, faint(colour("--accent"), 0.045));
    if (marks.finalUntil > data.start) {
      ctx.strokeStyle = faint(colour("--accent"), 0.5);
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x(marks.finalUntil), bbox.top);
      ctx.lineTo(x(marks.finalUntil), bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
    }
  }
  const tone = colour("--note");
  for (const one of data.annotations) {
    const narrow = x(one.end) - x(one.start) < NARROW * devicePixelRatio;
    const whole = one.start <= data.start && one.end >= data.end;
    const lasting = one.end === Infinity; // a change of method that holds until today must not drown the chart
    if (!whole) block(one.start, one.end, faint(tone, lasting ? 0.05 : narrow ? 0.09 : 0.13), 2 * devicePixelRatio);
    if (lasting && one.start > data.start) block(one.start, one.start, faint(tone, 0.35), 2 * devicePixelRatio);
  }
  for (const [reason, tint, alpha] of [["upstream", "--muted", 0.4], ["missing", "--bad", 0.45]]) {
    const hatch = stripes(ctx, faint(colour(tint), alpha));
    const gaps = marks.gaps.filter((gap) => gap.reason === reason);
    for (const gap of merged(gaps)) block(gap.start, gap.end, hatch, 2 * devicePixelRatio);
  }
  ctx.restore();
}

/** Join overlapping gaps of several series, so that each is painted once. */
export function merged(gaps) {
  const joined = [];
  for (const gap of [...gaps].sort((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last && gap.start <= last.end) last.end = Math.max(last.end, gap.end);
    else joined.push({ start: gap.start, end: gap.end });
  }
  return joined;
}

/** Each revised point once, with its first value and its current one. */
function revised(data) {
  const found = new Map();
  for (const one of [...data.revisions].sort((a, b) => a.replaced - b.replaced)) {
    const key = `${one.at} ${one.series}`;
    found.set(key, { ...one, value: found.get(key)?.value ?? one.value });
  }
  return found.values();
}

/** Draw a ring around every revised point, with a line to its first value. */
export function drawRevisions(chart, data, palette) {
  const { ctx, bbox } = chart;
  const drawn = new Set(data.series.filter((series) => !series.thinned && !series.summed).map((series) => series.label));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.setLineDash([]);
  const inside = colour("--card");
  for (const one of revised(data)) {
    if (!drawn.has(one.series)) continue; // its line is of other buckets
    const left = chart.valToPos(one.at, "x", true);
    const [was, is] = [one.value, one.new_value].map((value) => chart.valToPos(value, "y", true));
    ctx.strokeStyle = palette(one.series);
    ctx.lineWidth = 1.2 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(left, was);
    ctx.lineTo(left, is);
    ctx.stroke();
    ctx.fillStyle = inside;
    ctx.beginPath();
    ctx.arc(left, is, 3 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}

/** Place the labels of annotations above the chart, each at the start of its band, as wide as its text if there is room. */
export function layLane(lane, chart, data, opened) {
  const offset = chart.over.offsetLeft;
  const width = chart.over.clientWidth;
  const x = (at) => Math.min(Math.max(chart.valToPos(at, "x"), 0), width);
  const rows = [];
  for (const one of [...data.annotations].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const start = Math.min(x(one.start), width - NARROWEST);
    const end = Math.max(x(Math.min(one.end, data.end)), start + NARROWEST);
    let row = rows.find((placed) => placed.at(-1).end + 4 <= start);
    if (!row && rows.length < LANES) rows.push((row = []));
    row?.push({ one, start, end });
  }
  const labels = rows.flatMap((placed, row) => placed.map(({ one, start, end }, i) => {
    const text = one.description || one.event_type || "";
    const room = (placed[i + 1]?.start ?? width + 4) - 4;
    const wide = Math.min(Math.max(end, start + text.length * LETTER + 18), room) - start;
    const extent = h("span", { class: "extent" });
    extent.style.width = `${end - start}px`;
    const label = h("button", { type: "button", class: "note", title: text, "aria-label": text, onclick: () => opened(one) }, wide < LEGIBLE ? "" : text, extent);
    label.style.left = `${offset + start}px`;
    label.style.top = `${row * ROW}px`;
    label.style.width = `${wide < LEGIBLE ? end - start : wide}px`;
    return label;
  }));
  lane.style.height = `${rows.length * ROW + (rows.length ? 4 : 0)}px`;
  lane.replaceChildren(...labels);
}

/** The details of one annotation. */
export function describe(one) {
  const when = one.is_instantaneous ? moment(one.start) : one.end === Infinity ? `since ${moment(one.start)}` : period(one.start, one.end);
  const withdrawn = one.withdrawn_at ? `, withdrawn ${moment(Date.parse(one.withdrawn_at) / 1000)}` : "";
  return [
    h("strong", {}, one.description || one.event_type || ""),
    h("p", { class: "muted" }, [one.event_type, one.data_source, `${when}${withdrawn}`].filter(Boolean).join(" · "), one.linked_url ? " · " : "", link(one.linked_url, "more")),
  ];
}

/** Texts about the revised points of a column; empty if there are none. */
export function revisionsAt(data, series, column) {
  const found = data.revisions.filter((one) => one.series === series.label && one.at >= column.start && one.at < column.end);
  if (!series.thinned && !series.summed) return found.map((one) => `was ${number(one.value)} until ${moment(one.replaced)}`);
  const buckets = new Set(found.map((one) => one.at)).size;
  return buckets ? [`${buckets} of its ${series.interval} values revised`] : [];
}
