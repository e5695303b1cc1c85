/** Live video from pulled fragments, played through Media Source Extensions. */

import { ask, pause, Problem } from "./api.js";
import { pull } from "./pull.js";

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

const CUSHION = 0.45; // seconds that should be left to play when the next fragment arrives
const DEAD_ZONE = 0.15; // seconds of cushion too much or too little that nobody need correct
const MOST_BEHIND = 3; // seconds; who slept that long jumps to the live edge
const KEEP_BEHIND = 10; // seconds of played video that stay in memory
const RATE_OVER = 12; // fragments

/**
 * Plays one session in a muted <video>. Media time is the session's own, from its first frame.
 *
 * Fires `state` with one of: `connecting`, `playing`, `waiting` (no fragment in time), `reconnecting` (no answer), and
 * `skipped` when fragments never came. A lost connection keeps the picture and pulls again; a broken decoder gets a new
 * MediaSource.
 */
export class LivePlayer extends EventTarget {
  #video;
  #initUrl;
  #fragmentsUrl;
  #fps;
  #stop = new AbortController();
  #state = "";
  #holding = true; // nothing to play: stand still until there is a cushion again
  #stalls = 0;
  #skipped = 0;
  #sizes = []; // of the last fragments: bytes, seconds

  /** So many fragments there will be until the session goes on; once they are here none is asked for. */
  most = Infinity;

  constructor(video, initUrl, fragmentsUrl, fps) {
    super();
    this.#video = video;
    this.#initUrl = initUrl;
    this.#fragmentsUrl = fragmentsUrl;
    this.#fps = fps;
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

  /** `behind`: seconds between the picture and the newest frame here. `bitrate`: bits a second of video. */
  get statistics() {
    const { totalVideoFrames, droppedVideoFrames } = this.#video.getVideoPlaybackQuality();
    const { buffered, currentTime } = this.#video;
    const sum = (index) => this.#sizes.reduce((total, size) => total + size[index], 0);
    return {
      shown: totalVideoFrames - droppedVideoFrames,
      dropped: droppedVideoFrames,
      behind: buffered.length ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : null,
      bitrate: this.#sizes.length ? (8 * sum(0)) / sum(1) : null,
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
    const wanted = (last) => last + 1 < this.most;
    const lost = (isLost) => {
      if (isLost) this.#enter("reconnecting");
      else if (!this.#holding) this.#enter("playing");
    };
    for await (const fragment of pull(this.#fragmentsUrl, this.#fps, wanted, lost, signal)) {
      if (fragment.skipped) {
        this.#skipped += fragment.skipped;
        this.dispatchEvent(new CustomEvent("skipped"));
      }
      this.#sizes = [...this.#sizes, [fragment.bytes.byteLength, fragment.seconds]].slice(-RATE_OVER);
      await this.#take(buffer, fragment.bytes);
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
    if (this.most === Infinity) this.#stalls++;
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
