/** Making a video once more: the same pictures, as a new session that is kept. */

import { pause, Problem, readSession, renderSession } from "./api.js";

const ASK_MS = 1000;

/** The new session once it is made; `told(session)` is called as it goes on. Throws a Problem when there is none. */
export async function renderAgain(id, signal, told) {
  let session = await renderSession(id);
  while (!signal.aborted) {
    if (session.status === "ended") return session;
    if (session.status === "failed") throw new Problem(0, "render-failed", session.reason);
    told(session);
    await pause(ASK_MS, signal);
    try {
      session = await readSession(session.id, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem && error.passing)) throw error;
    }
  }
}
