// The state of the page.

import { seconds } from "./format.js";
import { tints } from "./profiles.js";
import * as views from "./view.js";

/**
 * *view* is the requested view. *drawn* is on the chart: a view and its data, null before the first; heading,
 * chart, values and key show this and nothing else, so that they agree whatever cannot be read.
 */
export const state = { view: views.parse(location.hash), drawn: null, profiles: [], statuses: new Map(), fetches: [], gaps: [], under: null, onlyErrors: false };

export const now = () => Date.now() / 1000;
export const given = (view = state.view) => tints(state.profiles, view.series);
export const tint = (label) => given().get(label) ?? (state.drawn ? given(state.drawn.view).get(label) : 0) ?? 0;

/** The labels of all configured series. */
export const known = () => new Set(state.profiles.flatMap((profile) => profile.series));

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
  return new Map(state.profiles.map(({ name }) => {
    const missing = state.gaps.filter((gap) => gap.profile === name && gap.reason === "missing").length;
    const failed = state.fetches.find((one) => one.profiles.includes(name) && one.message);
    return [name, { missing, trouble: failed?.message ?? null }];
  }));
}
