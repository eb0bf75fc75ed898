// The lines in the form of uPlot: numbers, colours, dashes, and the values that fit on a logarithmic axis.

import { faint, mixed } from "./dom.js";
import { isPartial } from "./frame.js";

const FEW = 6;
const MANY = 12; // areas: many of them are thin
const DENSE = 3000; // values: more than that, and the lines between areas would hide them

/** The lowest value above zero, where zero is drawn below it, and the numbers of zeros and of values below zero. */
export function logarithmic({ lines, previous }) {
  const all = [...lines, ...previous].filter((one) => one.axis === "y");
  let [least, most, zeros, negative] = [Infinity, 0, 0, 0];
  for (const one of all) {
    one.values.forEach((value, i) => {
      if (value === null) return;
      if (value === 0) zeros += 1;
      else if (value < 0) negative += 1;
      else if (value < least) least = value;
      if (value > most) most = value;
      const low = one.thinned ? one.low[i] : null;
      if (low !== null && low > 0 && low < least) least = low;
    });
  }
  return { least, most, zeros, negative, floor: least === Infinity ? 0.1 : zeros ? below(least / 2) : below(least) };
}

/** The nearest 1, 2 or 5 times a power of ten that is not above a value, so that the axis has round numbers. */
function below(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return (value >= 5 * power ? 5 : value >= 2 * power ? 2 : 1) * power;
}

/** The times, then the values of every line of uPlot, in the order of `styled`. */
export function table(frame) {
  const { floor, least } = frame.log ? logarithmic(frame) : {};
  const shown = (value) => (!frame.log || value === null || value > 0 ? value : value === 0 && least !== Infinity ? floor : null);
  const lower = (value) => (!frame.log || value === null ? value : least === Infinity ? null : Math.max(value, floor));
  const rows = [frame.times];
  if (frame.type !== "line") {
    for (const one of [...frame.lines].reverse()) rows.push(frame.tops.get(one.label));
    return rows;
  }
  for (const one of frame.lines) {
    rows.push(one.values.map((value, i) => (isPartial(one, i) ? null : shown(value))));
    if (banded(frame, one)) rows.push(one.high.map(shown), one.low.map(lower));
  }
  for (const one of frame.previous) rows.push(one.values.map((value, i) => (isPartial(one, i) ? null : shown(value))));
  return rows;
}

/** Whether the extremes of a line are drawn: of a few lines only, because the bands of many hide each other. */
export const banded = (frame, line) => line.thinned && !frame.per && !line.other && frame.lines.length <= FEW;

/** The style of each line of uPlot, and the bands between extremes; *ink* gives the colour and the dashes of a label. */
export function styled(frame, ink, card) {
  return frame.type === "line" ? drawnAsLines(frame, ink) : drawnAsAreas(frame, ink, card);
}

function drawnAsLines(frame, ink) {
  const series = [{}];
  const bands = [];
  for (const one of frame.lines) {
    const { stroke, dash } = ink(one);
    const many = frame.lines.length > FEW;
    series.push({ label: one.label, of: one.label, scale: one.axis, stroke, dash, width: many ? 1.4 : 1.7, points: { size: 4, show: lonely } });
    if (!banded(frame, one)) continue;
    const at = series.length;
    const edge = { of: one.label, scale: one.axis, stroke: "transparent", width: 0, points: { show: false } };
    series.push({ ...edge, label: `${one.label} most` }, { ...edge, label: `${one.label} least` });
    bands.push({ series: [at, at + 1], fill: faint(stroke, frame.lines.length > 3 ? 0.09 : 0.15) });
  }
  for (const one of frame.previous) {
    const stroke = faint(ink(one).stroke, 0.6);
    series.push({ label: `${one.label} before`, of: one.label, scale: one.axis, stroke, width: 1.2, dash: [5, 4], points: { show: false } });
  }
  return { series, bands };
}

/** Show dots only where they are far enough apart to be seen as such. */
const lonely = (chart, at, first, last) => {
  const values = chart.data[at];
  let count = 0;
  for (let i = first; i <= last; i += 1) if (values[i] !== null) count += 1;
  return count > 0 && count <= chart.bbox.width / devicePixelRatio / 40;
};

/** A paint that differs without colour: plain, or stripes whose direction and distance follow the dashes. */
function patterned(paint, card, dash) {
  if (!dash.length) return paint;
  const side = Math.round((dash.length > 2 ? 12 : dash[0] > 5 ? 10 : 6) * devicePixelRatio);
  const tile = document.createElement("canvas");
  tile.width = tile.height = side;
  const brush = tile.getContext("2d");
  brush.fillStyle = paint;
  brush.fillRect(0, 0, side, side);
  brush.strokeStyle = card;
  brush.lineWidth = 1.1 * devicePixelRatio;
  const down = dash[0] > 5;
  for (const offset of [-side, 0, side]) {
    brush.beginPath();
    brush.moveTo(offset, down ? side : 0);
    brush.lineTo(offset + side, down ? 0 : side);
    brush.stroke();
  }
  return () => brush.createPattern(tile, "repeat");
}

/** Rectangles from zero to each value. Each fills a *part* of its column, because months are not equally long. */
const columns = ({ times, ends }, part) => (chart, at, first, last) => {
  const shape = new Path2D();
  const x = (moment) => chart.valToPos(moment, "x", true);
  const bottom = Math.round(chart.valToPos(0, "y", true));
  for (let i = first; i <= last; i += 1) {
    const value = chart.data[at][i];
    if (value === null) continue;
    const air = ((x(ends[i]) - x(times[i])) * (1 - part)) / 2;
    const [left, right] = [Math.round(x(times[i]) + air), Math.round(x(ends[i]) - air)];
    const top = Math.round(chart.valToPos(value, "y", true));
    shape.rect(left, top, Math.max(right - left, 1), bottom - top);
  }
  return { stroke: shape, fill: shape };
};

/** Areas or bars on each other: the highest first, so that each covers the rest of those above it. */
function drawnAsAreas(frame, ink, card) {
  const stepped = frame.per !== null; // a sum belongs to its whole period
  const bars = frame.type === "bars" || stepped ? columns(frame, frame.type === "bars" ? 0.86 : 1) : undefined;
  const one = frame.lines.length === 1;
  const dense = frame.times.length * frame.lines.length > DENSE || frame.lines.length > MANY;
  const series = [...frame.lines].reverse().map((line) => {
    const { stroke, dash } = ink(line);
    return {
      label: line.label, of: line.label, scale: "y", paths: bars, points: { show: false },
      stroke: one && !bars ? stroke : card, width: one && bars ? 0 : dense ? 0.3 : 1, fill: patterned(mixed(stroke, card, 0.85), card, dash),
    };
  });
  return { series: [{}, ...series], bands: [] };
}
