// How the groups of the shown profiles compare with the total, which another answer has.

import { getAll, has } from "./api.js";
import { iso, number } from "./format.js";

/** Count the buckets of those *profiles* that have a dimension, by the result of the comparison; null if none has one. */
export async function loadProof(profiles, { start, end }, signal) {
  const profile = profiles.filter((one) => one.dimension).map((one) => one.name);
  if (!profile.length || !has("proof")) return null;
  const counts = { proven: 0, differing: 0, not_comparable: 0 };
  for (const row of await getAll("proof", "proof", { profile, start: iso(start), end: iso(end) }, signal)) counts[row.state] += row.buckets;
  return counts;
}

/** What the state of trust says about it: a text, its kind and its title; null if nothing was compared. */
export function proofWords(counts) {
  if (!counts || !(counts.proven || counts.differing)) return null;
  const all = counts.proven + counts.differing + counts.not_comparable;
  const title = `Of ${number(all)} buckets the groups of ${number(counts.proven)} add up to the total of another answer, those of ${number(counts.differing)} do not; the others cannot be compared, or not yet`;
  return counts.differing
    ? { text: `${number(counts.differing)} ${counts.differing === 1 ? "sum differs" : "sums differ"} from the total`, kind: "bad", title }
    : { text: `${number(counts.proven)} ${counts.proven === 1 ? "sum" : "sums"} proven`, kind: "", title };
}
