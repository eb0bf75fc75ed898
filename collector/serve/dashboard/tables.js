// Requests, gaps and annotations as tables.

import { whose } from "./backfills.js";
import { $, fill, h, link } from "./dom.js";
import { ago, duration, moment, number, period, seconds } from "./format.js";

const LONG = 160;
const MOST = 60;

function table(element, titles, rows, empty) {
  const head = h("thead", {}, h("tr", {}, ...titles.map(([text, kind]) => h("th", { scope: "col", class: kind ?? "" }, text))));
  const body = rows.length ? rows : [h("tr", {}, h("td", { colSpan: titles.length, class: "empty" }, empty))];
  return [head, h("tbody", {}, ...body)];
}

export function showFetches(fetches, onlyErrors) {
  const shown = onlyErrors ? fetches.filter((one) => one.outcome !== "ok" && one.outcome !== "started") : fetches;
  const minute = Math.floor(Date.now() / 60000);
  fill($("fetches"), [minute, onlyErrors, shown.map((one) => [one.id, one.outcome])], () => {
    const rows = joinedFailures(shown).slice(0, MOST).map(({ one, times }) => {
      const at = seconds(one.started_at);
      const took = one.finished_at ? seconds(one.finished_at) - at : null;
      const bad = one.outcome !== "ok" && one.outcome !== "started";
      const counts = [one.inserted && `${number(one.inserted)} new`, one.revised && `${number(one.revised)} revised`].filter(Boolean);
      const points = one.outcome === "ok" && !one.request.startsWith("GET ") ? counts.join(", ") || "unchanged" : ""; // a list has no points
      return h("tr", { class: bad ? "bad" : "" },
        h("td", { class: "when", title: moment(at) }, ago(at)),
        h("td", { class: "strong", title: one.profiles.join(", ") }, whose(one.profiles, Infinity)),
        h("td", { class: "what" }, asked(one), bad && one.message ? h("div", { class: "trouble" }, short(one.message)) : null),
        h("td", { class: "again" }, h("span", { class: `state ${bad ? "failing" : one.outcome === "ok" ? "fresh" : "new"}` }, one.outcome.replace("_", " ")), times > 1 ? ` × ${times}` : null),
        h("td", { class: "number" }, points),
        h("td", { class: "number" }, took === null ? "" : took < 1 ? `${Math.round(took * 1000)} ms` : `${took.toFixed(1)} s`));
    });
    const titles = [["When"], ["Profiles"], ["Asked"], ["Outcome"], ["Points", "number"], ["Took", "number"]];
    return table($("fetches"), titles, rows, onlyErrors ? "No request failed lately." : "Nothing was asked yet.");
  });
}

/** Join equal failures in a row to one row, the newest, with their number. */
function joinedFailures(fetches) {
  const found = [];
  for (const one of fetches) {
    const same = one.message ? [one.outcome, one.message, ...one.profiles].join("\n") : null;
    if (same && found.at(-1)?.same === same) found.at(-1).times += 1;
    else found.push({ one, same, times: 1 });
  }
  return found;
}

/** `34 x 15m over A..B in 3 windows` as a shorter text. */
function asked(fetch) {
  const found = /^(\d+) x (\S+) over (\S+)\.\.(\S+?)( in \d+ windows)?$/.exec(fetch.request);
  if (!found) return fetch.request;
  const [, series, interval, start, end, windows] = found;
  return `${series} × ${interval}, ${period(seconds(start), seconds(end))}${windows ?? ""}`;
}

const short = (text) => (text.length > LONG ? `${text.slice(0, LONG)}…` : text);

export function showGaps(gaps, goTo) {
  const rows = () => joinedGaps(gaps).slice(0, 200).map(({ gap, series }) => h("tr", {},
    h("td", { class: "which" }, series === 1 ? gap.series : `${gap.profile} (${series} series)`),
    h("td", {}, h("button", { type: "button", class: "text", onclick: () => goTo(gap) }, period(gap.start, gap.end)),
      h("div", { class: "small muted" }, gap.reason === "upstream" ? "Radar has none" : "not there yet")),
    h("td", { class: "number" }, number(gap.buckets * series))));
  const titles = [["Series"], ["Period"], ["Buckets", "number"]];
  fill($("gaps"), gaps, () => table($("gaps"), titles, rows(), "Everything that should be here is here."));
}

/** Join equal gaps of several series of a profile; the newest first. */
function joinedGaps(gaps) {
  const found = new Map();
  for (const gap of gaps) {
    const same = [gap.profile, gap.start, gap.end, gap.reason].join();
    if (found.has(same)) found.get(same).series += 1;
    else found.set(same, { gap, series: 1 });
  }
  return [...found.values()].sort((a, b) => b.gap.start - a.gap.start);
}

/** Show annotations and marks; *remove* deletes an own mark. */
export function showAnnotations(annotations, goTo, remove) {
  const rows = () => annotations.map((one) => h("tr", { class: one.withdrawn_at ? "gone" : "" },
    h("td", { class: "when" }, h("button", { type: "button", class: "text", onclick: () => goTo(one) }, moment(one.start))),
    h("td", { class: "number" }, one.is_instantaneous ? "" : one.end === Infinity ? "ongoing" : duration(one.end - one.start)),
    h("td", {}, (one.event_type ?? "").replaceAll("_", " ").toLowerCase()),
    h("td", { class: "what" }, h("span", { dir: "auto" }, one.description), one.withdrawn_at ? " (withdrawn)" : "", " ", link(one.linked_url, "more"),
      one.own && one.id ? h("button", { type: "button", class: "plain slim", "aria-label": `Remove the mark ${one.description}`, onclick: () => remove(one) }, "Remove") : null)));
  const titles = [["From"], ["Length", "number"], ["Kind"], ["What is said"]];
  fill($("annotations"), annotations, () => table($("annotations"), titles, rows(), "None."));
}
