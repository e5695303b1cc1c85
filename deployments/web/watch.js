/** One session that is open on the page: followed, played, steered if it is ours. */

import * as api from "./api.js";
import { Feed, OVER } from "./feed.js";
import { LivePlayer } from "./player.js";
import { Receipts } from "./receipts.js";
import { tell } from "./sentences.js";
import { tokenOf } from "./tokens.js";
import { Turns } from "./turns.js";

const RETRY_MS = 1000;
const SLOW_MS = 10_000; // who skips twice in that time is told so
const SHOWN_MS = 5000; // so long it is told that a prompt is on the screen, or what befell the video
const THUMBNAILS_MS = 3000;
const LATE_CHUNKS = 12; // so far behind the newest one a small picture may still come

/** Nothing comes of it until somebody does something. One that paused because nobody watched goes on when somebody does. */
const stands = ({ status, reason }) => status === "queued" || (status === "paused" && reason !== "unwatched");

/**
 * Fires `session` whenever the session was read, `status` (detail: `[state, line, advice]`) when there is something else to
 * tell, `problem` (detail: a Problem) when the service refused something, `refused` (detail: the Problem) when it cannot be
 * opened, and `picture` (detail: `[now, edge]` in media seconds) for each picture that the browser draws.
 */
export class Watch extends EventTarget {
  id;
  session = null;
  player = null;
  receipts = new Receipts();
  turns;
  /** Why its video is not kept any more though it was to be; "": it is. */
  unkept = "";
  #video;
  #list;
  #feed;
  #leave = new AbortController();
  #told = "";
  #state = "connecting";
  #lost = null;
  #asked = null; // `pause`, `resume`, `rewind`, `end`, until the session has followed; `fork` until there is the new one
  #skips = []; // when
  #shown = { text: "", until: 0 };
  #befell = { text: "", until: 0 };

  /** `list`: the PromptList that shows it; `chunks`: its `{first, each}`. */
  constructor(id, video, list, chunks) {
    super();
    this.id = id;
    this.turns = new Turns(chunks);
    this.#video = video;
    this.#list = list;
    this.#feed = new Feed(id);
    const hear = (type, act) => this.#feed.addEventListener(type, ({ detail }) => act(detail));
    hear("entry", (entry) => this.#take(entry));
    hear("session", (session) => this.#read(session));
    hear("lost", (problem) => (this.#lost = problem));
    hear("found", () => (this.#lost = null));
    hear("gone", (problem) => this.#gone(problem));
    const shown = ({ detail }) => (this.#shown = { text: detail.text, until: performance.now() + SHOWN_MS });
    list.addEventListener("shown", shown, { signal: this.#leave.signal });
  }

  start() {
    const { signal } = this.#leave;
    this.#feed.follow(signal);
    const draw = () => {
      if (signal.aborted) return;
      requestAnimationFrame(draw); // first: a picture that cannot be drawn is not the last
      if (this.session) this.#draw();
      this.#tellStatus();
    };
    draw();
  }

  close() {
    this.#leave.abort();
    this.player?.stop();
    this.#video.removeAttribute("src");
    this.#video.removeAttribute("poster");
    this.#video.load();
  }

  /** Whether this browser may steer it. */
  get mine() {
    return tokenOf(this.id) !== null;
  }

  /** Whether it can go back to an earlier time. */
  get canRewind() {
    const { status, pace } = this.session;
    return this.mine && status === "live" && pace === "live";
  }

  get over() {
    return OVER.includes(this.session?.status);
  }

  /** Add a prompt; `fields` as the API takes them. Throws a Problem. */
  async steer(fields) {
    const asked = performance.now();
    const accepted = await api.addPrompt(this.id, fields);
    for (const id of [accepted.prompt_id, ...accepted.then]) this.#list.expect(id, asked);
    this.#feed.quick = true;
    this.#feed.nudge();
  }

  cancel(prompt) {
    return this.#command(() => api.cancelPrompt(this.id, prompt.id));
  }

  togglePause() {
    if (this.session.status === "paused") return this.#command(() => api.resumeSession(this.id), "resume");
    return this.#command(() => api.pauseSession(this.id), "pause");
  }

  end() {
    return this.#command(() => api.endSession(this.id), "end");
  }

  /** Have the video go on as it was at a frame that has passed. */
  rewind(frame) {
    return this.#command(() => api.rewindSession(this.id, frame), "rewind");
  }

  /** Make a new video that goes on from a frame of this one. Gives its session, or null when there is none. */
  async fork(frame) {
    const before = this.#asked;
    const session = await this.#command(() => api.forkSession(this.id, frame, this.session.record), "fork");
    if (this.#asked === "fork") this.#asked = before;
    return session;
  }

  /** What the work gives; null when the service refused it, which is told. */
  async #command(work, asked = this.#asked) {
    this.#asked = asked;
    let answer = null;
    try {
      answer = await work();
    } catch (problem) {
      this.#asked = null;
      this.#tell("problem", problem);
    }
    this.#feed.quick = true;
    this.#feed.nudge();
    return answer;
  }

  #take(entry) {
    this.receipts.take(entry);
    const turn = this.turns.take(entry);
    if (turn && this.session) this.#befell = { text: turn.sentence, until: performance.now() + SHOWN_MS };
    const [asked, outcome] = entry.type.split(".");
    if (outcome === "refused" && asked === this.#asked) {
      this.#asked = null;
      this.#tell("problem", new api.Problem(0, `${asked}-refused`, entry.reason));
    }
    if (entry.type === "session.rewound" && this.#asked === "rewind") this.#asked = null;
    if (entry.type === "session.resumed") this.unkept = ""; // it is tried again
    if (entry.type === "recording.failed") {
      this.unkept = entry.reason;
      if (this.mine) this.#tell("problem", new api.Problem(0, "recording-failed", entry.reason));
    }
  }

  #read(session) {
    const isFirst = !this.session;
    this.session = session;
    const isPaused = session.status === "paused";
    if (this.over || { pause: isPaused, resume: !isPaused }[this.#asked]) this.#asked = null;
    if (this.player) this.player.most = stands(session) ? session.chunks : Infinity;
    if (isFirst && session.chunks) this.#video.poster = session.links.poster;
    this.#feed.quick = this.#asked !== null || session.status === "starting" || this.#list.awaits(this.receipts, this.#times()[1]);
    this.#tell("session");
    if (!isFirst) return;
    this.#play();
    this.#followThumbnails();
  }

  #gone(problem) {
    if (!this.session) return this.#tell("refused", problem);
    this.session = { ...this.session, status: "failed", reason: problem.message };
    this.#tell("session");
  }

  /** Plays until the session is over. A player may end before that, for example with the process that fed it. */
  async #play() {
    const { signal } = this.#leave;
    while (!signal.aborted && !this.over) {
      if (!stands(this.session)) {
        const { links, fps } = this.session;
        this.player = new LivePlayer(this.#video, links.init, links.fragments, fps);
        this.player.addEventListener("state", ({ detail }) => (this.#state = detail));
        this.player.addEventListener("skipped", () => (this.#skips = [...this.#skips, performance.now()].slice(-2)));
        try {
          await this.player.play();
        } catch (problem) {
          if (!(problem instanceof api.Problem)) throw problem;
          console.warn("the picture is refused:", problem.message); // the session tells whether it goes on
        }
        this.#feed.nudge();
      }
      await api.pause(RETRY_MS / 4, signal);
    }
  }

  async #followThumbnails() {
    const { signal } = this.#leave;
    const known = new Map(); // by chunk
    const before = await this.#pastThumbnails();
    let chunks = -1;
    while (!signal.aborted) {
      if (chunks !== this.session.chunks) {
        const after = Math.max(-1, ...known.keys());
        const asked = this.session.chunks;
        try {
          const { data } = await api.readThumbnails(this.id, Math.max(-1, after - LATE_CHUNKS), signal);
          chunks = asked;
          for (const thumbnail of data) known.set(thumbnail.chunk, thumbnail);
          this.#tell("thumbnails", [...before, ...[...known.values()].sort((a, b) => a.chunk - b.chunk)]);
        } catch (problem) {
          if (signal.aborted || !problem.passing) return;
        }
      }
      await api.pause(THUMBNAILS_MS, signal);
    }
  }

  /** Those of the video that it was forked from, up to there; they may be gone. */
  async #pastThumbnails() {
    const { parent, fps } = this.session;
    if (parent?.relation !== "fork") return [];
    try {
      const { data } = await api.readThumbnails(parent.session, -1, this.#leave.signal);
      return data.filter(({ media_seconds: seconds }) => seconds < parent.frame / fps);
    } catch {
      return [];
    }
  }

  /** Media seconds of the picture, and of the newest frame. */
  #times() {
    const { buffered, currentTime } = this.#video;
    const made = this.session.media_seconds;
    return buffered.length ? [currentTime, Math.max(made, buffered.end(buffered.length - 1))] : [made, made];
  }

  #draw() {
    const [now, edge] = this.#times();
    this.#list.show(this.receipts, now);
    this.#tell("picture", [now, edge]);
  }

  #tellStatus() {
    const at = performance.now();
    const status = tell(this.session, {
      player: this.#state,
      lost: this.#lost,
      slow: this.#skips.length > 1 && at - this.#skips[0] < SLOW_MS,
      asked: this.#asked,
      mine: this.mine,
      shown: at < this.#shown.until ? this.#shown.text : "",
      befell: at < this.#befell.until ? this.#befell.text : "",
    });
    if (status.join("\n") === this.#told) return;
    this.#told = status.join("\n");
    this.#tell("status", status);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
