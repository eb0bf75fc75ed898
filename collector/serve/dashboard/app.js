// The page: the current view, when data is read, and what a click or a key does.

import { get, hasToken } from "./api.js";
import { Backfills } from "./backfills.js";
import { Chart } from "./chart.js";
import { aboutUnknown, MOST, resolved, showCap, showNotices, toggled } from "./choice.js";
import { listen } from "./controls.js";
import { load, loadGaps } from "./data.js";
import { $ } from "./dom.js";
import { draw, openNote, showMarks, showValues } from "./drawing.js";
import { period as inWords } from "./format.js";
import { Loader } from "./loader.js";
import { layLane } from "./marks.js";
import { Profiles, showFacts, showWarnings } from "./profiles.js";
import { given, known, marks, now, state, troubles } from "./state.js";
import { showFetches } from "./tables.js";
import { readAt, TokenBox, Trouble } from "./trouble.js";
import * as views from "./view.js";

const STATUS_EVERY = 15_000;
const POINTS_EVERY = 60_000;
const JOBS_EVERY = 1_000;

const chart = new Chart($("chart"), {
  cursor: (bucket) => { state.under = bucket; showValues(); },
  selected: (start, end) => go(views.fixed(state.view, start, end)),
  panned: (share) => go(views.moved(state.view, now(), share)),
  wheel: (factor, at) => go(views.zoomed(state.view, now(), factor, at)),
  laid: (plot) => layLane($("lane"), plot, state.drawn.data, openNote),
});
const list = new Profiles((labels, wanted) => choose(toggled(state.view.series, labels, wanted)));
const token = new TokenBox(() => { for (const loader of loaders) if (loader.error) loader.run(); jobs.retry(); });
const jobs = new Backfills(() => { points.run(); statusLoader.run(); }, () => look.run(), (error) => token.open(error));

const catalogue = loader(readCatalogue, begin);
const points = loader(readPoints, show, () => POINTS_EVERY, () => chart.held);
const statusLoader = loader(readStatus, showStatus, () => STATUS_EVERY);
const look = loader((signal) => jobs.read(signal), (found) => jobs.show(found), () => (jobs.open.size ? JOBS_EVERY : STATUS_EVERY), () => jobs.held);
const loaders = [catalogue, points, statusLoader, look];
const trouble = new Trouble(loaders, meanwhile, () => token.open());
let early = null;

function loader(read, apply, every, hold) {
  const failed = (own, error) => {
    if (own === points) chart.rest();
    if (error.status === 401) hasToken(error.sent) ? token.open(error) : own.run(); // a new token was given meanwhile
  };
  return new Loader({ read, apply, every, hold, failed, changed: showReading });
}

/** Show the view of the address. Data that is already loaded is drawn at once. */
function go(next, replace = false) {
  const there = state.drawn && !points.busy && !points.error && views.samePoints(next, state.drawn.view);
  state.view = next;
  history[replace ? "replaceState" : "pushState"](null, "", views.write(next));
  showControls();
  if (there) show({ view: next, data: state.drawn.data });
  else points.run();
}

/** Show the chosen series, and name those that are too many. */
function choose({ series, left }) {
  go({ ...state.view, series }, true);
  showCap(series, left, (coming, going) => choose({ series: series.map((label) => (label === going ? coming : label)), left: [] }));
}

/** Go to the view of the address; show a note for series that are unknown. */
function restore() {
  state.view = views.parse(location.hash);
  const named = location.hash.includes("series=") ? state.view.series : (state.profiles[0]?.series ?? []);
  const { series, unknown, left } = resolved(named, known());
  const period = state.view.unknownPeriod ? ["The address names no period that can be shown: these are the last 7 days."] : [];
  showNotices([...aboutUnknown(unknown), ...period]);
  choose({ series, left });
}

async function readCatalogue(signal) {
  return (await get("profiles", { limit: 1000 }, signal)).profiles;
}

/** The profiles and their series; they are read first. */
function begin(profiles) {
  state.profiles = profiles;
  restore();
}

/** Read the points of the view, unless *early* has requested them before the series were known. */
async function readPoints(signal) {
  const { view } = state;
  const started = early;
  early = null;
  if (started && views.samePoints(started.view, view)) return { view, data: await started.data };
  return { view, data: await load(view, views.period(view, now()), state.profiles, chart.columns, signal) };
}

function show({ view, data }) {
  state.drawn = { view: views.samePoints(view, state.view) ? state.view : view, data };
  draw(chart, visit);
  performance.mark("drawn");
}

async function readStatus(signal) {
  const [profiles, status, listed] = await Promise.all([readCatalogue(signal), get("status", {}, signal), get("fetches", { limit: 300 }, signal)]);
  const gaps = status.profiles.some((one) => one.gaps || one.upstream_gaps) ? await loadGaps(signal) : [];
  return { profiles, status, fetches: listed.fetches, gaps };
}

function showStatus({ profiles, status, fetches, gaps }) {
  Object.assign(state, { profiles, fetches, gaps, statuses: new Map(status.profiles.map((one) => [one.name, one])) });
  showFacts(status);
  showWarnings(status);
  jobs.offer(profiles);
  showFetches(fetches, state.onlyErrors);
  if (state.view.series.some((label) => !known().has(label))) restore(); // a profile is gone
  else showControls();
  if (!state.drawn) return;
  chart.mark(marks());
  showMarks(visit);
}

/** Show the view in the controls. */
function showControls() {
  const { view } = state;
  for (const button of $("presets").children) button.setAttribute("aria-pressed", `${button.value === view.range}`);
  for (const name of ["compare", "zero", "log"]) $(name).setAttribute("aria-pressed", `${view[name]}`);
  $("download").disabled = !view.series.length;
  list.show(state.profiles, state.statuses, view.series, given(), troubles());
}

/** Go to the time around an annotation or a gap; show *label* among the series. */
function visit({ start, end }, label = null) {
  const last = end === Infinity ? now() : end;
  const air = Math.max(6 * 3600, (last - start) * 0.5);
  go(views.fixed(state.view, start - air, last + air));
  if (label !== null && !state.view.series.includes(label)) choose(toggled(state.view.series, [label], true));
  $("chart").focus({ preventScroll: true });
  $("period").scrollIntoView({ block: "nearest" });
}

/** Return what the chart shows while data cannot be read. */
function meanwhile() {
  if (!state.drawn) return "Nothing could be read so far.";
  const { start, end } = views.period(state.view, now());
  const waits = points.error && !views.samePoints(state.view, state.drawn.view);
  return `${waits ? `What was chosen, ${inWords(start, end)}, could not be read. ` : ""}${readAt(points.readAt)}`;
}

/** Show what is being read and what failed. Everything else is read after the chart. */
function showReading() {
  const begins = !state.drawn && !catalogue.error;
  $("chart").setAttribute("aria-busy", `${points.busy || (begins && !points.error)}`);
  if (!points.busy && (points.readAt || points.error)) {
    for (const later of [statusLoader, look]) if (!later.busy && !later.readAt && !later.error) later.run();
  }
  trouble.show();
  if (state.drawn || !trouble.failed.length) return;
  $("skeleton").hidden = true;
  $("message").hidden = false;
  $("message").textContent = "Nothing can be read at the moment.";
}

listen({
  chart,
  view: () => state.view,
  go,
  now,
  read: (bucket) => { state.under = bucket ?? state.under; return showValues(); },
  redraw: () => state.drawn && draw(chart, visit),
  emphasise: (label) => chart.emphasise(state.drawn?.view.series.includes(label) ? label : null),
  errorsOnly: (only) => { state.onlyErrors = only; showFetches(state.fetches, only); },
  restored: restore,
  notice: (text) => showNotices([text]),
});
if (innerWidth < 900) $("side").open = false;
const { view } = state;
if (view.series.length && view.series.length <= MOST) {
  const asked = readCatalogue();
  early = { view, data: load(view, views.period(view, now()), asked, chart.columns) };
  early.data.catch(() => {}); // its address may name what is no longer there
  catalogue.run(asked);
} else catalogue.run();
