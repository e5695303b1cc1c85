/** The time line of a session: small pictures, prompts, the picture that is shown, and the time that is still to come. */

import { element } from "./element.js";
import { Filmstrip } from "./filmstrip.js";
import { Marks } from "./marks.js";
import { PlaceCursor } from "./place_cursor.js";
import { hueOf } from "./prompt_list.js";
import { PENDING } from "./receipts.js";
import { Ticks } from "./ticks.js";

const SPANS = [10, 20, 40, 80, 160, 320, 640]; // seconds in view, without those of the whole video
const PLAYHEAD = 0.62; // where in view the picture is, once the video is longer than that
const AHEAD = 0.3; // of the view: time to come that is kept in view
const LAYOUT_MS = 200;
const DRAG_PIXELS = 6;
const EDGE_PIXELS = 80; // so far from an edge of the view stays what is moved with the keyboard

/**
 * Fires `place` (detail: a frame for the next prompt), `look` (detail: `{frame, seconds, x, y}`, a time that has passed and
 * where in the window it is), `range` (detail: `[from, to]` seconds that were marked), `cancel` (detail: a prompt) and
 * `following` (detail: whether it keeps up with the picture).
 */
export class TimeLine extends EventTarget {
  #reel;
  #track = element("div", { id: "track" });
  #films = element("div", { className: "films" });
  #bars = element("div", { className: "bars" });
  #times = element("div", { className: "ticks" });
  #before = element("div", { className: "before", hidden: true });
  #future = element("div", { className: "future" });
  #playhead = element("i", { className: "playhead" });
  #range = element("i", { className: "range", hidden: true });
  #placed = element("i", { className: "placed", hidden: true });
  #cursor = new PlaceCursor();
  #turns = element("div", { className: "turns" });
  #strip = new Filmstrip(this.#films);
  #ticks = new Ticks(this.#times);
  #marks = new Marks(this.#turns);
  #segments = new Map();
  #receipts = null;
  #befell = [];
  #span = 40;
  #width = 0;
  #scale = 1; // pixels a second
  #edge = 0;
  #laidOut = -Infinity;
  #scrolledTo = 0;
  #following = true;
  #whole = false;
  #steers = false;
  #fps = 16;

  constructor(reel) {
    super();
    this.#reel = reel;
    for (const part of [this.#films, this.#times]) part.setAttribute("aria-hidden", "true");
    const over = [this.#before, this.#turns, this.#range, this.#future, this.#placed, this.#playhead, this.#cursor.element];
    this.#track.append(this.#films, this.#bars, this.#times, ...over);
    reel.append(this.#track);
    new ResizeObserver(() => this.#measure()).observe(reel);
    reel.addEventListener("scroll", () => this.#scrolled());
    this.#cursor.addEventListener("move", () => this.#at(this.#cursor.element, this.#cursor.seconds));
    this.#cursor.addEventListener("place", ({ detail }) => this.#tell("place", detail));
    this.#cursor.addEventListener("look", ({ detail: frame }) => {
      const { left, top } = this.#cursor.element.getBoundingClientRect();
      this.#tell("look", { frame, seconds: this.#cursor.seconds, x: left, y: top });
    });
    this.#listen();
  }

  /** A new session: its frames a second, frames of its chunks, its first frame, and the shape of its picture. */
  open({ fps, shape, first, each, begin }) {
    this.#fps = fps;
    this.#cursor.video = { fps, first, each, begin };
    this.#before.seconds = begin / fps;
    this.#before.hidden = !begin;
    this.#befell = [];
    this.#marks.clear();
    this.#strip.shape = shape;
    this.#strip.clear();
    this.#segments.clear();
    this.#bars.replaceChildren();
    this.#range.hidden = this.#placed.hidden = true;
    this.#edge = 0;
    this.follow();
  }

  /** Whether prompts can be placed in the time to come. */
  set steers(steers) {
    this.#steers = this.#cursor.steers = steers;
    this.#future.hidden = !steers;
    this.#laidOut = -Infinity;
  }

  /** Keep the mark at the time that is looked at. */
  set looking(looking) {
    this.#cursor.held = looking;
    this.#track.toggleAttribute("data-looking", looking);
  }

  set thumbnails(thumbnails) {
    this.#strip.thumbnails = thumbnails;
    this.#laidOut = -Infinity;
  }

  /** Mark where the next prompt is set to; null: nowhere. */
  set placed(frame) {
    this.#placed.hidden = frame === null;
    this.#placed.seconds = frame === null ? 0 : frame / this.#fps;
    this.#laidOut = -Infinity;
  }

  /** Mark a part of the video in seconds; null: none. */
  set range(range) {
    this.#range.hidden = range === null;
    if (range) [this.#range.from, this.#range.to] = range;
    this.#laidOut = -Infinity;
  }

  get whole() {
    return this.#whole;
  }

  /** Keep up with the picture again. */
  follow() {
    this.#setFollowing(true);
    this.#laidOut = -Infinity;
  }

  /** 1: a longer time in view; -1: a shorter one. */
  zoom(step) {
    const nearest = SPANS.reduce((a, b) => (Math.abs(b - this.#span) < Math.abs(a - this.#span) ? b : a));
    const index = SPANS.indexOf(nearest) + (this.#whole ? 0 : step);
    this.#span = SPANS[Math.min(SPANS.length - 1, Math.max(0, index))];
    this.#whole = false;
    this.follow();
  }

  /** Have the whole video in view. */
  showWhole() {
    this.#whole = true;
    this.follow();
  }

  /** Called for each picture: the video is at `now`, its newest frame at `edge` (media seconds). */
  draw(receipts, turns, now, edge) {
    this.#receipts = receipts;
    this.#befell = turns.all;
    this.#edge = Math.max(edge, now);
    this.#cursor.made = this.#edge;
    if (performance.now() - this.#laidOut > LAYOUT_MS) this.#layout();
    this.#playhead.style.transform = `translateX(${now * this.#scale}px)`;
    if (!this.#following || this.#whole || this.#cursor.held) return;
    const left = now * this.#scale - this.#width * PLAYHEAD;
    const mark = this.#cursor.seconds * this.#scale;
    const inView = Math.min(mark - EDGE_PIXELS, Math.max(mark - this.#width + EDGE_PIXELS, left));
    this.#scrollTo(this.#cursor.focused ? inView : left);
  }

  #measure() {
    this.#width = this.#reel.clientWidth;
    this.#laidOut = -Infinity;
  }

  #layout() {
    this.#laidOut = performance.now();
    const last = Math.max(0, ...this.#receipts.pending.map(({ seconds }) => seconds ?? 0));
    const ahead = this.#steers ? AHEAD : 0.02;
    let total = Math.max(this.#edge, last, this.#cursor.focused ? this.#cursor.seconds : 0);
    if (this.#whole) this.#span = Math.max(10, Math.ceil((total * (1 + ahead)) / 10) * 10);
    total = Math.max(this.#span, total + ahead * this.#span);
    this.#scale = this.#width / this.#span;
    this.#track.style.width = `${this.#whole ? this.#width : total * this.#scale}px`;
    const left = this.#reel.scrollLeft;
    const [from, to] = [left - this.#width, left + 2 * this.#width];
    this.#strip.layout(this.#scale, from, to, this.#edge);
    this.#layoutBars(total);
    this.#ticks.layout(this.#scale, from, to, total);
    this.#marks.layout(this.#befell, this.#scale);
    this.#at(this.#before, 0, this.#before.seconds);
    this.#at(this.#future, this.#edge, total);
    this.#at(this.#placed, this.#placed.seconds ?? 0);
    this.#at(this.#cursor.element, this.#cursor.seconds);
    this.#at(this.#range, this.#range.from ?? 0, this.#range.to ?? 0);
  }

  #at(part, seconds, until) {
    part.style.left = `${seconds * this.#scale}px`;
    if (until !== undefined) part.style.width = `${Math.max(0, until - seconds) * this.#scale}px`;
  }

  #layoutBars(total) {
    const { all } = this.#receipts;
    const applied = all.filter(({ status }) => status === "applied");
    const pending = all.filter(({ status }) => PENDING.includes(status));
    for (const [id, segment] of this.#segments) {
      if (applied.some((p) => p.id === id) || pending.some((p) => p.id === id)) continue;
      segment.remove();
      this.#segments.delete(id);
    }
    applied.forEach((prompt, index) => {
      this.#at(this.#segment(prompt), prompt.seconds, applied[index + 1]?.seconds ?? this.#edge);
    });
    pending.forEach((prompt, index) => {
      const start = Math.max(prompt.seconds ?? 0, this.#edge);
      this.#at(this.#segment(prompt), start, Math.max(start, pending[index + 1]?.seconds ?? total));
    });
    this.#shiftWords();
  }

  #segment(prompt) {
    if (!this.#segments.has(prompt.id)) {
      const segment = element("div", { className: "segment" });
      const cancel = element("button", { type: "button", textContent: "×", tabIndex: -1, title: "Cancel" });
      cancel.setAttribute("aria-label", `Cancel “${prompt.text}”`);
      cancel.addEventListener("click", () => this.#tell("cancel", prompt));
      segment.dataset.promptId = prompt.id;
      segment.style.setProperty("--hue", hueOf(prompt));
      segment.append(element("span", { textContent: prompt.text }), cancel);
      this.#bars.append(segment);
      this.#segments.set(prompt.id, segment);
    }
    const segment = this.#segments.get(prompt.id);
    segment.dataset.state = prompt.status;
    segment.lastChild.hidden = !this.#steers || prompt.status === "applied";
    return segment;
  }

  #scrollTo(left) {
    const most = this.#reel.scrollWidth - this.#width;
    const wanted = Math.round(Math.min(most, Math.max(0, left)));
    if (wanted === this.#scrolledTo) return;
    this.#scrolledTo = wanted;
    this.#reel.scrollLeft = wanted;
    this.#shiftWords();
  }

  /** The words of a prompt that began left of the view stay in it. */
  #shiftWords() {
    for (const segment of this.#segments.values()) {
      segment.style.paddingLeft = `${Math.max(0, this.#scrolledTo - parseFloat(segment.style.left))}px`;
    }
  }

  /** Somebody, and not we, moved it: stay there. */
  #scrolled() {
    if (Math.abs(this.#reel.scrollLeft - this.#scrolledTo) <= 2) return;
    this.#scrolledTo = Math.round(this.#reel.scrollLeft);
    this.#shiftWords();
    if (!this.#whole) this.#setFollowing(false);
    this.#laidOut = Math.min(this.#laidOut, performance.now() - LAYOUT_MS / 2);
  }

  #setFollowing(following) {
    if (following === this.#following) return;
    this.#following = following;
    this.#tell("following", following);
  }

  #listen() {
    const track = this.#track;
    const secondsAt = (event) => (event.clientX - track.getBoundingClientRect().left) / this.#scale;
    let begun = null; // where a drag began
    let dragged = false;
    track.addEventListener("pointerdown", (event) => {
      const isMark = event.pointerType === "mouse" && event.button === 0 && secondsAt(event) < this.#edge;
      begun = isMark && !event.target.closest("button") ? { x: event.clientX, seconds: secondsAt(event) } : null;
      dragged = false;
    });
    track.addEventListener("pointermove", (event) => {
      const seconds = secondsAt(event);
      const isToCome = seconds > this.#edge;
      const shows = event.pointerType === "mouse" && !begun && (this.#steers || !isToCome);
      track.toggleAttribute("data-pointing", shows);
      if (shows && !this.#cursor.focused) this.#cursor.point(seconds, isToCome);
      if (!begun || Math.abs(event.clientX - begun.x) < DRAG_PIXELS) return;
      dragged = true;
      track.setPointerCapture(event.pointerId);
      const ends = [begun.seconds, Math.min(this.#edge, Math.max(0, seconds))].sort((a, b) => a - b);
      this.range = ends;
      this.#tell("range", ends);
    });
    track.addEventListener("pointerup", () => (begun = null));
    track.addEventListener("pointerleave", () => track.removeAttribute("data-pointing"));
    track.addEventListener("click", (event) => {
      const isToCome = secondsAt(event) > this.#edge;
      if (dragged || event.target.closest("button") || (isToCome && !this.#steers)) return;
      this.#cursor.point(secondsAt(event), isToCome);
      this.#cursor.choose();
    });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
