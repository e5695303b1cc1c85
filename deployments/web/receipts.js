/** The prompts of a session and what became of each, read off the timeline. */

export const PENDING = ["accepted", "expanded", "scheduled"];
const NEVER = "The video ended before this took effect.";

/**
 * A prompt is `accepted`, `expanded`, `scheduled`, `applied`, `refused` or `cancelled`, as the service says. `expands`: a
 * prompt is made of its text. `seconds` is its time in the video once that is planned or known; `text`, `warnings`,
 * `reason`, `latency` (ms) and `mode` are what they say. `shows` is what the video shows of it, and `source` who made that
 * of the text, in `ms`. The first prompt of a session has the id ""; one that is in force again since the video went back
 * is another one, with `again` set, that has the colour of the first.
 */
export class Receipts {
  #prompts = new Map();
  #sorted = null;
  #fps = 16;

  /** In the order in which they take effect; those without a time last. */
  get all() {
    const time = ({ seconds }) => seconds ?? Infinity;
    this.#sorted ??= [...this.#prompts.values()].sort((a, b) => time(a) - time(b) || a.order - b.order);
    return this.#sorted;
  }

  /** Those that the video follows or has followed. */
  get applied() {
    return this.all.filter(({ status }) => status === "applied");
  }

  get pending() {
    return this.all.filter(({ status }) => PENDING.includes(status));
  }

  get(id) {
    return this.#prompts.get(id);
  }

  /** An entry of the timeline. Told twice it changes nothing. */
  take(entry) {
    const { type, prompt_id: id } = entry;
    if (type === "session.created") {
      this.#fps = entry.fps;
      const seconds = entry.parent?.relation === "fork" ? entry.parent.frame / this.#fps : 0;
      this.#put("", { text: entry.prompt, shows: entry.prompt, status: "applied", seconds, warnings: entry.warnings });
    } else if (type === "prompt.requested" && !this.#prompts.has(id)) {
      const seconds = entry.at_frame === null ? undefined : entry.at_frame / this.#fps;
      const { text, mode, warnings, expand: expands } = entry;
      this.#put(id, { text, shows: text, expands, mode, warnings, seconds, timed: seconds !== undefined, status: "accepted" });
    } else if (type === "prompt.expanded" && this.#isPending(id)) {
      const { prompt: shows, source, ms, mode, warnings } = entry;
      const { status, warnings: before } = this.#prompts.get(id);
      const all = [...new Set([...before, ...warnings])];
      this.#put(id, { shows, source, ms, mode, warnings: all, status: status === "accepted" ? "expanded" : status });
    } else if (type === "prompt.scheduled" && this.#isPending(id)) {
      this.#put(id, { status: "scheduled", seconds: entry.media_seconds });
    } else if (type === "prompt.applied") {
      this.#put(id, { status: "applied", seconds: entry.media_seconds, latency: entry.latency_ms, shows: entry.text });
    } else if (type === "session.rewound" && !this.#prompts.has(entry.id)) {
      const { prompt: shows, media_seconds: seconds } = entry;
      const { text = shows, order = this.#prompts.size } = this.applied.findLast((prompt) => prompt.shows === shows) ?? {};
      this.#put(entry.id, { text, shows, order, seconds, status: "applied", again: true });
    } else if (type === "prompt.refused") {
      this.#settle(id, { status: "refused", reason: entry.reason });
    } else if (type === "prompt.cancelled") {
      this.#settle(id, { status: "cancelled" });
    } else if (type === "session.ended" || type === "session.failed") {
      for (const { id } of this.pending) this.#settle(id, { status: "refused", reason: NEVER });
    }
  }

  #isPending(id) {
    return PENDING.includes(this.#prompts.get(id)?.status);
  }

  /** It never takes effect: its place is where it was planned, or behind what the video follows now. */
  #settle(id, change) {
    this.#put(id, { ...change, seconds: this.#prompts.get(id)?.seconds ?? this.applied.at(-1)?.seconds ?? 0 });
  }

  #put(id, change) {
    this.#sorted = null;
    const order = this.#prompts.size;
    this.#prompts.set(id, { id, order, warnings: [], ...this.#prompts.get(id), ...change });
  }
}
