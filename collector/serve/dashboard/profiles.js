// The list of profiles: the state of each, and which of its series are shown. It holds a thousand of them.

import { MOST } from "./choice.js";
import { $, fill, h } from "./dom.js";
import { number } from "./format.js";
import { Groups } from "./groups.js";
import { factsOf, stateOf, timesOf, troubleOf } from "./profile_facts.js";
import { sifted } from "./sifting.js";
import { ink } from "./state.js";

const PAGE = 40;
const LINES = 40;
const FEW = 6;
const MANY = 20; // series of one profile: enough to search among them

export class Profiles {
  /** *changed* is called with some series and whether they are selected. */
  constructor(changed) {
    this.groups = new Groups(() => this.again());
    Object.assign(this, { changed, shown: PAGE, opened: new Set(), lines: new Map(), wanted: {}, last: null });
    const ids = { "find-profile": "text", "with-state": "state", "profile-order": "order", "profile-group": "group" };
    for (const [id, name] of Object.entries(ids)) {
      $(id).addEventListener("input", () => { this.wanted[name] = $(id).value; this.shown = PAGE; this.again(); });
    }
    $("more-profiles").addEventListener("click", () => { this.shown += 2 * PAGE; this.again(); });
  }

  /** Say that the list cannot be read. */
  fail() {
    $("profiles").setAttribute("aria-busy", "false");
    fill($("profiles"), "failed", () => [h("li", { class: "empty profile" }, "The profiles cannot be read.")]);
  }

  again() {
    if (this.last) this.show(...this.last);
  }

  /** Show *profiles*; only changed elements are updated. */
  show(profiles, statuses, chosen, more) {
    this.last = [profiles, statuses, chosen, more];
    const picked = new Set(chosen);
    const entries = profiles.map((profile) => {
      const status = statuses.get(profile.name);
      const state = stateOf(profile, status, more.get(profile.name)?.missing ?? 0);
      const filters = JSON.stringify([profile.dimension, profile.filters, profile.each]);
      return { profile, status, state, name: profile.name, series: profile.series, interval: profile.agg_interval, filters, points: status?.points ?? 0, last: status?.last_point, chosen: profile.series.some((label) => picked.has(label)) };
    });
    const all = sifted(entries, this.wanted);
    const some = all.slice(0, this.shown);
    const open = some.map(({ name, interval, series }) => [name, interval, this.lines.get(name) ?? LINES, series, this.groups.of(name).size]);
    fill($("profiles"), [this.wanted.text, open, some.map((one) => one.group)], () => some.flatMap((one, i) => [...(one.group && one.group !== some[i - 1]?.group ? [h("li", { class: "group muted" }, one.group)] : []), this.item(one.profile)]));
    $("profiles").setAttribute("aria-busy", "false");
    for (const box of $("profiles").querySelectorAll("input[data-series]")) this.tick(box, picked);
    for (const box of $("profiles").querySelectorAll("input[data-profile]")) {
      const { series } = profiles.find((profile) => profile.name === box.dataset.profile);
      const wanted = series.filter((label) => picked.has(label)).length;
      box.checked = wanted === series.length;
      box.indeterminate = wanted > 0 && wanted < series.length;
    }
    for (const one of some) this.describe(one, more.get(one.name) ?? {});
    this.count(entries, all, some, chosen);
  }

  tick(box, picked) {
    box.checked = picked.has(box.dataset.series);
    if (box.checked) box.style.setProperty("--mine", ink({ label: box.dataset.series }).stroke);
    else box.style.removeProperty("--mine");
  }

  /** Show how many there are, and offer the states that occur. */
  count(entries, all, some, chosen) {
    $("sieve").hidden = entries.length <= FEW && !entries.some((one) => one.series.length > MANY);
    $("sieve").classList.toggle("few", entries.length <= FEW);
    const states = [...new Set(entries.map((one) => one.state))].sort();
    fill($("with-state"), states, () => [h("option", { value: "" }, "any state"), h("option", { value: "chosen" }, "shown"), ...states.map((state) => h("option", { value: state }, state))]);
    if ($("with-state").value !== (this.wanted.state ?? "")) $("with-state").value = this.wanted.state ?? "";
    $("sifted").textContent = all.length === entries.length ? `${number(entries.length)} profiles` : `${number(all.length)} of ${number(entries.length)} profiles`;
    $("more-profiles").hidden = some.length === all.length;
    $("more-profiles").textContent = `Show more (${number(all.length - some.length)})`;
    $("none-fit").hidden = all.length > 0 || !entries.length;
    $("chosen").textContent = chosen.length >= MOST ? `${chosen.length} series, the most` : `${chosen.length} series shown`;
  }

  item(profile) {
    const several = profile.series.length > 1;
    const heading = several
      ? h("input", { type: "checkbox", "data-profile": profile.name, onchange: (e) => this.changed(profile.series, e.target.checked) })
      : h("input", { type: "checkbox", "data-series": profile.series[0], onchange: (e) => this.changed(profile.series, e.target.checked) });
    const parts = [
      h("div", { class: "row" }, h("label", { class: "name" }, heading, h("span", {}, profile.name)), h("span", { class: "state", "data-part": "state" })),
      h("p", { class: "muted small facts-of", "data-part": "facts" }),
      h("p", { class: "small trouble", "data-part": "trouble", hidden: true }),
    ];
    const keep = (event) => this.opens(profile, event.target.open);
    const title = several ? `${profile.series.length} series` : "More";
    const lines = several ? h("ul", { class: "lines" }, ...this.linesOf(profile)) : null;
    parts.push(h("details", { open: this.opened.has(profile.name) || this.isFoundInside(profile), ontoggle: keep }, h("summary", { class: "small muted" }, title), lines, h("dl", { class: "small times", "data-part": "times" })));
    return h("li", { class: "profile", "data-name": profile.name }, ...parts);
  }

  opens(profile, open) {
    if (!open) return void this.opened.delete(profile.name);
    this.opened.add(profile.name);
    this.groups.want(profile);
  }

  /** Whether a label fits all words of the search. */
  fits(label) {
    const words = (this.wanted.text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    return words.length > 0 && words.every((word) => label.toLowerCase().includes(word));
  }

  /** Whether the search fits some series of a profile, but not its name. */
  isFoundInside({ name, series }) {
    return !this.fits(name) && series.some((label) => this.fits(label));
  }

  /** The first lines of a profile, those first that fit the search; closed groups come last. */
  linesOf(profile) {
    const closed = this.groups.of(profile.name);
    const sorted = [...profile.series].sort((a, b) => this.fits(b) - this.fits(a) || closed.has(a) - closed.has(b));
    const most = this.lines.get(profile.name) ?? Math.min(LINES, sorted.filter((label) => this.fits(label)).length || LINES);
    const lines = sorted.slice(0, most).map((label) => this.line(profile, label));
    if (sorted.length > most) lines.push(h("li", {}, h("button", { type: "button", class: "text small", onclick: () => { this.lines.set(profile.name, Infinity); this.again(); } }, `${sorted.length - most} more`)));
    return lines;
  }

  line(profile, label) {
    const closed = this.groups.of(profile.name).has(label);
    const box = h("input", { type: "checkbox", "data-series": label, onchange: (e) => this.changed([label], e.target.checked) });
    return h("li", closed ? { class: "gone", title: "Closed: no certificates for 28 days" } : {}, h("label", {}, box, h("span", { dir: "auto" }, label.slice(profile.name.length + 1)), closed ? h("span", { class: "small" }, "closed") : null));
  }

  describe({ profile, status, state, name }, { trouble = null }) {
    const item = $("profiles").querySelector(`[data-name="${CSS.escape(name)}"]`);
    const part = (which) => item.querySelector(`[data-part=${which}]`);
    item.dataset.state = state;
    part("state").textContent = state;
    if (!status) return;
    const facts = factsOf(profile, status);
    fill(part("facts"), facts, () => facts.flatMap(([fact, title], i) => [h("span", { title }, i < facts.length - 1 ? `${fact} ·` : fact), " "]));
    const times = timesOf(profile, status, state);
    fill(part("times"), times, () => times.flatMap(([what, value]) => [h("dt", {}, what), h("dd", {}, value)]));
    const said = troubleOf(state, status, trouble);
    part("trouble").hidden = !said;
    part("trouble").textContent = said;
  }
}
