/** Pulling fragments just in time: each is asked for when it should be there, so that no connection is held for long. */

import { ask, pause, Problem } from "./api.js";

const EARLY_MS = 120; // asked for so long before it is expected
const WAIT_S = 1.2; // how long the service may wait for one that is late
const AT_ONCE_MS = 60; // an answer that took so little longer than the quickest one had been there already
const CATCH_UP = 0.15; // of a fragment's length: who came too late comes so much earlier to the next
const IDLE_MS = 300; // between two questions when nothing comes
const AGAIN_MS = 200; // until the first question after one that had no answer
const LONGEST_MS = 4000;
const QUIET_MS = 4000; // so long nobody need hear that the service does not answer
const MOST_BEHIND = 4; // fragments that came while it did not, or while nothing was new: so many are made up for

/**
 * Fragments `{bytes, seconds, skipped}` of a session, in order, while `wanted(last)`; ends when none will follow. `skipped`:
 * so many before it never came, for who is too slow for all of them gets the newest. What was given is not given again.
 * `lost(true)` is called when the service has not answered for a while, `lost(false)` when it does again. Throws a Problem
 * when the service refuses for good.
 *
 * `fps` is that of the session: with the number of frames in a fragment it says when the next one is due.
 */
export async function* pull(url, fps, wanted, lost, signal) {
  let last = -1;
  let given = -1;
  let behind = 1; // fragments: who is further behind gets the newest
  let due = 0; // performance.now() at which the next fragment should be there
  let quickest = Infinity; // of the last answers: what the way alone takes
  let failures = 0;
  let heard = performance.now();
  let told = false;
  while (!signal.aborted) {
    await pause(Math.max(0, due - EARLY_MS - performance.now()), signal);
    if (!wanted(last)) {
      heard = performance.now();
      await pause(IDLE_MS, signal);
      continue;
    }
    const asked = performance.now();
    let answer;
    let bytes;
    try {
      answer = await ask(`${url}?after=${last}&most_behind=${behind}&wait=${WAIT_S}`, { signal });
      bytes = await answer.arrayBuffer();
    } catch (error) {
      if (signal.aborted || error.code === "fragments-over") return;
      if (error.code === "bad-cursor") last = -1; // the service lost its newest seconds
      else if (error instanceof Problem && !error.passing) throw error;
      if (!told && performance.now() - heard > QUIET_MS) lost((told = true));
      await pause(Math.min(LONGEST_MS, AGAIN_MS * 1.6 ** failures++), signal);
      behind = MOST_BEHIND;
      due = 0;
      continue;
    }
    if (told) lost((told = false));
    failures = 0;
    const arrived = (heard = performance.now());
    const took = arrived - asked;
    quickest = Math.min(quickest * 1.02, took);
    const waited = took > quickest + AT_ONCE_MS;
    if (answer.status === 204) {
      behind = MOST_BEHIND;
      due = arrived + IDLE_MS + EARLY_MS;
      continue;
    }
    const number = Number(answer.headers.get("x-fragment"));
    const length = (1000 * Number(answer.headers.get("x-frames"))) / fps;
    // One that came while we waited shows when they come; of one that was there already we know that it was not later.
    if (waited) behind = 1;
    due = waited ? arrived + length : behind > 1 ? 0 : asked + length * (1 - CATCH_UP);
    last = number;
    if (number <= given) continue;
    yield { bytes, seconds: length / 1000, skipped: given < 0 ? 0 : number - given - 1 };
    given = number;
  }
}
