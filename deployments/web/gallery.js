/** Videos that were made lately, each a link to watch it. */

import { listSessions, pathOf, pause, Problem } from "./api.js";
import { clockTime, element, linkTo } from "./element.js";
import { OVER } from "./feed.js";
import { tokenOf } from "./tokens.js";

const MOST = 12;
const EVERY_MS = 4000;
const PICTURE_SECONDS = 12; // of a video, until another picture of it is shown
const STATES = {
  queued: "waiting for a place",
  starting: "starting",
  live: "live",
  paused: "paused",
  ended: "ended",
  failed: "failed",
};

/** Keeps a list of the last sessions as it is on the service, until `signal`. */
export async function showGallery(section, list, signal) {
  const cards = new Map();
  while (!signal.aborted) {
    try {
      const { data } = await listSessions(MOST, signal);
      if (signal.aborted) return;
      section.hidden = !data.length;
      const items = data.map((session) => {
        if (!cards.has(session.id)) cards.set(session.id, build(session));
        return update(cards.get(session.id), session);
      });
      if (items.some((item, index) => item !== list.children[index]) || items.length !== list.children.length) {
        list.replaceChildren(...items);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (!error.passing) return;
    }
    await pause(EVERY_MS, signal);
  }
}

function build(session) {
  const item = element("li");
  const link = element("a", { href: linkTo(session.id) });
  const poster = element("img", { alt: "", loading: "lazy", decoding: "async" });
  const shot = element("span", { className: "shot" });
  poster.addEventListener("error", () => (poster.hidden = true)); // nothing of it was shown yet
  poster.addEventListener("load", () => (poster.hidden = false));
  poster.classList.toggle("crisp", session.width < 256);
  shot.append(poster, element("span", { className: "badge" }));
  link.append(shot, element("q"), element("span", { className: "meta" }));
  item.append(link);
  return item;
}

function update(item, session) {
  const said = [session.status, session.prompt, Math.floor(session.media_seconds / 4)].join();
  if (item.said === said) return item;
  item.said = said;
  item.dataset.status = session.status;
  item.querySelector("q").textContent = session.prompt;
  item.querySelector(".badge").textContent = STATES[session.status];
  const whose = tokenOf(session.id) === null ? "" : " · yours";
  item.querySelector(".meta").textContent = `${clockTime(session.media_seconds)}${whose}`;
  show(item.querySelector("img"), session);
  return item;
}

/** It changes as the video goes on, so it is another address then: now and again, as soon as there is one. */
function show(poster, { id, status, chunks, media_seconds: seconds }) {
  if (!chunks) return;
  const now = OVER.includes(status) ? chunks : Math.floor(seconds / PICTURE_SECONDS);
  if (poster.now === now && !poster.hidden) return;
  poster.now = now;
  poster.hidden = false; // what is hidden is not loaded
  poster.src = pathOf(id, `/poster.jpg?chunk=${chunks}`);
}
