// The chart as a picture of its own: SVG with title, axes, names, source and licence; a PNG is made of it.

import { colour, faint, svg } from "./dom.js";
import { compact, dateOf, moment, percent, period, time } from "./format.js";
import { ends, spaced } from "./labels.js";
import { logarithmic } from "./lines.js";
import { merged } from "./marks.js";
import { ink } from "./state.js";

const WIDE = 1200;
const HIGH = 640;
const AREA = { left: 76, top: 84, right: 960, bottom: 560 };
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const SOURCES = {
  radar: "Data: Cloudflare Radar (radar.cloudflare.com), CC BY-NC 4.0",
  simulated: "Simulated data, not from Cloudflare Radar",
};

/** Round steps between two values, about *count* of them. */
export function steps(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const all = [];
  for (let value = Math.ceil(low / size) * size; value <= high + size * 1e-9; value += size) all.push(value);
  return all;
}

/** Whole hours or days for the time axis, at most eight. */
function times({ start, end }) {
  const step = [1, 3, 6, 12, 24, 48, 96, 168, 336, 720, 1440, 2880, 8760].map((hours) => hours * 3600).find((one) => (end - start) / one <= 8) ?? 17520 * 3600;
  const all = [];
  for (let at = Math.ceil(start / step) * step; at <= end; at += step) all.push(at);
  return all;
}

/** The span of the values on one axis. */
function span(frame, axis) {
  if (frame.type === "share") return [0, 100];
  const tops = frame.type === "line" ? [] : [...frame.tops.values()];
  const rows = frame.type === "line" ? [...frame.lines, ...frame.previous].filter((one) => one.axis === axis).map((one) => one.values) : tops;
  const values = rows.flat().filter((value) => value !== null && (!frame.log || value > 0));
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  if (low === Infinity) return [0, 1];
  if (frame.log) return [logarithmic(frame).floor, high * 1.2];
  const zero = frame.zero || frame.type !== "line";
  const air = (high - low || Math.abs(high) || 1) * 0.06;
  return [zero ? Math.min(0, low) : Math.max(low >= 0 ? 0 : -Infinity, low - air), high + air];
}

/** The heights of values on an axis. */
function scale(frame, axis) {
  const [low, high] = span(frame, axis);
  const to = frame.log ? Math.log10 : (value) => value;
  const y = (value) => AREA.bottom - ((to(Math.max(value, frame.log ? low : -Infinity)) - to(low)) / (to(high) - to(low))) * (AREA.bottom - AREA.top);
  const marks = frame.log ? steps(Math.ceil(Math.log10(low)), Math.log10(high), 5).filter(Number.isInteger).map((power) => 10 ** power) : steps(low, high, 6);
  return { y, marks };
}

/** The picture of a frame. */
export function picture(frame, gaps, subject, measure, source) {
  const x = (at) => AREA.left + ((at - frame.start) / (frame.end - frame.start)) * (AREA.right - AREA.left);
  const scales = { y: scale(frame, "y"), y2: scale(frame, "y2") };
  const text = (words, at, more = {}) => svg("text", { x: at[0], y: at[1], fill: colour("--text"), "font-size": 13, ...more }, words);
  const root = svg("svg", { xmlns: "http://www.w3.org/2000/svg", width: WIDE, height: HIGH, viewBox: `0 0 ${WIDE} ${HIGH}`, "font-family": FONT });
  const muted = colour("--muted");
  root.append(svg("rect", { width: WIDE, height: HIGH, fill: colour("--card") }));
  root.append(text(subject, [24, 34], { "font-size": 19, "font-weight": 600 }), text(`${period(frame.start, frame.end)} (UTC) · ${measure}`, [24, 58], { fill: muted }));
  for (const value of scales.y.marks) {
    const y = scales.y.y(value);
    root.append(svg("line", { x1: AREA.left, x2: AREA.right, y1: y, y2: y, stroke: colour("--grid") }), text(frame.type === "share" ? percent(value) : compact(value), [AREA.left - 8, y + 4], { fill: muted, "text-anchor": "end" }));
  }
  for (const at of times(frame)) {
    const words = at % 86400 ? time(at) : dateOf(at);
    root.append(svg("line", { x1: x(at), x2: x(at), y1: AREA.bottom, y2: AREA.bottom + 5, stroke: muted }), text(words, [x(at), AREA.bottom + 22], { fill: muted, "text-anchor": "middle" }));
  }
  root.append(svg("clipPath", { id: "area" }, svg("rect", { x: AREA.left, y: AREA.top, width: AREA.right - AREA.left, height: AREA.bottom - AREA.top })));
  root.append(svg("g", { "clip-path": "url(#area)" }, ...grounds(frame, gaps, x), ...shapes(frame, x, scales)));
  const tails = ends(frame, (value, axis) => (value === null ? AREA.bottom : scales[axis].y(value)));
  const places = spaced(tails.map(({ y }) => y), 15, AREA.bottom);
  tails.forEach(({ line }, i) => root.append(text(line.short.slice(0, 34), [AREA.right + 8, places[i] + 4], { fill: ink(line).stroke, "font-size": 12.5 })));
  const known = frame.lines.length ? `, as known on ${moment(frame.asOf ?? Date.now() / 1000)} UTC` : "";
  root.append(text(`${SOURCES[source]}${known}`, [24, HIGH - 22], { fill: muted, "font-size": 12 }));
  return root;
}

/** The path of a row of values, with a break wherever one is missing. */
function path(frame, values, x, y) {
  let pen = "M";
  return values.map((value, i) => {
    if (value === null) return (pen = "M"), "";
    const part = `${pen}${x(frame.times[i]).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
    return part;
  }).join("");
}

/** Annotations and gaps behind the lines. */
function grounds(frame, gaps, x) {
  const block = ({ start, end }, paint) => svg("rect", { x: x(start).toFixed(1), width: Math.max(x(Math.min(end, frame.end)) - x(start), 1.5).toFixed(1), y: AREA.top, height: AREA.bottom - AREA.top, fill: paint });
  const notes = frame.annotations.filter((one) => one.end !== Infinity);
  return [...merged(notes).map((one) => block(one, faint(colour("--note"), 0.14))), ...merged(gaps).map((one) => block(one, faint(colour("--bad"), 0.16)))];
}

function shapes(frame, x, scales) {
  const line = (one, values, more) => svg("path", { d: path(frame, values, x, scales[one.axis].y), fill: "none", stroke: ink(one).stroke, "stroke-width": 1.8, "stroke-dasharray": ink(one).dash.join(" ") || null, ...more });
  if (frame.type === "line") {
    return [...frame.previous.map((one) => line(one, one.values, { opacity: 0.55, "stroke-dasharray": "5 4", "stroke-width": 1.2 })), ...frame.lines.map((one) => line(one, one.values, {}))];
  }
  return [...frame.lines].reverse().flatMap((one) => frame.tops.get(one.label).flatMap((top, i) => {
    if (top === null) return [];
    const [left, right] = [x(frame.times[i]), x(frame.ends[i])];
    return [svg("rect", { x: left.toFixed(1), width: Math.max(right - left + (frame.type === "bars" ? -1 : 0.3), 0.5).toFixed(1), y: scales.y.y(top).toFixed(1), height: Math.max(scales.y.y(0) - scales.y.y(top), 0).toFixed(1), fill: ink(one).stroke })];
  }));
}

/** A picture in the form of PNG, twice as fine; *text* is the same as SVG. */
export async function toPng(text, drawn) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * Number(drawn.getAttribute("width"));
  canvas.height = 2 * Number(drawn.getAttribute("height"));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}
