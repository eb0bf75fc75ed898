// Which groups of a dimension are closed: read once a profile is opened, and again if it has more series.

import { getAll } from "./api.js";

export class Groups {
  /** *changed* is called when the groups of a profile were read. */
  constructor(changed) {
    Object.assign(this, { changed, read: new Map(), closed: new Map() });
  }

  /** Read the groups of a profile, unless they are known. Without an answer all groups look open. */
  async want({ name, dimension, series }) {
    if (!dimension || this.read.get(name) === series.length) return;
    this.read.set(name, series.length);
    try {
      const all = await getAll("series", "series", { profile: name });
      this.closed.set(name, new Set(all.filter((one) => one.group_state === "closed").map((one) => one.label)));
      this.changed();
    } catch {
      this.read.delete(name); // until it is opened again
    }
  }

  /** The labels of the closed groups of a profile. */
  of(name) {
    return this.closed.get(name) ?? new Set();
  }
}
