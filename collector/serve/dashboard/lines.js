// The lines of the chart: numbers, colours, and the values that fit on a logarithmic axis.

import { faint } from "./dom.js";

/** Whether there is a point to draw. */
export const holdsPoints = (data) => [...data.series, ...(data.previous ?? [])].some((series) => series.mean.length);

/** The lowest value above zero, and the number of values that are not above zero and so not on a logarithmic axis. */
export function logarithmic(data) {
  const all = [...data.series, ...(data.previous ?? [])];
  const values = all.flatMap((series) => [...series.mean, ...(series.thinned ? series.least : [])]).filter((value) => value !== null);
  const means = all.flatMap((series) => series.mean).filter((value) => value !== null);
  const least = values.reduce((low, value) => (value > 0 && value < low ? value : low), Infinity);
  return { least, zeros: means.filter((value) => value <= 0).length };
}

/** Lines in the form of uPlot: one table for each series, joined on time; `previous` is moved to the present. Without points, an empty frame. */
export function tables(data, log) {
  const all = [];
  const { least } = log ? logarithmic(data) : {};
  const shown = (values) => (log ? values.map((value) => (value > 0 ? value : null)) : values);
  const lower = (values) => (log ? values.map((value) => (value === null || least === Infinity ? null : Math.max(value, least))) : values);
  for (const series of data.series) {
    const at = series.mean.map((_, i) => series.start + i * series.width);
    const bounds = series.thinned ? [shown(series.most), lower(series.least)] : [];
    all.push([at, shown(series.mean), ...bounds]);
  }
  for (const series of data.previous ?? []) {
    all.push([series.mean.map((_, i) => series.start + data.shift + i * series.width), shown(series.mean)]);
  }
  const empty = ([, ...values]) => [[data.start, data.end], ...values.map(() => [null, null])];
  return all.length ? uPlot.join(holdsPoints(data) ? all : all.map(empty)) : null;
}

/** The style of each line, and the bands between the extremes. */
export function lines(data, palette) {
  const series = [{}];
  const bands = [];
  for (const one of data.series) {
    const stroke = palette(one.label);
    series.push({ label: one.label, of: one.label, stroke, width: 1.6, points: { size: 4 } });
    if (one.thinned) {
      const at = series.length;
      const edge = { of: one.label, stroke: "transparent", width: 0, points: { show: false } };
      series.push({ ...edge, label: `${one.label} most` }, { ...edge, label: `${one.label} least` });
      bands.push({ series: [at, at + 1], fill: faint(stroke, data.series.length > 4 ? 0.1 : 0.16) });
    }
  }
  for (const one of data.previous ?? []) {
    const stroke = faint(palette(one.label), 0.6);
    series.push({ label: `${one.label} before`, of: one.label, stroke, width: 1.2, dash: [5, 4], points: { show: false } });
  }
  return { series, bands };
}
