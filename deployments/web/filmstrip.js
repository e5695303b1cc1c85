/** Small pictures of a video along its time line. Only those in view are loaded. */

import { element } from "./element.js";

export class Filmstrip {
  #strip;
  #frames = new Map();
  #thumbnails = [];

  /** Width over height of a picture. */
  shape = 1;

  constructor(strip) {
    this.#strip = strip;
  }

  /** `[{media_seconds, url}]`, oldest first. */
  set thumbnails(thumbnails) {
    this.#thumbnails = thumbnails;
  }

  clear() {
    this.#thumbnails = [];
    this.#frames.clear();
    this.#strip.replaceChildren();
  }

  /** Show what lies between the pixels `left` and `right`, at so many pixels a second; the video ends at `edge` seconds. */
  layout(scale, left, right, edge) {
    const least = (this.#strip.clientHeight * this.shape * 0.75) / scale; // seconds between two pictures
    const chosen = [];
    for (const thumbnail of this.#thumbnails) {
      if (!chosen.length || thumbnail.media_seconds - chosen.at(-1).media_seconds >= least) chosen.push(thumbnail);
    }
    const inView = new Set();
    chosen.forEach(({ media_seconds: seconds, url }, index) => {
      const from = seconds * scale;
      const to = (chosen[index + 1]?.media_seconds ?? Math.max(edge, seconds)) * scale;
      if (to < left || from > right) return;
      inView.add(url);
      const frame = this.#frame(url);
      frame.style.left = `${from}px`;
      frame.style.width = `${to - from}px`;
    });
    for (const [url, frame] of this.#frames) {
      if (inView.has(url)) continue;
      frame.remove();
      this.#frames.delete(url);
    }
  }

  #frame(url) {
    if (!this.#frames.has(url)) {
      const frame = element("div", { className: "frame" });
      frame.style.backgroundImage = `url("${url}")`;
      this.#frames.set(url, frame);
      this.#strip.append(frame);
    }
    return this.#frames.get(url);
  }
}
