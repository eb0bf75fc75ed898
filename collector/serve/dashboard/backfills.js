// Jobs that fetch history: how they stand, and a form to start one.

import { get, post } from "./api.js";
import { $, fill, h } from "./dom.js";
import { ago, number, period, seconds } from "./format.js";

const OPEN = new Set(["queued", "running"]);
const STATES = { queued: "new", running: "healing", done: "fresh", failed: "failing" };

export class Backfills {
  /** *done* is called when a job has ended, *failed* with what goes wrong, *ordered* when a job is new. */
  constructor(done, failed, ordered) {
    this.done = done;
    this.failed = failed;
    this.ordered = ordered;
    this.open = new Set();
    $("order").addEventListener("submit", (event) => {
      event.preventDefault();
      this.order(event.target);
    });
  }

  offer(profiles) {
    const names = profiles.map((profile) => profile.name);
    fill($("order-profile"), names, () => [h("option", { value: "" }, "all"), ...names.map((name) => h("option", { value: name }, name))]);
  }

  async order(form) {
    const given = new FormData(form);
    const at = (name) => (given.get(name) ? `${given.get(name)}T00:00:00Z` : null);
    const profiles = given.get("profile") ? [given.get("profile")] : [];
    const button = form.querySelector("button");
    button.disabled = true;
    this.say("");
    try {
      const job = await post("backfills", { profiles, start: at("start"), end: at("end"), force: given.get("force") === "on" });
      this.say(`Backfill ${job.id} is on its way.`);
      await this.ordered();
    } catch (error) {
      this.say(error.message, true);
      this.failed(error);
    } finally {
      button.disabled = false;
    }
  }

  say(text, bad = false) {
    $("order-said").textContent = text;
    $("order-said").classList.toggle("trouble", bad);
  }

  /** Read and show the jobs; gives whether one is open. */
  async look() {
    const { backfills } = await get("backfills");
    const shown = backfills.slice(0, 8);
    const ended = backfills.filter((job) => this.open.has(job.id) && !OPEN.has(job.state));
    this.open = new Set(backfills.filter((job) => OPEN.has(job.state)).map((job) => job.id));
    fill($("jobs"), [shown, Math.floor(Date.now() / 60000)], () => (shown.length ? shown.map(line) : [h("li", { class: "empty" }, "None so far. Gaps are filled without one.")]));
    if (ended.length) this.done(ended);
    return this.open.size > 0;
  }
}

function line(job) {
  const share = job.buckets ? job.buckets_done / job.buckets : OPEN.has(job.state) ? 0 : 1;
  const counts = [`${number(job.points_inserted)} new`, `${number(job.points_revised)} revised`, `${number(job.requests)} ${job.requests === 1 ? "request" : "requests"}`];
  if (job.gaps_remaining) counts.push(`${number(job.gaps_remaining)} still missing`);
  const when = job.finished_at ? ago(seconds(job.finished_at)) : `${Math.floor(share * 100)} %`;
  return h("li", { "data-job": job.id, "data-state": job.state },
    h("div", { class: "row" }, h("span", {}, job.profiles.join(", ")), h("span", { class: `state ${STATES[job.state] ?? "new"}` }, job.state)),
    h("p", { class: "small muted" }, `${period(seconds(job.start), seconds(job.end))}${job.force ? ", again" : ""}`),
    OPEN.has(job.state) ? h("progress", { max: 1, value: share, "aria-label": `Backfill ${job.id}` }) : null,
    h("p", { class: "small muted" }, `${counts.join(" · ")} · ${when}`),
    job.message ? h("p", { class: "small trouble" }, job.message) : null);
}
