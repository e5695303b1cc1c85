/** Where a prompt is written: the box, its suggestions, and when and how it takes hold. */

import { clockTime, element } from "./element.js";

const PURPOSES = {
  begin: { question: "What should the video show?", example: "a red ball hops in a meadow at sunset", send: "Start" },
  again: { question: "What should the next video show?", example: "a blue cube spins on the moon", send: "Start" },
  steer: { question: "What happens next?", example: "it starts to snow", send: "Send" },
  wait: { question: "What happens next?", example: "", send: "Send" },
};

const WRITE_OUT = "Write it out";
const TAKE_BACK = "Back to my words";

/**
 * Fires `submit` (detail: `{text, frame, mode, blend, record, isWhole}`; `frame` null: as soon as possible; `isWhole`: it was
 * written out here), `when` (detail: the frame it is set to now) and `write` (detail: `{text, signal}`, the text to write
 * out, until somebody takes over).
 */
export class PromptBox extends EventTarget {
  #parts;
  #frame = null;
  #typed = null; // what was typed before it was written out; null: it is not
  #written = 0;
  #writing = null;
  #modeBefore = null;
  #suggested = "";

  /** `parts`: the elements of the page by id. */
  constructor(parts) {
    super();
    this.#parts = parts;
    parts["prompt-form"].addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    parts.prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      parts["prompt-form"].requestSubmit();
    });
    parts.prompt.addEventListener("input", () => {
      this.#stopWriting();
      // Who deletes most of what was written out types something else.
      if (this.text.length <= this.#written / 2 || !this.#written) this.#ownWords();
    });
    parts["write-out"].addEventListener("click", () => {
      if (this.#typed !== null) this.text = this.#typed;
      else if (this.text && !this.#isBusy) this.#writeOut();
      this.focus();
    });
    parts.when.addEventListener("click", () => (this.at(null), this.focus()));
    parts.mode.addEventListener("change", () => {
      this.#modeBefore = null;
      this.#showBlend();
    });
  }

  /** What it is for, one of `begin`, `again`, `steer`, `wait` (closed until something is known). */
  set purpose(purpose) {
    const { question, example, send } = PURPOSES[purpose];
    this.#parts.question.textContent = question;
    this.#parts.prompt.placeholder = example;
    this.#parts.send.textContent = send;
    this.#parts.send.disabled = purpose === "wait";
    this.#parts["write-out"].hidden = purpose !== "steer";
    this.#parts["mode-choice"].hidden = !["steer", "wait"].includes(purpose);
    this.#parts["record-choice"].hidden = ["steer", "wait"].includes(purpose);
    this.#showBlend();
    if (purpose !== "steer") this.at(null);
  }

  get text() {
    return this.#parts.prompt.value.trim();
  }

  set text(text) {
    this.#parts.prompt.value = text;
    this.#stopWriting();
    this.#ownWords();
  }

  #ownWords() {
    this.#typed = null;
    this.#written = 0;
    if (this.#modeBefore !== null) this.#parts.mode.value = this.#modeBefore;
    this.#modeBefore = null;
    this.#showBlend();
    this.#parts["write-out"].textContent = WRITE_OUT;
  }

  #writeOut() {
    this.#typed = this.text;
    this.#writing = new AbortController();
    this.#parts["write-out"].textContent = TAKE_BACK;
    this.#parts.prompt.setAttribute("aria-busy", "true");
    this.dispatchEvent(new CustomEvent("write", { detail: { text: this.text, signal: this.#writing.signal } }));
  }

  #stopWriting() {
    this.#writing?.abort();
    this.#writing = null;
    this.#parts.prompt.removeAttribute("aria-busy");
  }

  /** A prompt as far as it is written out, to be edited; `mode`, how it takes hold, once it is all there. */
  write(text, mode) {
    this.#parts.prompt.value = text;
    this.#written = text.length;
    if (mode) this.#stopWriting();
    if (mode !== "cut" || this.#parts.mode.value === mode) return;
    this.#modeBefore = this.#parts.mode.value; // the cut is for this one alone
    this.#parts.mode.value = mode;
    this.#showBlend();
  }

  #showBlend() {
    this.#parts["blend-choice"].hidden = this.#parts["mode-choice"].hidden || this.#parts.mode.value !== "blend";
  }

  /** While it is sent nothing else is. */
  set busy(busy) {
    this.#parts.send.setAttribute("aria-busy", String(busy));
  }

  get #isBusy() {
    return this.#parts.send.getAttribute("aria-busy") === "true";
  }

  focus() {
    this.#parts.prompt.focus();
  }

  /** Have the next prompt take effect at a frame, which is `seconds` into the video; null: as soon as possible. */
  at(frame, seconds) {
    const { when } = this.#parts;
    if (frame === this.#frame) return;
    this.#frame = frame;
    when.hidden = frame === null;
    if (frame !== null) {
      const time = clockTime(seconds);
      when.replaceChildren(`at ${time}`, element("i", { textContent: "×" }));
      when.setAttribute("aria-label", `At ${time}. Press to have it as soon as possible instead.`);
    }
    this.dispatchEvent(new CustomEvent("when", { detail: frame }));
  }

  /** Offer prompts to choose from. */
  suggest(prompts) {
    if (prompts.join("\n") === this.#suggested) return; // somebody may be about to press one
    this.#suggested = prompts.join("\n");
    this.#parts.examples.replaceChildren(
      ...prompts.map((text) => {
        const button = element("button", { type: "button", textContent: text });
        button.addEventListener("click", () => ((this.text = text), this.focus()));
        return button;
      }),
    );
  }

  #submit() {
    const { send, mode, blend, record } = this.#parts;
    if (!this.text || send.disabled || this.#isBusy) return;
    const detail = {
      text: this.text,
      frame: this.#frame,
      mode: mode.value,
      blend: blend.valueAsNumber,
      record: record.checked,
      isWhole: this.#typed !== null,
    };
    this.dispatchEvent(new CustomEvent("submit", { detail }));
  }
}
