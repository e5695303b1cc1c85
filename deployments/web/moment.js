/** What can be done with a time of the video that has passed: a small menu beside it. */

import { clockTime, element } from "./element.js";

const MARGIN = 8; // pixels to the edge of the window

/**
 * Fires `fork` and `rewind` (detail: the frame), and `closed`. It closes by itself when something else is pressed, and gives
 * the focus back.
 */
export class Moment extends EventTarget {
  #menu;
  #time = element("b");
  #fork = choice("Fork here", "A new video goes on from this picture.");
  #rewind = choice("Go back here", "This video goes on as it was then.");
  #frame = 0;

  /** `menu`: an empty element with the attribute `popover`. */
  constructor(menu) {
    super();
    this.#menu = menu;
    menu.append(this.#time, this.#fork, this.#rewind);
    for (const [button, type] of [[this.#fork, "fork"], [this.#rewind, "rewind"]]) {
      button.addEventListener("click", () => this.#choose(type));
    }
    menu.addEventListener("toggle", ({ newState }) => newState === "closed" && this.dispatchEvent(new Event("closed")));
    menu.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Offer what can be done with a frame, which is `seconds` into the video, beside a point of the window. */
  open({ frame, seconds, x, y, canRewind }) {
    const time = clockTime(seconds);
    this.#frame = frame;
    this.#time.textContent = `At ${time}`;
    this.#menu.setAttribute("aria-label", `At ${time}`);
    this.#rewind.hidden = !canRewind;
    this.#menu.showPopover();
    const { offsetWidth: width, offsetHeight: height } = this.#menu;
    this.#menu.style.left = `${Math.max(MARGIN, Math.min(x - width / 2, document.documentElement.clientWidth - width - MARGIN))}px`;
    this.#menu.style.top = `${y - height - MARGIN > 0 ? y - height - MARGIN : y + MARGIN}px`;
    this.#fork.focus({ preventScroll: true });
  }

  close() {
    if (this.#menu.matches(":popover-open")) this.#menu.hidePopover();
  }

  #choose(type) {
    this.close();
    this.dispatchEvent(new CustomEvent(type, { detail: this.#frame }));
  }

  #press(event) {
    if (!["ArrowDown", "ArrowUp"].includes(event.key) || this.#rewind.hidden) return;
    (document.activeElement === this.#fork ? this.#rewind : this.#fork).focus();
    event.preventDefault();
  }
}

function choice(name, meaning) {
  const button = element("button", { type: "button", textContent: name });
  button.append(element("span", { textContent: meaning }));
  return button;
}
