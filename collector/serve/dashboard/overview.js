// The whole history of one series below the chart, with the shown period as a window that can be moved and sized.

import { $, h, svg } from "./dom.js";
import { dateOf } from "./format.js";

const HEIGHT = 40;
const EDGE = 8;

export class Overview {
  /** *changed* is called with a start and an end, *reset* at a double click. */
  constructor(changed, reset) {
    Object.assign(this, { changed, box: $("overview"), series: null, from: null });
    this.window = h("div", { class: "window" });
    this.line = svg("svg", { preserveAspectRatio: "none" });
    this.dates = [h("span", { class: "from" }), h("span", { class: "until" })];
    this.box.replaceChildren(this.line, this.window, ...this.dates);
    this.box.addEventListener("pointerdown", (event) => this.#press(event));
    this.box.addEventListener("pointermove", (event) => this.#move(event));
    this.box.addEventListener("pointerup", () => this.#end());
    this.box.addEventListener("pointercancel", () => { this.from = null; this.place(this.shown); });
    this.box.addEventListener("dblclick", reset);
  }

  /** Draw *series* from *bounds.start* to *bounds.end*. */
  show(series, bounds) {
    Object.assign(this, { series, bounds });
    this.box.hidden = !series;
    if (!series) return;
    const points = series.mean.map((value, i) => [series.start + (i + 0.5) * series.width, value]).filter(([, value]) => value !== null);
    const [low, high] = points.reduce(([a, b], [, value]) => [Math.min(a, value), Math.max(b, value)], [0, -Infinity]);
    const x = (at) => (((at - bounds.start) / (bounds.end - bounds.start)) * 1000).toFixed(1);
    const y = (value) => (HEIGHT - 3 - ((value - low) / (high - low || 1)) * (HEIGHT - 6)).toFixed(1);
    const path = points.map(([at, value], i) => `${i ? "L" : "M"}${x(at)} ${y(value)}`).join("");
    this.line.setAttribute("viewBox", `0 0 1000 ${HEIGHT}`);
    const area = points.length ? `${path}L${x(points.at(-1)[0])} ${HEIGHT}L${x(points[0][0])} ${HEIGHT}Z` : "";
    this.line.replaceChildren(svg("path", { d: area, class: "area" }), svg("path", { d: path, class: "line", "vector-effect": "non-scaling-stroke" }));
    this.dates[0].textContent = dateOf(bounds.start);
    this.dates[1].textContent = series.label;
    if (this.shown) this.place(this.shown);
  }

  /** Show the window of a period. */
  place(shown) {
    this.shown = shown;
    if (!this.series || this.from) return;
    const { start, end } = this.bounds;
    const share = (at) => Math.min(Math.max((at - start) / (end - start), 0), 1) * 100;
    this.window.style.left = `${share(shown.start)}%`;
    this.window.style.width = `${Math.max(share(shown.end) - share(shown.start), 0.4)}%`;
  }

  #at(event) {
    const box = this.box.getBoundingClientRect();
    return this.bounds.start + ((event.clientX - box.left) / box.width) * (this.bounds.end - this.bounds.start);
  }

  #press(event) {
    const box = this.window.getBoundingClientRect();
    const near = (edge) => Math.abs(event.clientX - edge) < EDGE;
    const wide = box.width > 3 * EDGE;
    const part = wide && near(box.left) ? "start" : near(box.right) ? "end" : event.clientX > box.left && event.clientX < box.right ? "both" : "jump";
    this.from = { at: this.#at(event), part, ...this.shown };
    this.box.setPointerCapture(event.pointerId);
    if (part === "jump") this.#move(event);
  }

  #move(event) {
    if (!this.from) return;
    const { at, part, start, end } = this.from;
    const now = Math.min(Math.max(this.#at(event), this.bounds.start), this.bounds.end);
    const by = part === "jump" ? now - (start + end) / 2 : now - at;
    this.wanted = part === "start" ? { start: Math.min(start + by, end - 3600), end } : part === "end" ? { start, end: Math.max(end + by, start + 3600) } : { start: start + by, end: end + by };
    const { from } = this;
    this.from = null;
    const { shown } = this;
    this.place(this.wanted);
    Object.assign(this, { from, shown });
  }

  #end() {
    const { wanted } = this;
    Object.assign(this, { from: null, wanted: null });
    if (wanted) this.changed(wanted.start, wanted.end);
  }
}
