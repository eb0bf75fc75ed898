// The view: series, period and how they are drawn. All of it is in the address of the page, in the words of the API.

export const SLOT = 900;
const DAY = 86400;
export const WEEK = 604800;
export const WIDTHS = { "15m": "15 minutes", "1h": "hour", "1d": "day", "1w": "week" };
export const SECONDS = { "15m": SLOT, "1h": 3600, "1d": 86400, "1w": WEEK };
export const PRESETS = { "1d": 86400, "7d": WEEK, "28d": 4 * WEEK, "12w": 12 * WEEK, "52w": 52 * WEEK };
export const TYPES = { line: "Lines", stacked: "Stacked", share: "Share", bars: "Bars" };
export const PERS = ["hour", "day", "week", "month", "quarter", "year"];
export const TOPS = ["5", "10", "20", "50", "all"];
export const SHIFTS = { previous: "previous period", "1w": "week before", "4w": "4 weeks before", "52w": "same time last year", usual: "usual: mean of 4 weeks" };
export const USUAL_WEEKS = 4;
/** What is shown of each series beside its values: words of the API. At most one of them. */
export const VALUES = { of: "share of a profile", growth: "growth", cumulative: "running sum", mean: "mean of the last", rank: "rank" };
const SHORTEST = 4 * SLOT;
const LONGEST = 20 * 366 * 86400;
/** The first time that the API accepts; the last one is tomorrow. */
export const FIRST = Date.UTC(2000) / 1000;
export const last = () => (Math.floor(Date.now() / 86400_000) + 1) * 86400;
const iso = (moment) => new Date(moment * 1000).toISOString().replace(".000Z", "Z");
const DATE = /^\d{4}-\d{2}-\d{2}$/;

const NAMES = ["series", "profile", "range", "start", "end", "compare", "draw", "share", "per", "top", "zero", "log", "only", "as_of", "marks", "of", "within", "growth", "cumulative", "mean", "rank", "lists"];

/** Parse a view from the page's address. `odd` has a sentence for everything in it that cannot be shown. */
export function parse(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const odd = [];
  const word = (name, words) => {
    const text = query.get(name);
    if (text !== null && !words.includes(text)) odd.push(`The address has ${name}=${text.slice(0, 40)}; possible: ${words.join(", ")}.`);
    return words.includes(text) ? text : null;
  };
  for (const name of new Set(query.keys())) if (!NAMES.includes(name)) odd.push(`The address has “${name.slice(0, 40)}”, which this page does not know.`);
  return {
    ...time(query, odd),
    series: [...new Set(query.getAll("series"))],
    profiles: [...new Set(query.getAll("profile"))],
    only: [...new Set(query.getAll("only"))],
    compare: comparison(query.get("compare"), odd),
    type: word("share", ["1"]) ? "share" : word("draw", ["line", "stacked", "bars"]) ?? "line",
    per: word("per", PERS),
    top: word("top", TOPS),
    policy: word("marks", ["policy"]) === "policy",
    zero: word("zero", ["1"]) === "1",
    log: word("log", ["1"]) === "1",
    asOf: moment(query, "as_of", odd),
    ...derived(query, word, odd),
    lists: word("lists", ["owners", "authorities", "logs"]),
    odd,
  };
}

/** The words that ask for derived values; of several the first one counts. */
function derived(query, word, odd) {
  const mean = query.get("mean");
  if (mean !== null && !/^[1-9]\d{0,4}$/.test(mean)) odd.push(`The address has mean=${mean.slice(0, 40)}; possible: a whole number from 1.`);
  const flag = (name) => word(name, ["1"]) === "1";
  const all = { of: query.get("of") || null, growth: flag("growth"), cumulative: flag("cumulative"), mean: /^[1-9]\d{0,4}$/.test(mean ?? "") ? Number(mean) : null, rank: flag("rank") };
  const [first, ...others] = Object.keys(all).filter((name) => all[name]);
  for (const name of others) {
    odd.push(`The address asks for ${first} and ${name}; one of them can be drawn: this is ${first}.`);
    all[name] = typeof all[name] === "boolean" ? false : null;
  }
  const within = query.get("within") || null;
  if (within && first !== "of" && first !== "rank") odd.push("The address has “within” without of or rank, which it belongs to.");
  return { ...all, within: first === "of" || first === "rank" ? within : null };
}

function time(query, odd) {
  const start = Date.parse(query.get("start") ?? "") / 1000;
  const end = Date.parse(query.get("end") ?? "") / 1000;
  const fixed = Number.isFinite(start) && Number.isFinite(end) && start >= FIRST && end <= last() && end - start >= SHORTEST && end - start <= LONGEST;
  const range = query.get("range");
  const known = fixed || Object.hasOwn(PRESETS, range ?? "") || range === "all";
  if (!known && ["start", "end", "range"].some((name) => query.has(name))) odd.push("The address names no period that can be shown: these are the last 7 days.");
  return { range: fixed ? null : known ? range : "7d", start: fixed ? start : null, end: fixed ? end : null };
}

function comparison(text, odd) {
  if (text === null) return null;
  if (text === "1") return "previous"; // as older addresses have it
  if (Object.hasOwn(SHIFTS, text) || (DATE.test(text) && Number.isFinite(Date.parse(text)))) return text;
  odd.push(`The address compares with “${text.slice(0, 40)}”; possible: ${Object.keys(SHIFTS).join(", ")}, a date.`);
  return null;
}

function moment(query, name, odd) {
  if (!query.has(name)) return null;
  const at = Date.parse(query.get(name)) / 1000;
  if (at >= FIRST && at <= last()) return at;
  odd.push(`The address has ${name}=${query.get(name).slice(0, 40)}, which is no time that can be shown: this is the history as known now.`);
  return null;
}

/** Whether two views need the same points, perhaps drawn in another way. */
export const samePoints = (one, other) =>
  ["range", "start", "end", "compare", "per", "asOf", "policy", "of", "within", "growth", "cumulative", "mean", "rank"].every((name) => one[name] === other[name]) && one.series.join("\n") === other.series.join("\n");

/** Write a view as the page's address; *profiles* shorten it if all series of one are shown. */
export function write(view, profiles = []) {
  const query = new URLSearchParams();
  const chosen = new Set(view.series);
  const whole = profiles.filter((one) => one.series.length > 8 && one.series.every((label) => chosen.has(label)));
  for (const { name, series } of whole) {
    query.append("profile", name);
    for (const label of series) chosen.delete(label);
  }
  for (const label of chosen) query.append("series", label);
  if (view.range) query.set("range", view.range);
  else {
    query.set("start", iso(view.start));
    query.set("end", iso(view.end));
  }
  if (view.compare) query.set("compare", view.compare);
  if (view.type === "share") query.set("share", "1");
  else if (view.type !== "line") query.set("draw", view.type);
  if (view.per) query.set("per", view.per);
  if (view.top) query.set("top", view.top);
  if (view.policy) query.set("marks", "policy");
  if (view.zero) query.set("zero", "1");
  if (view.log) query.set("log", "1");
  for (const name of ["of", "within", "mean"]) if (view[name]) query.set(name, view[name]);
  for (const name of ["growth", "cumulative", "rank"]) if (view[name]) query.set(name, "1");
  for (const label of view.only) query.append("only", label);
  if (view.lists) query.set("lists", view.lists);
  if (view.asOf) query.set("as_of", iso(view.asOf));
  return `#${query}`;
}

/** The period of a view: a preset ends with the slot that contains *now*, or the moment of `as_of`; *first* is where the history begins. */
export function period(view, now, first = null) {
  if (!view.range) return { start: view.start, end: view.end };
  const end = Math.ceil((view.asOf ?? now) / SLOT) * SLOT;
  if (view.range === "all") return { start: Math.min(first ?? end - PRESETS["52w"], end - SHORTEST), end };
  return { start: end - PRESETS[view.range], end };
}

/** A fixed period on the grid of slots, within the allowed lengths and within *bounds*, the times that have data. */
export function fixed(view, start, end, bounds = {}) {
  const latest = Math.min(last(), bounds.end ?? Infinity);
  const earliest = Math.max(FIRST, bounds.start ?? 0);
  const room = Math.max(latest - earliest, SHORTEST);
  const length = Math.round(Math.min(Math.max(end - start, SHORTEST), LONGEST, room) / SLOT) * SLOT;
  const first = Math.round(((start + end) / 2 - length / 2) / SLOT) * SLOT;
  const begin = Math.max(earliest, Math.min(first, latest - length));
  return { ...view, range: null, start: begin, end: begin + length };
}

/** Zoom by *factor* (below one: in), keeping the moment *around* where it is. */
export function zoomed(view, { start, end }, factor, bounds, around) {
  const at = around ?? (start + end) / 2;
  return fixed(view, at - (at - start) * factor, at + (end - at) * factor, bounds);
}

/** Move the period by a fraction of its length. */
export function moved(view, { start, end }, share, bounds) {
  const by = (end - start) * share;
  return fixed(view, start + by, end + by, bounds);
}

/** How far back the previous period is: the length rounded up to whole weeks, as `control` in the API. */
export const control = ({ start, end }) => Math.ceil((end - start) / WEEK) * WEEK;

/** How far back the period to compare with is; that of a date begins on it, at the same time of day. */
export function shiftOf(compare, range) {
  if (compare && DATE.test(compare)) return Math.floor(range.start / DAY) * DAY - Date.parse(compare) / 1000;
  const weeks = { "1w": 1, "4w": 4, "52w": 52, usual: 1 }[compare];
  return weeks ? weeks * WEEK : control(range);
}
