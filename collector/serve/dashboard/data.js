// The data of a chart: read from the API, and converted to columns of numbers.

import { get } from "./api.js";
import { iso, seconds } from "./format.js";
import { control, FIRST } from "./view.js";

const DETAILED = 32 * 86400;
const GRID = 4 * 86400; // a Monday, on which columns begin unless buckets start elsewhere

/** Read all data of one period of some series. *profiles* is a promise, *columns* the width in pixels. */
export async function load(view, { start, end }, profiles, columns, signal) {
  const shift = control({ start, end });
  const chosen = { series: view.series, thin: columns, buckets: "common" };
  const between = { start: iso(start), end: iso(end) };
  const before = { start: iso(Math.max(start - shift, FIRST)), end: iso(Math.max(end - shift, FIRST)) };
  const none = Promise.resolve(null);
  const some = view.series.length > 0;
  const detailed = end - start <= DETAILED;
  const [points, previous, listed, revisions] = await Promise.all([
    some ? get("points", { ...chosen, ...between }, signal) : none,
    some && view.compare ? get("points", { ...chosen, ...before }, signal) : none,
    get("annotations", { ...between, limit: 1000 }, signal),
    some && detailed ? loadRevisions(view, between, profiles, signal) : none,
  ]);
  // A label whose unit changes has a series for each unit.
  const order = (all) => view.series.flatMap((label) => all.filter((s) => s.label === label));
  const found = order((points?.series ?? []).map(columnsOf));
  return {
    start,
    end,
    shift,
    series: found.filter((series) => !series.refused),
    refused: found.filter((series) => series.refused),
    previous: previous ? order(previous.series.map(columnsOf)).filter((series) => !series.refused) : null,
    annotations: listed.annotations.map(annotation).filter((one) => one.start < end && one.end > start - 1),
    revisions: (revisions ?? []).flatMap((r) => r.revisions).filter((r) => view.series.includes(r.series)).map(revision),
    detailed,
  };
}

async function loadRevisions(view, between, profiles, signal) {
  const shown = (await profiles).filter((profile) => profile.series.some((label) => view.series.includes(label)));
  return Promise.all(shown.map(({ name }) => get("revisions", { profile: name, ...between, limit: 1000 }, signal)));
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

function columnsOf(series) {
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
    start: series.start === null ? 0 : seconds(series.start),
    width: series.column_seconds,
    least: series.least,
    most: series.most,
    mean: series.mean,
  };
}

function annotation(row) {
  const start = seconds(row.start_date);
  const end = row.is_instantaneous ? start : row.end_date === null ? Infinity : seconds(row.end_date);
  return { ...row, start, end };
}

function revision(row) {
  return { ...row, at: seconds(row.timestamp), seen: seconds(row.seen_at), replaced: seconds(row.replaced_at) };
}

/** The column at a time: from *start* up to, not including, *end*. It is the same for all shown series. */
export function bucketAt(data, moment) {
  const { width, start: first } = data.series[0] ?? data.previous?.[0] ?? {};
  if (width === undefined) return null;
  const origin = first || GRID;
  const start = origin + Math.floor((moment - origin) / width) * width;
  return { start, end: start + width };
}

/** The column of a series that begins at *start*; null if there is none. */
export function columnAt(series, start) {
  const at = (start - series.start) / series.width;
  const mean = series.mean[at];
  if (mean === undefined || mean === null) return null;
  return { start, end: start + series.width, mean, least: series.least[at], most: series.most[at] };
}

/** The newest column of a series; null if it has none. */
export const newest = (series) => columnAt(series, series.start + (series.mean.length - 1) * series.width);
