// The list of profiles: the state of each, and which of its series are shown.

import { MOST } from "./choice.js";
import { $, fill, h } from "./dom.js";
import { ago, bytes, duration, number, seconds } from "./format.js";

export const COLOURS = 10;
const WAITS = {
  blocked: "Radar refuses requests", silent: "Radar does not answer", credentials: "Radar refuses the credentials",
  budget: "the request budget is spent", refused: "Radar's answer was refused",
};
const CONFIDENCE = {
  0: "confidence 0", 1: "confidence 1: too little data, erratic", 2: "confidence 2: too little data", 3: "confidence 3: erratic",
  4: "confidence 4: not assigned", 5: "confidence 5: no known issue",
};

/** Give every chosen series a colour: the one of its position among all series, or the next free one. */
export function tints(profiles, chosen) {
  const all = profiles.flatMap((profile) => profile.series);
  const given = new Map();
  const taken = new Set();
  for (const label of chosen) {
    let tint = Math.max(all.indexOf(label), 0) % COLOURS;
    for (let i = 0; taken.has(tint) && i < COLOURS; i += 1) tint = (tint + 1) % COLOURS;
    taken.add(tint);
    given.set(label, tint);
  }
  return given;
}

/** The state to show. A profile with gaps is `healing` if the service fills them. */
export function stateOf(profile, status, missing) {
  if (!status) return "new";
  return status.state === "gaps" && profile.heal && missing > 0 ? "healing" : status.state;
}

export class Profiles {
  /** *changed* is called with a series and whether it is selected. */
  constructor(changed) {
    this.changed = changed;
  }

  /** Show *profiles*; only changed elements are updated. */
  show(profiles, statuses, chosen, given, more) {
    fill($("profiles"), profiles.map((profile) => [profile.name, profile.agg_interval, profile.series]), () => profiles.map((profile) => this.item(profile)));
    $("profiles").setAttribute("aria-busy", "false");
    for (const box of $("profiles").querySelectorAll("input[data-series]")) {
      box.checked = given.has(box.dataset.series);
      box.className = given.has(box.dataset.series) ? `c${given.get(box.dataset.series)}` : "";
    }
    for (const box of $("profiles").querySelectorAll("input[data-profile]")) {
      const series = profiles.find((profile) => profile.name === box.dataset.profile).series;
      const wanted = series.filter((label) => given.has(label)).length;
      box.checked = wanted === series.length;
      box.indeterminate = wanted > 0 && wanted < series.length;
    }
    for (const profile of profiles) this.describe(profile, statuses.get(profile.name), more.get(profile.name) ?? {});
    $("chosen").textContent = chosen.length >= MOST ? `${chosen.length} series shown, the most` : `${chosen.length} series shown`;
  }

  item(profile) {
    const several = profile.series.length > 1;
    const heading = several
      ? h("input", { type: "checkbox", "data-profile": profile.name, onchange: (e) => this.changed(profile.series, e.target.checked) })
      : h("input", { type: "checkbox", "data-series": profile.series[0], onchange: (e) => this.changed(profile.series, e.target.checked) });
    const state = h("span", { class: "state", "data-part": "state" });
    const name = h("label", { class: "name" }, heading, h("span", {}, profile.name));
    const parts = [
      h("div", { class: "row" }, name, state),
      h("p", { class: "muted small facts-of", "data-part": "facts" }),
      h("p", { class: "small trouble", "data-part": "trouble", hidden: true }),
    ];
    if (several) {
      const lines = profile.series.map((label) => this.line(profile, label));
      parts.push(h("details", {}, h("summary", { class: "small muted" }, `${profile.series.length} series`), h("ul", { class: "lines" }, ...lines)));
    }
    return h("li", { class: "profile", "data-name": profile.name }, ...parts);
  }

  line(profile, label) {
    const box = h("input", { type: "checkbox", "data-series": label, onchange: (e) => this.changed([label], e.target.checked) });
    return h("li", {}, h("label", {}, box, h("span", {}, label.slice(profile.name.length + 1))));
  }

  describe(profile, status, { missing = 0, trouble = null }) {
    const item = [...$("profiles").children].find((one) => one.dataset.name === profile.name);
    const part = (name) => item.querySelector(`[data-part=${name}]`);
    const state = stateOf(profile, status, missing);
    item.dataset.state = state;
    part("state").textContent = state;
    if (!status) return;
    const facts = [[profile.agg_interval], [status.points ? `${number(status.points)} points` : "no points yet"]];
    if (status.lag_seconds) facts.push([`${duration(status.lag_seconds)} behind`]);
    if (status.gaps) facts.push([`${number(status.gaps)} missing`, "Buckets that should be here and may still come"]);
    if (status.upstream_gaps) facts.push([`${number(status.upstream_gaps)} not at Radar`, "Buckets that two answers, days apart, lack"]);
    if (status.unconfirmed) facts.push([`${number(status.unconfirmed)} unconfirmed`, "Values that one answer alone has given; they are read once more"]);
    if (status.history_begins) facts.push([`history begins ${status.history_begins.slice(0, 10)}`, "Radar has nothing before"]);
    if (profile.confidence_level !== null && profile.confidence_level !== 5) facts.push([CONFIDENCE[profile.confidence_level] ?? `confidence ${profile.confidence_level}`]);
    part("facts").replaceChildren(...facts.flatMap(([fact, title], i) => [h("span", { title }, i < facts.length - 1 ? `${fact} ·` : fact), " "]));
    const success = status.last_success ? ago(seconds(status.last_success)) : "never";
    const confidence = CONFIDENCE[profile.confidence_level] ?? "confidence not known yet";
    const next = state === "paused" ? "paused" : status.next_fire ? `next due ${status.next_fire.slice(11, 16)} UTC` : "no service collects it";
    item.title = `Last success ${success}; ${next}; ${confidence}`;
    const said = troubleOf(state, status, trouble);
    part("trouble").hidden = !said;
    part("trouble").textContent = said;
  }
}

/** Why a profile is not fresh; empty if its state is enough. */
function troubleOf(state, status, trouble) {
  if (state === "paused") return "Not collected while it is paused; its history stays.";
  if (state === "stale") return "Radar has no newer data: its answers do not move on.";
  if (state === "waiting" || (status.waiting && state !== "failing")) return inWords(status.waiting);
  if (state !== "failing" && state !== "late") return "";
  return [trouble, status.waiting && `Asked again in ${left(status.waiting.until)}.`].filter(Boolean).join(" ");
}

const left = (until) => duration(Math.max(0, seconds(until) - Date.now() / 1000));

/** The reason and the end of a wait; *wait* is `waiting` of the status. */
export function inWords({ reason, until, message }) {
  return `${WAITS[reason] ?? reason}; asked again in ${left(until)}${message ? `: ${message}` : ""}`;
}

/** The warnings of the status, one line each. */
export function showWarnings({ warnings, waiting, service }) {
  const waits = waiting && waiting.reason !== "budget" ? [inWords(waiting)] : [];
  const idle = service?.running ? [] : ["No service is running: nothing is collected. Start it with: collector run"];
  const lines = [...idle, ...waits, ...warnings];
  $("warnings").hidden = !lines.length;
  fill($("warning-list"), lines, () => lines.map((text) => h("li", {}, text)));
}

/** Show the service, the store and the request budget in the header. */
export function showFacts({ service, store, budget }) {
  const blocked = budget.blocked_until ? seconds(budget.blocked_until) - Date.now() / 1000 : 0;
  const requests = blocked > 0 ? `blocked for ${duration(blocked)}` : `${number(budget.used)} of ${number(budget.limit)}`;
  const runs = !service?.running ? "not running" : service.last_progress ? `active ${ago(seconds(service.last_progress))}` : "runs";
  const facts = [["Service", runs], ["Points", number(store.points)], ["Store", `${bytes(store.bytes)} ${store.backend === "sqlite" ? "SQLite" : "Postgres"}`], ["Requests in 5 min", requests]];
  fill($("facts"), facts, () => facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
