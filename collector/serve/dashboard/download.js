// Saves what is shown: the stored points as CSV, the chart as a picture, the address with its moment.

import { getText } from "./api.js";
import { parts, ranges } from "./data.js";
import { $, h } from "./dom.js";
import { iso } from "./format.js";
import { sumAt } from "./frame.js";
import { picture, toPng } from "./picture.js";
import { marks, state } from "./state.js";
import * as views from "./view.js";

const source = () => (document.documentElement.dataset.simulator ? "simulated" : "radar");

/** Save or copy what is shown; a failure is said on the page. */
export async function save(kind, page) {
  for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
  try {
    if (kind === "link") return await copyLink(page);
    const { start, end } = page.range();
    const name = `${source()}-${iso(start).slice(0, 10)}-${iso(end).slice(0, 10)}`;
    if (kind === "csv") offer(await table(page), "text/csv", `${name}.csv`);
    else if (kind === "drawn") offer([asCsv(state.drawn.frame, page.view(), source())], "text/csv", `${name}-drawn.csv`);
    else if (state.drawn?.frame) {
      const drawn = picture(state.drawn.frame, marks().gaps, $("subject").textContent, $("measure").textContent, source());
      const text = new XMLSerializer().serializeToString(drawn);
      if (kind === "svg") offer([text], "image/svg+xml", `${name}.svg`);
      else offer([await toPng(text, drawn)], "image/png", `${name}.png`);
    }
  } catch (error) {
    page.notice(kind === "link" ? `The address could not be copied: ${error.message}` : `The ${kind === "csv" ? "points" : "picture"} could not be downloaded: ${error.message}.`);
  }
}

const LICENCES = { radar: "Cloudflare Radar, CC BY-NC 4.0", simulated: "simulated" };
const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** The drawn values as CSV: one row for each line and column, with the part that is there, the share of the sum, and the source. */
export function asCsv(frame, view, from) {
  const known = view.asOf ? iso(view.asOf) : "";
  const rows = frame.lines.flatMap((line) => line.values.map((value, i) => {
    if (value === null) return null;
    const sum = frame.type === "share" ? sumAt(frame.lines, i) : 0;
    return [quoted(line.label), iso(frame.times[i]), iso(frame.ends[i]), value, quoted(line.unit), line.part[i] ?? "", sum ? value / sum : "", known, quoted(LICENCES[from])].join(",");
  }).filter(Boolean));
  return `series,start,end,value,unit,part,share,as_of,source\n${rows.join("\n")}\n`;
}

/** The stored points of the view, of whole periods if it has them. If periods are compared, the other ones come first. */
async function table(page) {
  const view = page.view();
  const per = state.drawn ? state.drawn.data.per : view.per;
  const asOf = view.asOf ? iso(view.asOf) : undefined;
  const read = ({ start, end }) => parts(view.series).map((part) => getText("points", { series: part, start: iso(start), end: iso(end), as_of: asOf, format: "csv" }));
  const tables = await Promise.all(ranges(view, page.range(), per).flatMap(read));
  return tables.map((text, place) => (place ? text.slice(text.indexOf("\n") + 1) : text));
}

function offer(parts, type, name) {
  const anchor = h("a", { href: URL.createObjectURL(new Blob(parts, { type })), download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}

/** Copy an address that shows the same tomorrow: fixed times, and the history as it is known now. */
async function copyLink(page) {
  const { start, end } = page.range();
  const fixed = { ...page.view(), range: null, start, end, asOf: page.view().asOf ?? Math.floor(page.now()) };
  const address = `${location.origin}${location.pathname}${views.write(fixed, state.profiles)}`;
  try {
    await navigator.clipboard.writeText(address);
    page.notice("The address is copied. It shows these times, as they are known now.");
  } catch {
    page.notice(`This address shows these times, as they are known now: ${address}`);
  }
}
