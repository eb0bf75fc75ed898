// The names of the lines at their right ends: each as near to its end as the others allow.

import { h, swatch } from "./dom.js";
import { isPartial, newest } from "./frame.js";

const HEIGHT = 15;
const MARGIN = 3;
const AXIS = 50; // the numbers of a second axis

/** Space labels apart: positions in ascending order, each at least *gap* from the one before, all within *height*. */
export function spaced(wanted, gap, height) {
  const placed = [];
  for (const at of wanted) placed.push(Math.max(at, (placed.at(-1) ?? -Infinity) + gap));
  let limit = height;
  for (let i = placed.length - 1; i >= 0; i -= 1) {
    placed[i] = Math.min(placed[i], limit);
    limit = placed[i] - gap;
  }
  return placed;
}

/** The newest column whose value lacks no part, or the newest one. */
function newestWhole(line) {
  const at = line.values.findLastIndex((value, i) => value !== null && !isPartial(line, i));
  return at < 0 ? newest(line) : at;
}

/** The lines with the height at which each ends, from top to bottom; *toY* gives the height of a value. */
export function ends(frame, toY) {
  const tails = [];
  let below = new Map();
  for (const line of frame.lines) {
    const at = frame.type === "line" ? newestWhole(line) : frame.tops.get(line.label).findLastIndex((value) => value !== null);
    if (at < 0) continue;
    if (frame.type === "line") {
      const value = line.values[at];
      tails.push({ line, y: toY(frame.log && value <= 0 ? null : value, line.axis), thick: HEIGHT });
      continue;
    }
    const top = frame.tops.get(line.label)[at];
    const base = below.get(at) ?? 0;
    below = below.set(at, top);
    tails.push({ line, y: (toY(top, "y") + toY(base, "y")) / 2, thick: Math.abs(toY(base, "y") - toY(top, "y")) });
  }
  return tails.filter(({ y }) => Number.isFinite(y)).sort((a, b) => a.y - b.y);
}

/** Put the names beside the chart; *isolate* is called with a label and whether to add it. */
export function layLabels(box, chart, frame, ink, isolate) {
  const second = frame.lines.some((one) => one.axis === "y2") ? AXIS : 0;
  const left = chart.over.offsetLeft + chart.over.clientWidth + 6 + second;
  const top = chart.over.offsetTop;
  const height = chart.over.clientHeight;
  const room = Math.floor((height + HEIGHT) / (HEIGHT + MARGIN - 2));
  const all = ends(frame, (value, axis) => (value === null ? height : chart.valToPos(value, axis)));
  const some = all.length <= room ? all : [...all].sort((a, b) => frame.lines.indexOf(a.line) - frame.lines.indexOf(b.line)).slice(0, room).sort((a, b) => a.y - b.y);
  const places = spaced(some.map(({ y }) => y), HEIGHT + MARGIN - 2, height);
  box.replaceChildren(...some.map(({ line }, i) => {
    const name = h("span", { class: "tail", dir: "auto", title: `${line.label}: click to show it alone, with Shift to add it`, onclick: (event) => isolate(line, event.shiftKey) }, swatch(ink(line), 14), line.short);
    name.style.color = ink(line).stroke;
    name.style.left = `${left}px`;
    name.style.top = `${top + places[i] - HEIGHT / 2}px`;
    name.style.maxWidth = `${Math.max(20, box.parentElement.clientWidth - left)}px`;
    name.dataset.label = line.label;
    return name;
  }));
}
