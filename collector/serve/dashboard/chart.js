// The chart: uPlot with one line per series, a band of extremes where columns hold several buckets, and marks.

import { bucketAt } from "./data.js";
import { colour, h, $ } from "./dom.js";
import { compact, dayOf, monthOf, time, yearOf } from "./format.js";
import { holdsPoints, lines, logarithmic, tables } from "./lines.js";
import { drawBehind, drawRevisions } from "./marks.js";

const DAY = 86400;
const HEIGHT = () => (innerWidth < 700 ? 260 : 380);
const FEWEST = 700;
const MOST = 2000;
const GUTTER = 68;
const HALF_A_LABEL = 12;

/** Labels of the time axis: UTC, 24 hours, the date at the start of a day, the year at its start. None is so near the end that it would be cut. */
function ticks(chart, splits, _axis, _space, step) {
  const { min, max } = chart.scales.x;
  const cut = (at) => ((max - at) / (max - min)) * (chart.width - GUTTER) < HALF_A_LABEL;
  const words = (at, i) => {
    if (step >= 27 * DAY) return i === 0 || yearOf(at) !== yearOf(splits[i - 1]) ? `${monthOf(at)}\n${yearOf(at)}` : monthOf(at);
    if (step >= DAY) return dayOf(at);
    return i === 0 || at % DAY === 0 ? `${time(at)}\n${dayOf(at)}` : time(at);
  };
  return splits.map((at, i) => (cut(at) ? "" : words(at, i)));
}

export class Chart {
  /** *heard* has callbacks for the bucket under the cursor (null: none) and for a period that was chosen by dragging. */
  constructor(host, heard) {
    this.host = host;
    this.heard = heard;
    this.plot = null;
    this.held = false;
    this.data = null;
    this.marks = { gaps: [], finalUntil: null };
    new ResizeObserver(() => this.resize()).observe(host);
    this.listen();
  }

  /** *axis*: whether it begins at zero, and whether it is logarithmic. */
  show(data, marks, palette, axis) {
    const { left } = this.plot?.cursor ?? {};
    this.plot?.destroy();
    this.plot = null;
    this.emphasised = null;
    this.data = data;
    this.marks = marks;
    this.palette = palette;
    const joined = tables(data, axis.log);
    this.places = new Map(joined?.[0].map((at, i) => [at, i]));
    this.pointed = h("div", { class: "pointed", hidden: true });
    const drawn = axis.log ? logarithmic(data).least !== Infinity : holdsPoints(data);
    if (joined) this.plot = new uPlot(this.options(axis, drawn), joined, this.host);
    this.plot?.over.append(this.pointed);
    if (this.plot && left >= 0) this.plot.setCursor({ left, top: 10 });
    this.host.dataset.drawn = `${Number(this.host.dataset.drawn ?? 0) + 1}`;
  }

  /** Draw the marks again if they were loaded after the lines. */
  mark(marks) {
    this.marks = marks;
    this.plot?.redraw(false);
  }

  /** Undo a move by touch: show the period of the view again. */
  rest() {
    const { min, max } = this.plot?.scales.x ?? {};
    if (this.plot && (min !== this.data.start || max !== this.data.end)) this.plot.setScale("x", { min: this.data.start, max: this.data.end });
  }

  /** Highlight the lines of one series; null: none. */
  emphasise(label) {
    if (!this.plot || this.emphasised === label) return;
    this.emphasised = label;
    for (const line of this.plot.series.slice(1)) line.alpha = label === null || line.of === label ? 1 : 0.16;
    this.plot.redraw(false);
  }

  get width() {
    return Math.max(200, this.host.clientWidth);
  }

  /** The number of columns that fit into the width. */
  get columns() {
    return Math.round(Math.min(Math.max(this.width * devicePixelRatio, FEWEST), MOST));
  }

  resize() {
    if (this.plot && this.plot.width !== this.width) this.plot.setSize({ width: this.width, height: HEIGHT() });
  }

  options({ zero, log: wanted }, drawn) {
    const log = wanted && drawn;
    const { series, bands } = lines(this.data, this.palette);
    const [muted, grid] = [colour("--muted"), colour("--grid")];
    const font = "12px system-ui, sans-serif";
    const { start, end } = this.data;
    return {
      width: this.width,
      height: HEIGHT(),
      series,
      bands,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      legend: { show: false },
      padding: [10, 10, 0, 0],
      scales: { x: { range: [start, end] }, y: log ? { distr: 3 } : { range: (_u, low, high) => span(low, high, zero) } },
      axes: [
        { stroke: muted, font, grid: { show: false }, ticks: { stroke: grid, size: 5 }, values: ticks, space: 70, size: 44 },
        { stroke: muted, font, grid: { stroke: grid, width: 1 }, ticks: { show: false }, size: 58, gap: 8, values: (_u, all) => all.map((value) => (value === null || !drawn ? "" : compact(value))) },
      ],
      cursor: {
        x: false,
        y: false,
        dataIdx: (_chart, line, nearest, at) => (line ? this.places.get(bucketAt(this.data, at)?.start) ?? null : nearest),
        drag: { x: true, y: false, setScale: false },
        points: { size: (_u, at) => (series[at].width > 1.5 ? 8 : 0), width: 2 },
      },
      hooks: {
        drawClear: [(chart) => drawBehind(chart, this.data, this.marks)],
        draw: [(chart) => drawRevisions(chart, this.data, this.palette)],
        setCursor: [(chart) => this.point(chart.cursor.left >= 0 ? bucketAt(this.data, chart.posToVal(chart.cursor.left, "x")) : null)],
        setSelect: [(chart) => this.selected(chart)],
        ready: [(chart) => this.heard.laid(chart)],
        setSize: [(chart) => this.heard.laid(chart)],
      },
    };
  }

  selected(chart) {
    const { left, width } = chart.select;
    if (width < 6) return;
    this.heard.selected(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
    chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  /** Shade the bucket under the cursor, null for none, and call the callback. */
  point(bucket) {
    this.pointed.hidden = !bucket;
    if (bucket) {
      const [left, right] = [bucket.start, bucket.end].map((at) => Math.min(Math.max(this.plot.valToPos(at, "x"), 0), this.plot.over.clientWidth));
      this.pointed.style.left = `${left}px`;
      this.pointed.style.width = `${Math.max(1, right - left)}px`;
    }
    this.heard.cursor(bucket);
  }

  /** Move the cursor by a number of buckets; return its new bucket. */
  step(by) {
    if (!this.plot || !this.data.series.length) return null;
    const { start, end } = this.data;
    const { left } = this.plot.cursor;
    const from = left >= 0 ? bucketAt(this.data, this.plot.posToVal(left, "x")) : null;
    const { width } = this.data.series[0];
    const next = from ? from.start + (by + 0.5) * width : by > 0 ? start : end - 1;
    const bucket = bucketAt(this.data, Math.min(Math.max(next, start), end - 1));
    const middle = (Math.max(bucket.start, start) + Math.min(bucket.end, end)) / 2; // away from its edges, where pixels round
    this.plot.setCursor({ left: this.plot.valToPos(middle, "x"), top: 10 });
    return bucket;
  }

  listen() {
    const plotAt = (event) => {
      const box = this.plot.over.getBoundingClientRect();
      return this.plot.posToVal(event.clientX - box.left, "x");
    };
    this.host.addEventListener("wheel", (event) => {
      if (!this.plot || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.heard.wheel(event.deltaY > 0 ? 1.5 : 1 / 1.5, plotAt(event));
    }, { passive: false });
    this.host.addEventListener("pointerdown", () => { this.held = true; }, true);
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { this.held = false; });
    let from = null;
    this.host.addEventListener("pointerdown", (event) => {
      const pans = event.pointerType === "touch" || event.shiftKey;
      if (!this.plot || !pans || !this.plot.over.contains(event.target)) return;
      from = event.clientX;
      if (event.shiftKey) event.stopPropagation();
    }, true);
    this.host.addEventListener("mousedown", (event) => event.shiftKey && event.stopPropagation(), true);
    this.host.addEventListener("pointermove", (event) => {
      if (from === null || !this.plot) return;
      const by = ((from - event.clientX) / this.plot.over.clientWidth) * (this.data.end - this.data.start);
      this.plot.setScale("x", { min: this.data.start + by, max: this.data.end + by });
    });
    const end = (event) => {
      if (from === null || !this.plot) return;
      const share = (from - event.clientX) / this.plot.over.clientWidth;
      from = null;
      if (Math.abs(share) > 0.01) this.heard.panned(share);
      else this.rest();
    };
    addEventListener("pointerup", end);
    addEventListener("pointercancel", () => { from = null; this.rest(); });
  }
}

/** The span of the value axis: all values with a margin, or from zero. */
function span(low, high, zero) {
  if (low === null || high === null || low === undefined) return [0, 1];
  if (low === high) return zero ? [Math.min(0, low), Math.max(high, 1)] : [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const air = (high - low) * 0.06;
  return zero ? [Math.min(0, low), high + air] : [low >= 0 ? Math.max(0, low - air) : low - air, high + air];
}

/** Announce the bucket under the cursor to screen readers. */
export const speak = (text) => { $("spoken").textContent = text; };
