/** The page: start a video, watch it, steer it, end it. A session's id is in the address, so a reload goes on. */

import {
  addPrompt, createSession, endSession, followEvents, OVER, pathOf, pause, Problem, readModel, readSession,
} from "./api.js";
import { LivePlayer } from "./player.js";
import { TimeLine } from "./timeline.js";

const RETRY_MS = 2000;
const CRISP_BELOW = 256; // pixels of width: smaller pictures are enlarged without smoothing
const SENTENCES = {
  connecting: "Waiting for the first picture",
  playing: "Live",
  waiting: "Waiting for the next fragment",
  reconnecting: "The connection is lost. Trying again",
};
const ENDINGS = {
  requested: "Ended. Type a prompt to start another video.",
  unwatched: "Ended, because nobody was watching. Type a prompt to start another video.",
  stopped: "Ended, because the service was stopped. Type a prompt to start another video.",
};

class Page {
  #parts = Object.fromEntries([...document.querySelectorAll("[id]")].map((part) => [part.id, part]));
  #label = document.querySelector("label[for=prompt]");
  #model = { examples: [], follow_ups: [] };
  #timeLine = new TimeLine(this.#parts.prompts, this.#parts.track);
  #id = null;
  #session = null;
  #player = null;
  #leave = new AbortController();
  #firstWarnings = [];
  #promptSeconds = null;
  #shownBefore = { frames: 0, at: 0 };

  start() {
    const { "prompt-form": form, end } = this.#parts;
    form.addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    end.addEventListener("click", () => this.#end());
    addEventListener("hashchange", () => this.#route());
    this.#timeLine.addEventListener("shown", ({ detail }) => {
      this.#promptSeconds = detail.seconds;
      const stands = this.#parts.status.dataset.state !== "playing";
      if (!stands) this.#say(`Live. “${detail.text}” is on the screen.`);
    });
    const draw = () => {
      requestAnimationFrame(draw); // first: a picture that cannot be drawn is not the last
      if (this.#session) this.#timeLine.draw(...this.#times());
    };
    draw();
    setInterval(() => this.#showStatistics(), 1000);
    this.#readModel();
    this.#route();
  }

  get #view() {
    return document.body.dataset.view;
  }

  /** `idle`: no session. `opening`: one that is being read. `live`: one that goes on. `over`: one that will not. */
  set #view(view) {
    document.body.dataset.view = view;
    const begun = view === "opening" || view === "live";
    this.#label.textContent = begun ? "What happens next?" : "What should the video show?";
    this.#parts.prompt.placeholder = begun ? "it starts to snow" : "a red ball hops in a meadow at sunset";
    this.#parts.send.textContent = begun ? "Send" : "Start";
    this.#parts.send.disabled = view === "opening";
    this.#parts.end.disabled = view !== "live";
    this.#offer(begun ? this.#model.follow_ups : this.#model.examples);
  }

  #say(sentence, state = "playing") {
    this.#parts.status.textContent = sentence;
    this.#parts.status.dataset.state = state;
  }

  #complain(problem = null) {
    this.#parts.notice.textContent = problem?.message ?? "";
    if (problem && !(problem instanceof Problem)) throw problem;
  }

  /** Repeat until it succeeds or the service refuses for good; says meanwhile that it tries. */
  async #patiently(work, signal) {
    while (!signal?.aborted) {
      try {
        return await work();
      } catch (problem) {
        if (!problem.passing) throw problem;
        this.#say(`${problem.message} Trying again`, "reconnecting");
        await pause(RETRY_MS, signal);
      }
    }
  }

  async #readModel() {
    this.#model = await this.#patiently(readModel);
    if (this.#view === "idle") this.#say("");
    this.#view = this.#view; // which prompts it offers
  }

  #offer(prompts) {
    const { examples, prompt } = this.#parts;
    examples.replaceChildren(
      ...prompts.map((text) => {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
        button.addEventListener("click", () => {
          prompt.value = text;
          prompt.focus();
        });
        return button;
      }),
    );
  }

  #route() {
    const id = new URLSearchParams(location.hash.slice(1)).get("session");
    this.#close();
    if (id) this.#open(id);
    else {
      this.#view = "idle";
      this.#say("");
    }
  }

  #close() {
    const { video } = this.#parts;
    this.#leave.abort();
    this.#leave = new AbortController();
    this.#player?.stop();
    this.#player = this.#id = this.#session = this.#promptSeconds = null;
    video.removeAttribute("src");
    video.load();
    this.#timeLine.clear();
    this.#complain();
  }

  async #open(id) {
    const { signal } = this.#leave;
    this.#view = "opening";
    this.#say("Opening the video", "connecting");
    try {
      const session = await this.#patiently(() => readSession(id, signal), signal);
      if (signal.aborted) return;
      this.#id = id;
      this.#session = session;
      this.#view = "live";
      this.#timeLine.warn("", this.#firstWarnings);
      this.#firstWarnings = [];
      this.#parts.screen.style.setProperty("--shape", `${session.width} / ${session.height}`);
      this.#parts.video.classList.toggle("crisp", session.width < CRISP_BELOW);
      followEvents(id, (type, entry) => this.#take(type, entry), signal);
      await this.#watch(id, signal);
    } catch (problem) {
      if (signal.aborted) return;
      this.#parts.prompt.value ||= this.#session?.prompt ?? "";
      history.replaceState(null, "", location.pathname); // what cannot be opened need not be tried at each reload
      this.#route();
      this.#complain(problem);
    }
  }

  /** Plays until the session is over. A player may end before that, for example with the process that fed it. */
  async #watch(id, signal) {
    while (!OVER.includes(this.#session.status)) {
      this.#player = new LivePlayer(this.#parts.video, pathOf(id, "/init.mp4"), pathOf(id, "/fragments"));
      this.#player.addEventListener("state", ({ detail }) => this.#say(SENTENCES[detail], detail));
      await this.#player.play();
      if (signal.aborted) return;
      const session = await this.#patiently(() => readSession(id, signal), signal);
      if (signal.aborted) return;
      this.#session = session;
      await pause(500, signal);
      if (signal.aborted) return;
    }
    this.#over(this.#session);
  }

  #take(type, entry) {
    this.#timeLine.take(type, entry);
    if (type === "stats") this.#session = entry;
    if (type === "session.ended") this.#over({ ...this.#session, status: "ended", reason: entry.reason });
    if (type === "session.failed") this.#over({ ...this.#session, status: "failed", reason: entry.reason });
  }

  #over(session) {
    if (this.#view === "over") return;
    const free = [document.body, this.#parts.end].includes(document.activeElement);
    this.#session = session;
    this.#view = "over";
    if (session.status === "failed") {
      this.#say(`Failed. ${session.reason} Press Enter to start again.`, "failed");
      this.#parts.prompt.value ||= session.prompt;
    } else {
      this.#say(ENDINGS[session.reason] ?? `Ended: ${session.reason}`, "ended");
    }
    // Who reads elsewhere stays there; who was at the button that is gone now can type on.
    if (free) this.#parts.prompt.focus();
  }

  async #submit() {
    const { prompt, send } = this.#parts;
    const text = prompt.value.trim();
    if (!text || send.disabled || send.getAttribute("aria-busy") === "true") return;
    send.setAttribute("aria-busy", "true");
    this.#complain();
    try {
      await (this.#view === "live" ? this.#steer(text) : this.#create(text));
      prompt.value = "";
    } catch (problem) {
      if (this.#view === "idle") this.#say("");
      this.#complain(problem);
    } finally {
      send.setAttribute("aria-busy", "false");
      prompt.focus();
    }
  }

  async #create(text) {
    this.#say("Starting", "connecting");
    const session = await createSession(text);
    this.#firstWarnings = session.warnings;
    location.hash = new URLSearchParams({ session: session.id });
  }

  async #steer(text) {
    const asked = performance.now();
    const { signal } = this.#leave;
    const accepted = await addPrompt(this.#id, text);
    if (!signal.aborted) this.#timeLine.expect(accepted.prompt_id, asked, accepted.warnings);
  }

  async #end() {
    const { signal } = this.#leave;
    try {
      await endSession(this.#id);
    } catch (problem) {
      if (!signal.aborted) this.#complain(problem);
    }
  }

  /** Media seconds of the picture, and of the newest frame. */
  #times() {
    const { buffered, currentTime } = this.#parts.video;
    if (buffered.length) return [currentTime, buffered.end(buffered.length - 1)];
    return [this.#session.media_seconds, this.#session.media_seconds];
  }

  #showStatistics() {
    if (!this.#player || this.#view !== "live") return;
    const { shown, dropped, behind, stalls, skipped } = this.#player.statistics;
    const before = this.#shownBefore;
    const at = performance.now();
    this.#shownBefore = { frames: shown, at };
    const rate = Math.max(0, shown - before.frames) / ((at - before.at) / 1000);
    const lines = {
      "frames/s": rate.toFixed(1),
      "behind the newest": behind === null ? "–" : `${behind.toFixed(1)} s`,
      "stalls": stalls,
      "fragments skipped": skipped,
      "frames dropped": dropped,
      "late at the source": this.#session.stalls,
      "from Enter to the screen": this.#promptSeconds === null ? "–" : `${this.#promptSeconds.toFixed(1)} s`,
    };
    this.#parts.statistics.replaceChildren(
      ...Object.entries(lines).map(([name, value]) => {
        const line = document.createElement("div");
        line.append(
          Object.assign(document.createElement("dt"), { textContent: name }),
          Object.assign(document.createElement("dd"), { textContent: value }),
        );
        return line;
      }),
    );
  }
}

if (LivePlayer.supported) new Page().start();
else document.getElementById("notice").textContent = "This browser cannot play live video. Use a current one.";
