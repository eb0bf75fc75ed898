// What is read once the chart is drawn: the previous period, revisions of long periods, the overview, changes since `as_of`.

import { get } from "./api.js";
import { columnsOf, loadRevisions, loadUnits, loadWords, moved, parts } from "./data.js";
import { wordOf } from "./derived.js";
import { iso, seconds } from "./format.js";
import { stackable, totalOf } from "./frame.js";
import { loadProof } from "./proof.js";
import { control } from "./view.js";

const OVERVIEW_COLUMNS = 300;
const MOST_SERIES = 100_000; // of `top`
const MOST_REVISIONS_OF = 10;

/** The end to ask for; none if the period reaches the present, whose newest buckets are not published yet. */
const until = (end) => (end < Date.now() / 1000 ? iso(end) : undefined);

/** Read what the headline and the state of trust need: *drawn* is a view and its data. */
export async function loadContext({ view, data }, profiles, signal) {
  if (!view.series.length || !data.series.length) return {};
  const range = { start: data.start, end: data.end };
  const shown = profiles.filter((one) => one.series.some((label) => view.series.includes(label)));
  const few = shown.length <= MOST_REVISIONS_OF;
  const proving = few ? loadProof(shown, range, signal) : null;
  const standing = loadStanding({ view, data }, shown, signal);
  if (wordOf(view)) {
    const [words, proof, compared] = await Promise.all([loadWordsContext({ view, data }, range, profiles, few, signal), proving, standing]);
    return { ...words, proof, compared };
  }
  const back = data.previous ? data.shift : control(data.requested ?? range);
  const moving = data.series.every((one) => one.snapshot);
  const [previous, revisions, now, proof, compared] = await Promise.all([
    moving ? null : data.previous ?? loadUnits(view, moved(range, back, null), data.thin, signal).then((read) => read.drawn),
    data.detailed || !few ? data.revisions : loadRevisions(view.series, range, profiles, signal),
    view.asOf ? loadUnits({ ...view, asOf: null }, range, data.thin, signal) : null,
    proving,
    standing,
  ]);
  return { compared, previous, moving, shift: back, revisions: few || data.detailed ? revisions : null, now: now?.drawn ?? null, since: now ? changes(data.series, now.drawn) : null, proof };
}

/**
 * Read the sums, shares and ranks of the series over the period and over the one to compare with: `{rows, start, end}`,
 * rows by label; `{refused}` if there are none, and null if they are not shown.
 */
async function loadStanding({ view, data }, shown, signal) {
  const word = wordOf(view);
  if (!view.compare || view.compare === "usual" || !(word ? word === "of" || word === "rank" : stackable(data.series) && data.series.length > 1 && shown.length === 1)) return null;
  const { start, end } = data.requested;
  const compare = iso(start - data.shift);
  const words = { top: MOST_SERIES, of: view.of ?? undefined, within: view.within ?? undefined, compare, as_of: view.asOf ? iso(view.asOf) : undefined };
  try {
    const answers = await Promise.all(shown.map(({ name }) => get("top", { profile: name, ...words, start: iso(start), end: until(end) }, signal)));
    const rows = answers.flatMap((one) => one.top).filter((row) => row.rest === null);
    const [one] = rows;
    if (!one?.compared_start) return null; // no bucket begins in the period
    return { rows: new Map(rows.map((row) => [row.series, row])), start: seconds(one.compared_start), end: seconds(one.compared_end) };
  } catch (error) {
    if (error.status === 400) return { refused: error.message };
    throw error;
  }
}

/** What a chart of derived values needs: the totals and shares of each series over the period, revisions, what has changed. */
async function loadWordsContext({ view, data }, range, profiles, few, signal) {
  const asked = { start: iso(data.requested.start), end: until(data.requested.end), as_of: view.asOf ? iso(view.asOf) : undefined };
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
