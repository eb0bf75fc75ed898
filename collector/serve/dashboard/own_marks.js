// The operator's own marks: added and removed on the page, and the shipped list of dates switched on. Only if the server keeps marks.

import { has, post, remove } from "./api.js";
import { $ } from "./dom.js";

export class OwnMarks {
  /** *changed* is called when a mark was added or removed, *ask* if a token is needed, *toggled* with whether policy dates are shown. */
  constructor({ changed, ask, toggled }) {
    Object.assign(this, { changed, ask });
    $("own-marks").hidden = !has("marks");
    $("policy").addEventListener("click", () => toggled($("policy").getAttribute("aria-pressed") !== "true"));
    $("mark").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(new FormData(event.target));
    });
  }

  show(policy) {
    $("policy").setAttribute("aria-pressed", `${policy}`);
  }

  async add(fields) {
    const [date, text] = [fields.get("date"), fields.get("text").trim()];
    if (!date || !text) return this.say("A mark needs a date and a text.", date ? "mark-text" : "mark-date");
    if (await this.#send(() => post("marks", { date, text }))) $("mark").reset();
    return null;
  }

  unmark({ id }) {
    return this.#send(() => remove(`marks/${id}`));
  }

  async #send(work) {
    try {
      await work();
    } catch (error) {
      this.say(error.status === undefined ? "The collector does not answer: nothing was changed." : `${error.message}.`);
      if (error.status === 401) this.ask(error);
      return false;
    }
    this.say("");
    this.changed();
    return true;
  }

  say(text, field = null) {
    $("mark-said").textContent = text;
    for (const id of ["mark-date", "mark-text"]) $(id).setAttribute("aria-invalid", `${id === field}`);
    if (field) $(field).focus();
  }
}
