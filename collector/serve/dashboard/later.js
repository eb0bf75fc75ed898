// What is read once the chart is drawn: the previous period, revisions of long periods, the overview, changes since `as_of`.

import { get } from "./api.js";
import { columnsOf, loadRevisions, loadUnits, loadWords, moved, parts } from "./data.js";
import { wordOf } from "./derived.js";
import { iso } from "./format.js";
import { totalOf } from "./frame.js";
import { loadProof } from "./proof.js";
import { control, last } from "./view.js";

const OVERVIEW_COLUMNS = 300;
const MOST_REVISIONS_OF = 10;

/** Read what the headline and the state of trust need: *drawn* is a view and its data. */
export async function loadContext({ view, data }, profiles, signal) {
  if (!view.series.length || !data.series.length) return {};
  const range = { start: data.start, end: data.end };
  const shown = profiles.filter((one) => one.series.some((label) => view.series.includes(label)));
  const few = shown.length <= MOST_REVISIONS_OF;
  const proving = few ? loadProof(shown, range, signal) : null;
  if (wordOf(view)) {
    const [words, proof] = await Promise.all([loadWordsContext({ view, data }, range, profiles, few, signal), proving]);
    return { ...words, proof };
  }
  const back = data.previous ? data.shift : control(data.requested ?? range);
  const moving = data.series.every((one) => one.snapshot);
  const [previous, revisions, now, proof] = await Promise.all([
    moving ? null : data.previous ?? loadUnits(view, moved(range, back, null), data.thin, signal).then((read) => read.drawn),
    data.detailed || !few ? data.revisions : loadRevisions(view.series, range, profiles, signal),
    view.asOf ? loadUnits({ ...view, asOf: null }, range, data.thin, signal) : null,
    proving,
  ]);
  return { previous, moving, shift: back, revisions: few || data.detailed ? revisions : null, now: now?.drawn ?? null, since: now ? changes(data.series, now.drawn) : null, proof };
}

/** What a chart of derived values needs: the totals and shares of each series over the period, revisions, what has changed. */
async function loadWordsContext({ view, data }, range, profiles, few, signal) {
  const asked = { start: iso(data.requested.start), end: iso(Math.min(data.requested.end, last())), as_of: view.asOf ? iso(view.asOf) : undefined };
  const words = { of: view.of ?? undefined, within: view.within ?? undefined };
  const [stats, revisions, now] = await Promise.all([
    Promise.all(parts(view.series).map((series) => get("stats", { series, ...words, ...asked }, signal))),
    data.detailed || !few ? data.revisions : loadRevisions(view.series, range, profiles, signal),
    view.asOf ? loadWords({ ...view, asOf: null }, data.requested, profiles, signal) : null,
  ]);
  return { previous: null, stats: stats.flatMap((one) => one.stats), revisions: few || data.detailed ? revisions : null, now: now?.series ?? null, since: now ? changes(data.series, now.series) : null };
}

/** How the history of today differs from *series*, that of an earlier moment: changed and new columns, and the change of the sum. */
export function changes(series, today) {
  const difference = { changed: 0, added: 0, before: 0, after: 0 };
  for (const one of today) {
    const then = series.find((other) => other.label === one.label && other.unit === one.unit);
    difference.before += (then && totalOf(then)) ?? 0;
    difference.after += totalOf(one) ?? 0;
    one.mean.forEach((value, i) => {
      if (value === null) return;
      const at = then ? (one.start + i * one.width - then.start) / then.width : -1;
      const was = then?.mean[at] ?? null;
      if (was === null) difference.added += 1;
      else if (was !== value || then.points[at] !== one.points[i]) difference.changed += 1;
    });
  }
  return difference;
}

/** Read the whole history of one series, from *start* until now, for the overview. */
export async function loadOverview(label, { start, end }, signal) {
  const read = await get("points", { series: label, thin: OVERVIEW_COLUMNS, start: iso(start), end: iso(end) }, signal);
  return read.series.map(columnsOf).find((one) => !one.refused && one.mean.length) ?? null;
}
