// The view: series, period and options. All of it is in the address of the page.

const SLOT = 900;
const WEEK = 604800;
export const WIDTHS = { "15m": "15 minutes", "1h": "hour", "1d": "day", "1w": "week" };
export const PRESETS = { "1d": 86400, "7d": WEEK, "28d": 4 * WEEK, "12w": 12 * WEEK, "52w": 52 * WEEK };
const SHORTEST = 4 * SLOT;
const LONGEST = 20 * 366 * 86400;
/** The first time that the API accepts; the last one is tomorrow. */
export const FIRST = Date.UTC(2000) / 1000;
const last = () => (Math.floor(Date.now() / 86400_000) + 1) * 86400;

/** Parse a view from the page's address. */
export function parse(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const start = Date.parse(given.get("start") ?? "") / 1000;
  const end = Date.parse(given.get("end") ?? "") / 1000;
  const fixed = Number.isFinite(start) && Number.isFinite(end) && start >= FIRST && end <= last() && end - start >= SHORTEST && end - start <= LONGEST;
  const range = given.get("range");
  const known = fixed || Object.hasOwn(PRESETS, range ?? "");
  return {
    unknownPeriod: !known && ["start", "end", "range"].some((name) => given.has(name)),
    series: [...new Set(given.getAll("series"))],
    range: fixed ? null : known ? range : "7d",
    start: fixed ? start : null,
    end: fixed ? end : null,
    compare: given.get("compare") === "1",
    zero: given.get("zero") === "1",
    log: given.get("log") === "1",
  };
}

/** Whether two views show the same points, perhaps drawn in another way. */
export const samePoints = (one, other) =>
  ["range", "start", "end", "compare"].every((name) => one[name] === other[name]) && one.series.join("\n") === other.series.join("\n");

/** Write a view as the page's address. */
export function write(view) {
  const given = new URLSearchParams();
  for (const label of view.series) given.append("series", label);
  if (view.range) given.set("range", view.range);
  else {
    given.set("start", new Date(view.start * 1000).toISOString().replace(".000Z", "Z"));
    given.set("end", new Date(view.end * 1000).toISOString().replace(".000Z", "Z"));
  }
  if (view.compare) given.set("compare", "1");
  if (view.zero) given.set("zero", "1");
  if (view.log) given.set("log", "1");
  return `#${given}`;
}

/** The period of a view. A preset ends with the slot that contains *now*. */
export function period(view, now) {
  if (!view.range) return { start: view.start, end: view.end };
  const end = Math.ceil(now / SLOT) * SLOT;
  return { start: end - PRESETS[view.range], end };
}

/** A fixed period on the grid of slots, within the allowed lengths and times. */
export function fixed(view, start, end) {
  const latest = last();
  const length = Math.round(Math.min(Math.max(end - start, SHORTEST), LONGEST, latest - FIRST) / SLOT) * SLOT;
  const first = Math.round(((start + end) / 2 - length / 2) / SLOT) * SLOT;
  const begin = Math.min(Math.max(FIRST, first), latest - length);
  return { ...view, range: null, start: begin, end: begin + length };
}

/** Zoom by *factor* (below one: in), keeping the moment *around* where it is. */
export function zoomed(view, now, factor, around) {
  const { start, end } = period(view, now);
  const at = around ?? (start + end) / 2;
  return fixed(view, at - (at - start) * factor, at + (end - at) * factor);
}

/** Move the period by a fraction of its length. */
export function moved(view, now, share) {
  const { start, end } = period(view, now);
  const by = (end - start) * share;
  return fixed(view, start + by, end + by);
}

/** How far back the previous period is: the length rounded up to whole weeks, as `control` in the API. */
export const control = ({ start, end }) => Math.ceil((end - start) / WEEK) * WEEK;
