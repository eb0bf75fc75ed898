// Calendar periods in UTC: hours, days, weeks from Monday, months, quarters, years. Times are epoch seconds.

const HOUR = 3600;
const DAY = 86400;
const MONDAY = 4 * DAY;

/** The seconds of the columns from which a period is summed. */
export const BASE = { hour: HOUR, day: DAY, week: DAY, month: DAY, quarter: DAY, year: DAY };
const MONTHS = { month: 1, quarter: 3, year: 12 };
const LENGTHS = { hour: HOUR, day: DAY, week: 7 * DAY };

/** Whether a period has no fixed length. */
export const isLong = (per) => Object.hasOwn(MONTHS, per ?? "");

/** The start of the period that contains *at*. */
export function floor(per, at) {
  if (per === "hour") return Math.floor(at / HOUR) * HOUR;
  if (per === "day") return Math.floor(at / DAY) * DAY;
  if (per === "week") return MONDAY + Math.floor((at - MONDAY) / (7 * DAY)) * 7 * DAY;
  const day = new Date(at * 1000);
  const month = Math.floor(day.getUTCMonth() / MONTHS[per]) * MONTHS[per];
  return Date.UTC(day.getUTCFullYear(), month) / 1000;
}

/** The end of the period that contains *at*, which is the start of the next one. */
export const next = (per, at) => after(per, at, 1);

/** The start of the period *count* periods after the one that contains *at*. */
export function after(per, at, count) {
  const day = new Date(floor(per, at) * 1000);
  return isLong(per) ? Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + count * MONTHS[per]) / 1000 : floor(per, at) + count * LENGTHS[per];
}

/** How many months, quarters or years earlier the periods to compare those of *range* with are; null if none begins there. */
export function back(per, compare, range) {
  const number = (at) => { const day = new Date(at * 1000); return Math.floor((day.getUTCFullYear() * 12 + day.getUTCMonth()) / MONTHS[per]); };
  if (compare === "previous") return starts(per, range).length;
  if (compare === "52w") return 12 / MONTHS[per];
  const date = Date.parse(compare) / 1000;
  return Number.isFinite(date) ? number(range.start) - number(date) : null;
}

/** The smallest range of whole periods that contains another one. */
export const whole = (per, { start, end }) => ({ start: floor(per, start), end: next(per, end - 1) });

/** The starts of all periods from *start* up to *end*. */
export function starts(per, { start, end }) {
  const all = [];
  for (let at = floor(per, start); at < end; at = next(per, at)) all.push(at);
  return all;
}

/** Why values of *bucket* seconds cannot be summed per period in at most *most* columns; null if they can. */
export function refusal(per, bucket, { start, end }, most) {
  const length = LENGTHS[per] ?? 28 * DAY;
  if (bucket > length) return `the values are longer than ${per === "hour" ? "an" : "a"} ${per}`;
  if (bucket > DAY && per !== "week") return `weeks do not fit into a ${per}`;
  const base = Math.max(bucket, BASE[per]);
  return (end - start) / base > most ? `the period has more than ${most.toLocaleString("en")} ${base === HOUR ? "hours" : "days"}` : null;
}
