/** Saving a part of a recorded video: which part, how it is made, where to get it. */

import { createExport, pathOf, pause, Problem, readExport } from "./api.js";
import { clockTime, element, linkTo } from "./element.js";
import { renderAgain } from "./render.js";

const ASK_MS = 500;
const UNKEPT = "This video is not kept. “Make it once more” makes the same one again, to save it.";
const UNTIL_THEN = "What was kept until then can still be saved.";

/** The form that makes clips. Fires `range` (detail: `[from, to]` seconds) when another part is chosen. */
export class Clip extends EventTarget {
  #form;
  #source;
  #from = field("From second", "from");
  #to = field("to second", "to");
  #format = element("select", { name: "format" });
  #make = element("button", { type: "submit", className: "primary", textContent: "Make the clip" });
  #again = element("button", { type: "button", textContent: "Make it once more" });
  #said = element("p", { className: "said" });
  #progress = element("progress", { max: 1, hidden: true });
  #warned = "";
  #leave = new AbortController();

  /** `source()` gives `{id, session, unkept}` of what is shown now. */
  constructor(form, source) {
    super();
    this.#form = form;
    this.#source = source;
    this.#said.setAttribute("role", "status");
    this.#progress.setAttribute("aria-label", "How much of it is made");
    this.#again.title = "The whole video as it is so far, made again from its prompts. For one that was not kept.";
    this.#again.addEventListener("click", () => this.#work((id, signal) => this.#makeAgain(id, signal)));
    this.#format.setAttribute("aria-label", "Format");
    const formats = { mp4: "MP4 video", webp: "WebP picture", gif: "GIF picture" };
    this.#format.append(...Object.entries(formats).map(([value, textContent]) => element("option", { value, textContent })));
    const quick = { "Last 10 s": 10, "Last 30 s": 30, "Whole video": Infinity };
    const buttons = Object.entries(quick).map(([textContent, seconds]) => {
      const button = element("button", { type: "button", textContent });
      button.addEventListener("click", () => this.#last(seconds));
      return button;
    });
    form.append(...buttons, this.#from, this.#to, this.#format, this.#make, this.#again, this.#progress, this.#said);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#work((id, signal) => this.#save(id, this.#range, signal));
    });
    form.addEventListener("input", ({ target }) => target === this.#format || this.#tellRange());
  }

  clear() {
    this.#leave.abort();
    this.#leave = new AbortController();
    this.#progress.hidden = true;
    this.#make.disabled = this.#again.disabled = false;
    this.#warned = "";
    this.#say("");
  }

  open() {
    const { session, unkept } = this.#source();
    const warning = !session?.record ? UNKEPT : unkept ? `${unkept} ${UNTIL_THEN}` : "";
    if (warning !== this.#warned) this.#say(warning);
    this.#warned = warning;
    if (!this.#range[1]) this.#last(10);
  }

  get #range() {
    return [this.#from, this.#to].map((part) => part.querySelector("input").valueAsNumber || 0);
  }

  set range([from, to]) {
    this.#from.querySelector("input").value = from.toFixed(1);
    this.#to.querySelector("input").value = to.toFixed(1);
  }

  #last(seconds) {
    const end = this.#source().session?.media_seconds ?? 0;
    this.range = [Math.max(0, end - seconds), end];
    this.#tellRange();
  }

  #tellRange() {
    this.dispatchEvent(new CustomEvent("range", { detail: this.#range }));
  }

  #say(sentence, ...more) {
    this.#said.replaceChildren(sentence, ...more);
  }

  async #work(make) {
    const { signal } = this.#leave;
    this.#make.disabled = this.#again.disabled = true;
    this.#progress.hidden = false;
    this.#progress.removeAttribute("value");
    this.#say("");
    try {
      await make(this.#source().id, signal);
    } catch (error) {
      if (!signal.aborted) this.#say(error.message);
      if (!(error instanceof Problem) && !signal.aborted) throw error;
    } finally {
      if (!signal.aborted) {
        this.#make.disabled = this.#again.disabled = false;
        this.#progress.hidden = true;
      }
    }
  }

  async #makeAgain(id, signal) {
    const session = await renderAgain(id, signal, (made) => {
      this.#progress.value = made.media_seconds / made.max_seconds;
      const link = element("a", { href: linkTo(made.id), target: "_blank", textContent: "a video of its own" });
      const times = [made.media_seconds, made.max_seconds].map(clockTime).join(" of ");
      this.#say(`${times} is made, as `, link, ".");
    });
    if (!session) return;
    this.#progress.removeAttribute("value");
    await this.#save(session.id, [0, session.media_seconds], signal);
  }

  async #save(id, [from, to], signal) {
    const made = await this.#made(id, { format: this.#format.value, from, to }, signal);
    if (made) this.#offer(id, made);
  }

  /** The finished export. Throws a Problem when there is none. */
  async #made(id, fields, signal) {
    let made = await createExport(id, fields);
    while (!signal.aborted) {
      if (made.status === "completed") return made;
      if (made.status === "failed") throw new Problem(0, "export-failed", made.reason);
      this.#progress.value = made.progress;
      await pause(ASK_MS, signal);
      made = await readExport(id, made.id, signal);
    }
  }

  #offer(id, made) {
    const [from, to] = [made.start_seconds, made.end_seconds].map((seconds) => clockTime(seconds).replaceAll(":", "."));
    const name = `longlive-${from}-${to}.${made.format}`;
    const link = element("a", { href: pathOf(id, `/exports/${made.id}/content`), download: name });
    link.textContent = `Download ${name}`;
    this.#say("", link);
    link.focus();
  }
}

function field(text, name) {
  const label = element("label", { textContent: `${text} ` });
  label.append(element("input", { type: "number", name, min: 0, step: 0.1, value: 0, required: true }));
  return label;
}
