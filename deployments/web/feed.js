/** What a session is and what happened in it, by asking for it again and again. */

import { Problem, pause, readSession, readTimeline } from "./api.js";

const USUAL_MS = 1000;
const QUICK_MS = 250;
const LONGEST_MS = 4000;
const QUIET_MS = 4000; // a part of the service that dies is replaced by then: nobody need hear of it

/** States of a session that will not go on. */
export const OVER = ["ended", "failed"];

/**
 * Follows one session until it is over. Fires
 * `session` (detail: the session) whenever it was read, after the entries that it tells of,
 * `entry` (detail: a timeline entry), each once and in order,
 * `lost` (detail: the Problem) and `found` when the service has not answered for a while and does again, and
 * `gone` (detail: the Problem) when it refuses for good; then it ends.
 */
export class Feed extends EventTarget {
  #id;
  #cursor = "";
  #read = "";
  #lost = false;
  #nudged = new AbortController();

  /** Set while something is awaited that somebody looks forward to: then it asks more often. */
  quick = false;

  constructor(id) {
    super();
    this.#id = id;
  }

  /** Ask now. */
  nudge() {
    this.#nudged.abort();
  }

  async follow(signal) {
    let wait = USUAL_MS;
    let heard = -Infinity; // performance.now()
    while (!signal.aborted) {
      try {
        const session = await readSession(this.#id, signal);
        await this.#catchUp(session.last_event_id, signal);
        if (signal.aborted) return;
        if (this.#lost) this.#tell("found");
        this.#lost = false;
        this.#tell("session", session);
        if (OVER.includes(session.status)) return;
        wait = this.quick ? QUICK_MS : USUAL_MS;
        heard = performance.now();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        if (!error.passing) return this.#tell("gone", error);
        if (!this.#lost && performance.now() - heard > QUIET_MS) {
          this.#lost = true;
          this.#tell("lost", error);
        }
        wait = Math.min(LONGEST_MS, wait * 1.5);
      }
      this.#nudged = new AbortController();
      await pause(wait, AbortSignal.any([signal, this.#nudged.signal]));
    }
  }

  /** Read the timeline up to its newest entry. */
  async #catchUp(newest, signal) {
    while (this.#read !== newest) {
      let page;
      try {
        page = await readTimeline(this.#id, this.#cursor, signal);
      } catch (error) {
        if (error.code !== "cursor-gone") throw error;
        this.#cursor = ""; // the service lost its newest seconds; entries told twice change nothing
        continue;
      }
      for (const entry of page.data) this.#tell("entry", entry);
      this.#cursor = page.next ?? this.#cursor;
      if (!page.has_more) this.#read = newest;
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
