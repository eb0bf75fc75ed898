// Values that the server derives from points: shares of another profile, growth, running sums, means, ranks.

import { get } from "./api.js";
import { iso, seconds } from "./format.js";
import { SECONDS } from "./view.js";

const MOST_ROWS = 40_000;
const ROWS_A_PAGE = 10_000;
const COLUMNS = { of: "share", growth: "growth", cumulative: "cumulative", mean: "mean", rank: "rank" };

/** The word of a view that asks for derived values; null for the values themselves. */
export const wordOf = (view) => Object.keys(COLUMNS).find((name) => view[name]) ?? null;

/** What the values are, for a person. */
const UNITS = {
  of: (view) => `share in % of ${view.of}${view.within ? ` with the same ${view.within}` : ""}`,
  growth: (view) => `growth in % against ${view.compare ?? "previous"}`,
  cumulative: (_view, unit) => `${unit}, sum since the start,`,
  mean: (view, unit) => `${unit}, mean of the last ${view.mean},`,
  rank: (view) => `rank${view.within ? ` within ${view.within}` : ""}`,
};

const flag = (wanted) => (wanted ? "true" : undefined);

/** The words of a view as parameters of the API. */
const words = (view) => ({
  per: view.per ?? undefined, of: view.of ?? undefined, within: view.within ?? undefined, growth: flag(view.growth),
  compare: view.growth ? view.compare ?? undefined : undefined,
  cumulative: flag(view.cumulative), mean: view.mean ?? undefined, rank: flag(view.rank),
});

/** Read the derived values of a period: `{drawn, refused, notes}`, as `loadUnits` gives them; *split* cuts labels for long addresses. */
export async function loadDerived(view, range, profiles, split, signal) {
  const refuse = (reason) => ({ drawn: [], refused: view.series.map((label) => nothing(label, profiles, reason)), notes: [] });
  const expected = rowsOf(view, range, profiles);
  if (expected > MOST_ROWS) return refuse(`this is ${Math.round(expected).toLocaleString("en")} values: choose a longer per, fewer series or a shorter period`);
  const asked = { ...words(view), start: iso(range.start), end: iso(range.end), as_of: view.asOf ? iso(view.asOf) : undefined, limit: ROWS_A_PAGE };
  try {
    const read = await Promise.all(split(view.series).map((series) => readAll({ ...asked, series }, signal)));
    const lines = read.flatMap((rows) => linesOf(rows, view, profiles));
    const odd = view.compare && (view.cumulative || view.mean) ? [`a ${view.mean ? "mean" : "running sum"} is not compared with another period`] : [];
    return { drawn: lines, refused: [], notes: [...odd, ...leftOut(lines)] };
  } catch (error) {
    if (error.status === 400) return refuse(error.message);
    throw error;
  }
}

async function readAll(asked, signal) {
  const rows = [];
  let after;
  do {
    const page = await get("points", { ...asked, after }, signal);
    rows.push(...page.points);
    after = page.next ?? undefined;
  } while (after);
  return rows;
}

const intervalOf = (label, profiles) => profiles.find((one) => one.series.includes(label))?.agg_interval ?? "1h";
const LENGTHS = { hour: 3600, day: 86400, week: 604800, month: 2_629_800, quarter: 7_889_400, year: 31_557_600 };

function rowsOf(view, range, profiles) {
  const width = (label) => (view.per ? LENGTHS[view.per] : SECONDS[intervalOf(label, profiles)]);
  return view.series.reduce((all, label) => all + (range.end - range.start) / width(label), 0);
}

function linesOf(rows, view, profiles) {
  const word = wordOf(view);
  const lines = new Map();
  for (const row of rows) {
    if (!lines.has(row.series)) lines.set(row.series, { label: row.series, profile: row.profile, unit: row.unit, times: [], mean: [], reasons: [] });
    const line = lines.get(row.series);
    line.times.push(seconds(row.timestamp));
    line.mean.push(row[COLUMNS[word]]);
    line.reasons.push(row.reason ?? null);
  }
  return [...lines.values()].map((line) => {
    const interval = intervalOf(line.label, profiles);
    return {
      ...line, interval, bucket: interval, summed: false, refused: null, normalization: "RAW_VALUES", additive: false, axis: "y", thinned: false,
      derived: word, unit: UNITS[word](view, line.unit.toLowerCase()), start: line.times[0], width: SECONDS[interval],
      least: line.mean, most: line.mean, points: line.mean.map(() => 1),
    };
  });
}

/** A sentence about the values that are absent, with the first reason. */
function leftOut(lines) {
  const reasons = lines.flatMap((line) => line.reasons.filter((reason, i) => line.mean[i] === null && reason));
  return reasons.length ? [`${reasons.length.toLocaleString("en")} values are left out: ${reasons[0]}`] : [];
}

const nothing = (label, profiles, reason) => ({
  label, profile: profiles.find((one) => one.series.includes(label))?.name ?? label, interval: intervalOf(label, profiles), bucket: intervalOf(label, profiles),
  unit: "", normalization: "RAW_VALUES", additive: false, refused: reason, mean: [], points: [], start: 0, width: null,
});
