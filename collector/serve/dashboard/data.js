// The data of a chart: read from the API, and converted to columns of numbers.

import { get, has } from "./api.js";
import * as calendar from "./calendar.js";
import { loadDerived, wordOf } from "./derived.js";
import { iso, seconds } from "./format.js";
import { FIRST, last, SECONDS, shiftOf, USUAL_WEEKS, WEEK } from "./view.js";

const DETAILED = 32 * 86400;
const MOST_COLUMNS = 5000; // of the API
const MOST_REVISIONS = 40; // series: one request for each of their profiles
const MOST_CELLS = 150_000;
const LONGEST_ADDRESS = 6500;
const FEWEST = 10; // series of one request

/** Read all data of one period of some series. *profiles* is a promise, *columns* the width in pixels. */
export async function load(view, range, profiles, columns, signal) {
  const some = view.series.length > 0;
  const detailed = range.end - range.start <= DETAILED;
  const known = Promise.resolve(profiles);
  const split = Array.isArray(profiles) && haveOneInterval(view.series, profiles) ? Math.ceil(view.series.length / 2) : Infinity;
  const [drawn, listed, revisions, marks] = await Promise.all([
    some ? loadDrawn(view, range, known, { columns, split }, signal) : { per: null, series: [], refused: [], previous: null, ...range },
    get("annotations", { ...between(range), limit: 1000 }, signal),
    some && detailed && view.series.length <= MOST_REVISIONS ? loadRevisions(view.series, range, known, signal) : null,
    has("marks") ? get("marks", { ...between(range), limit: 1000, policy: `${view.policy}` }, signal) : null,
  ]);
  const annotations = [...listed.annotations.map(annotation), ...(marks?.marks ?? []).map(ownMark)];
  return {
    ...drawn,
    shift: drawn.shift ?? shiftOf(view.compare, range),
    annotations: annotations.filter((one) => one.start < range.end && one.end > range.start - 1),
    revisions: revisions ?? [],
    detailed: detailed && revisions !== null,
  };
}

const clipped = ({ start, end }) => ({ start: Math.max(start, FIRST), end: Math.min(Math.max(end, FIRST), last()) });
/** A range for the API, which accepts times from 2000 until tomorrow. */
const between = (range) => ({ start: iso(clipped(range).start), end: iso(clipped(range).end) });

/** Read the lines of the period, and of the one to compare with, per calendar period if the view says so. */
async function loadDrawn(view, requested, known, { columns, split }, signal) {
  if (wordOf(view)) return loadWords(view, requested, await known, signal);
  const most = Math.min(MOST_COLUMNS, Math.floor(MOST_CELLS / view.series.length));
  const trial = view.per && calendar.refusal(view.per, 0, requested, most);
  const per = trial ? null : view.per;
  const range = per ? calendar.whole(per, requested) : requested;
  const width = per ? calendar.BASE[per] : null;
  const { unusual, periods, earlier } = other(view, requested, range, per);
  const longest = Math.max(range.end - range.start, earlier ? earlier.end - earlier.start : 0);
  const thin = per ? Math.min(MOST_COLUMNS, Math.ceil(longest / width)) : Math.min(columns, most);
  const read = async (from) => measured(await loadUnits(view, from, thin, signal, split), await known);
  const before = !earlier ? null : view.compare === "usual" ? loadUsual(read, range, per) : read(earlier);
  const [series, previous] = await Promise.all([read(range), before]);
  const late = per ? series.drawn.map((one) => calendar.refusal(per, SECONDS[one.bucket], range, most)).find(Boolean) ?? notAdditive(series.drawn) : null;
  if (late) return { ...(await loadDrawn({ ...view, per: null }, requested, known, { columns, split }, signal)), perRefused: late };
  return { ...range, requested, per, perRefused: trial, thin, series: series.drawn, refused: series.refused, previous: previous?.drawn ?? null, compareRefused: unusual, periods, earlier, shift: periods ? range.start - earlier.start : null };
}

/** The range to compare *range* with, which is so many *periods* earlier if months or longer are drawn, or why there is none. */
function other({ compare }, requested, range, per) {
  if (!compare) return { unusual: null, periods: null, earlier: null };
  if (!calendar.isLong(per)) return { unusual: null, periods: null, earlier: moved(range, shiftOf(compare, requested), per) };
  const periods = calendar.back(per, compare, range);
  if (!periods) return { unusual: `no other ${per} begins ${periods === null ? "whole weeks before one" : "on this date"}`, periods, earlier: null };
  return { unusual: null, periods, earlier: { start: calendar.after(per, range.start, -periods), end: calendar.after(per, range.end, -periods) } };
}

/** The ranges of the values of a view, each clipped to what the API accepts: those that are compared with, then that of the period itself. */
export function ranges(view, requested, per) {
  const range = per ? calendar.whole(per, requested) : requested;
  const { earlier } = other(view, requested, range, per);
  const before = view.compare === "usual" && earlier ? weeksBefore(range, per) : [earlier];
  return [...before.filter(Boolean), range].map(clipped);
}

/** The same time in each of the weeks before whose mean is the usual, the oldest first. */
const weeksBefore = (range, per) => Array.from({ length: USUAL_WEEKS }, (_, i) => moved(range, (USUAL_WEEKS - i) * WEEK, per));

/** Read derived values of the period. */
export async function loadWords(view, requested, profiles, signal) {
  const range = view.per ? calendar.whole(view.per, requested) : requested;
  const read = await loadDerived(view, clipped(range), profiles, parts, signal);
  return { ...range, requested, per: view.per, perRefused: null, thin: null, series: read.drawn, refused: read.refused, previous: null, notes: read.notes };
}

/** Read the means of the same time in each of the weeks before, as if they were of the week before. */
async function loadUsual(read, range, per) {
  const weeks = await Promise.all(weeksBefore(range, per).reverse().map(read));
  const [first, ...others] = weeks.map(({ drawn }) => drawn);
  const same = (one, other) => one.label === other.label && one.unit === other.unit && one.width === other.width;
  return { drawn: first.map((one) => usualOf(one, others.map((drawn) => drawn.find((other) => same(one, other)) ?? null))) };
}

function usualOf(one, earlier) {
  const mean = one.mean.map((value, i) => {
    const at = one.start + i * one.width;
    const values = earlier.map((other, week) => {
      const place = other ? Math.round((at - (week + 1) * WEEK - other.start) / other.width) : -1;
      return other && other.points[place] === one.points[i] ? other.mean[place] ?? null : null;
    });
    if (value === null || values.includes(null)) return null;
    return (value + values.reduce((all, each) => all + each, 0)) / USUAL_WEEKS;
  });
  return { ...one, mean, least: mean, most: mean };
}

const notAdditive = (series) => {
  const one = series.find(({ additive }) => !additive);
  return one ? `the values of ${one.label} cannot be summed over time` : null;
};

/** The range *shift* seconds earlier; whole calendar periods stay whole. */
export function moved({ start, end }, shift, per) {
  const back = { start: Math.max(start - shift, FIRST), end: Math.max(end - shift, FIRST) };
  return per ? calendar.whole(per, back) : back;
}

/** Read the points in common buckets; series of a second unit come with an own request, for an own axis. */
export async function loadUnits(view, range, thin, signal, split = Infinity) {
  const asOf = view.asOf ? iso(view.asOf) : undefined;
  const read = async (series) => {
    const answers = await Promise.all(parts(series, Math.max(split, FEWEST)).map((part) => get("points", { series: part, thin, buckets: "common", ...between(range), as_of: asOf }, signal)));
    // A label whose unit changes has a series for each unit.
    const all = answers.flatMap((answer) => answer.series.map(columnsOf));
    return series.flatMap((label) => all.filter((one) => one.label === label));
  };
  const first = await read(view.series);
  const [main] = first.filter((one) => !one.refused);
  const fits = (one) => !one.refused && measure(one) === measure(main) && one.bucket === main.bucket && one.width === main.width;
  const kept = first.filter(fits).map((one) => ({ ...one, axis: "y" }));
  const odd = main ? first.filter((one) => measure(one) !== measure(main)) : [];
  const second = odd.length ? await besides(main, kept, await read([...new Set(odd.map((one) => one.label))])) : [];
  const done = new Set(second.map((one) => one.label));
  const refused = first.filter((one) => !fits(one) && !done.has(one.label)).map((one) => ({ ...one, refused: one.refused ?? otherwise(one, main) }));
  return { drawn: [...kept, ...second], refused };
}

/** Those of *read* that have one other unit than *main*, for the second axis. */
function besides(main, kept, read) {
  const units = new Set(kept.map((one) => `${one.label} ${measure(one)}`));
  const other = read.filter((one) => !one.refused && one.width === main.width && measure(one) !== measure(main) && !units.has(`${one.label} ${measure(one)}`));
  return other.filter((one) => measure(one) === measure(other[0])).map((one) => ({ ...one, axis: "y2" }));
}

/** Why a series of another request does not fit; the server says it within one request. */
const otherwise = (one, main) => (measure(one) === measure(main)
  ? `its values are per ${one.bucket}, those of the chart per ${main.bucket}: choose fewer series`
  : `its unit is ${one.unit.toLowerCase()}, and the chart has two other ones`);

const measure = ({ unit, normalization }) => `${normalization} ${unit}`;

/** Whether all series have one interval, so that they can be read apart: a server reads two halves at once. */
function haveOneInterval(series, profiles) {
  const chosen = new Set(series);
  return new Set(profiles.filter((one) => one.series.some((label) => chosen.has(label))).map((one) => one.agg_interval)).size === 1;
}

/** Split labels so that no address is too long for a server, and no part has more than *most*. */
export function parts(labels, most = Infinity) {
  const all = [[]];
  let length = 0;
  for (const label of labels) {
    const more = encodeURIComponent(label).length + 8;
    if (length + more > LONGEST_ADDRESS || all.at(-1).length >= most) {
      all.push([]);
      length = 0;
    }
    all.at(-1).push(label);
    length += more;
  }
  return all;
}

/** Say which series can be summed over time: raw counts that count nothing twice; of which the sum is a bound; and which are snapshots. */
function measured({ drawn, refused }, profiles) {
  const having = (name) => new Set(profiles.filter(({ filters = {}, each = {} }) => name in each || (filters[name] && filters[name][0] !== "false")).map((one) => one.name));
  const [unique, moving] = [having("uniqueEntries"), having("expirationStatus")];
  const overlaps = new Map(profiles.map((one) => [one.name, one.overlap]));
  const kind = (one) => ({ overlap: overlaps.get(one.profile) ?? null, additive: one.normalization === "RAW_VALUES" && !unique.has(one.profile), bound: one.normalization === "RAW_VALUES" && unique.has(one.profile), snapshot: moving.has(one.profile) });
  return { drawn: drawn.map((one) => ({ ...one, ...kind(one) })), refused };
}

export async function loadRevisions(series, range, profiles, signal) {
  const shown = (await profiles).filter((profile) => profile.series.some((label) => series.includes(label)));
  const read = await Promise.all(shown.map(({ name }) => get("revisions", { profile: name, ...between(range), limit: 1000 }, signal)));
  return read.flatMap((one) => one.revisions).filter((one) => series.includes(one.series)).map(revision);
}

/** Read the gaps of all series. */
export async function loadGaps(signal) {
  const all = [];
  let after;
  do {
    const page = await get("gaps", { limit: 1000, after }, signal);
    all.push(...page.gaps);
    after = page.next ?? undefined;
  } while (after && all.length < 5000);
  return all.map((gap) => ({ ...gap, start: seconds(gap.start), end: seconds(gap.end) }));
}

export function columnsOf(series) {
  return {
    label: series.series,
    profile: series.profile,
    interval: series.agg_interval,
    bucket: series.bucket,
    summed: series.bucket !== series.agg_interval,
    refused: series.refused,
    unit: series.unit,
    normalization: series.normalization,
    thinned: series.thinned,
    askedAt: series.asked_at ? seconds(series.asked_at) : null,
    start: series.start === null ? 0 : seconds(series.start),
    width: series.column_seconds,
    least: series.least,
    most: series.most,
    mean: series.mean,
    points: series.points,
  };
}

function annotation(row) {
  const start = seconds(row.start_date);
  const end = row.is_instantaneous ? start : row.end_date === null ? Infinity : seconds(row.end_date);
  return { ...row, start, end };
}

/** A mark of the operator, or a date of the shipped list, in the form of an annotation. */
function ownMark({ id, start, end, text, url, kind }) {
  const from = seconds(start);
  return { own: true, id, description: text, event_type: kind === "policy" ? "policy date" : "own mark", linked_url: url, start: from, end: end ? seconds(end) : from, is_instantaneous: !end };
}

function revision(row) {
  return { ...row, at: seconds(row.timestamp), seen: seconds(row.seen_at), replaced: seconds(row.replaced_at) };
}
