// What a chart shows, read from the API and turned into columns of numbers.

import { get } from "./api.js";
import { iso, seconds } from "./format.js";
import { control } from "./view.js";

const DETAILED = 32 * 86400;

/** Everything about one period of some series; *profiles* may be on their way, *columns* is how many pixels there are. */
export async function load(view, { start, end }, profiles, columns, signal) {
  const shift = control({ start, end });
  const chosen = { series: view.series };
  const between = { start: iso(start), end: iso(end) };
  const before = { start: iso(start - shift), end: iso(end - shift) };
  const none = Promise.resolve(null);
  const some = view.series.length > 0;
  const detailed = end - start <= DETAILED;
  const [points, previous, remarks, revisions] = await Promise.all([
    some ? get("points", { ...chosen, ...between, thin: columns }, signal) : none,
    some && view.compare ? get("points", { ...chosen, ...before, thin: columns }, signal) : none,
    get("annotations", { ...between, limit: 1000 }, signal),
    some && detailed ? loadRevisions(view, between, profiles, signal) : none,
  ]);
  // A label whose unit changes has a series for each unit.
  const order = (all) => view.series.flatMap((label) => all.filter((s) => s.label === label));
  return {
    start,
    end,
    shift,
    series: order((points?.series ?? []).map(columnsOf)),
    previous: previous ? order(previous.series.map(columnsOf)) : null,
    annotations: remarks.annotations.map(annotation).filter((one) => one.start < end && one.end > start - 1),
    revisions: (revisions ?? []).flatMap((r) => r.revisions).filter((r) => view.series.includes(r.series)).map(revision),
    detailed,
  };
}

async function loadRevisions(view, between, profiles, signal) {
  const shown = (await profiles).filter((profile) => profile.series.some((label) => view.series.includes(label)));
  return Promise.all(shown.map(({ name }) => get("revisions", { profile: name, ...between, limit: 1000 }, signal)));
}

/** The runs of absent buckets of some series. */
export async function loadGaps(profiles, { start, end }, signal) {
  const all = [];
  let after;
  do {
    const page = await get("gaps", { start: iso(start), end: iso(end), limit: 1000, after }, signal);
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

/** The column of a series that holds a moment; null where there is none. */
export function columnAt(series, moment) {
  const at = Math.floor((moment - series.start) / series.width);
  const mean = series.mean[at];
  if (mean === undefined || mean === null) return null;
  const start = series.start + at * series.width;
  return { start, end: start + series.width, mean, least: series.least[at], most: series.most[at] };
}

/** The newest column of a series; null where it has none. */
export function newest(series) {
  return series.mean.length ? columnAt(series, series.start + (series.mean.length - 1) * series.width) : null;
}
