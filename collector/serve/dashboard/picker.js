// The form for a period and for the moment of `as_of`, by keyboard or with the browser's calendar. Times are UTC.

import { $ } from "./dom.js";
import { DAY, dateOf, iso } from "./format.js";
import * as views from "./view.js";

const field = (at) => iso(at).slice(0, 16);

/** A date with or without a time, read as UTC; null if it is none. */
export function instant(text) {
  const form = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::\d{2})?)?Z?$/.exec(text.trim());
  const at = form ? Date.parse(`${form[1]}T${form[2] ?? "00:00"}:00Z`) / 1000 : NaN;
  return Number.isFinite(at) ? at : null;
}

/** What is wrong with a period; null if it can be shown. */
export function problem(start, end, { start: first = views.FIRST, end: last = Infinity }) {
  if (start === null || end === null) return "Give a date and a time for both.";
  if (end - start < 3600) return "The end must be at least an hour after the start.";
  if (end <= first) return `The history begins ${iso(first).slice(0, 16).replace("T", " ")}.`;
  if (start >= last) return "The start is in the future.";
  return null;
}

/** Add the listeners of both forms. */
export function listenToPicker(page) {
  const dates = $("dates");
  dates.addEventListener("toggle", () => {
    if (!dates.open) return;
    const { start, end } = page.range();
    $("from").value = field(start);
    $("until").value = field(end);
    say("");
    $("from").focus();
  });
  const say = (text) => {
    $("dates-said").textContent = text;
    for (const id of ["from", "until"]) $(id).setAttribute("aria-invalid", `${text !== ""}`);
  };
  $("pick").addEventListener("submit", (event) => {
    event.preventDefault();
    const [start, end] = [instant($("from").value), instant($("until").value)];
    const wrong = problem(start, end, page.bounds());
    say(wrong ?? "");
    if (wrong) return;
    dates.open = false;
    page.go(views.fixed(page.view(), start, end, page.bounds()));
    $("chart").focus({ preventScroll: true });
  });
  const box = $("as-of");
  box.addEventListener("toggle", () => {
    if (!box.open) return;
    $("known").value = field(page.view().asOf ?? Math.floor(page.now() / 86400) * 86400);
    $("known").max = field(page.now());
    $("known").focus();
  });
  $("ask-as-of").addEventListener("submit", (event) => {
    event.preventDefault();
    const at = instant($("known").value);
    const wrong = at === null ? "Give a date and a time." : at > page.now() ? "That moment is in the future." : at < views.FIRST ? "No history is that old." : "";
    $("as-of-wrong").textContent = wrong;
    $("known").setAttribute("aria-invalid", `${wrong !== ""}`);
    if (wrong) return;
    box.open = false;
    page.go({ ...page.view(), asOf: at });
  });
  $("as-of-now").addEventListener("click", () => {
    box.open = false;
    page.go({ ...page.view(), asOf: null });
  });
  $("as-of-leave").addEventListener("click", () => {
    page.go({ ...page.view(), asOf: null });
    $("chart").focus({ preventScroll: true });
  });
  $("as-of-day").addEventListener("input", (event) => { $("as-of-said").textContent = `As known on ${dateOf(event.target.value * DAY)} …`; });
  $("as-of-day").addEventListener("change", (event) => page.go({ ...page.view(), asOf: Number(event.target.value) * DAY }, true));
}

/** Show the day of `as_of` on its slider, which goes from the first day of the history until today. */
export function showSlider(asOf, { start = asOf }, now) {
  const slider = $("as-of-day");
  slider.min = Math.floor(Math.min(start ?? asOf, asOf) / DAY);
  slider.max = Math.floor(now / DAY);
  slider.value = Math.floor(asOf / DAY);
  slider.setAttribute("aria-valuetext", dateOf(asOf));
}
