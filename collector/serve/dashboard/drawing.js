// Shows loaded data: heading, figures, chart, values, legend and tables, always of the same view.

import { $, forgetColours, h, keepingFocus } from "./dom.js";
import { compact, dateOf, DAY, moment, number, percent, period as inWords, points, signed } from "./format.js";
import { wordOf } from "./derived.js";
import { frame as makeFrame, holdsPoints, newest } from "./frame.js";
import { describe } from "./notes.js";
import { proofWords } from "./proof.js";
import { readout, showKey, showMeasure } from "./readout.js";
import { showSlider } from "./picker.js";
import { bounds, ink, marks, now, restyle, state } from "./state.js";
import { headline, trust } from "./summary.js";
import { showAnnotations, showGaps } from "./tables.js";
import { SHIFTS, WEEK } from "./view.js";

const NAMED = 3;

/** Draw the loaded data on *chart*; *page* goes to an annotation or a gap, and shows a line alone. */
export function draw(chart, page) {
  const { data, view } = state.drawn;
  const words = inWords(data.start, data.end);
  forgetColours();
  restyle(data, view);
  const frame = { ...makeFrame(data, view, state.context.now ?? null), wantedPer: view.per, wantedLog: view.log, usual: view.compare === "usual" };
  state.drawn.frame = frame;
  $("period").textContent = words;
  $("subject").textContent = subject(view.series);
  $("subject").title = view.series.slice(0, 40).join("\n");
  $("chart").setAttribute("aria-label", `Chart of ${view.series.slice(0, 20).join(", ") || "nothing"}, ${words}`);
  $("skeleton").hidden = true;
  $("message").hidden = holdsPoints(frame);
  showMeasure(frame);
  chart.show(frame, marks(), ink);
  if (!chart.plot) $("lane").replaceChildren();
  showMarks(page);
}

/** The names of what is shown: whole profiles by their name, then series, then how many more. */
export function subject(series) {
  const left = new Set(series);
  const parts = [];
  for (const { name, series: all } of state.profiles) {
    if (all.length < 2 || !all.every((label) => left.has(label))) continue;
    parts.push(`${name} (${all.length} series)`);
    for (const label of all) left.delete(label);
  }
  const names = [...parts, ...left];
  if (!names.length) return "Nothing is chosen";
  return names.length > NAMED ? `${names.slice(0, NAMED - 1).join(" · ")} and ${names.length - NAMED + 1} more` : names.join(" · ");
}

function emptiness(frame, view) {
  if (!state.profiles.length) return "No profile is configured: add one to config.toml, then reload.";
  if (!view.series.length) return "Choose a series on the left.";
  const { start } = bounds(view);
  if (start !== undefined && frame.end <= start) return `No points in this period: the history begins on ${dateOf(start)}.`;
  return frame.refused.length && !frame.lines.length ? "None of these series can be drawn." : "No points in this period yet.";
}

export function showMarks(page) {
  const { frame, data } = state.drawn;
  frame.stats = new Map((state.context.stats ?? []).map((one) => [one.series, one]));
  frame.compared = state.context.compared ?? null;
  frame.of = state.drawn.view.of;
  $("message").textContent = emptiness(frame, state.drawn.view);
  showMeasure(frame);
  showValues(page);
  showKey(frame, marks(), page.showAll);
  showHeadline();
  showTrust();
  showAnnotations(data.annotations, (one) => page.visit(one), (one) => page.unmark(one));
  showGaps(state.gaps, (gap) => page.visit(gap, gap.series));
}

/** Show the values under the cursor; return them as one sentence. */
export const showValues = (page) => (state.drawn?.frame ? readout(state.drawn.frame, marks(), state.under, ink, page.isolate) : "");

const figure = (name, value, title, kind = "") => h("div", { title }, h("dt", {}, name), h("dd", { class: kind }, value));

/** The total, its change and the share of the largest series. */
function showHeadline() {
  const { data, view, frame } = state.drawn;
  const box = $("headline");
  if (wordOf(view)) return void box.replaceChildren(...figuresOf(view, frame, state.context.stats));
  const shown = headline(data, state.context);
  if (!shown) return void box.replaceChildren();
  const asked = shown.single?.askedAt ? `; Radar was asked on ${moment(shown.single.askedAt)} UTC` : "";
  const name = (label) => h("span", { class: "who", dir: "auto" }, label.replace(`${shown.profile}/`, ""));
  if (shown.overlap) return void box.replaceChildren(figure("Largest", h("span", {}, compact(shown.largest.total), name(shown.largest.label)), `${number(Math.round(shown.largest.total))} of ${shown.largest.label}; no total, because ${shown.overlap}`, "name"));
  if (shown.atMost !== undefined) return void box.replaceChildren(figure("At most", compact(shown.atMost), `${number(Math.round(shown.atMost))} unique in ${shown.single.label}: one that is entered again later counts in both${asked}`));
  const of = shown.series > 1 ? `sum of the ${shown.series} series of ${shown.profile}` : shown.single.label;
  const figures = [figure(shown.profiles > 1 ? `Total of ${shown.profile}` : "Total", compact(shown.total), `${number(Math.round(shown.total))} ${shown.single?.unit.toLowerCase() ?? "certificates"}: ${of}${asked}`)];
  if (shown.single?.snapshot) return void box.replaceChildren(...figures);
  const compared = state.drawn.view.compare;
  const against = compared && compared !== "previous" ? (SHIFTS[compared] ? `Against the ${SHIFTS[compared]}` : `Against ${compared}`) : "Against the period before";
  const { shift } = state.context;
  const other = data.earlier ?? { start: data.start - shift, end: data.end - shift };
  const before = shift ? inWords(other.start, other.end) : "";
  if (shown.change !== null) figures.push(figure(against, signed(shown.change), `Compared with ${before}, over the time that both have in full`));
  else figures.push(figure(against, state.context.previous ? "–" : "…", "Nothing to compare with"));
  if (shown.largest) figures.push(figure("Largest", h("span", {}, percent(shown.largest.share), name(shown.largest.label)), `${shown.largest.label}: share of the sum of the ${shown.series} series of ${shown.profile}`, "name"));
  box.replaceChildren(...figures);
}

/** The figures above derived values: the share of the period that `collector stats` gives, or the newest value. */
function figuresOf(view, frame, stats) {
  const who = ({ label, profile }) => h("span", { class: "who", dir: "auto" }, label.replace(`${profile}/`, ""));
  const of = view.within ? `${view.of} with the same ${view.within}` : view.of;
  if (view.of) {
    const [largest] = (stats ?? []).filter((one) => one.share !== null).sort((one, other) => other.share - one.share);
    if (!largest) return [figure(`Share of ${of}`, stats ? "–" : "…", stats?.[0]?.reason ?? "")];
    const name = who({ label: largest.series, profile: largest.profile });
    const one = stats.length === 1;
    const before = frame.compared?.rows?.get(largest.series)?.compared_share ?? null;
    const against = before === null ? [] : [figure("Against before", points(largest.share - before), `${before} % ${inWords(frame.compared.start, frame.compared.end)}`)];
    return [...against, figure(one ? `Share of ${of}` : "Largest", one ? percent(largest.share) : h("span", {}, percent(largest.share), name), `${largest.series}: ${largest.share} % of ${of} in this period`, "name")];
  }
  const [line] = frame.lines;
  const at = line ? newest(line) : -1;
  return at < 0 ? [] : [figure("Newest", h("span", {}, view.growth ? signed(line.values[at]) : number(line.values[at]), who(line)), `${line.label}: ${line.unit} ${inWords(frame.times[at], frame.ends[at])}`, "name")];
}

/** One line about what to know before trusting the chart; each part leads to where it is explained. */
function showTrust() {
  const { data, view } = state.drawn;
  const facts = trust(data, marks(), state.context);
  const to = (id, text, kind) => h("button", { type: "button", class: `text ${kind}`, "data-key": id, onclick: () => $(id).scrollIntoView({ block: "center" }) }, text);
  const many = (count, text, texts) => `${number(count)} ${count === 1 ? text : texts}`;
  const parts = [];
  if (facts.young !== null) parts.push(h("span", {}, facts.entirelyYoung ? "all of it may still be revised" : `final until ${moment(facts.young)}`));
  parts.push(facts.missing ? to("gaps-title", `${many(facts.missing, "bucket", "buckets")} missing`, "bad") : h("span", {}, "no gaps"));
  if (facts.upstream) parts.push(to("gaps-title", `${many(facts.upstream, "bucket", "buckets")} Radar has not`, "warn"));
  parts.push(h("span", {}, facts.revised === null ? "revisions are not counted for so many profiles" : facts.known ? (facts.revised ? `${many(facts.revised, "value", "values")} revised` : "none revised") : "revised: …"));
  const proof = proofWords(state.context.proof);
  if (proof) parts.push(h("span", { class: `text ${proof.kind}`, title: proof.title }, proof.text));
  const counts = countsOf(data.series);
  if (counts) parts.push(h("span", { class: "counts", title: counts }, counts.split(":")[0]));
  if (facts.annotations) parts.push(to("annotations-title", many(facts.annotations, "annotation", "annotations"), ""));
  if (facts.marks) parts.push(to("annotations-title", many(facts.marks, "mark", "marks"), ""));
  const bad = facts.missing > 0;
  const level = bad ? "failing" : facts.upstream || facts.entirelyYoung ? "late" : facts.young !== null ? "healing" : "fresh";
  const word = bad ? "incomplete" : facts.entirelyYoung ? "young" : facts.young !== null ? "complete" : "complete and final";
  if (view.asOf) parts.push(h("span", {}, "this line is about the history of today"));
  keepingFocus($("trust"), () => $("trust").replaceChildren(h("span", { class: `state ${level}` }, word), ...parts));
  $("trust").hidden = !holdsPoints(state.drawn.frame);
  const asOf = $("as-of-said");
  $("as-of-bar").hidden = !view.asOf;
  const { since } = state.context;
  if (view.asOf && document.activeElement?.id !== "as-of-day") showSlider(view.asOf, bounds(view), now());
  if (view.asOf) asOf.textContent = `As known on ${moment(view.asOf)} UTC. ${since ? sinceThen(since) : ""}`;
}

/** What the counts of the largest drawn profile are of, if an object may count several times. */
function countsOf(series) {
  const { counts, name } = state.profiles.find((one) => one.name === series[0]?.profile) ?? {};
  return counts ? `counts ${counts} (${name})` : null;
}

/** What has changed since the moment of `as_of`. */
function sinceThen({ changed, added, before, after }) {
  const percent = before ? (100 * (after - before)) / Math.abs(before) : null;
  if (!changed && !added) return "Nothing of this has changed since then.";
  const some = (count, one, others) => `${count ? number(count) : "none"} ${count > 1 ? others : one}`;
  return `Since then ${some(changed, "value has changed", "values have changed")} and ${some(added, "is new", "are new")}${percent === null ? "" : `; the sum is ${signed(percent)}`}.`;
}

const LONGEST_AROUND = 4 * WEEK;

/** The period after a moment, as long as there is history, up to four whole weeks; null if it is shorter than a day. */
export function after(start, now) {
  const there = Math.min(now - start, LONGEST_AROUND);
  const length = there >= WEEK ? Math.floor(there / WEEK) * WEEK : Math.floor(there / DAY) * DAY;
  return length > 0 ? { range: null, start, end: start + length, compare: "previous" } : null;
}

export function openNote(one, page) {
  const around = after(one.start, page.now());
  const compare = around && h("button", { type: "button", class: "plain slim", onclick: () => page.go({ ...page.view(), ...around }) }, "Before and after");
  const close = h("button", { type: "button", class: "icon", "aria-label": "Close", onclick: () => { $("detail").hidden = true; } }, "×");
  $("detail").replaceChildren(h("div", {}, ...describe(one)), ...(compare ? [compare] : []), close);
  $("detail").hidden = false;
  $("detail").scrollIntoView({ block: "nearest" });
}

