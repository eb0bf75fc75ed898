// A searchable list of the certificate authorities and logs that the collector knows. Only if the server keeps them.

import { get, has } from "./api.js";
import { $, fill, h } from "./dom.js";
import { dateOf, iso, number, seconds } from "./format.js";

const PAGE = 100;
const PAUSE = 250;
const LISTS = ["authorities", "logs"];

/** The row of an entry: what it is called, whose it is, its state and since when. */
export function rowOf(entry) {
  const since = entry.state_since ?? entry.state_seen_at;
  const trust = Object.entries(entry.trust ?? {}).filter(([, value]) => value).map(([who, value]) => `${who}: ${value.replaceAll("_", " ").toLowerCase()}`);
  return {
    name: entry.name ?? entry.slug,
    holder: entry.holder ?? "",
    state: (entry.gone_at ? "gone" : entry.state ?? "").replaceAll("_", " ").toLowerCase(),
    since: entry.gone_at ? dateOf(seconds(entry.gone_at)) : since ? dateOf(seconds(since)) : "",
    trust: trust.join(" · "),
  };
}

export class Known {
  #timer = null;

  /** *view* gives the current view, for its `as_of`. */
  constructor(view) {
    Object.assign(this, { view, list: LISTS.find(has), rows: [], after: null, reads: 0 });
    $("known-section").hidden = !this.list;
    if (!this.list) return;
    $("known-lists").replaceChildren(...LISTS.filter(has).map((name) => h("button", { type: "button", value: name, onclick: () => { this.list = name; this.load(); } }, name)));
    $("known-section").addEventListener("toggle", () => $("known-section").open && !this.rows.length && this.load());
    $("find-known").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.load(), PAUSE);
    });
    $("more-known").addEventListener("click", () => this.load(true));
  }

  /** Read the first page, or the next one; an answer that a newer search has overtaken is dropped. */
  async load(more = false) {
    const own = (this.reads += 1);
    for (const button of $("known-lists").children) button.setAttribute("aria-pressed", `${button.value === this.list}`);
    $("known-said").textContent = "Reading …";
    try {
      const { asOf } = this.view();
      const parameters = { search: $("find-known").value.trim() || undefined, gone: "true", limit: PAGE, as_of: asOf ? iso(asOf) : undefined, after: more ? this.after : undefined };
      const answer = await get(this.list, parameters);
      if (own !== this.reads) return;
      this.rows = [...(more ? this.rows : []), ...answer[this.list].map(rowOf)];
      this.after = answer.next;
      $("known-said").textContent = answer.absence ?? `${number(this.rows.length)}${this.after ? " or more" : ""} ${this.list}`;
    } catch (error) {
      if (own === this.reads) $("known-said").textContent = error.status === undefined ? "The collector does not answer." : `${error.message}.`;
    }
    if (own === this.reads) this.show();
  }

  show() {
    $("more-known").hidden = !this.after;
    fill($("known-rows"), this.rows, () => {
      const titles = ["Name", this.list === "logs" ? "Operator" : "Owner", "State", "Since", this.list === "logs" ? "" : "Trusted by"];
      const body = this.rows.map((one) => h("tr", {}, h("td", { class: "strong what", dir: "auto" }, one.name), h("td", { dir: "auto" }, one.holder), h("td", {}, one.state), h("td", { class: "when" }, one.since), h("td", { class: "muted" }, one.trust)));
      const none = h("tr", {}, h("td", { colSpan: titles.length, class: "empty" }, "None fits."));
      return [h("thead", {}, h("tr", {}, ...titles.map((title) => h(title ? "th" : "td", { scope: title ? "col" : null }, title)))), h("tbody", {}, ...(body.length ? body : [none]))];
    });
  }
}
