/** Small marks on the time line where something befell the video. */

import { clockTime, element } from "./element.js";

const SHAPES = {
  forked: "M5 14V9.5Q5 7.5 8 7.5T11 5V2M5 9.5V2M9 4l2-2 2 2",
  rewound: "M3 7h7a3 3 0 0 1 0 6H7M6 4L3 7l3 3",
  moved: "M2 5h9M8 2l3 3-3 3M14 11H5M8 8l-3 3 3 3",
};

export class Marks {
  #parent;
  #marks = new Map();

  constructor(parent) {
    this.#parent = parent;
  }

  clear() {
    this.#marks.clear();
    this.#parent.replaceChildren();
  }

  /** Show the turns, at so many pixels a second. */
  layout(turns, scale) {
    for (const turn of turns) {
      if (!this.#marks.has(turn.id)) this.#marks.set(turn.id, this.#build(turn));
      this.#marks.get(turn.id).style.left = `${turn.seconds * scale}px`;
    }
  }

  #build({ kind, seconds, sentence }) {
    const told = `${clockTime(seconds)}: ${sentence}`;
    const mark = element("span", { className: "mark", title: told });
    mark.dataset.kind = kind;
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", told);
    mark.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${SHAPES[kind]}"/></svg>`;
    this.#parent.append(mark);
    return mark;
  }
}
