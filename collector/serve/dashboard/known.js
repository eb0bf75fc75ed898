// A searchable list of the authorities, their owners and the logs that the collector knows. Only if the server keeps them.

import { get, getAll, has } from "./api.js";
import { $, fill, h, keepingFocus } from "./dom.js";
import { compact, dateOf, iso, moment, number, percent, seconds } from "./format.js";
import { seriesOf } from "./holders.js";

const PAGE = 100;
const PAUSE = 250;
/** For each list: one entry of it, its route, the filter whose values its entries are, and the titles of two columns. */
const LISTS = {
  owners: { noun: "owner", route: "values/ca_owner", rows: "values", filter: "ca_owner", needs: "authorities" },
  authorities: { noun: "authority", route: "authorities", rows: "authorities", filter: "ca", holder: "Owner", trust: true },
  logs: { noun: "log", route: "logs", rows: "logs", filter: "log", holder: "Operator" },
};

const words = (text) => text.replaceAll("_", " ").toLowerCase();
const day = (text) => dateOf(seconds(text));

/** The row of an entry: what it is called, whose it is, its state and since when. */
export function rowOf(entry) {
  const trust = Object.entries(entry.trust ?? {}).filter(([, value]) => value).map(([who, value]) => `${who}: ${words(value)}`);
  const since = entry.gone_at ?? entry.state_since;
  return {
    name: entry.name ?? entry.slug,
    names: [entry.name, entry.slug].filter(Boolean),
    holder: entry.holder ?? "",
    state: entry.gone_at ? "gone" : words(entry.state ?? ""),
    since: since ? day(since) : entry.state_seen_at ? `${day(entry.state_seen_at)} or before` : "",
    trust: trust.join(" · "),
  };
}

/** The row of a value of a filter: its state is whether Radar lists it. */
export function rowOfValue(value) {
  const since = value.listed_until ?? value.listed_since ?? value.first_seen;
  const state = value.listed_until ? "gone" : value.listed_since ? "listed" : "not listed";
  return { name: value.value, names: [value.value], holder: "", state, since: since ? `${day(since)}${value.listed_until ? "" : " or before"}` : "", trust: "" };
}

/** The newest volume of an entry; null if the store has none. */
export function volumeOf({ names }, values) {
  const value = names.map((name) => values.get(name)).find((one) => one && one.volume !== null);
  return value ? { volume: value.volume, share: value.share, title: `${number(value.volume)} certificates in the ${value.agg_interval} from ${moment(seconds(value.bucket))} UTC` } : null;
}

export class Known {
  #timer = null;

  /** *view* gives the current view, *profiles* what is configured; *choose* is called with labels and whether to show them. */
  constructor({ view, profiles, choose }) {
    const there = Object.keys(LISTS).filter((name) => has(LISTS[name].needs ?? LISTS[name].route));
    Object.assign(this, { view, profiles, choose, list: there[0], rows: [], values: null, after: null, reads: 0 });
    $("known-section").hidden = !this.list;
    if (!this.list) return;
    $("known-lists").replaceChildren(...there.map((name) => h("button", { type: "button", value: name, onclick: () => { this.list = name; this.load(); } }, name)));
    $("known-section").addEventListener("toggle", () => $("known-section").open && !this.rows.length && this.load());
    $("find-known").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.load(), PAUSE);
    });
    $("more-known").addEventListener("click", () => this.load(true));
  }

  /** Show one of the lists, if the server keeps it. */
  open(list) {
    if (!this.list || (this.list === list && $("known-section").open)) return;
    if (has(LISTS[list].needs ?? LISTS[list].route)) this.list = list;
    if ($("known-section").open) this.load();
    else $("known-section").open = true;
  }

  /** Read the first page, or the next one; an answer that a newer search has overtaken is dropped. */
  async load(more = false) {
    const own = (this.reads += 1);
    const { list } = this;
    for (const button of $("known-lists").children) button.setAttribute("aria-pressed", `${button.value === list}`);
    $("known-said").textContent = "Reading …";
    try {
      const [answer, values] = await this.read(LISTS[list], more);
      if (own !== this.reads) return;
      const rows = answer[LISTS[list].rows].map(list === "owners" ? rowOfValue : rowOf);
      Object.assign(this, { rows: [...(more ? this.rows : []), ...rows], values, after: answer.next });
      $("known-said").textContent = answer.absence ?? this.counted();
    } catch (error) {
      if (own === this.reads) $("known-said").textContent = error.status === undefined ? "The collector does not answer." : `${error.message}.`;
    }
    if (own === this.reads) this.show();
  }

  counted() {
    const noun = this.rows.length === 1 ? LISTS[this.list].noun : this.list;
    return `${number(this.rows.length)}${this.after ? " or more" : ""} ${noun}`;
  }

  /** Read one page of a list, and the volumes of all values of its filter. */
  async read({ route, rows, filter }, more) {
    const { asOf } = this.view();
    const at = asOf ? iso(asOf) : undefined;
    const page = { search: $("find-known").value.trim() || undefined, limit: PAGE, as_of: at, after: more ? this.after : undefined };
    const volumes = (all) => new Map(all.map((one) => [one.value, one]));
    if (rows === "values") {
      const answer = await get(route, page);
      return [answer, new Map([...(more ? this.values : []), ...volumes(answer.values)])];
    }
    const [answer, all] = await Promise.all([get(route, { ...page, gone: "true" }), more ? null : getAll(`values/${filter}`, "values", { as_of: at })]);
    return [answer, all ? volumes(all) : this.values];
  }

  /** Show the rows, and which of their series are on the chart. */
  show() {
    if (!this.list || !this.values) return;
    const { holder, trust, filter } = LISTS[this.list];
    const shown = new Set(this.view().series);
    const rows = this.rows.map((row) => ({ ...row, volume: volumeOf(row, this.values), series: seriesOf(filter, row.names, this.profiles()) }));
    const shares = rows.some(({ volume }) => volume && volume.share !== null);
    $("more-known").hidden = !this.after;
    const titles = [["Name"], ...(holder ? [[holder]] : []), ["State"], ["Since"], ["Newest volume", "number"], ...(shares ? [["Share", "number"]] : []), ...(trust && rows.some((one) => one.trust) ? [["Trusted by"]] : []), [""]];
    const content = [this.list, rows, rows.map(({ series }) => shown.has(series))];
    keepingFocus($("known-rows"), () => fill($("known-rows"), content, () => {
      const head = h("tr", {}, ...titles.map(([text, kind]) => h(text ? "th" : "td", { scope: text ? "col" : null, class: kind ?? "" }, text)));
      const body = rows.map((one) => this.row(one, titles, shown));
      return [h("thead", {}, head), h("tbody", {}, ...(body.length ? body : [h("tr", {}, h("td", { colSpan: titles.length, class: "empty" }, "None fits."))]))];
    }));
  }

  row({ name, holder, state, since, volume, trust, series }, titles, shown) {
    const { holder: held } = LISTS[this.list];
    const titled = (text) => titles.some(([title]) => title === text);
    const cells = [
      h("td", { class: "strong what", dir: "auto" }, name),
      held ? h("td", { class: "holder", dir: "auto" }, holder) : null,
      h("td", { class: "nowrap" }, state),
      h("td", { class: "when" }, since),
      h("td", { class: "number", title: volume?.title ?? "No series has it" }, volume ? compact(volume.volume) : ""),
      titled("Share") ? h("td", { class: "number share", title: "Part of what is counted without this filter" }, volume && volume.share !== null ? percent(100 * volume.share) : "") : null,
      titled("Trusted by") ? h("td", { class: "muted" }, trust) : null,
      h("td", { class: "act" }, series ? this.toggle(series, shown.has(series)) : null),
    ];
    return h("tr", { class: state === "gone" ? "gone" : "" }, ...cells);
  }

  /** A button that puts a series on the chart, or takes it off. */
  toggle(series, on) {
    const title = on ? `Take ${series} off the chart` : `Show ${series} on the chart`;
    return h("button", { type: "button", class: "toggle slim", "data-key": series, "aria-pressed": `${on}`, title, "aria-label": `Show ${series} on the chart`, onclick: () => this.choose([series], !on) }, "Show");
  }
}
