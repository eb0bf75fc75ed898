// What is drawn: the loaded columns on one time axis, summed per period, the largest first, the rest as one line.

import * as calendar from "./calendar.js";
import { change, points, steps } from "./format.js";
import { SECONDS } from "./view.js";

const GRID = 4 * 86400; // a Monday, on which columns begin unless buckets start elsewhere
export const AUTO_TOP = 20;
const ENOUGH = 0.999;

/** The starts and ends of all columns of the period; *width* is null for calendar periods. */
export function axis(data, per) {
  if (per) {
    const times = calendar.starts(per, data);
    return { times, ends: times.map((at) => calendar.next(per, at)), width: null };
  }
  const [first] = [...data.series, ...(data.previous ?? [])].filter((one) => one.width);
  if (!first) return { times: [], ends: [], width: null };
  const { width } = first;
  const origin = first.start || GRID;
  const starts = new Set();
  const before = first.thinned ? Math.floor : Math.ceil; // a bucket belongs to the period in which it starts
  for (let at = origin + before((data.start - origin) / width) * width; at < data.end; at += width) starts.add(at);
  for (const one of data.series) one.mean.forEach((_, i) => starts.add(one.start + i * one.width));
  const times = [...starts].sort((a, b) => a - b);
  return { times, ends: times.map((at) => at + width), width };
}

/** The columns of a series on the axis: value, extremes, and the part that is there (null: unknown). */
export function placed(series, { times, ends }, per, moved = null) {
  const size = times.length;
  const lengths = []; // of the own period: the month that is compared with may have fewer days
  const line = { ...series, values: Array(size).fill(null), low: Array(size).fill(null), high: Array(size).fill(null), part: Array(size).fill(null) };
  const place = new Map(times.map((at, i) => [at, i]));
  const bucket = SECONDS[series.bucket];
  series.mean.forEach((mean, i) => {
    if (mean === null) return;
    const own = series.times ? series.times[i] : series.start + i * series.width;
    const at = moved ? moved(own) : own;
    const exact = place.get(per ? calendar.floor(per, at) : at);
    const to = exact ?? (moved ? placeAt({ times, ends }, at + series.width / 2) : -1); // a period shifted by days need not fit the columns
    if (to === undefined || to < 0) return;
    if (series.derived) line.values[to] = line.low[to] = line.high[to] = mean;
    else if (per) {
      line.values[to] = (line.values[to] ?? 0) + whole(mean * series.points[i]);
      line.part[to] = (line.part[to] ?? 0) + series.points[i] * bucket;
      lengths[to] = calendar.next(per, own) - calendar.floor(per, own);
    } else Object.assign(line, { any: true }), (line.values[to] = mean), (line.low[to] = series.least[i]), (line.high[to] = series.most[i]);
  });
  if (per && !series.derived) line.part = line.part.map((there, i) => (there === null ? null : Math.min(1, there / lengths[i])));
  return line;
}

/** The time of the period that a time of the compared one is beside. */
export const later = ({ per, periods, shift }, at) => (periods ? calendar.after(per, at, periods) : at + shift);

/** The sum of whole numbers, although their mean came with twelve digits. */
const whole = (sum) => (Math.abs(sum - Math.round(sum)) < 0.05 ? Math.round(sum) : sum);

/** The sum of all values of a series in its period; null without a value. */
export function totalOf({ mean, points }) {
  let sum = null;
  mean.forEach((value, i) => { if (value !== null) sum = (sum ?? 0) + value * (points?.[i] ?? 1); });
  return sum === null ? null : whole(sum);
}

/** The lines of *data*, the largest first: `{lines, rest}`; *rest* are those beyond the number that `top` allows. */
export function ranked(series, top, only) {
  const lines = series.map((one, place) => ({ ...one, place, total: totalOf(one), average: average(one) }));
  const size = (one) => (one.additive ? one.total : one.derived === "rank" && one.average !== null ? -one.average : one.average) ?? -Infinity;
  lines.sort((a, b) => size(b) - size(a) || a.place - b.place);
  if (only.length) return { lines: lines.filter((one) => only.includes(one.label)), rest: [], hidden: lines.filter((one) => !only.includes(one.label)) };
  const most = top === "all" ? Infinity : Number(top ?? AUTO_TOP);
  const some = lines.length - most === 1 ? lines.length : most; // one more line says more than "1 other"
  return { lines: lines.slice(0, some), rest: lines.slice(some), hidden: [] };
}

function average({ mean, points }) {
  let [sum, count] = [0, 0];
  mean.forEach((value, i) => { if (value !== null) { sum += value * (points?.[i] ?? 1); count += points?.[i] ?? 1; } });
  return count ? sum / count : null;
}

/** The sum of several lines where each that has values has one; what one lacks, the sum lacks. */
export function summed(lines, label) {
  const [first] = lines;
  const some = lines.filter((one) => one.values.some((value) => value !== null));
  const sum = (name) => first.values.map((_, i) => {
    if (!some.length || some.some((one) => one[name][i] === null)) return null;
    return some.reduce((all, one) => all + one[name][i], 0);
  });
  const part = first.part.map((_, i) => some.reduce((least, one) => (one.part[i] === null ? least : Math.min(least ?? 1, one.part[i])), null));
  const total = some.reduce((all, one) => all + (one.total ?? 0), 0);
  const none = first.values.map(() => null);
  return { ...first, label, short: label, other: lines.length, values: sum("values"), low: none, high: none, part, total, thinned: first.thinned };
}

/** Whether lines can be put on each other: counts in one unit, which were not asked for at different moments and do not overlap. */
export const stackable = (lines) => lines.length > 0 && lines.every((one) => one.additive && !one.snapshot && one.axis === "y") && !overlapOf(lines);

/** Why two of these series may count one object twice; null if no two of one profile do. */
export function overlapOf(series) {
  const first = series.find((one) => one.overlap && series.some((other) => other !== one && other.profile === one.profile));
  return first?.overlap ?? null;
}

/** Give every line its short name: the part after the profile, unless two lines would have the same. */
function nameShortly(lines) {
  const shorts = lines.map(({ label, profile }) => (label.startsWith(`${profile}/`) ? label.slice(profile.length + 1) : label));
  const twice = new Set(shorts.filter((name, i) => shorts.indexOf(name) !== i));
  lines.forEach((line, i) => { line.short = twice.has(shorts[i]) ? line.label : shorts[i]; });
}

/** What is drawn of *data* in *view*; *today* are the series as they are known now, to draw beside those of `as_of`. */
export function frame(data, view, today = null) {
  const per = data.per;
  const base = axis(data, per);
  const { lines: chosen, rest, hidden } = ranked(data.series, view.top, view.only);
  const lines = chosen.map((one) => placed(one, base, per));
  nameShortly(lines);
  const profiles = new Set(rest.map((one) => one.profile));
  const others = rest.length > 0 && profiles.size === 1 && stackable(rest) ? summed(rest.map((one) => placed(one, base, per)), `other (${rest.length} series)`) : null;
  const kind = view.type !== "line" && stackable(lines) ? view.type : "line";
  if (others && kind !== "line") lines.push(others); // as a line it would dwarf the others
  const besides = view.compare ? data.previous : view.asOf ? today : null;
  const previous = (besides ?? [])
    .filter((one) => lines.some((line) => line.label === one.label && line.unit === one.unit))
    .map((one) => placed(one, base, per, view.compare ? (at) => later(data, at) : null));
  const partial = per ? lines.reduce((all, line) => all + line.part.filter((there) => there !== null && there < ENOUGH).length, 0) : 0;
  const made = { ...data, ...base, today: !view.compare && besides !== null, per, lines, previous, rest, hidden, others, type: kind, refusedType: kind === view.type ? null : view.type, log: view.log && kind === "line", zero: view.zero, partial };
  return kind === "line" ? made : { ...made, ...stack(lines, kind === "share") };
}

/** Lines on each other, the largest at the bottom: `tops` in the order of *lines*, and the number of columns that are left out because a part is missing. */
export function stack(lines, share) {
  const some = lines.filter((one) => one.values.some((value) => value !== null));
  const size = lines[0].values.length;
  const tops = new Map(lines.map((one) => [one.label, Array(size).fill(null)]));
  let left = 0;
  for (let i = 0; i < size; i += 1) {
    const there = some.filter((one) => one.values[i] !== null);
    if (!there.length) continue;
    if (there.length < some.length || some.some((one) => one.part[i] !== null && one.part[i] < ENOUGH)) {
      left += 1;
      continue;
    }
    const sum = some.reduce((all, one) => all + one.values[i], 0);
    let top = 0;
    for (const one of some) {
      top += one.values[i];
      tops.get(one.label)[i] = share ? (sum ? (100 * top) / sum : null) : top;
    }
  }
  return { tops, left };
}

/** The place of the column that contains a moment; -1 for none. */
export function placeAt({ times, ends }, moment) {
  let [low, high] = [0, times.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (times[middle] > moment) high = middle - 1;
    else if (ends[middle] <= moment) low = middle + 1;
    else return middle;
  }
  return -1;
}

/** The sum of the values in one column. */
export const sumAt = (lines, i) => lines.reduce((all, one) => (one.values[i] === null ? all : all + one.values[i]), 0);

export const isPartial = (line, i) => line.part[i] !== null && line.part[i] < ENOUGH;

/** The newest column of a line that has a value; -1 for none. */
export const newest = (line) => line.values.findLastIndex((value) => value !== null);

/** The change of a value in a column from the other period, or since the moment of `as_of`: in percent, that of a share in points. */
export function changeOf(frame, line, at, before) {
  const value = line.values[at] ?? null;
  const other = frame.previous.find(({ label, unit }) => label === line.label && unit === line.unit);
  if (value === null || before === null || isPartial(line, at) || (other && isPartial(other, at))) return "";
  const [to, from] = frame.today ? [before, value] : [value, before];
  if (line.derived === "of" || line.derived === "growth") return points(to - from);
  return line.derived === "rank" ? steps(to - from) : change(to, from);
}

/** Whether there is a point to draw. */
export const holdsPoints = ({ lines, previous }) => [...lines, ...previous].some((one) => one.values.some((value) => value !== null));
