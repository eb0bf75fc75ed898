// A read that is retried until it succeeds: after one second, then after longer pauses, up to half a minute.

const LONGEST = 30;
const TIME_OUT = 20_000;

/** Seconds until the next attempt, after a number of failures in a row; with jitter, so that pages do not send requests together. */
export const backOff = (failures) => Math.min(LONGEST, 2 ** (failures - 1)) * (0.9 + 0.2 * Math.random());

export class Loader {
  #own = null;
  #timer = null;

  /**
   * *read* gives what *apply* takes, or throws; *every* gives the milliseconds until the next read after a success,
   * which is put off while *hold* is true. *changed* is called when an attempt begins or has ended, *failed* with the
   * error of one. A read that a newer one has overtaken is dropped.
   */
  constructor({ read, apply, changed, failed, every = () => null, hold = () => false }) {
    Object.assign(this, { read, apply, changed, failed, every, hold, failures: 0, error: null, retryAt: null, busy: false, readAt: null });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.due) this.run(); });
  }

  /** Start a read now and end the running one; *asked* is a promise of an answer that was requested before. */
  async run(asked = null) {
    clearTimeout(this.#timer);
    this.#own?.abort();
    const own = (this.#own = new AbortController());
    Object.assign(this, { busy: true, due: false });
    this.changed();
    const outcome = await this.#attempt(own, asked);
    if (this.#own !== own) return;
    Object.assign(this, outcome, { busy: false, failures: outcome.error ? this.failures + 1 : 0, retryAt: null });
    if (!outcome.error) this.readAt = Date.now() / 1000;
    try {
      if (!outcome.error) this.apply(outcome.found);
    } finally {
      if (!this.busy) this.#goOn(); // what was read decides when it is read again, and may have begun to
    }
    this.changed();
    if (outcome.error) this.failed(this, outcome.error);
  }

  async #attempt(own, asked) {
    const ended = new Promise((_, fail) => own.signal.addEventListener("abort", () => fail(own.signal.reason)));
    const limit = setTimeout(() => own.abort(new DOMException("no answer in time", "TimeoutError")), TIME_OUT);
    try {
      return { error: null, found: await Promise.race([asked ?? this.read(own.signal), ended]) };
    } catch (error) {
      return { error, found: null };
    } finally {
      clearTimeout(limit);
    }
  }

  /** Set the time of the next read. A rejected token is not tried again automatically. */
  #goOn() {
    const wait = this.error ? (this.error.status === 401 ? null : backOff(this.failures) * 1000) : this.every();
    if (wait === null) return;
    if (this.error) this.retryAt = Date.now() / 1000 + wait / 1000;
    this.#timer = setTimeout(() => this.#come(), wait);
  }

  #come() {
    this.due = document.hidden;
    if (this.due) return;
    if (!this.error && this.hold()) this.#timer = setTimeout(() => this.#come(), 1000);
    else this.run();
  }
}
