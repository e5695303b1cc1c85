/** The mark at a time of the video that is chosen on the time line: moved with the arrow keys or the mouse. */

import { chunkHolding, chunkStart } from "./chunks.js";
import { clockTime, element } from "./element.js";

const PAGE_SECONDS = 5;
const MOST_SECONDS = 3600; // ahead of the newest picture

/**
 * A slider of frames at which a chunk begins, since prompts take hold between two of them. Fires `move`, and when one is
 * chosen with a key or `choose`: `place` (detail: a frame to come, for a prompt) or `look` (detail: one that has passed).
 */
export class PlaceCursor extends EventTarget {
  element = element("div", { className: "cursor", tabIndex: 0 });
  #label = element("span");
  #frame = 0;
  #newest = 0; // the last frame of the past that can be chosen
  #least = 0; // the first one of the time to come
  #video = { fps: 16, first: 9, each: 12, begin: 0 };
  #steers = false;

  /** While set it stays where it is, wherever somebody points or focuses. */
  held = false;

  constructor() {
    super();
    const { element: slider } = this;
    slider.setAttribute("role", "slider");
    slider.append(this.#label);
    slider.addEventListener("keydown", (event) => this.#press(event));
    slider.addEventListener("focus", () => this.held || this.#moveTo(this.#steers ? this.#least : this.#newest));
    this.steers = false;
  }

  /** `begin`: its first frame. */
  set video({ fps, first, each, begin }) {
    this.#video = { fps, first, each, begin };
    this.#least = this.#newest = this.#frame = begin;
  }

  /** Whether times to come can be chosen, too. */
  set steers(steers) {
    this.#steers = steers;
    const past = "at one that has passed offers to fork the video";
    const label = steers ? `Enter at a time to come sets the next prompt, ${past}.` : `Enter ${past}.`;
    this.element.setAttribute("aria-label", `Time of the video. ${label}`);
    if (!steers && this.#frame > this.#newest) this.#moveTo(this.#newest);
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

  /** So far the video is made: no time to come can be chosen that is earlier than one chunk after that. */
  set made(seconds) {
    const { fps, each, begin } = this.#video;
    const frames = Math.round(seconds * fps);
    const least = chunkStart(frames, this.#video) + each;
    if (least === this.#least) return;
    const overtakes = this.#frame >= this.#least && this.#frame < least;
    this.#least = least;
    this.#newest = Math.max(begin, chunkHolding(frames - 1, this.#video));
    if (overtakes && this.#steers) this.#moveTo(least);
    else this.#tell();
  }

  /** Go to a time to come: to the chunk that begins then or next after it; to one that has passed: to the chunk that has it. */
  point(seconds, isToCome) {
    if (this.held) return;
    const frame = seconds * this.#video.fps;
    this.#moveTo(isToCome ? Math.max(this.#least, Math.ceil(frame - 1e-6)) : Math.min(this.#newest, Math.floor(frame)));
  }

  choose() {
    this.dispatchEvent(new CustomEvent(this.#isToCome ? "place" : "look", { detail: this.#frame }));
  }

  get #isToCome() {
    return this.#steers && this.#frame >= this.#least;
  }

  #moveTo(frame) {
    const { fps, begin } = this.#video;
    this.#frame =
      this.#steers && frame >= this.#least
        ? chunkStart(Math.min(this.#least + MOST_SECONDS * fps, frame), this.#video)
        : Math.max(begin, chunkHolding(Math.min(this.#newest, frame), this.#video));
    this.#tell();
    this.dispatchEvent(new CustomEvent("move"));
  }

  #tell() {
    const { fps, begin } = this.#video;
    const time = clockTime(this.seconds);
    this.#label.textContent = time;
    this.element.toggleAttribute("data-past", !this.#isToCome);
    for (const [name, value] of Object.entries({
      valuemin: (begin / fps).toFixed(2),
      valuemax: (this.#steers ? this.#least / fps + MOST_SECONDS : this.#newest / fps).toFixed(2),
      valuenow: this.seconds.toFixed(2),
      valuetext: this.#isToCome ? `at ${time}` : `at ${time}, which has passed`,
    })) {
      this.element.setAttribute(`aria-${name}`, value);
    }
  }

  #press(event) {
    const { fps, each } = this.#video;
    const page = Math.round((PAGE_SECONDS * fps) / each) * each;
    const steps = {
      ArrowRight: each, ArrowUp: each, ArrowLeft: -each, ArrowDown: -each, PageUp: page, PageDown: -page, Home: -Infinity,
    };
    if (event.key in steps) this.#step(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.choose();
    else return;
    event.preventDefault();
  }

  /** Between the past and the time to come is a chunk that is being made: steps go over it. */
  #step(frames) {
    const frame = this.#frame + frames;
    const leaps = frames > 0 && frame > this.#newest && this.#steers;
    this.#moveTo(leaps ? Math.max(this.#least, frame) : frame);
  }
}
