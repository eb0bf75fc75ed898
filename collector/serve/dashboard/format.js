// Numbers and times as text. Times are epoch seconds, UTC.

const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const rough = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const date = { timeZone: "UTC", day: "numeric", month: "short" };
const day = new Intl.DateTimeFormat("en-GB", date);
const whole = new Intl.DateTimeFormat("en-GB", { ...date, year: "numeric" });
const month = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", month: "short" });

export const DAY = 86400;
export const seconds = (text) => Date.parse(text) / 1000;
export const iso = (moment) => new Date(moment * 1000).toISOString().replace(".000Z", "Z");
export const number = (value) => (value === null || value === undefined ? "–" : exact.format(value));
/** A mean; a large one is rounded to a whole number. */
export const about = (value) => number(value && Math.abs(value) >= 100 ? Math.round(value) : value);
export const compact = (value) => rough.format(value);
export const time = (moment) => new Date(moment * 1000).toISOString().slice(11, 16);
export const clock = (moment) => new Date(moment * 1000).toISOString().slice(11, 19);
export const dayOf = (moment) => day.format(moment * 1000);
export const monthOf = (moment) => month.format(moment * 1000);
export const yearOf = (moment) => new Date(moment * 1000).getUTCFullYear();
export const dateOf = (moment) => whole.format(moment * 1000);
export const moment = (at) => `${whole.format(at * 1000)}, ${time(at)}`;

/** A period in few words: whole days have no time of day, and one year is named once. */
export function period(start, end) {
  const whole = start % DAY === 0 && end % DAY === 0;
  const last = whole ? end - DAY : end;
  const early = yearOf(start) === yearOf(last) ? dayOf : dateOf;
  if (whole) return last === start ? dateOf(start) : `${early(start)} – ${dateOf(last)}`;
  if (dateOf(start) === dateOf(end)) return `${moment(start)} – ${time(end)}`;
  return `${early(start)}, ${time(start)} – ${moment(end)}`;
}

/** A duration in its largest one or two units: 2 d 3 h, 58 min, 40 s. */
export function duration(length) {
  if (length === null || length === undefined) return "–";
  const parts = [];
  let rest = Math.round(Math.abs(length));
  for (const [unit, size] of [["w", 604800], ["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    if (rest >= size) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.slice(0, length < 7200 ? 1 : 2).join(" ") || "0 s";
}

export const ago = (at) => (at === null ? "never" : `${duration(Math.max(0, Date.now() / 1000 - at))} ago`);

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) {
    count /= 1024;
    at += 1;
  }
  return `${count.toFixed(at && count < 100 ? 1 : 0)} ${units[at]}`;
}

/** A change in percent, with its sign. */
export const signed = (part) => `${part >= 0.05 ? "+" : part <= -0.05 ? "−" : "±"}${Math.abs(part).toFixed(1)} %`;

/** The change from one value to another in percent. */
export const change = (now, before) => (now === null || !before ? "" : signed((100 * (now - before)) / Math.abs(before)));

/** A difference of two parts of a hundred. */
export const points = (part) => `${signed(part).replace(" %", "")} points`;

/** A difference of ranks. */
export const steps = (places) => `${places > 0 ? "+" : places < 0 ? "−" : "±"}${Math.abs(places)}`;

/** A part of a hundred. */
export const percent = (value) => `${value >= 99.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;

const here = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const zone = () => new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(new Date()).find((one) => one.type === "timeZoneName")?.value ?? "local";

/** Times of this machine beside UTC, if wanted. */
export const local = {
  on: false,
  period: (start, end) => `${here.format(start * 1000)} – ${here.format(end * 1000)} ${zone()}`,
  zone,
};
