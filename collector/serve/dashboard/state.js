// The state of the page.

import { colour } from "./dom.js";
import { seconds } from "./format.js";
import { ranked } from "./frame.js";
import { OTHER, styleOf, styles } from "./palette.js";
import * as views from "./view.js";

/**
 * *view* is the requested view. *drawn* is on the chart: a view, its data and its frame, null before the first; heading,
 * chart, values and key show this and nothing else, so that they agree whatever cannot be read. *context* is what was
 * read after it: the previous period, revisions, what has changed since `as_of`.
 */
export const state = {
  view: views.parse(location.hash), drawn: null, context: {}, profiles: [], statuses: new Map(), fetches: [], gaps: [],
  under: null, onlyErrors: false, styles: new Map(), preset: "7d",
};

export const now = () => Date.now() / 1000;

/** The labels of all configured series. */
export const known = () => new Set(state.profiles.flatMap((profile) => profile.series));

/** Give the lines of *data* their styles, the same whether one of them is shown alone or not. */
export function restyle(data, view) {
  const { lines } = ranked(data.series, view.top, []);
  const labels = [...new Set([...lines.map((one) => one.label), ...view.only])];
  state.styles = styles(state.profiles.flatMap((profile) => profile.series), labels);
}

/** The colour and the dashes of a line. */
export function ink({ label, other }) {
  const place = state.styles.get(label);
  const style = other || place === undefined ? OTHER : styleOf(place);
  return { stroke: colour(`--c${style.colour === "other" ? "-other" : style.colour}`), dash: style.dash };
}

/** The times that have data: from the oldest point of the shown profiles until the end of the current slot. */
export function bounds(view = state.view) {
  const shown = state.profiles.filter((one) => one.series.some((label) => view.series.includes(label)));
  const firsts = shown.map(({ name }) => state.statuses.get(name)?.first_point).filter(Boolean).map(seconds);
  const end = Math.ceil(now() / views.SLOT) * views.SLOT;
  return firsts.length ? { start: Math.min(...firsts), end } : { end };
}

export const range = (view = state.view) => views.period(view, now(), bounds(view).start);

/** The marks of the drawn lines. */
export function marks() {
  const { data, view } = state.drawn;
  const shown = new Set(data.series.map((series) => series.profile));
  const finals = new Map(state.profiles.filter((one) => one.final_until !== null).map((one) => [one.name, seconds(one.final_until)]));
  const until = [...finals].filter(([name]) => shown.has(name)).map(([, at]) => at);
  const gaps = state.gaps.filter((gap) => view.series.includes(gap.series) && gap.start < data.end && gap.end > data.start);
  return { gaps, finals, finalUntil: until.length ? Math.min(...until) : null };
}

/** For each profile: the number of missing buckets, and why its newest request failed. */
export function troubles() {
  const missing = new Map();
  for (const gap of state.gaps) if (gap.reason === "missing") missing.set(gap.profile, (missing.get(gap.profile) ?? 0) + 1);
  const failed = new Map();
  for (const one of state.fetches) if (one.message) for (const name of one.profiles) if (!failed.has(name)) failed.set(name, one.message);
  return new Map(state.profiles.map(({ name }) => [name, { missing: missing.get(name) ?? 0, trouble: failed.get(name) ?? null }]));
}
