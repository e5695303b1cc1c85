/** Pulling fragments just in time: each is asked for when it should be there, so that no connection is held for long. */

import { ask, pause, Problem } from "./api.js";

const EARLY_MS = 120; // asked for so long before it is expected
const WAIT_S = 1.2; // how long the service may wait for one that is late
const AT_ONCE_MS = 60; // an answer that took so little longer than the quickest one had been there already
const CATCH_UP = 0.15; // of a fragment's length: who came too late comes so much earlier to the next
const IDLE_MS = 300; // between two questions when nothing comes
const LONGEST_MS = 4000;

/**
 * Fragments `{bytes, seconds, skipped}` of a session, in order, while `wanted(last)`; ends when none will follow. `skipped`:
 * so many before it never came, for who is too slow for all of them gets the newest. `lost(true)` is called when the service
 * does not answer, `lost(false)` when it does again. Throws a Problem when the service refuses for good.
 *
 * `fps` is that of the session: with the number of frames in a fragment it says when the next one is due.
 */
export async function* pull(url, fps, wanted, lost, signal) {
  let last = -1;
  let due = 0; // performance.now() at which the next fragment should be there
  let quickest = Infinity; // of the last answers: what the way alone takes
  let failures = 0;
  while (!signal.aborted) {
    await pause(Math.max(0, due - EARLY_MS - performance.now()), signal);
    if (!wanted(last)) {
      await pause(IDLE_MS, signal);
      continue;
    }
    const asked = performance.now();
    let answer;
    let bytes;
    try {
      answer = await ask(`${url}?after=${last}&wait=${WAIT_S}`, { signal });
      bytes = await answer.arrayBuffer();
    } catch (error) {
      if (signal.aborted || error.code === "fragments-over") return;
      if (error.code === "bad-cursor") last = -1; // the service lost its newest seconds
      else if (error instanceof Problem && !error.passing) throw error;
      if (!failures) lost(true);
      await pause(Math.min(LONGEST_MS, 500 * 2 ** failures++), signal);
      continue;
    }
    if (failures) lost(false);
    failures = 0;
    const arrived = performance.now();
    const took = arrived - asked;
    quickest = Math.min(quickest * 1.02, took);
    if (answer.status === 204) {
      due = arrived + IDLE_MS + EARLY_MS;
      continue;
    }
    const number = Number(answer.headers.get("x-fragment"));
    const length = (1000 * Number(answer.headers.get("x-frames"))) / fps;
    // One that came while we waited shows when they come; of one that was there already we know that it was not later.
    due = took > quickest + AT_ONCE_MS ? arrived + length : asked + length * (1 - CATCH_UP);
    yield { bytes, seconds: length / 1000, skipped: last < 0 ? 0 : number - last - 1 };
    last = number;
  }
}
