/** The prompts of a session as a list: each with what became of it. */

import { clockTime, element } from "./element.js";
import { PENDING } from "./receipts.js";

const HUES = [265, 160, 25, 330, 205, 85];

/** The colour of a prompt, the same in the list and on the time line. */
export const hueOf = (prompt) => HUES[prompt.order % HUES.length];

/**
 * Fires `shown` (detail: `{text, seconds}`) when a follow-up that was asked for here comes on the screen: `seconds` counts
 * from `expect`; and `cancel` (detail: the prompt) when somebody takes back one that is still to come.
 */
export class PromptList extends EventTarget {
  #list;
  #items = new Map();
  #shown = new Set();
  #askedHere = new Map();

  /** Whether this browser may cancel prompts. */
  mine = false;

  constructor(list) {
    super();
    this.#list = list;
  }

  clear() {
    this.#items.clear();
    this.#shown.clear();
    this.#askedHere.clear();
    this.#list.replaceChildren();
  }

  /** A follow-up was sent from here at `at` (performance.now()). */
  expect(id, at) {
    this.#askedHere.set(id, at);
  }

  /** A prompt that was sent from here waits to come on the screen soon after `edge` (media seconds). */
  awaits(receipts, edge) {
    const soon = ({ id, timed, seconds }) => this.#askedHere.has(id) && (!timed || seconds < edge + 2);
    return receipts.pending.some(soon);
  }

  /** The prompts as they are, and the picture is at `now` (media seconds). */
  show(receipts, now) {
    const applied = receipts.applied;
    const current = applied.findLast(({ seconds }) => now >= seconds);
    for (const prompt of applied) if (now >= prompt.seconds) this.#arrived(prompt);
    const order = receipts.all.toReversed().map((prompt) => this.#item(prompt, prompt === current));
    if (order.some((item, index) => item !== this.#list.children[index])) this.#list.replaceChildren(...order);
  }

  #arrived(prompt) {
    if (this.#shown.has(prompt.id)) return;
    this.#shown.add(prompt.id);
    if (!this.#askedHere.has(prompt.id) || prompt.timed) return;
    const seconds = (performance.now() - this.#askedHere.get(prompt.id)) / 1000;
    this.dispatchEvent(new CustomEvent("shown", { detail: { text: prompt.text, seconds } }));
  }

  #item(prompt, isCurrent) {
    if (!this.#items.has(prompt.id)) this.#items.set(prompt.id, this.#build(prompt));
    const item = this.#items.get(prompt.id);
    const state = this.#shown.has(prompt.id) ? "shown" : prompt.status;
    const said = [state, prompt.seconds, prompt.reason, prompt.shows, this.mine].join();
    if (item.said !== said) {
      item.said = said;
      item.dataset.state = state;
      item.querySelector(".made").textContent = prompt.shows === prompt.text ? "" : prompt.shows;
      item.querySelector(".meta").textContent = [sentence(prompt, state), author(prompt)].filter(Boolean).join(" · ");
      item.querySelector(".warning").textContent = prompt.warnings.join(" ");
      item.querySelector("button").hidden = !this.mine || !PENDING.includes(state);
    }
    if (isCurrent !== item.hasAttribute("data-current")) {
      item.toggleAttribute("data-current", isCurrent);
      if (isCurrent) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
    return item;
  }

  #build(prompt) {
    const item = element("li");
    item.dataset.promptId = prompt.id;
    item.style.setProperty("--hue", hueOf(prompt));
    const cancel = element("button", { type: "button", textContent: "Cancel" });
    cancel.setAttribute("aria-label", `Cancel “${prompt.text}”`);
    cancel.addEventListener("click", () => this.dispatchEvent(new CustomEvent("cancel", { detail: prompt })));
    item.append(
      element("q", { textContent: prompt.text }),
      element("span", { className: "made" }),
      element("span", { className: "meta" }),
      element("span", { className: "warning" }),
      cancel,
    );
    return item;
  }
}

/** What became of a prompt, in words. */
function sentence({ status, seconds, latency, reason, timed, mode, again, expands }, state) {
  const time = seconds === undefined ? "" : clockTime(seconds);
  const how = { cut: ", with a cut", keep: ", lingering", blend: ", blending over" }[mode] ?? "";
  switch (status) {
    case "expanded":
      return timed ? `for ${time}` : "waiting for the next pictures";
    case "accepted":
      if (timed) return `accepted, for ${time}`;
      return expands ? "accepted, being written out" : "accepted, waiting for the next pictures";
    case "scheduled":
      return timed ? `scheduled for ${time}${how}` : `scheduled for ${time}, in a moment`;
    case "applied": {
      if (again) return `from ${time} again: the video went back`;
      const took = latency === undefined ? "" : `, ${(latency / 1000).toFixed(1)} s after ${timed ? "its time" : "it was asked for"}`;
      return state === "shown" ? `from ${time}${how}${took}` : `from ${time}, in a moment`;
    }
    case "refused":
      return `refused: ${reason}`;
    default:
      return "cancelled";
  }
}

/** Who wrote what the video shows of a prompt. */
function author({ source, ms }) {
  switch (source) {
    case "llm":
      return `written out by the language model in ${(ms / 1000).toFixed(1)} s`;
    case "rules":
      return "written out by rules";
    case "stock":
      return "nothing was made of it";
    case "raw":
      return "as it was typed";
    default:
      return "";
  }
}
