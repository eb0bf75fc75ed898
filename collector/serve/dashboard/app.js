// The page: the current view, when data is read, and what a click or a key does.

import { get, getAll, hasToken } from "./api.js";
import { Backfills } from "./backfills.js";
import { Chart } from "./chart.js";
import { aboutUnknown, isolated, MOST, resolved, showCap, showNotices, toggled } from "./choice.js";
import { listen, showControls } from "./controls.js";
import { load, loadGaps } from "./data.js";
import { $ } from "./dom.js";
import { draw, openNote, showMarks, showValues, subject } from "./drawing.js";
import { period as inWords } from "./format.js";
import { Known } from "./known.js";
import { loadContext, loadOverview } from "./later.js";
import { Loader } from "./loader.js";
import { layLanes } from "./notes.js";
import { Overview } from "./overview.js";
import { OwnMarks } from "./own_marks.js";
import { Profiles } from "./profiles.js";
import { bounds, known, marks, now, range, state, troubles } from "./state.js";
import { showFetches } from "./tables.js";
import { showTitle } from "./title.js";
import { readAt, TokenBox, Trouble } from "./trouble.js";
import * as views from "./view.js";
import { showFacts, showWarnings } from "./warnings.js";

const STATUS_EVERY = 15_000;
const POINTS_EVERY = 60_000;
const JOBS_EVERY = 1_000;

const page = {
  view: () => state.view, now, range, bounds, go,
  change: (some) => go({ ...state.view, ...some }, true),
  preset: (name) => { state.preset = name; go({ ...state.view, range: name, start: null, end: null }); },
  reset: () => { if (state.view.range !== state.preset || state.view.only.length) go({ ...state.view, range: state.preset, start: null, end: null, only: [] }); },
  isolate: (line, add) => !line.other && go({ ...state.view, only: isolated(state.view.only, line.label, add) }, true),
  showAll: () => go({ ...state.view, only: [] }, true),
  read: (place) => { state.under = place ?? state.under; return showValues(page); },
  redraw: () => state.drawn && draw(chart, page),
  emphasise: (label) => chart.emphasise(state.drawn?.frame?.lines.some((one) => one.label === label) ? label : null),
  errorsOnly: (only) => { state.onlyErrors = only; showFetches(state.fetches, only); },
  restored: () => restore(),
  notice: (text) => showNotices([text]),
  unmark: (one) => own.unmark(one),
  visit,
};
const chart = new Chart($("chart"), {
  cursor: (place) => { state.under = place; showValues(page); },
  selected: (start, end) => go(views.fixed(state.view, start, end, bounds())),
  panned: (share) => go(views.moved(state.view, range(), share, bounds())),
  wheel: (factor, at) => go(views.zoomed(state.view, range(), factor, bounds(), at)),
  reset: () => page.reset(),
  isolated: (line, add) => page.isolate(line, add),
  laid: (plot) => layLanes($("lane"), plot, state.drawn.data, (one) => openNote(one, page), () => $("annotations-title").scrollIntoView({ block: "center" })),
});
page.chart = chart;
const overview = new Overview((start, end) => go(views.fixed(state.view, start, end, bounds())), () => page.reset());
const list = new Profiles((labels, wanted) => choose(toggled(state.view.series, labels, wanted)));
const token = new TokenBox(() => { for (const one of loaders) if (one.error) one.run(); jobs.retry(); });
const jobs = new Backfills(() => { points.run(); statusLoader.run(); }, () => look.run(), (error) => token.open(error));

const own = new OwnMarks({ changed: () => points.run(), ask: (error) => token.open(error), toggled: (policy) => page.change({ policy }) });

const lists = new Known({ view: page.view, profiles: () => state.profiles, choose: (labels, wanted) => choose(toggled(state.view.series, labels, wanted)) });

const catalogue = loader(readCatalogue, begin);
const points = loader(readPoints, show, () => POINTS_EVERY, () => chart.held);
const context = loader(readContext, showContext);
const statusLoader = loader(readStatus, showStatus, () => STATUS_EVERY);
const look = loader((signal) => jobs.read(signal), (listed) => jobs.show(listed), () => (jobs.open.size ? JOBS_EVERY : STATUS_EVERY), () => jobs.held);
const loaders = [catalogue, points, context, statusLoader, look];
const trouble = new Trouble(loaders, meanwhile, () => token.open());
let early = null;
let whole = null;

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
  history[replace ? "replaceState" : "pushState"](null, "", views.write(next, state.profiles));
  showView();
  if (there) show({ view: next, data: state.drawn.data });
  else points.run();
}

/** Show the chosen series, and name those that are too many. */
function choose({ series, left }) {
  const only = state.view.only.filter((label) => series.includes(label));
  go({ ...state.view, series, only }, true);
  showCap(series, left, (coming, going) => choose({ series: series.map((label) => (label === going ? coming : label)), left: [] }));
}

/** Go to the view of the address; show a notice for everything in it that cannot be shown. */
function restore() {
  state.view = views.parse(location.hash);
  if (state.view.range) state.preset = state.view.range;
  const { profiles, only } = state.view;
  const names = new Map(state.profiles.map((one) => [one.name, one.series]));
  const labels = [...state.view.series, ...profiles.flatMap((name) => names.get(name) ?? [])];
  const some = labels.length || profiles.length || location.hash.includes("series=");
  const { series, unknown, left } = resolved(some ? [...new Set(labels)] : (state.profiles[0]?.series ?? []), known());
  const alone = only.filter((label) => series.includes(label));
  showNotices([...aboutUnknown(unknown), ...aboutUnknown(profiles.filter((name) => !names.has(name)), "profile"), ...aboutUnknown(only.filter((label) => !series.includes(label) && !unknown.includes(label))), ...state.view.odd]);
  state.view = { ...state.view, only: alone, profiles: [] };
  choose({ series, left });
  if (state.view.lists) lists.open(state.view.lists);
}

function readCatalogue(signal) {
  return getAll("profiles", "profiles", {}, signal);
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
  return { view, data: await load(view, range(view), state.profiles, chart.columns, signal) };
}

function show({ view, data }) {
  const again = state.drawn?.data === data;
  if (!again && !(state.drawn && views.samePoints(state.drawn.view, view))) state.context = {};
  state.drawn = { view: views.samePoints(view, state.view) ? state.view : view, data };
  draw(chart, page);
  overview.place(data.requested ?? data);
  performance.clearMarks("drawn"); // of earlier draws, which would add up
  performance.mark("drawn");
  if (!again) context.run();
}

/** Read what headline, trust and overview need, of what is drawn. */
async function readContext(signal) {
  const { drawn } = state;
  const read = drawn ? await loadContext(drawn, state.profiles, signal) : {};
  return { drawn, read, all: drawn?.data.series.length ? await readWhole(drawn, signal) : null };
}

/** The history of the largest series, read anew only if another one is the largest, or after ten minutes. */
async function readWhole({ frame }, signal) {
  const [largest] = frame.lines;
  const from = bounds().start;
  if (!largest || from === undefined) return null;
  if (whole?.label === largest.label && now() - whole.at < 600 && whole.bounds.start === from) return whole;
  const within = { start: from, end: bounds().end };
  return { label: largest.label, at: now(), bounds: within, series: await loadOverview(largest.label, within, signal) };
}

function showContext({ drawn, read, all }) {
  whole = all;
  if (!drawn || drawn.data !== state.drawn.data) return;
  state.context = read;
  overview.show(all?.series ?? null, all?.bounds);
  if (read.now && !drawn.view.compare) draw(chart, page); // with what is known today
  else showMarks(page);
}

async function readStatus(signal) {
  const [profiles, status, listed] = await Promise.all([readCatalogue(signal), get("status", {}, signal), get("fetches", { limit: 300 }, signal)]);
  const gaps = status.profiles.some((one) => one.gaps || one.upstream_gaps) ? await loadGaps(signal) : [];
  return { profiles, status, fetches: listed.fetches, gaps };
}

function showStatus({ profiles, status, fetches, gaps }) {
  const first = !state.statuses.size;
  Object.assign(state, { profiles, fetches, gaps, statuses: new Map(status.profiles.map((one) => [one.name, { ...one, publication: status.publication?.find((each) => each.agg_interval === one.agg_interval) }])) });
  showFacts(status);
  showWarnings(status);
  jobs.offer(profiles);
  showFetches(fetches, state.onlyErrors);
  if (state.view.series.some((label) => !known().has(label))) restore(); // a profile is gone
  else showView();
  if (!state.drawn) return;
  chart.mark(marks());
  showMarks(page);
  if (first && state.view.range === "all") points.run(); // only now it is known where the history begins
  else if (first || (!whole && !context.busy)) context.run();
}

/** Show the view in the controls and in the list. */
function showView() {
  if (!state.drawn) {
    $("subject").textContent = subject(state.view.series);
    $("period").textContent = inWords(range().start, range().end);
  }
  showControls(state.view);
  own.show(state.view.policy);
  list.show(state.profiles, state.statuses, state.view.series, troubles());
  lists.show();
  showTitle(trouble.failed[0]?.error);
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
  const { start, end } = range();
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
  showTitle(trouble.failed[0]?.error);
  if (state.drawn || !trouble.failed.length) return;
  $("skeleton").hidden = true;
  $("message").hidden = false;
  $("message").textContent = "Nothing can be read at the moment.";
  if (!state.profiles.length) list.fail();
  if ($("subject").textContent === "…") $("subject").textContent = "No history to show";
}

listen(page);
if (innerWidth < 900) $("side").open = false;
const { view } = state;
if (view.series.length && view.series.length <= MOST && !view.profiles.length && view.range !== "all") {
  const reading = readCatalogue();
  early = { view, data: load(view, range(view), reading, chart.columns) };
  early.data.catch(() => {}); // its address may name what is no longer there
  catalogue.run(reading);
} else catalogue.run();
