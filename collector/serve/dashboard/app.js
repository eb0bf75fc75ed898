// The page: what is looked at, when it is read, and what happens on a click or a key.

import { get, keepToken } from "./api.js";
import { Backfills } from "./backfills.js";
import { Chart, holdsPoints } from "./chart.js";
import { listen } from "./controls.js";
import { load, loadGaps } from "./data.js";
import { $, colour, h } from "./dom.js";
import { period as inWords, seconds, time } from "./format.js";
import { describe, layLane } from "./marks.js";
import { Profiles, showFacts, showWarnings, tints } from "./profiles.js";
import { readout, showKey, showMeasure } from "./readout.js";
import { showAnnotations, showFetches, showGaps } from "./tables.js";
import * as views from "./view.js";

const STANDING_EVERY = 15_000;
const POINTS_EVERY = 60_000;
const JOBS_EVERY = 1_000;
const MOST = 20;

let view = views.parse(location.hash);
let profiles = [];
let standings = new Map();
let fetches = [];
let everyGap = [];
let data = null;
let under = null;
let reading = null;
let onlyErrors = false;
let troubled = null;
let looking = null;

const now = () => Date.now() / 1000;
const given = () => tints(profiles, view.series);
const tint = (label) => given().get(label) ?? 0;

const chart = new Chart($("chart"), {
  cursor: (at) => { under = at; showValues(); },
  selected: (start, end) => go(views.fixed(view, start, end)),
  panned: (share) => go(views.moved(view, now(), share)),
  wheel: (factor, at) => go(views.zoomed(view, now(), factor, at)),
  laid: (plot) => layLane($("lane"), plot, data, openNote),
});
const list = new Profiles((labels, wanted) => {
  const kept = view.series.filter((label) => !labels.includes(label));
  go({ ...view, series: wanted ? [...kept, ...labels].slice(0, MOST) : kept }, true);
});
const jobs = new Backfills(() => { points(); standing(); }, (error) => trouble(error), () => look());

/** Look at something else; the address tells what. */
function go(next, replace = false) {
  view = next;
  history[replace ? "replaceState" : "pushState"](null, "", views.write(view));
  points();
}

function marks() {
  const shown = new Set((data?.series ?? []).map((series) => series.profile));
  const known = profiles.filter((profile) => profile.final_until !== null);
  const finals = new Map(known.map((profile) => [profile.name, seconds(profile.final_until)]));
  const until = [...finals].filter(([name]) => shown.has(name)).map(([, at]) => at);
  const gaps = everyGap.filter((gap) => view.series.includes(gap.series) && gap.start < data.end && gap.end > data.start);
  return { gaps, finals, finalUntil: until.length ? Math.min(...until) : null };
}

function showValues() {
  if (data) return readout(data, marks(), under, tint);
  return "";
}

function openNote(one) {
  const close = h("button", { type: "button", class: "icon", "aria-label": "Close", onclick: () => { $("detail").hidden = true; } }, "×");
  $("detail").replaceChildren(h("div", {}, ...describe(one)), close);
  $("detail").hidden = false;
}

function showView() {
  const { start, end } = views.period(view, now());
  $("period").textContent = inWords(start, end);
  for (const button of $("presets").children) button.setAttribute("aria-pressed", `${button.value === view.range}`);
  for (const name of ["compare", "zero", "log"]) $(name).setAttribute("aria-pressed", `${view[name]}`);
  $("chart").setAttribute("aria-label", `Chart of ${view.series.join(", ") || "nothing"}, ${inWords(start, end)}`);
  $("download").disabled = !view.series.length;
  list.show(profiles, standings, view.series, given(), trouble.of());
  return { start, end };
}

function draw() {
  const there = holdsPoints(data);
  $("skeleton").hidden = true;
  $("message").hidden = there;
  $("message").textContent = !profiles.length ? "No profile is configured: add one to config.toml, then reload."
    : !view.series.length ? "Choose a series on the left."
    : "No points in this period yet.";
  chart.show(data, marks(), (label) => colour(`--c${tint(label)}`), view);
  if (!chart.plot) $("lane").replaceChildren();
  showMeasure(data);
  showMarks();
  $("chart").setAttribute("aria-busy", "false");
  performance.mark("drawn");
}

function showMarks() {
  const found = marks();
  showValues();
  showKey(data, found, data.shift);
  showAnnotations(data.annotations, (one) => visit(around(one)));
  showGaps(everyGap, (gap) => visit({ ...around(gap), series: view.series.includes(gap.series) ? view.series : [...view.series, gap.series].slice(-MOST) }));
}

function visit(next) {
  go(next);
  $("chart").focus({ preventScroll: true });
  $("period").scrollIntoView({ block: "nearest" });
}

function around({ start, end }) {
  const last = end === Infinity ? now() : end;
  const air = Math.max(6 * 3600, (last - start) * 0.5);
  return views.fixed(view, start - air, last + air);
}

/** Read and draw what is looked at, unless it is being read already as *early*. */
async function points(early = null) {
  reading?.abort();
  const own = (reading = new AbortController());
  const asked = showView();
  $("chart").setAttribute("aria-busy", "true");
  try {
    const found = await (early ?? load(view, asked, profiles, chart.columns, own.signal));
    if (own.signal.aborted) return;
    data = found;
    draw();
    trouble(null);
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
  }
}

async function standing() {
  try {
    const [known, status, asked] = await Promise.all([get("profiles", { limit: 1000 }), get("status"), get("fetches", { limit: 300 })]);
    profiles = known.profiles;
    standings = new Map(status.profiles.map((one) => [one.name, one]));
    fetches = asked.fetches;
    showFacts(status);
    showWarnings(status);
    jobs.offer(profiles);
    showFetches(fetches, onlyErrors);
    everyGap = status.profiles.some((one) => one.gaps || one.upstream_gaps) ? await loadGaps(profiles, { start: 0, end: now() }) : [];
    showView();
    if (data) {
      chart.mark(marks());
      showMarks();
    }
    trouble(null);
  } catch (error) {
    trouble(error);
  }
}

/** Say what is wrong, or that nothing is any more; what was read before stays. */
function trouble(error) {
  if (!error && !troubled) return;
  if (error?.status === 401 && !$("ask").open) $("ask").showModal();
  const unreachable = error && error.status === undefined;
  troubled = error;
  $("banner").hidden = !error;
  if (!error) return;
  const what = unreachable ? "The collector does not answer." : `The collector says: ${error.message}.`;
  const kept = data ? ` What is shown was read before ${time(now())}.` : "";
  const again = h("button", { type: "button", class: "plain", onclick: begin }, "Try again");
  $("banner").replaceChildren(h("span", {}, what + kept), again);
  if (!data) {
    $("skeleton").hidden = true;
    $("message").hidden = false;
    $("message").textContent = "Nothing can be read at the moment.";
  }
}

/** Per profile how much is missing that may still come, and why the newest request for it failed. */
trouble.of = () => new Map(profiles.map(({ name }) => {
  const missing = everyGap.filter((gap) => gap.profile === name && gap.reason === "missing").length;
  const failed = fetches.find((one) => one.profiles.includes(name) && one.message);
  return [name, { missing, trouble: failed?.message ?? null }];
}));

async function start() {
  const known = get("profiles", { limit: 1000 }).then((found) => found.profiles);
  const named = view.series;
  let early = named.length && named.length <= MOST ? load(view, views.period(view, now()), known, chart.columns) : null;
  early?.catch(() => {}); // its address may name what is no longer there
  try {
    profiles = await known;
    const all = new Set(profiles.flatMap((profile) => profile.series));
    view.series = view.series.filter((label) => all.has(label)).slice(0, MOST);
    if (view.series.length !== named.length) early = null;
    if (!view.series.length && profiles.length && !location.hash.includes("series=")) view.series = profiles[0].series.slice(0, MOST);
    history.replaceState(null, "", views.write(view));
  } catch (error) {
    trouble(error);
    return;
  }
  await points(early);
  await standing();
}

/** See how the jobs stand, and again soon, more often while one is open. */
async function look() {
  let open = false;
  try {
    if (!document.hidden) open = await jobs.look();
  } catch (error) {
    trouble(error);
  }
  clearTimeout(looking); // another look may have ended meanwhile
  looking = setTimeout(look, open ? JOBS_EVERY : STANDING_EVERY);
}

async function begin() {
  await start();
  await look();
}

listen({
  chart,
  view: () => view,
  go,
  now,
  read: (at) => { under = at ?? under; return showValues(); },
  redraw: () => data && draw(),
  emphasise: (label) => chart.emphasise(view.series.includes(label) ? label : null),
  errorsOnly: (only) => { onlyErrors = only; showFetches(fetches, onlyErrors); },
  restored: () => { view = views.parse(location.hash); points(); },
  admitted: (text) => { keepToken(text); begin(); },
  trouble,
});
if (innerWidth < 900) $("side").open = false;
setInterval(() => { if (!document.hidden) standing(); }, STANDING_EVERY);
setInterval(() => { if (!document.hidden && view.range && under === null) points(); }, POINTS_EVERY);
begin();
