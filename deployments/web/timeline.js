/** The prompts of a session: when each was asked for, took effect, and came on the screen. As a list and as a track. */

const SPAN = 40; // seconds of video that the track shows
const PLAYHEAD = 0.75; // where on the track the picture is, once the video is longer than that
const TICK = 10; // seconds
const HUES = [265, 160, 25, 330, 205, 85];

/** 75.4 -> "1:15" */
export function clockTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/**
 * A prompt goes `asked` -> `applied` (the service said from which media time on) -> `shown` (the picture is there),
 * or `refused`. Fires `shown` with `{text, seconds}` when a follow-up that was asked for here comes on the screen:
 * `seconds` counts from `expect`.
 */
export class TimeLine extends EventTarget {
  #list;
  #track;
  #playhead = element("i", "playhead");
  #ticks = element("div", "ticks");
  #prompts = new Map();
  #askedHere = new Map();

  constructor(list, track) {
    super();
    this.#list = list;
    this.#track = track;
    this.clear();
  }

  clear() {
    this.#prompts.clear();
    this.#askedHere.clear();
    this.#list.replaceChildren();
    this.#track.replaceChildren(this.#ticks, this.#playhead);
    this.#ticks.replaceChildren(...Array.from({ length: SPAN / TICK + 1 }, () => element("span")));
  }

  /** A follow-up was sent from here at `at` (performance.now()). */
  expect(id, at, warnings) {
    this.#askedHere.set(id, at);
    this.warn(id, warnings);
  }

  /** Sentences about a prompt, shown beside it. The first prompt of a session has the id "". */
  warn(id, warnings) {
    if (warnings.length) this.#prompt(id).warning.textContent = warnings.join(" ");
  }

  /** An entry of the session's timeline. Told twice it changes nothing. */
  take(type, entry) {
    switch (type) {
      case "session.created":
        this.#update("", { text: entry.prompt, state: "applied", seconds: 0 });
        break;
      case "prompt.requested":
        if (!this.#prompts.get(entry.prompt_id)?.state) this.#update(entry.prompt_id, { text: entry.text, state: "asked" });
        break;
      case "prompt.applied":
        if (this.#prompts.get(entry.prompt_id)?.state === "shown") break;
        this.#update(entry.prompt_id, { text: entry.text, state: "applied", seconds: entry.media_seconds });
        break;
      case "prompt.refused":
        this.#update(entry.prompt_id, { state: "refused", reason: entry.reason });
        break;
      case "session.ended":
      case "session.failed":
        this.#finish();
        break;
    }
  }

  /** Called for each picture: the video is at `now`, its newest frame at `edge` (media seconds). */
  draw(now, edge) {
    const from = Math.max(0, now - SPAN * PLAYHEAD);
    const percent = (seconds) => `${(100 * Math.min(SPAN, Math.max(0, seconds - from))) / SPAN}%`;
    const prompts = [...this.#prompts.values()];
    const applied = prompts.filter((prompt) => prompt.seconds !== undefined);
    applied.forEach((prompt, index) => {
      const until = applied[index + 1]?.seconds ?? Math.max(edge, now);
      prompt.segment.style.left = percent(prompt.seconds);
      prompt.segment.style.right = `calc(100% - ${percent(until)})`;
      prompt.segment.hidden = until <= from;
      if (prompt.state === "applied" && now >= prompt.seconds) this.#show(prompt);
      prompt.item.toggleAttribute("data-current", prompt.state === "shown" && !(now >= applied[index + 1]?.seconds));
    });
    for (const prompt of prompts) {
      if (prompt.state === "asked") prompt.segment.style.left = percent(Math.max(edge, now));
    }
    this.#playhead.style.left = percent(now);
    const firstTick = Math.ceil(from / TICK) * TICK;
    [...this.#ticks.children].forEach((tick, index) => {
      const seconds = firstTick + index * TICK;
      tick.style.left = percent(seconds);
      tick.textContent = seconds < from + SPAN ? clockTime(seconds) : "";
    });
  }

  /** The video is over: what was not applied by now never will be. */
  #finish() {
    for (const { id, state } of this.#prompts.values()) {
      if (state === "asked") this.#update(id, { state: "refused", reason: "The video ended before this took effect." });
    }
  }

  #show(prompt) {
    this.#update(prompt.id, { state: "shown" });
    if (!this.#askedHere.has(prompt.id)) return;
    const seconds = (performance.now() - this.#askedHere.get(prompt.id)) / 1000;
    this.dispatchEvent(new CustomEvent("shown", { detail: { text: prompt.text, seconds } }));
  }

  #update(id, change) {
    const prompt = Object.assign(this.#prompt(id), change);
    const { item, segment, words, meta, text, state, seconds, reason } = prompt;
    words.textContent = text;
    segment.textContent = text;
    item.dataset.state = state;
    segment.dataset.state = state;
    segment.hidden = state === "refused";
    const said = {
      asked: "asked for, waiting for the next fragment",
      applied: `from ${clockTime(seconds)}, in a moment`,
      shown: `from ${clockTime(seconds)}`,
      refused: reason,
    };
    meta.textContent = said[state];
  }

  #prompt(id) {
    if (!this.#prompts.has(id)) {
      const item = element("li");
      const words = element("q");
      const meta = element("span", "meta");
      const warning = element("span", "warning");
      const segment = element("div", "segment");
      item.dataset.promptId = segment.dataset.promptId = id;
      item.append(words, meta, warning);
      for (const part of [item, segment]) part.style.setProperty("--hue", HUES[this.#prompts.size % HUES.length]);
      this.#list.prepend(item);
      this.#track.prepend(segment);
      this.#prompts.set(id, { id, item, segment, words, meta, warning });
    }
    return this.#prompts.get(id);
  }
}

function element(name, className = "") {
  return Object.assign(document.createElement(name), { className });
}
