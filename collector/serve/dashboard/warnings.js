// The warnings of the status, and the state of service, store and request budget in the header.

import { $, fill, h } from "./dom.js";
import { ago, bytes, duration, number, seconds } from "./format.js";
import { inWords } from "./profile_facts.js";

/** The warnings of the status, one line each. */
export function showWarnings({ warnings, waiting, service }) {
  const waits = waiting && waiting.reason !== "budget" ? [inWords(waiting)] : [];
  const idle = service?.running ? [] : ["No service is running: nothing is collected. Start it with: collector run"];
  const lines = [...idle, ...waits, ...warnings];
  $("warnings").hidden = !lines.length;
  fill($("warning-list"), lines, () => lines.map((text) => h("li", {}, text)));
}

/** Show the service, the store and the request budget in the header. */
export function showFacts({ service, store, budget }) {
  const blocked = budget.blocked_until ? seconds(budget.blocked_until) - Date.now() / 1000 : 0;
  const requests = blocked > 0 ? `blocked for ${duration(blocked)}` : `${number(budget.used)} of ${number(budget.limit)}`;
  const runs = !service?.running ? "not running" : service.last_progress ? `active ${ago(seconds(service.last_progress))}` : "runs";
  const facts = [["Service", runs], ["Points", number(store.points)], ["Store", `${bytes(store.bytes)} ${store.backend === "sqlite" ? "SQLite" : "Postgres"}`], ["Requests in 5 min", requests]];
  fill($("facts"), facts, () => facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
