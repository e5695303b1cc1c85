/** Times below a time line. Only those in view are there. */

import { clockTime, element } from "./element.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200]; // seconds
const LEAST_PIXELS = 72;

export class Ticks {
  #parent;

  constructor(parent) {
    this.#parent = parent;
  }

  /** Show those between the pixels `left` and `right`, at so many pixels a second, up to `total` seconds. */
  layout(scale, left, right, total) {
    const step = STEPS.find((seconds) => seconds * scale >= LEAST_PIXELS) ?? STEPS.at(-1);
    const first = Math.max(0, Math.floor(left / scale / step));
    const last = Math.min(Math.floor(total / step), Math.ceil(right / scale / step));
    while (this.#parent.childElementCount < last - first + 1) this.#parent.append(element("span"));
    [...this.#parent.children].forEach((tick, index) => {
      const seconds = (first + index) * step;
      tick.hidden = first + index > last;
      tick.style.left = `${seconds * scale}px`;
      tick.textContent = clockTime(seconds);
    });
  }
}
