/** Numbers about a session and its playing here, for those who ask. */

import { Problem, readChunks } from "./api.js";
import { element } from "./element.js";

const EVERY_MS = 1000;
const CHUNKS_EVERY = 2; // seconds
const SHOWN_CHUNKS = 80;
const [WIDTH, HEIGHT] = [240, 36];

/** Live while its part of the page is open. */
export class Statistics {
  #root;
  #lines = element("dl");
  #figure = element("figure", { hidden: true });
  #source;
  #chunks = [];
  #cursor = "";
  #before = { frames: 0, at: 0 };

  /** Seconds from Enter to the screen of the last prompt sent from here. */
  promptSeconds = null;

  /** `source()` gives `{id, session, player}` of what is shown now. */
  constructor(root, source) {
    this.#root = root;
    this.#source = source;
    root.append(this.#lines, this.#figure);
    setInterval(() => root.hidden || this.#write(), EVERY_MS);
    setInterval(() => root.hidden || this.#readChunks(), CHUNKS_EVERY * 1000);
  }

  clear() {
    this.#chunks = [];
    this.#cursor = "";
    this.#figure.hidden = true;
    this.promptSeconds = null;
  }

  open() {
    this.#write();
    this.#readChunks();
  }

  #write() {
    const { session, player } = this.#source();
    if (!session) return;
    const { shown = 0, dropped = 0, behind = null, bitrate = null, stalls = 0, skipped = 0 } = player?.statistics ?? {};
    const at = performance.now();
    const rate = Math.max(0, shown - this.#before.frames) / ((at - this.#before.at) / 1000);
    this.#before = { frames: shown, at };
    const number = (value, unit, digits = 1) => (value === null ? "–" : `${value.toFixed(digits)} ${unit}`.trim());
    const lines = {
      "frames a second": `${rate.toFixed(1)} of ${session.fps}`,
      "from Enter to the screen": number(this.promptSeconds, "s"),
      "behind the newest frame": number(behind, "s"),
      "in advance at the source": number(session.slack_ms, "ms", 0),
      "a chunk takes": number(session.generated_ms, "ms", 0),
      "late at the source": session.stalls,
      "stalls here": stalls,
      "fragments skipped": skipped,
      "frames dropped": dropped,
      "bits a second": number(bitrate && bitrate / 1000, "kbit", 0),
    };
    if (session.moves) lines["taken over by another generator"] = session.moves;
    this.#lines.replaceChildren(
      ...Object.entries(lines).map(([name, value]) => {
        const line = element("div");
        line.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
        return line;
      }),
    );
  }

  async #readChunks() {
    const { id } = this.#source();
    if (!id) return;
    let page;
    try {
      page = await readChunks(id, this.#cursor);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.code === "cursor-gone") this.#cursor = ""; // only the last thousand are kept
      return;
    }
    if (id !== this.#source().id) return;
    this.#cursor = page.next ?? this.#cursor;
    this.#chunks = [...this.#chunks, ...page.data].slice(-SHOWN_CHUNKS);
    this.#plot();
  }

  /** How early each chunk was: above the line in time, below it late. */
  #plot() {
    const early = this.#chunks.filter(({ slack_ms: slack, gap_ms: gap }) => slack !== null || gap);
    this.#figure.hidden = early.length < 2;
    if (early.length < 2) return;
    const values = early.map(({ slack_ms: slack, gap_ms: gap }) => (gap ? -gap : slack));
    const [low, high] = [Math.min(0, ...values), Math.max(1, ...values)];
    const x = (index) => (index / (values.length - 1)) * WIDTH;
    const y = (value) => HEIGHT - ((value - low) / (high - low)) * HEIGHT;
    const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const told = `In advance, the last ${values.length} chunks: least ${Math.min(...values)} ms, most ${Math.max(...values)} ms`;
    this.#figure.innerHTML =
      `<svg viewBox="0 -2 ${WIDTH} ${HEIGHT + 4}" role="img" preserveAspectRatio="none"><line x2="${WIDTH}" y1="${y(0)}" y2="${y(0)}"/>` +
      `<polyline points="${points}"/></svg>`;
    this.#figure.firstChild.setAttribute("aria-label", told);
    this.#figure.append(element("figcaption", { textContent: told }));
  }
}
