// The figures above the chart and the state of trust below it. Pure: of the loaded data alone.

import { axis, isPartial, later, overlapOf, placed, totalOf } from "./frame.js";

const keyOf = ({ label, unit }) => `${label}\n${unit}`;

/**
 * The sums of the columns that a series and the same one *shift* seconds earlier both have in full: `[now, before]`.
 */
export function alike(series, before, shift) {
  let [now, then, columns] = [0, 0, 0];
  series.mean.forEach((value, i) => {
    const at = series.start + i * series.width;
    const place = (at - shift - before.start) / before.width;
    const was = before.mean[place] ?? null;
    if (value === null || was === null || series.points[i] !== before.points[place]) return;
    now += value * series.points[i];
    then += was * before.points[place];
    columns += 1;
  });
  return columns ? [now, then] : null;
}

/** The sums of the months, quarters or years that a series and the compared one both have in full: `[now, before]`. */
export function alikePeriods(series, before, data) {
  const base = axis(data, data.per);
  const [one, other] = [placed(series, base, data.per), placed(before, base, data.per, (at) => later(data, at))];
  const both = base.times.map((_, i) => i).filter((i) => one.values[i] !== null && other.values[i] !== null && !isPartial(one, i) && !isPartial(other, i));
  return both.length ? [one, other].map(({ values }) => both.reduce((all, i) => all + values[i], 0)) : null;
}

/** The sum over several series of what they and the compared ones both have in full; null if there is nothing to compare. */
function compared(series, context, data) {
  const before = new Map((context.previous ?? []).map((one) => [keyOf(one), one]));
  const both = (one, other) => (data.periods ? alikePeriods(one, other, data) : alike(one, other, context.shift));
  const pairs = series.filter((one) => !one.snapshot && before.has(keyOf(one))).map((one) => both(one, before.get(keyOf(one)))).filter(Boolean);
  if (!pairs.length) return null;
  return pairs.reduce(([now, then], [one, other]) => [now + one, then + other], [0, 0]);
}

/**
 * The headline: the total of the largest profile that is shown, its change, and the share of its largest series.
 * Series of several profiles may overlap, so only those of one are added up.
 */
export function headline(data, context) {
  const counted = data.series.filter((one) => one.additive && one.axis === "y" && one.mean.length);
  const totals = new Map();
  for (const one of counted) totals.set(one.profile, (totals.get(one.profile) ?? 0) + (totalOf(one) ?? 0));
  const [profile, total] = [...totals].sort((a, b) => b[1] - a[1])[0] ?? [null, null];
  if (profile === null) return bounded(data.series);
  const series = counted.filter((one) => one.profile === profile);
  const largest = series.reduce((most, one) => ((totalOf(one) ?? 0) > (totalOf(most) ?? 0) ? one : most));
  const overlap = overlapOf(series);
  if (overlap) return { overlap, profile, largest: { label: largest.label, total: totalOf(largest) } };
  const pair = compared(series, context, data);
  return {
    profile, total, series: series.length, profiles: totals.size,
    change: pair && pair[1] ? (100 * (pair[0] - pair[1])) / Math.abs(pair[1]) : null,
    largest: series.length > 1 && total ? { label: largest.label, share: (100 * (totalOf(largest) ?? 0)) / total } : null,
    single: series.length === 1 ? series[0] : null,
  };
}

/** What one series of unique entries counts at most: the sum of its columns; null for anything else. */
function bounded(series) {
  const [one] = series;
  return series.length === 1 && one.bound && one.mean.length ? { atMost: totalOf(one), single: one } : null;
}

/** What one must know before trusting the chart: each with the part of the page that says more. */
export function trust(data, marks, context) {
  const missing = marks.gaps.filter((gap) => gap.reason === "missing").reduce((all, gap) => all + gap.buckets, 0);
  const upstream = marks.gaps.filter((gap) => gap.reason === "upstream").reduce((all, gap) => all + gap.buckets, 0);
  const revisions = context.revisions === undefined ? data.revisions : context.revisions;
  const labels = new Set(data.series.map((one) => one.label));
  const revised = revisions === null ? null : new Set(revisions.filter((one) => labels.has(one.series)).map((one) => `${one.series} ${one.at}`)).size;
  const young = marks.finalUntil !== null && marks.finalUntil < data.end ? Math.max(marks.finalUntil, data.start) : null;
  return { missing, upstream, revised, young, entirelyYoung: young !== null && young <= data.start, known: data.detailed || context.revisions !== undefined, annotations: data.annotations.filter((one) => !one.own).length, marks: data.annotations.filter((one) => one.own).length };
}
