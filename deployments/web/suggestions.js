/** What is offered in the box to choose from: always what was asked for last, however late an answer comes. */

import { Problem, readSuggestions } from "./api.js";

export class Suggestions {
  #box;
  #asking = new AbortController();

  /** `box`: the PromptBox. */
  constructor(box) {
    this.#box = box;
  }

  offer(texts) {
    this.#asking.abort();
    this.#box.suggest(texts);
  }

  /** Offer what would change the picture of a session as it is; `otherwise`, where the service cannot tell. */
  async fit(id, otherwise) {
    this.#asking.abort();
    const { signal } = (this.#asking = new AbortController());
    try {
      this.#box.suggest(await readSuggestions(id, signal));
    } catch (problem) {
      if (signal.aborted) return;
      this.#box.suggest(otherwise);
      if (!(problem instanceof Problem)) throw problem;
    }
  }
}
