/** Live video by pulling: fragments are asked for one by one and played through Media Source Extensions. */

import { ask, pause, Problem } from "./api.js";

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

const CUSHION = 0.4; // seconds that should be left to play when the next fragment arrives
const DEAD_ZONE = 0.15; // seconds of cushion too much or too little that nobody need correct
const MOST_BEHIND = 3; // seconds; who slept that long jumps to the live edge
const KEEP_BEHIND = 10; // seconds of played video that stay in memory
const PULL_MS = 30_000; // the service answers an empty pull after 20 s
const LONGEST_WAIT_MS = 4000;
const LEAST_BETWEEN_MS = 1000;

/**
 * Plays one session in a muted <video>. Media time is the session's own, from its first frame.
 *
 * Fires `state` with one of: `connecting`, `playing`, `waiting` (no fragment in time), `reconnecting` (no answer).
 * A lost connection keeps the picture and pulls again; a broken decoder gets a new MediaSource.
 */
export class LivePlayer extends EventTarget {
  #video;
  #initUrl;
  #fragmentsUrl;
  #stop = new AbortController();
  #state = "";
  #holding = true; // nothing to play: stand still until there is a cushion again
  #stalls = 0;
  #skipped = 0;

  constructor(video, initUrl, fragmentsUrl) {
    super();
    this.#video = video;
    this.#initUrl = initUrl;
    this.#fragmentsUrl = fragmentsUrl;
  }

  static get supported() {
    return Source !== undefined;
  }

  /** Plays until no fragment will follow or `stop` is called. Throws a Problem when the service refuses for good. */
  async play() {
    const { signal } = this.#stop;
    const options = { signal };
    this.#video.addEventListener("waiting", () => this.#ranDry(), options);
    this.#video.addEventListener("playing", () => this.#enter("playing"), options);
    this.#enter("connecting");
    while (!signal.aborted) {
      try {
        return await this.#playOnce();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Problem && !error.passing) throw error;
        console.warn("playing again from the live edge:", error);
        this.#enter("reconnecting");
        await pause(1000, signal);
      }
    }
  }

  /** Lets go of the video, which keeps its last picture. */
  stop() {
    this.#stop.abort();
    this.#video.pause();
  }

  /** `behind`: seconds between the picture and the newest frame here. `skipped`: fragments that never came. */
  get statistics() {
    const { totalVideoFrames, droppedVideoFrames } = this.#video.getVideoPlaybackQuality();
    const { buffered, currentTime } = this.#video;
    return {
      shown: totalVideoFrames - droppedVideoFrames,
      dropped: droppedVideoFrames,
      behind: buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : null,
      stalls: this.#stalls,
      skipped: this.#skipped,
    };
  }

  #enter(state) {
    if (state === this.#state || this.#stop.signal.aborted) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  async #playOnce() {
    const attempt = new AbortController();
    const signal = AbortSignal.any([attempt.signal, this.#stop.signal]);
    const init = await ask(this.#initUrl, { signal });
    const source = new Source();
    const address = URL.createObjectURL(source);
    try {
      // A buffer whose source was taken away says nothing any more: who waits for it waits for this as well.
      const broken = new Promise((_, reject) => {
        this.#video.addEventListener("error", () => reject(this.#video.error), { signal });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
      const open = new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
      this.#video.src = address;
      await Promise.race([open, broken]);
      const buffer = source.addSourceBuffer(init.headers.get("content-type"));
      await Promise.race([append(buffer, await init.arrayBuffer()), broken]);
      this.#holding = true;
      await Promise.race([this.#feed(buffer, signal), broken]);
      if (source.readyState === "open") source.endOfStream();
    } finally {
      attempt.abort();
      URL.revokeObjectURL(address);
    }
  }

  async #feed(buffer, signal) {
    let last = -1;
    let failures = 0;
    while (!signal.aborted) {
      const asked = performance.now();
      let answer;
      let bytes;
      try {
        const limited = AbortSignal.any([signal, AbortSignal.timeout(PULL_MS)]);
        answer = await ask(`${this.#fragmentsUrl}?after=${last}`, { signal: limited });
        bytes = await answer.arrayBuffer();
      } catch (error) {
        if (signal.aborted || error.code === "fragments-over") return;
        if (error.code === "bad-cursor") last = -1; // the service lost its newest seconds
        else if (error instanceof Problem && !error.passing) throw error;
        this.#enter("reconnecting");
        await pause(Math.min(LONGEST_WAIT_MS, 500 * 2 ** failures++), signal);
        continue;
      }
      if (failures && !this.#holding) this.#enter("playing");
      failures = 0;
      if (answer.status === 204) {
        // The service waits before it says "nothing yet", unless the way to the picture is broken.
        if (performance.now() - asked < LEAST_BETWEEN_MS) await pause(LEAST_BETWEEN_MS, signal);
        continue;
      }
      const number = Number(answer.headers.get("x-fragment"));
      if (last >= 0) this.#skipped += number - last - 1;
      last = number;
      await this.#take(buffer, bytes);
    }
  }

  async #take(buffer, bytes) {
    const cushion = this.#ahead();
    await this.#trim(buffer);
    await append(buffer, bytes);
    this.#place();
    if (this.#holding) {
      this.#holding = false;
      await pause(CUSHION * 1000, this.#stop.signal);
      await this.#video.play().catch((error) => {
        // Muted video may play by itself; a browser that was set to forbid even that shows its own button.
        if (error.name === "NotAllowedError") this.#video.controls = true;
      });
    } else {
      // Too little left is a stall to come, too much is old news: play a little slower or faster, which nobody sees.
      const wrong = cushion - CUSHION;
      const correction = Math.abs(wrong) < DEAD_ZONE ? 0 : wrong / 4;
      this.#video.playbackRate = 1 + Math.min(0.08, Math.max(-0.08, correction));
    }
  }

  /** Seconds left to play before the picture stands still. */
  #ahead() {
    const { buffered, currentTime } = this.#video;
    for (let i = 0; i < buffered.length; i++) {
      if (currentTime >= buffered.start(i) - 0.05 && currentTime <= buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  /** Jump where playing can go on: to the first picture, over the hole of a skipped fragment, to the live edge. */
  #place() {
    const { buffered, currentTime } = this.#video;
    if (!buffered.length) return;
    const start = buffered.start(buffered.length - 1);
    const end = buffered.end(buffered.length - 1);
    if (end - currentTime > MOST_BEHIND) this.#video.currentTime = Math.max(start, end - 0.75 - CUSHION);
    else if (currentTime < start && this.#ahead() < 0.05) this.#video.currentTime = start;
  }

  #ranDry() {
    this.#place();
    if (this.#holding || this.#video.seeking || this.#ahead() > 0.1) return;
    this.#stalls++;
    this.#holding = true;
    this.#video.pause();
    if (this.#state === "playing") this.#enter("waiting");
  }

  async #trim(buffer) {
    const { buffered, currentTime } = this.#video;
    if (!buffered.length || buffered.start(0) > currentTime - 2 * KEEP_BEHIND) return;
    const removed = settled(buffer);
    buffer.remove(0, currentTime - KEEP_BEHIND);
    await removed;
  }
}

/** Resolves when the bytes are in. A decoder that refuses them fires `error` on the video. */
function append(buffer, bytes) {
  const appended = settled(buffer);
  buffer.appendBuffer(bytes);
  return appended;
}

function settled(buffer) {
  return new Promise((resolve) => buffer.addEventListener("updateend", resolve, { once: true }));
}
