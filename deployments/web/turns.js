/** What befell a video besides prompts: where it was forked, went back, went on elsewhere. Read off its timeline. */

import { chunkFrame } from "./chunks.js";
import { clockTime } from "./element.js";

const CAUSES = {
  lost: "Its generator went away: another one goes on",
  "handed-over": "Its generator had to stop: another one goes on",
};

/** The turns of one session. */
export class Turns {
  #turns = new Map();
  #chunks;
  #fps = 16;

  /** `chunks`: as for `chunkFrame`. */
  constructor(chunks) {
    this.#chunks = chunks;
  }

  /** `[{id, kind, seconds, sentence}]` in the order of the video; `kind`: `forked`, `rewound` or `moved`. */
  get all() {
    return [...this.#turns.values()];
  }

  /** An entry of the timeline. Told twice it changes nothing. Gives the turn that it tells of, if it does. */
  take(entry) {
    const { type, id, media_seconds: seconds } = entry;
    if (type === "session.created") {
      this.#fps = entry.fps;
      const { parent, fps } = entry;
      if (parent?.relation === "fork") this.#put(id, "forked", parent.frame / fps, "Forked from another video");
    } else if (type === "session.rewound") {
      this.#put(id, "rewound", seconds, `Went back to ${clockTime(this.#secondsOf(entry.restored_chunk))}`);
    } else if (type === "session.moved") {
      this.#put(id, "moved", seconds, CAUSES[entry.cause]);
    }
    return this.#turns.get(id);
  }

  #secondsOf(chunk) {
    return chunkFrame(chunk, this.#chunks) / this.#fps;
  }

  #put(id, kind, seconds, sentence) {
    this.#turns.set(id, { id, kind, seconds, sentence });
  }
}
