// What a mouse or a finger does on the chart, besides dragging a period: move, zoom, go back to the preset.

export class Gestures {
  /** *heard* has the callbacks `panned`, `wheel` and `reset`. */
  constructor(chart, heard) {
    Object.assign(this, { chart, heard, held: false, from: null });
    const { host } = chart;
    host.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    host.addEventListener("dblclick", (event) => chart.plot?.over.contains(event.target) && heard.reset());
    host.addEventListener("pointerdown", (event) => this.#press(event), true);
    host.addEventListener("mousedown", (event) => event.shiftKey && chart.plot?.over.contains(event.target) && event.stopPropagation(), true);
    host.addEventListener("pointermove", (event) => this.#move(event));
    addEventListener("pointerup", (event) => this.#end(event));
    addEventListener("pointercancel", () => { Object.assign(this, { held: false, from: null }); chart.rest(); });
  }

  #wheel(event) {
    const { plot } = this.chart;
    if (!plot || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const box = plot.over.getBoundingClientRect();
    this.heard.wheel(event.deltaY > 0 ? 1.5 : 1 / 1.5, plot.posToVal(event.clientX - box.left, "x"));
  }

  #press(event) {
    this.held = true;
    const pans = event.pointerType === "touch" || event.shiftKey;
    if (!pans || !this.chart.plot?.over.contains(event.target)) return;
    this.from = event.clientX;
    if (event.shiftKey) event.stopPropagation();
  }

  #move(event) {
    const { plot, frame } = this.chart;
    if (this.from === null || !plot) return;
    const by = ((this.from - event.clientX) / plot.over.clientWidth) * (frame.end - frame.start);
    plot.setScale("x", { min: frame.start + by, max: frame.end + by });
  }

  #end(event) {
    this.held = false;
    const { plot } = this.chart;
    if (this.from === null || !plot) return;
    const share = (this.from - event.clientX) / plot.over.clientWidth;
    this.from = null;
    if (Math.abs(share) > 0.01) this.heard.panned(share);
    else this.chart.rest();
  }
}
