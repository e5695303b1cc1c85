/** The page: start a video, watch it, steer it, end it. A session's id is in the address, so a reload goes on. */

import { createSession, pause, previewPrompt, Problem, readModel } from "./api.js";
import { Clip } from "./clip.js";
import { clockTime, element, linkTo } from "./element.js";
import { showGallery } from "./gallery.js";
import { Moment } from "./moment.js";
import { LivePlayer } from "./player.js";
import { PromptBox } from "./prompt_box.js";
import { PromptList } from "./prompt_list.js";
import { Statistics } from "./statistics.js";
import { Suggestions } from "./suggestions.js";
import { TimeLine } from "./timeline.js";
import { Watch } from "./watch.js";

const RETRY_MS = 2000;
const CRISP_BELOW = 256; // pixels of width: smaller pictures are enlarged without smoothing
const TITLE = document.title;

class Page {
  #parts = Object.fromEntries([...document.querySelectorAll("[id]")].map((part) => [part.id, part]));
  #model = { examples: [], follow_ups: [], first_chunk_frames: 9, chunk_frames: 12 };
  #box = new PromptBox(this.#parts);
  #suggestions = new Suggestions(this.#box);
  #list = new PromptList(this.#parts.prompts);
  #timeLine = new TimeLine(this.#parts.reel);
  #statistics = new Statistics(this.#parts.statistics, () => this.#watch ?? {});
  #moment = new Moment(this.#parts.moment);
  #clip = new Clip(this.#parts.clip, () => this.#watch ?? {});
  #watch = null;
  #leave = new AbortController();

  start() {
    this.#listen();
    this.#readModel();
    this.#route();
  }

  #listen() {
    const { pause: pauseButton, end, full, follow, screen, whole } = this.#parts;
    const click = (button, act) => button.addEventListener("click", act);
    addEventListener("hashchange", () => this.#route());
    this.#box.addEventListener("submit", ({ detail }) => this.#submit(detail));
    this.#box.addEventListener("write", ({ detail }) => this.#writeOut(detail));
    this.#box.addEventListener("when", ({ detail }) => (this.#timeLine.placed = detail));
    this.#list.addEventListener("shown", ({ detail }) => (this.#statistics.promptSeconds = detail.seconds));
    for (const view of [this.#list, this.#timeLine]) {
      view.addEventListener("cancel", ({ detail }) => this.#watch.cancel(detail));
    }
    this.#timeLine.addEventListener("place", ({ detail }) => {
      this.#box.at(detail, detail / this.#watch.session.fps);
      this.#box.focus();
    });
    this.#timeLine.addEventListener("look", ({ detail }) => {
      this.#timeLine.looking = true;
      this.#moment.open({ ...detail, canRewind: this.#watch.canRewind });
    });
    this.#moment.addEventListener("closed", () => (this.#timeLine.looking = false));
    this.#moment.addEventListener("rewind", ({ detail }) => (this.#complain(), this.#watch.rewind(detail)));
    this.#moment.addEventListener("fork", ({ detail }) => this.#fork(detail));
    this.#timeLine.addEventListener("range", ({ detail }) => {
      this.#clip.range = detail;
      this.#open("clip", this.#clip, true);
    });
    this.#timeLine.addEventListener("following", ({ detail }) => (follow.hidden = detail));
    this.#clip.addEventListener("range", ({ detail }) => (this.#timeLine.range = detail));
    click(pauseButton, () => this.#watch.togglePause());
    click(end, () => this.#watch.end());
    click(full, () => (document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen()));
    click(follow, () => (this.#timeLine.follow(), whole.focus()));
    click(this.#parts["zoom-in"], () => this.#zoom(() => this.#timeLine.zoom(-1)));
    click(this.#parts["zoom-out"], () => this.#zoom(() => this.#timeLine.zoom(1)));
    click(whole, () => this.#zoom(() => (this.#timeLine.whole ? this.#timeLine.zoom(0) : this.#timeLine.showWhole())));
    click(this.#parts["clip-toggle"], () => this.#open("clip", this.#clip, this.#parts.clip.hidden));
    click(this.#parts["statistics-toggle"], () => {
      this.#open("statistics", this.#statistics, this.#parts.statistics.hidden);
    });
    this.#parts.another.addEventListener("click", (event) => {
      if (this.#watch) return; // a video that runs goes on here; the other one gets a tab of its own
      event.preventDefault();
      this.#box.focus();
    });
  }

  #zoom(act) {
    act();
    this.#parts.whole.setAttribute("aria-pressed", String(this.#timeLine.whole));
  }

  /** Open or close a part of the page that has a button of its own. */
  #open(name, view, isOpen) {
    this.#parts[name].hidden = !isOpen;
    this.#parts[`${name}-toggle`].setAttribute("aria-expanded", String(isOpen));
    if (isOpen) {
      view.open();
      this.#parts[name].scrollIntoView({ block: "nearest" });
    }
    if (!isOpen && view === this.#clip) this.#timeLine.range = null;
  }

  #note(words, isWarning = false) {
    this.#parts.notice.textContent = words;
    this.#parts.notice.classList.toggle("mild", isWarning);
  }

  #complain(problem = null) {
    this.#note(problem?.message ?? "");
    if (problem && !(problem instanceof Problem)) throw problem;
  }

  #say([state, line, advice]) {
    const { status } = this.#parts;
    status.dataset.state = state;
    status.firstElementChild.textContent = line;
    status.lastElementChild.textContent = advice;
  }

  async #readModel() {
    while (true) {
      try {
        this.#model = await readModel();
        break;
      } catch (problem) {
        if (!problem.passing) return this.#complain(problem);
        if (!this.#watch) this.#say(["reconnecting", "The service is not ready", "Trying again by itself."]);
        await pause(RETRY_MS);
      }
    }
    if (!this.#watch) this.#say(["idle", "", ""]);
    this.#arrange();
  }

  /**
   * Everything that depends on which session is open and how it is. View `idle`: none. `opening`: one that is being read.
   * `live`: one that goes on. `over`: one that will not.
   */
  #arrange() {
    const watch = this.#watch;
    const session = watch?.session;
    const view = !watch ? "idle" : !session ? "opening" : watch.over ? "over" : "live";
    const steers = view === "live" && watch.mine;
    const before = document.body.dataset.view;
    const { "prompt-form": form, watching, pause: pauseButton, end } = this.#parts;
    const held = [document.body, pauseButton, end].includes(document.activeElement);
    document.body.dataset.view = view;
    this.#list.mine = steers;
    this.#timeLine.steers = steers;
    this.#box.purpose = { idle: "begin", opening: "wait", live: "steer", over: "again" }[view];
    form.hidden = view === "live" && !steers;
    watching.hidden = !form.hidden;
    pauseButton.hidden = end.hidden = !steers;
    pauseButton.textContent = session?.status === "paused" ? "Resume" : "Pause";
    pauseButton.disabled = !["live", "paused"].includes(session?.status);
    document.title = session ? `${session.prompt} · ${TITLE}` : TITLE;
    const { examples, follow_ups: followUps } = this.#model;
    if (steers) this.#suggestions.fit(watch.id, followUps);
    else this.#suggestions.offer({ idle: examples, over: examples.slice(0, 3) }[view] ?? []);
    if (view === "over" && before !== "over") {
      if (session.status === "failed" && !this.#box.text) this.#box.text = session.prompt;
      // Who reads elsewhere stays there; who was at a button that is gone now can type on.
      if (held) this.#box.focus();
    }
  }

  /** Put the whole prompt that is made of a text into the box. */
  async #writeOut({ text, signal: takenOver }) {
    const left = this.#leave.signal;
    const signal = AbortSignal.any([takenOver, left]);
    this.#box.busy = true;
    this.#complain();
    try {
      const made = await previewPrompt(this.#watch.id, text, (words) => this.#box.write(words), signal);
      this.#box.write(made.prompt, made.mode);
      this.#note(made.warnings.join(" "), true);
    } catch (problem) {
      if (takenOver.aborted) return;
      this.#box.text = text;
      if (!left.aborted) this.#complain(problem);
    } finally {
      this.#box.busy = false;
    }
  }

  #route() {
    const id = new URLSearchParams(location.hash.slice(1)).get("session");
    this.#leave.abort();
    this.#leave = new AbortController();
    this.#watch?.close();
    this.#watch = null;
    for (const view of [this.#list, this.#statistics, this.#clip]) view.clear();
    this.#open("clip", this.#clip, false);
    this.#moment.close();
    this.#parts.origin.hidden = true;
    this.#complain();
    this.#say(["idle", "", ""]);
    this.#parts.recent.hidden = true;
    if (id) this.#openSession(id);
    else showGallery(this.#parts.recent, this.#parts.gallery, this.#leave.signal);
    this.#arrange();
  }

  #openSession(id) {
    const watch = new Watch(id, this.#parts.video, this.#list, this.#chunks);
    const hear = (type, act) => watch.addEventListener(type, ({ detail }) => watch === this.#watch && act(detail));
    let arranged = "";
    hear("session", () => {
      const { status, prompt } = watch.session;
      if (!arranged) this.#begin(watch.session);
      // What has not changed stays as it is: somebody may have the focus there.
      const now = [status, prompt, watch.mine].join();
      if (now !== arranged) this.#arrange();
      arranged = now;
    });
    hear("status", (status) => this.#say(status));
    hear("problem", (problem) => (this.#arrange(), this.#complain(problem)));
    hear("thumbnails", (thumbnails) => (this.#timeLine.thumbnails = thumbnails));
    hear("picture", ([now, edge]) => {
      this.#timeLine.draw(watch.receipts, watch.turns, now, edge);
      this.#parts.clock.textContent = clockTime(now);
    });
    hear("refused", (problem) => {
      history.replaceState(null, "", location.pathname); // what cannot be opened need not be tried at each reload
      this.#route();
      this.#complain(problem);
    });
    this.#watch = watch;
    watch.start();
  }

  get #chunks() {
    return { first: this.#model.first_chunk_frames, each: this.#model.chunk_frames };
  }

  #begin({ width, height, fps, parent }) {
    document.body.style.setProperty("--shape", width / height);
    this.#parts.video.classList.toggle("crisp", width < CRISP_BELOW);
    const begin = parent?.relation === "fork" ? parent.frame : 0;
    this.#timeLine.open({ fps, shape: width / height, begin, ...this.#chunks });
    this.#tellOrigin(parent, fps);
  }

  #tellOrigin(parent, fps) {
    const { origin } = this.#parts;
    origin.hidden = !parent;
    if (!parent) return;
    const link = element("a", { href: linkTo(parent.session), textContent: "another video" });
    const isFork = parent.relation === "fork";
    origin.replaceChildren(isFork ? `Forked at ${clockTime(parent.frame / fps)} from ` : "Made once more from ", link, ".");
  }

  async #submit(asked) {
    this.#box.busy = true;
    this.#complain();
    try {
      await (document.body.dataset.view === "live" ? this.#steer(asked) : this.#create(asked));
      if (this.#box.text === asked.text) this.#box.text = ""; // who has typed on meanwhile goes on
    } catch (problem) {
      if (!this.#watch) this.#say(["idle", "", ""]);
      this.#complain(problem);
    } finally {
      this.#box.busy = false;
      this.#box.focus();
    }
  }

  async #create({ text, record }) {
    if (!this.#watch) this.#say(["starting", "Starting", ""]);
    const { id } = await createSession({ prompt: text, record, queue: true });
    location.hash = new URLSearchParams({ session: id });
  }

  async #fork(frame) {
    const watch = this.#watch;
    this.#complain();
    const session = await watch.fork(frame);
    if (!session || watch !== this.#watch) return;
    location.hash = new URLSearchParams({ session: session.id });
    this.#box.focus(); // what it shall show is what comes next
  }

  async #steer({ text, frame, mode, blend, isWhole }) {
    const watch = this.#watch;
    const fields = { text, at: frame === null ? "now" : { frame }, mode, expand: isWhole ? false : "auto" };
    if (mode === "blend") fields.blend_seconds = blend;
    try {
      await watch.steer(fields);
      this.#box.at(null);
    } catch (problem) {
      if (problem.code === "in-the-past") this.#box.at(null);
      this.#arrange(); // it may not be ours any more
      throw problem;
    }
  }
}

if (LivePlayer.supported) new Page().start();
else document.getElementById("notice").textContent = "This browser cannot play live video. Use a current one.";
