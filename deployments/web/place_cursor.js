/** The mark on the time line where the next prompt would take hold: moved with the arrow keys or the mouse. */

import { clockTime, element } from "./element.js";

const PAGE_SECONDS = 5;
const MOST_SECONDS = 3600; // ahead of the newest picture

/**
 * Prompts take hold between two chunks: `first` frames are in the first of them, `each` in every later one.
 * Gives the first frame of a chunk at `frame` or later.
 */
export function chunkStart(frame, first, each) {
  return frame <= 0 ? 0 : first + each * Math.max(0, Math.ceil((frame - first) / each));
}

/** A slider of frames. Fires `move`, and `place` with a frame when one is chosen. */
export class PlaceCursor extends EventTarget {
  element = element("div", { className: "cursor", tabIndex: 0 });
  #label = element("span");
  #frame = 0;
  #least = 0;
  #video = { fps: 16, first: 9, each: 12 };

  constructor() {
    super();
    const { element: slider } = this;
    slider.setAttribute("role", "slider");
    slider.setAttribute("aria-label", "Time for the next prompt. Enter sets it.");
    slider.append(this.#label);
    slider.addEventListener("keydown", (event) => this.#press(event));
    slider.addEventListener("focus", () => this.#moveTo(0));
  }

  set video({ fps, first, each }) {
    this.#video = { fps, first, each };
  }

  get frame() {
    return this.#frame;
  }

  get seconds() {
    return this.#frame / this.#video.fps;
  }

  get focused() {
    return document.activeElement === this.element;
  }

  /** So far the video is made: nothing earlier than one chunk after that can be chosen. */
  set made(seconds) {
    const { fps, first, each } = this.#video;
    const least = chunkStart(Math.round(seconds * fps), first, each) + each;
    if (least === this.#least) return;
    this.#least = least;
    if (this.#frame < least) this.#moveTo(least);
  }

  /** Go to the chunk that begins at a time or next after it. */
  point(seconds) {
    this.#moveTo(Math.ceil(seconds * this.#video.fps - 1e-6));
  }

  choose() {
    this.dispatchEvent(new CustomEvent("place", { detail: this.#frame }));
  }

  #moveTo(frame) {
    const { fps, first, each } = this.#video;
    const most = this.#least + MOST_SECONDS * fps;
    this.#frame = chunkStart(Math.min(most, Math.max(this.#least, frame)), first, each);
    this.#label.textContent = clockTime(this.seconds);
    for (const [name, value] of Object.entries({
      valuemin: (this.#least / fps).toFixed(2),
      valuemax: (most / fps).toFixed(2),
      valuenow: this.seconds.toFixed(2),
      valuetext: `at ${clockTime(this.seconds)}`,
    })) {
      this.element.setAttribute(`aria-${name}`, value);
    }
    this.dispatchEvent(new CustomEvent("move"));
  }

  #press(event) {
    const { fps, each } = this.#video;
    const page = Math.round((PAGE_SECONDS * fps) / each) * each;
    const steps = {
      ArrowRight: each, ArrowUp: each, ArrowLeft: -each, ArrowDown: -each, PageUp: page, PageDown: -page, Home: -Infinity,
    };
    if (event.key in steps) this.#moveTo(this.#frame + steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.choose();
    else return;
    event.preventDefault();
  }
}
