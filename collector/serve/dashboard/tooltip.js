// The values under the cursor, beside it: sorted, the ten largest and the sum of the rest.

import { h, swatch } from "./dom.js";
import { about, local, number, percent, period } from "./format.js";
import { changeOf, isPartial, stackable, sumAt } from "./frame.js";

const MOST = 10;
const AIR = 14;

/** The rows of one column: `{line, value, before, share}`, the largest first; lines without a value last. */
export function rowsAt(frame, place) {
  const sum = frame.type === "share" || frame.type === "stacked" || frame.type === "bars" ? sumAt(frame.lines, place) : null;
  return frame.lines
    .map((line) => {
      const value = line.values[place];
      const before = frame.previous.find((one) => one.label === line.label && one.unit === line.unit)?.values[place] ?? null;
      return { line, value, before, share: sum && value !== null ? (100 * value) / sum : null, partial: isPartial(line, place) ? line.part[place] : null };
    })
    .sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
}

/** Fill the box with the values of a column and put it beside the cursor; null hides it. */
export function showTip(box, frame, place, at, ink) {
  box.hidden = place === null || place < 0 || !frame.lines.length;
  if (box.hidden) return;
  const [start, end] = [frame.times[place], frame.ends[place]];
  const rows = rowsAt(frame, place);
  const units = new Set(frame.lines.map((one) => one.unit));
  const rest = rows.slice(MOST);
  const cells = ({ line, value, before, share, partial }) => [
    h("th", { scope: "row" }, swatch(ink(line)), h("span", { class: "who", dir: "auto" }, line.short)),
    h("td", { class: "number strong" }, line.thinned && !frame.per ? about(value) : number(value)),
    units.size > 1 ? h("td", { class: "muted" }, line.unit.toLowerCase()) : null,
    share === null ? null : h("td", { class: "number" }, partial === null ? percent(share) : ""),
    frame.previous.length ? h("td", { class: "number" }, changeOf(frame, line, place, before)) : null,
    partial === null ? null : h("td", { class: "muted" }, `${Math.floor(partial * 100)} % there`),
  ];
  const more = rest.length ? h("tr", { class: "muted" }, h("th", { scope: "row" }, `${rest.length} more`), h("td", { class: "number" }, stackable(frame.lines) ? about(rest.reduce((all, one) => all + (one.value ?? 0), 0)) : "")) : null;
  box.replaceChildren(
    h("p", { class: "strong" }, period(start, end)),
    local.on ? h("p", { class: "muted" }, local.period(start, end)) : "",
    h("table", {}, h("tbody", {}, ...rows.slice(0, MOST).map((one) => h("tr", {}, ...cells(one))), ...(more ? [more] : []))),
  );
  beside(box, at);
}

/** Put a box beside a point of its parent, on the side that has room. */
function beside(box, { x, y }) {
  const { clientWidth, clientHeight } = box.parentElement;
  const right = x + AIR + box.offsetWidth <= clientWidth;
  box.style.left = `${Math.max(0, right ? x + AIR : x - AIR - box.offsetWidth)}px`;
  box.style.top = `${Math.max(0, Math.min(y + AIR, clientHeight - box.offsetHeight - 4))}px`;
}
