// Backfill jobs: their progress, and a form to start one.

import { get, post } from "./api.js";
import { $, fill, h } from "./dom.js";
import { ago, number, period, seconds } from "./format.js";

const OVER = new Set(["done", "failed", "cancelled"]);
const STATES = { queued: "new", running: "healing", done: "fresh", failed: "failing" };
const MOST = 8;
const NAMED = 3;
const isOpen = (job) => !OVER.has(job.state);

export class Backfills {
  /** *done* is called when a job has ended, *changed* when one was created or cancelled, *ask* if a token is needed. */
  constructor(done, changed, ask) {
    Object.assign(this, { done, changed, ask, again: null, all: 0 });
    this.open = new Set();
    this.held = false; // a button that is pressed must not be replaced
    $("jobs").addEventListener("pointerdown", () => { this.held = true; });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { this.held = false; });
    $("order").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(event.target, event.submitter ?? $("order-start-button"));
    });
    $("order").addEventListener("input", () => this.say(""));
  }

  offer(profiles) {
    const names = profiles.map((profile) => profile.name);
    this.all = profiles.length;
    fill($("order-profile"), names, () => [h("option", { value: "" }, "all"), ...names.map((name) => h("option", { value: name }, name))]);
  }

  /** What the form orders; null if a field is wrong, which then says so. */
  order(form) {
    const fields = new FormData(form);
    const at = (name) => (fields.get(name) ? `${fields.get(name)}T00:00:00Z` : null);
    const wrong = !fields.get("start") ? ["order-start", "From: give the first day."] : fields.get("end") && fields.get("end") <= fields.get("start") ? ["order-end", "Until: must be after the first day."] : [null, ""];
    for (const id of ["order-start", "order-end"]) $(id).setAttribute("aria-invalid", `${id === wrong[0]}`);
    this.say(wrong[1], true);
    if (wrong[0]) return $(wrong[0]).focus(), null;
    return { profiles: fields.get("profile") ? [fields.get("profile")] : [], start: at("start"), end: at("end"), force: fields.get("force") === "on" };
  }

  /** Create the job of the form, or estimate what it would cost. An error is shown beside the form and does not stop reading. */
  submit(form, button) {
    const wanted = this.order(form);
    if (!wanted) return null;
    if (button.id === "order-try") return this.send(button, "backfills", { ...wanted, dry_run: true }, costs);
    return this.send(button, "backfills", wanted, (job) => `Backfill ${job.id} is on its way.`);
  }

  cancel(job, button) {
    return this.send(button, `backfills/${job.id}/cancel`, {}, (ended) => `Backfill ${ended.id} is cancelled; what it has fetched stays.`);
  }

  /** Send a change to the server; repeat it after a token was entered. */
  async send(button, path, body, words) {
    button.disabled = true;
    this.again = null;
    this.say("");
    try {
      this.say(words(await post(path, body)));
    } catch (error) {
      if (error.status === 401) this.again = () => this.send(button, path, body, words);
      if (error.status === 400) this.blame(error.message);
      this.say(error.status === undefined ? "The collector does not answer: nothing was changed. Try again." : `${error.message}.`, true);
      if (error.status === 401) this.ask(error);
    } finally {
      button.disabled = false;
    }
    this.changed();
  }

  /** Repeat the change that was rejected for its token. */
  retry() {
    this.again?.();
  }

  /** Mark the field that an error is about. */
  blame(message) {
    for (const name of ["start", "end"]) $(`order-${name}`).setAttribute("aria-invalid", `${message.startsWith(name)}`);
  }

  say(text, bad = false) {
    $("order-said").textContent = text;
    $("order-said").classList.toggle("trouble", bad);
  }

  async read(signal) {
    return (await get("backfills", {}, signal)).backfills;
  }

  /** Show the open jobs and the newest others. */
  show(backfills) {
    const open = backfills.filter(isOpen);
    const shown = backfills.filter((job, i) => isOpen(job) || i < MOST);
    const ended = backfills.some((job) => this.open.has(job.id) && !isOpen(job));
    this.open = new Set(open.map((job) => job.id));
    const held = document.activeElement?.dataset.cancel;
    fill($("jobs"), [shown, Math.floor(Date.now() / 60000)], () => (shown.length ? shown.map((job) => this.line(job)) : [h("li", { class: "empty" }, "None so far. Gaps are filled without one.")]));
    if (held) $("jobs").querySelector(`[data-cancel="${held}"]`)?.focus();
    if (ended) this.done();
  }

  line(job) {
    return line(job, this.all, isOpen(job) ? h("button", { type: "button", class: "plain slim", "data-cancel": job.id, "aria-label": `Cancel backfill ${job.id}`, onclick: (event) => this.cancel(job, event.target) }, "Cancel") : null);
  }
}

/** What an estimate says. */
function costs({ requests, windows, points, minutes, points_per_group = 0 }) {
  if (!windows) return "Nothing is missing there: no request is needed.";
  const time = minutes < 1 ? "less than a minute" : `about ${number(Math.ceil(minutes))} ${minutes > 1 ? "minutes" : "minute"}`;
  return `It takes about ${number(requests)} ${requests === 1 ? "request" : "requests"} and ${time}, for at most ${number(points)} points${points_per_group ? ` and ${number(points_per_group)} for each group that Radar lists` : ""}. Nothing was requested.`;
}

/** The profiles of a job in few words. */
export function whose(names, all) {
  if (names.length > 1 && names.length >= all) return "all";
  return names.length > NAMED ? `${names.slice(0, NAMED).join(", ")} and ${names.length - NAMED} more` : names.join(", ");
}

function line(job, all, cancel) {
  const share = job.buckets ? job.buckets_done / job.buckets : isOpen(job) ? 0 : 1;
  const counts = [`${number(job.points_inserted)} new`, `${number(job.points_revised)} revised`, `${number(job.requests)} ${job.requests === 1 ? "request" : "requests"}`];
  if (job.gaps_remaining) counts.push(`${number(job.gaps_remaining)} still missing`);
  const when = job.finished_at ? ago(seconds(job.finished_at)) : `${Math.floor(share * 100)} %`;
  return h("li", { "data-job": job.id, "data-state": job.state },
    h("div", { class: "row" }, h("span", { title: job.profiles.join(", ") }, whose(job.profiles, all)), h("span", { class: "row" }, cancel, h("span", { class: `state ${STATES[job.state] ?? "new"}` }, job.state))),
    h("p", { class: "small muted" }, `${period(seconds(job.start), seconds(job.end))}${job.force ? ", again" : ""}`),
    isOpen(job) ? h("progress", { max: 1, value: share, "aria-label": `Backfill ${job.id}` }) : null,
    h("p", { class: "small muted" }, `${counts.join(" · ")} · ${when}`),
    job.message ? h("p", { class: "small trouble" }, job.message) : null);
}
