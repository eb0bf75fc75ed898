// What is known of a profile, in words: its state, its numbers, why it is not fresh, and its times.

import { ago, dateOf, duration, moment, number, seconds } from "./format.js";

const WAITS = {
  blocked: "Radar refuses requests", silent: "Radar does not answer", credentials: "Radar refuses the credentials",
  budget: "the request budget is spent", refused: "Radar's answer was refused",
};
const CONFIDENCE = {
  0: "confidence 0", 1: "confidence 1: too little data, erratic", 2: "confidence 2: too little data", 3: "confidence 3: erratic",
  4: "confidence 4: not assigned", 5: "confidence 5: no known issue",
};

/** The state to show. A profile with gaps is `healing` if the service fills them. */
export function stateOf(profile, status, missing) {
  if (!status) return "new";
  return status.state === "gaps" && profile.heal && missing > 0 ? "healing" : status.state;
}

/** Short facts, each with an explanation if it needs one. */
export function factsOf(profile, status) {
  const facts = [[profile.agg_interval], ...(profile.dimension ? [[`by ${profile.dimension}`, `A series for each group of the dimension ${profile.dimension}`]] : []), [status.points ? `${number(status.points)} points` : "no points yet"]];
  if (status.lag_seconds) facts.push([`${duration(status.lag_seconds)} behind`]);
  if (status.gaps) facts.push([`${number(status.gaps)} missing`, "Buckets that should be here and may still come"]);
  if (status.upstream_gaps) facts.push([`${number(status.upstream_gaps)} not at Radar`, "Buckets that two answers, days apart, lack"]);
  if (status.unconfirmed) facts.push([`${number(status.unconfirmed)} unconfirmed`, "Values that one answer alone has given; they are read once more"]);
  if (status.history_begins) facts.push([`history begins ${status.history_begins.slice(0, 10)}`, "Radar has nothing before"]);
  if (profile.confidence_level !== null && profile.confidence_level !== 5) facts.push([CONFIDENCE[profile.confidence_level] ?? `confidence ${profile.confidence_level}`]);
  return facts;
}

/** Times and settings of a profile: pairs of a name and a value. */
export function timesOf(profile, status, state) {
  const at = (text) => (text ? moment(seconds(text)) : "none");
  const next = state === "paused" ? "paused" : status.next_fire ? `${at(status.next_fire)} UTC` : "no service collects it";
  return [
    ["Last success", status.last_success ? `${ago(seconds(status.last_success))}, ${at(status.last_success)} UTC` : "never"],
    ["Next due", next],
    ...(status.publication ? [["Published", `${duration(status.publication.published_after_seconds)} after the end of a bucket`]] : []),
    ...(status.publication?.revised_until_seconds ? [["Revised until", `${duration(status.publication.revised_until_seconds)} after the end of a bucket`]] : []),
    ["Points from", status.first_point ? `${dateOf(seconds(status.first_point))} to ${at(status.last_point)}` : "none yet"],
    ["Final until", profile.final_until ? `${at(profile.final_until)} UTC` : "nothing is final yet"],
    ["Confidence", CONFIDENCE[profile.confidence_level] ?? "not known yet"],
    ...(status.failures ? [["Failures in a row", number(status.failures)]] : []),
  ];
}

/** Why a profile is not fresh; empty if its state is enough. */
export function troubleOf(state, status, trouble) {
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
