// A banner with the errors of reading, and the dialog for the token.

import { hasToken, keepToken } from "./api.js";
import { $, h } from "./dom.js";
import { clock, duration } from "./format.js";

/** Why reading fails. */
function cause(error) {
  if (error.status === 401) return error.sent ? "The token is wrong." : "This server needs its token.";
  if (error.status === undefined) return "The collector does not answer.";
  return `The collector says: ${error.message}.`;
}

/** The time of the next read. It changes every second, so screen readers skip it. */
function next(loaders) {
  if (loaders.some((loader) => loader.busy)) return "Trying again …";
  const times = loaders.map((loader) => loader.retryAt).filter((at) => at !== null);
  return times.length ? `Trying again in ${duration(Math.max(1, Math.ceil(Math.min(...times) - Date.now() / 1000)))}.` : "";
}

export class Trouble {
  /** *loaders* in order of importance; *shown* returns a text on what the chart shows meanwhile. */
  constructor(loaders, shown, ask) {
    Object.assign(this, { loaders, shown, ask });
    this.again = h("button", { type: "button", class: "plain", onclick: () => this.retry() });
    this.what = h("span", { role: "alert" });
    this.when = h("span", { class: "muted", id: "again" });
    $("banner").replaceChildren(h("div", {}, this.what, " ", this.when), this.again);
    setInterval(() => this.show(), 1000);
    addEventListener("online", () => this.retry());
  }

  get failed() {
    return this.loaders.filter((loader) => loader.error);
  }

  retry() {
    if (this.failed.some((loader) => loader.error.status === 401)) this.ask();
    for (const loader of this.failed) if (!loader.busy && loader.error.status !== 401) loader.run();
  }

  /** Show the error, or hide the banner. */
  show() {
    const failed = this.failed;
    $("banner").hidden = !failed.length;
    if (!failed.length) {
      this.what.textContent = "";
      return;
    }
    const error = (failed.find((loader) => loader.error.status === 401) ?? failed[0]).error;
    const text = `${cause(error)} ${this.shown()}`;
    if (this.what.textContent !== text) this.what.textContent = text; // because screen readers read every change
    this.when.textContent = next(failed);
    this.again.textContent = error.status === 401 ? "Enter the token" : "Try again";
  }
}

export const readAt = (at) => `What is shown was read at ${clock(at)} UTC.`;

/** The dialog for the token. It shows whether the last one was rejected, and calls *admitted* with a new one. */
export class TokenBox {
  constructor(admitted) {
    this.admitted = admitted;
    $("ask").querySelector("form").addEventListener("submit", (event) => this.#take(event));
    $("not-now").addEventListener("click", () => $("ask").close());
  }

  /** Open the dialog, unless it is open; *error* is the answer to the last token. */
  open(error = null) {
    this.#say(error?.sent && hasToken(error.sent) ? "This token is wrong." : "");
    if ($("ask").open) return;
    $("token").value = "";
    $("ask").showModal();
  }

  #take(event) {
    const text = $("token").value.trim();
    if (!/^[\x21-\x7e]+$/.test(text)) {
      event.preventDefault();
      return this.#say("A token has only ASCII characters and no blanks.");
    }
    keepToken(text);
    this.admitted();
  }

  #say(text) {
    $("ask-said").textContent = text;
    $("token").setAttribute("aria-invalid", `${text !== ""}`);
  }
}
