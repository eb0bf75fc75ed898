// Which profiles the list shows, and in which order. Pure.

const TROUBLE = ["failing", "late", "stale", "waiting", "gaps", "healing", "new", "relative", "snapshot", "paused", "fresh"];
const rank = (state) => (TROUBLE.includes(state) ? TROUBLE.indexOf(state) : TROUBLE.length);

const ORDERS = {
  configured: () => 0,
  name: (a, b) => a.name.localeCompare(b.name),
  trouble: (a, b) => rank(a.state) - rank(b.state),
  newest: (a, b) => (b.last ?? "").localeCompare(a.last ?? ""),
  points: (a, b) => b.points - a.points,
};

/** Whether each word of *text* is in the name, a series, a filter or the state. */
export function matches(text, { name, series, state, interval, filters }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [name, state, interval, filters, ...series].join("\n").toLowerCase();
  return words.every((word) => all.includes(word));
}

/** The entries that fit, in order; each has name, series, state, interval, filters, points, last and chosen. */
export function sifted(entries, { text = "", state = "", order = "configured", group = "" }) {
  const fit = entries.filter((one) => (!state || (state === "chosen" ? one.chosen : one.state === state)) && matches(text, one));
  const key = { state: (one) => one.state, interval: (one) => one.interval }[group];
  const groups = key ? [...new Set(fit.map(key))] : [];
  if (group === "state") groups.sort((a, b) => rank(a) - rank(b));
  const place = new Map(groups.map((name, i) => [name, i]));
  return fit.map((one, i) => [one, i])
    .sort(([a, i], [b, j]) => (key ? place.get(key(a)) - place.get(key(b)) : 0) || ORDERS[order](a, b) || i - j)
    .map(([one]) => (key ? { ...one, group: key(one) } : one));
}
