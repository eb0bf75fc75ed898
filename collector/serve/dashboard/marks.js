// Marks around the lines: annotations, gaps, values that are not final yet, revised values.

import { colour, faint } from "./dom.js";
import { moment, number } from "./format.js";
import { isPartial } from "./frame.js";

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
  const brief = data.annotations.filter((one) => one.end !== Infinity && !(one.start <= data.start && one.end >= data.end));
  for (const one of merged(brief)) block(one.start, one.end, faint(tone, 0.12), 2 * devicePixelRatio);
  for (const one of data.annotations) { // a change of method that holds until today must not drown the chart
    if (one.end === Infinity && one.start > data.start) block(one.start, one.start, faint(tone, 0.35), 2 * devicePixelRatio);
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
  const points = new Map();
  for (const one of [...data.revisions].sort((a, b) => a.replaced - b.replaced)) {
    const key = `${one.at} ${one.series}`;
    points.set(key, { ...one, value: points.get(key)?.value ?? one.value });
  }
  return points.values();
}

/** Draw what is on the lines: revised points, and sums that lack a part. */
export function drawOn(chart, frame, ink) {
  if (frame.type !== "line") return;
  drawRevisions(chart, frame, ink);
  drawPartial(chart, frame, ink);
}

/** Draw a sum that lacks a part as a hollow square, not joined to the others. */
function drawPartial(chart, frame, ink) {
  if (!frame.per) return;
  const { ctx, bbox } = chart;
  const side = 6 * devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.3 * devicePixelRatio;
  ctx.setLineDash([]);
  for (const line of frame.lines) {
    ctx.strokeStyle = ink(line).stroke;
    line.values.forEach((value, i) => {
      if (value === null || !isPartial(line, i) || (frame.log && value <= 0)) return;
      const [left, top] = [chart.valToPos(frame.times[i], "x", true), chart.valToPos(value, line.axis, true)];
      if (left >= bbox.left && left <= bbox.left + bbox.width && top <= bbox.top + bbox.height) ctx.strokeRect(left - side / 2, top - side / 2, side, side);
    });
  }
  ctx.restore();
}

/** Draw a ring around every revised point, with a line to its first value. */
function drawRevisions(chart, data, ink) {
  const { ctx, bbox } = chart;
  if (data.per) return;
  const drawn = new Map(data.lines.filter((line) => !line.thinned && !line.summed).map((line) => [line.label, line]));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.setLineDash([]);
  const inside = colour("--card");
  for (const one of revised(data)) {
    if (!drawn.has(one.series)) continue; // its line is of other buckets
    const left = chart.valToPos(one.at, "x", true);
    const [was, is] = [one.value, one.new_value].map((value) => chart.valToPos(value, drawn.get(one.series).axis, true));
    ctx.strokeStyle = ink(drawn.get(one.series)).stroke;
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

/** Texts about the revised points of a column; empty if there are none. */
export function revisionsAt(data, series, [start, end]) {
  const revised = data.revisions.filter((one) => one.series === series.label && one.at >= start && one.at < end);
  if (!series.thinned && !series.summed && !data.per) return revised.map((one) => `was ${number(one.value)} until ${moment(one.replaced)}`);
  const buckets = new Set(revised.map((one) => one.at)).size;
  return buckets ? [`${buckets} of its ${series.interval} values revised`] : [];
}
