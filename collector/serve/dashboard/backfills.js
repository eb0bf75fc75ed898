// Backfill jobs: their progress, and a form to start one.

import { get, post } from "./api.js";
import { $, fill, h } from "./dom.js";
import { ago, number, period, seconds } from "./format.js";

const OVER = new Set(["done", "failed", "cancelled"]);
const STATES = { queued: "new", running: "healing", done: "fresh", failed: "failing" };
const MOST = 8;
const isOpen = (job) => !OVER.has(job.state);

export class Backfills {
  /** *done* is called when a job has ended, *changed* when one was created or cancelled, *ask* if a token is needed. */
  constructor(done, changed, ask) {
    Object.assign(this, { done, changed, ask, again: null });
    this.open = new Set();
    this.held = false; // a button that is pressed must not be replaced
    $("jobs").addEventListener("pointerdown", () => { this.held = true; });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => { this.held = false; });
    $("order").addEventListener("submit", (event) => {
      event.preventDefault();
      this.order(event.target);
    });
  }

  offer(profiles) {
    const names = profiles.map((profile) => profile.name);
    fill($("order-profile"), names, () => [h("option", { value: "" }, "all"), ...names.map((name) => h("option", { value: name }, name))]);
  }

  /** Create the job of the form. An error is shown beside the form and does not stop reading. */
  order(form) {
    const given = new FormData(form);
    const at = (name) => (given.get(name) ? `${given.get(name)}T00:00:00Z` : null);
    const profiles = given.get("profile") ? [given.get("profile")] : [];
    const wanted = { profiles, start: at("start"), end: at("end"), force: given.get("force") === "on" };
    return this.send(form.querySelector("button"), "backfills", wanted, (job) => `Backfill ${job.id} is on its way.`);
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
    return line(job, isOpen(job) ? h("button", { type: "button", class: "plain slim", "data-cancel": job.id, "aria-label": `Cancel backfill ${job.id}`, onclick: (event) => this.cancel(job, event.target) }, "Cancel") : null);
  }
}

function line(job, cancel) {
  const share = job.buckets ? job.buckets_done / job.buckets : isOpen(job) ? 0 : 1;
  const counts = [`${number(job.points_inserted)} new`, `${number(job.points_revised)} revised`, `${number(job.requests)} ${job.requests === 1 ? "request" : "requests"}`];
  if (job.gaps_remaining) counts.push(`${number(job.gaps_remaining)} still missing`);
  const when = job.finished_at ? ago(seconds(job.finished_at)) : `${Math.floor(share * 100)} %`;
  return h("li", { "data-job": job.id, "data-state": job.state },
    h("div", { class: "row" }, h("span", {}, job.profiles.join(", ")), h("span", { class: "row" }, cancel, h("span", { class: `state ${STATES[job.state] ?? "new"}` }, job.state))),
    h("p", { class: "small muted" }, `${period(seconds(job.start), seconds(job.end))}${job.force ? ", again" : ""}`),
    isOpen(job) ? h("progress", { max: 1, value: share, "aria-label": `Backfill ${job.id}` }) : null,
    h("p", { class: "small muted" }, `${counts.join(" · ")} · ${when}`),
    job.message ? h("p", { class: "small trouble" }, job.message) : null);
}
