// Which series of the store is about a value of a filter. Pure.

const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** Whether *profile* keeps a series for a value of a filter alone, and its label: of a dimension, of `each`, or of one filter. */
function labelOf(profile, filter, value) {
  const { name, series, dimension, each, filters } = profile;
  const narrowed = Object.keys(filters ?? {});
  const key = camel(filter);
  const label = `${name}/${value}`;
  if (dimension === filter.toUpperCase() && !Object.keys(each ?? {}).length) return series.includes(label) ? label : null;
  if (dimension) return null;
  if (each?.[key]?.includes(value) && Object.keys(each).length === 1) return series.includes(label) ? label : null;
  const [only] = filters?.[key] ?? [];
  return narrowed.length === 1 && filters[key]?.length === 1 && only === value && series.length === 1 ? series[0] : null;
}

/** The label of a series about one of *names*; null if no profile keeps one. One without further filters comes first. */
export function seriesOf(filter, names, profiles) {
  const rank = ({ filters, dimension }) => (Object.keys(filters ?? {}).length ? 2 : 0) + (dimension ? 0 : 1);
  for (const profile of [...profiles].sort((a, b) => rank(a) - rank(b))) {
    const label = names.map((name) => labelOf(profile, filter, name)).find(Boolean);
    if (label) return label;
  }
  return null;
}
