// The chart: uPlot with the lines of a frame, marks behind and on them, names at their ends, values beside the cursor.

import { Gestures } from "./gestures.js";
import { colour, h, $ } from "./dom.js";
import { compact, dayOf, monthOf, percent, time, yearOf } from "./format.js";
import { holdsPoints, placeAt } from "./frame.js";
import { layLabels } from "./labels.js";
import { logarithmic, styled, table } from "./lines.js";
import { drawBehind, drawOn } from "./marks.js";
import { showTip } from "./tooltip.js";

const DAY = 86400;
const WEEK = 7 * DAY;
const FEWEST = 700;
const MOST = 2000;
const GUTTER = 68;
const NAMES = 156;
const HALF_A_LABEL = 12;
const BELOW = 96; // of the window: the overview and the edge of the card

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

/** The starts of weeks, every third at most, where they have room; undefined if the usual places are better. */
function weeks({ times, ends }, width) {
  if (!times.length || ends[0] - times[0] !== WEEK) return undefined;
  const every = Math.ceil((times.length * 70) / width);
  return every <= 3 ? times.filter((_, i) => i % every === 0) : undefined;
}

export class Chart {
  /** *heard* has callbacks: for the place under the cursor (null: none), for gestures, and for names that are clicked. */
  constructor(host, heard) {
    Object.assign(this, { host, heard, plot: null, frame: null, marks: { gaps: [], finalUntil: null }, place: null });
    this.tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.names = h("div", { class: "ends", "aria-hidden": "true" });
    host.append(this.names, this.tip);
    new ResizeObserver(() => this.resize()).observe(host);
    addEventListener("resize", () => this.resize());
    this.gestures = new Gestures(this, heard);
  }

  get held() {
    return this.gestures.held;
  }

  /** Draw a frame; *ink* gives the colour and the dashes of a line. */
  show(frame, marks, ink) {
    const { left } = this.plot?.cursor ?? {};
    this.plot?.destroy();
    Object.assign(this, { plot: null, emphasised: null, frame, marks, ink, place: null });
    this.pointed = h("div", { class: "pointed", hidden: true });
    this.tip.hidden = true;
    this.names.replaceChildren();
    const drawn = holdsPoints(frame) && (!frame.log || logarithmic(frame).least !== Infinity || logarithmic(frame).zeros > 0);
    const empty = [[frame.start, frame.end], ...table(frame).slice(1).map(() => [null, null])];
    if (frame.lines.length || frame.previous.length) this.plot = new uPlot(this.options(drawn), drawn ? table(frame) : empty, this.host);
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
    if (this.plot && (min !== this.frame.start || max !== this.frame.end)) this.plot.setScale("x", { min: this.frame.start, max: this.frame.end });
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

  /** As high as the window allows, so that chart and overview are seen at once. */
  get height() {
    if (innerWidth < 700) return 260;
    const top = this.host.getBoundingClientRect().top + scrollY;
    return Math.round(Math.min(Math.max(innerHeight - top - BELOW, 300), 640));
  }

  /** The room for names at the right. */
  get gutter() {
    return this.width >= 720 && (this.frame?.lines.length ?? 0) > 1 ? NAMES : 10;
  }

  /** The number of columns that fit into the width. */
  get columns() {
    return Math.round(Math.min(Math.max((this.width - GUTTER) * devicePixelRatio, FEWEST), MOST, Math.max(this.width, FEWEST)));
  }

  resize() {
    const [width, height] = [this.width, this.height];
    if (this.plot && (this.plot.width !== width || Math.abs(this.plot.height - height) > 2)) this.plot.setSize({ width, height });
  }

  options(drawn) {
    const { frame } = this;
    const log = frame.log && drawn;
    const { series, bands } = styled(frame, this.ink, colour("--card"));
    const [muted, grid] = [colour("--muted"), colour("--grid")];
    const font = "12px system-ui, sans-serif";
    const bounds = log ? logarithmic(frame) : null;
    const words = (value) => (frame.type === "share" || ["of", "growth"].includes(frame.lines[0]?.derived) ? `${Math.round(value * 10) / 10} %` : log && bounds.zeros && value <= bounds.floor ? "" : compact(value));
    const value = { stroke: muted, font, ticks: { show: false }, size: 58, gap: 8, values: (_u, all) => all.map((one) => (one === null || !drawn ? "" : words(one))) };
    const second = frame.lines.some((one) => one.axis === "y2");
    const mondays = weeks(frame, this.width - GUTTER - this.gutter);
    const span = (_u, low, high) => spanOf(low, high, frame.zero || frame.type !== "line", frame.type === "share");
    return {
      width: this.width,
      height: this.height,
      series,
      bands,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      legend: { show: false },
      padding: [10, this.gutter, 0, 0],
      scales: {
        x: { range: () => [frame.start, frame.end] },
        y: log ? { distr: 3, range: [bounds.floor, Math.max(bounds.most * 1.2, bounds.floor * 10)] } : { range: span },
        ...(second ? { y2: { range: (_u, low, high) => spanOf(low, high, frame.zero, false) } } : {}),
      },
      axes: [
        { stroke: muted, font, grid: { show: false }, ticks: { stroke: grid, size: 5 }, values: ticks, space: 70, size: 44, ...(mondays ? { splits: () => mondays } : {}) },
        { scale: "y", grid: { stroke: grid, width: 1 }, ...value },
        ...(second ? [{ scale: "y2", side: 1, grid: { show: false }, ...value }] : []),
      ],
      cursor: {
        x: false,
        y: false,
        dataIdx: (_chart, line, nearest, at) => (line ? placeAt(frame, at) : nearest),
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => null },
        points: { size: (_u, at) => (frame.type === "line" && series[at].width > 1.3 ? 8 : 0), width: frame.type === "line" ? 2 : 0 },
      },
      hooks: {
        drawClear: [(chart) => drawBehind(chart, frame, this.marks)],
        draw: [(chart) => drawOn(chart, frame, this.ink), (chart) => log && bounds.zeros && drawZero(chart, muted)],
        setCursor: [(chart) => this.point(chart)],
        setSelect: [(chart) => this.selected(chart)],
        ready: [(chart) => this.laid(chart)],
        setSize: [(chart) => this.laid(chart)],
      },
    };
  }

  laid(chart) {
    if (this.gutter > 20) layLabels(this.names, chart, this.frame, this.ink, this.heard.isolated);
    else this.names.replaceChildren();
    this.heard.laid(chart);
    queueMicrotask(() => this.resize()); // because the lanes above may be higher or lower than before
  }

  selected(chart) {
    const { left, width } = chart.select;
    if (width < 6) return;
    this.heard.selected(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
    chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  /** Shade the column under the cursor, show its values beside it, and call the callback. */
  point(chart) {
    const { left, top } = chart.cursor;
    const place = left >= 0 ? placeAt(this.frame, chart.posToVal(left, "x")) : -1;
    this.pointed.hidden = place < 0;
    if (place >= 0) {
      const [from, to] = [this.frame.times[place], this.frame.ends[place]].map((at) => Math.min(Math.max(chart.valToPos(at, "x"), 0), chart.over.clientWidth));
      this.pointed.style.left = `${from}px`;
      this.pointed.style.width = `${Math.max(1, to - from)}px`;
    }
    showTip(this.tip, this.frame, place < 0 ? null : place, { x: chart.over.offsetLeft + left, y: chart.over.offsetTop + top }, this.ink);
    this.place = place < 0 ? null : place;
    this.heard.cursor(this.place);
  }

  /** Move the cursor by a number of columns; return its new place. */
  step(by) {
    if (!this.plot || !this.frame.times.length) return null;
    const { times, ends, start, end } = this.frame;
    const from = this.place ?? (by > 0 ? -1 : times.length);
    const place = Math.min(Math.max(from + by, 0), times.length - 1);
    const middle = (Math.max(times[place], start) + Math.min(ends[place], end)) / 2; // away from its edges, where pixels round
    this.plot.setCursor({ left: this.plot.valToPos(middle, "x"), top: 10 });
    return place;
  }
}

/** Name the lower end of a logarithmic axis on which zeros are drawn. */
function drawZero({ ctx, bbox }, paint) {
  ctx.save();
  ctx.fillStyle = paint;
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "right";
  ctx.fillText("0", bbox.left - 8 * devicePixelRatio, bbox.top + bbox.height + 4 * devicePixelRatio);
  ctx.restore();
}

/** The span of the value axis: all values with a margin, from zero, or a hundred percent. */
function spanOf(low, high, zero, share) {
  if (share) return [0, 100];
  if (low === null || high === null || low === undefined) return [0, 1];
  if (low === high) return zero ? [Math.min(0, low), Math.max(high, 1)] : [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const air = (high - low) * 0.06;
  return zero ? [Math.min(0, low), high + air] : [low >= 0 ? Math.max(0, low - air) : low - air, high + air];
}

/** Announce the column under the cursor to screen readers. */
export const speak = (text) => { $("spoken").textContent = text; };
