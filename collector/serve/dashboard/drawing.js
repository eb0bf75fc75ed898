// Shows loaded data: heading, chart, values, legend and tables, always of the same view.

import { $, colour, h } from "./dom.js";
import { period as inWords } from "./format.js";
import { holdsPoints } from "./lines.js";
import { describe } from "./marks.js";
import { readout, showKey, showMeasure } from "./readout.js";
import { marks, state, tint } from "./state.js";
import { showAnnotations, showGaps } from "./tables.js";

/** Draw the loaded data on *chart*; *visit* goes to an annotation or a gap. */
export function draw(chart, visit) {
  const { data, view } = state.drawn;
  const words = inWords(data.start, data.end);
  $("period").textContent = words;
  $("chart").setAttribute("aria-label", `Chart of ${view.series.join(", ") || "nothing"}, ${words}`);
  $("skeleton").hidden = true;
  $("message").hidden = holdsPoints(data);
  $("message").textContent = emptiness(data, view);
  chart.show(data, marks(), (label) => colour(`--c${tint(label)}`), view);
  if (!chart.plot) $("lane").replaceChildren();
  showMeasure(data);
  showMarks(visit);
}

function emptiness(data, view) {
  if (!state.profiles.length) return "No profile is configured: add one to config.toml, then reload.";
  if (!view.series.length) return "Choose a series on the left.";
  return data.refused.length && !data.series.length ? "None of these series can be drawn." : "No points in this period yet.";
}

export function showMarks(visit) {
  const { data, view } = state.drawn;
  showValues();
  showKey(data, marks(), view.log);
  showAnnotations(data.annotations, (one) => visit(one));
  showGaps(state.gaps, (gap) => visit(gap, gap.series));
}

/** Show the values under the cursor; return them as one sentence. */
export const showValues = () => (state.drawn ? readout(state.drawn.data, marks(), state.under, tint) : "");

export function openNote(one) {
  const close = h("button", { type: "button", class: "icon", "aria-label": "Close", onclick: () => { $("detail").hidden = true; } }, "×");
  $("detail").replaceChildren(h("div", {}, ...describe(one)), close);
  $("detail").hidden = false;
}
