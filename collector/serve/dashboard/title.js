// The title of the window and its icon: what is shown, and whether something needs attention.

import { $ } from "./dom.js";
import { subject } from "./drawing.js";
import { state } from "./state.js";

const BAD = new Set(["failing"]);
const ODD = new Set(["late", "stale", "waiting", "gaps"]);

/** The worst state of all profiles: `bad`, `odd` or `good`, and how many profiles have it. */
export function worst(states) {
  const bad = states.filter((one) => BAD.has(one)).length;
  const odd = states.filter((one) => ODD.has(one)).length;
  return bad ? { level: "bad", count: bad } : odd ? { level: "odd", count: odd } : { level: "good", count: 0 };
}

/** Show the state in title and icon; *error* is why the collector cannot be read. */
export function showTitle(error) {
  const { level, count } = error ? { level: "bad", count: 0 } : worst([...state.statuses.values()].map((one) => one.state));
  const said = error ? `${error.status === 401 ? "token needed" : error.status === undefined ? "no answer" : "error"} – ` : level === "bad" ? `${count} failing – ` : "";
  const simulated = document.documentElement.dataset.simulator ? "Simulated – " : "";
  const shown = state.view.series.length ? `${subject(state.view.series)} – ` : "";
  document.title = `${simulated}${said}${shown}Radar history`;
  const icon = $("icon");
  const name = level === "good" ? "icon.svg" : `icon-${level}.svg`;
  if (!icon.href.endsWith(name)) icon.href = icon.href.replace(/[^/]*$/, name);
}
