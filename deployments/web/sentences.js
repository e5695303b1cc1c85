/** What is told about a session's state: one short line, and one that says what to do. */

import { clockTime } from "./element.js";

const ENDINGS = {
  finished: "It has the length that was asked for.",
  abandoned: "Nobody was there any more when it began.",
};
const PAUSES = {
  stopped: "The service was stopped meanwhile.",
  "no-room": "Its generator went away, and no other one had room.",
};
const ASKED = {
  pause: ["pausing", "Pausing", "after the picture that is being made."],
  rewind: ["pausing", "Going back", "after the picture that is being made."],
  end: ["pausing", "Ending", "after the picture that is being made."],
};
const PLAYING = {
  connecting: ["connecting", "Waiting for the first picture", ""],
  playing: ["playing", "Live", ""],
  waiting: ["waiting", "One moment", "The next pictures come by themselves."],
  reconnecting: ["reconnecting", "The connection is lost", "Trying again by itself."],
};

/**
 * `[state, line, advice]` for a session (null: not read yet), the player's state, why the service is `lost`, whether this
 * browser steers it, what it has `asked` for (`pause`, `resume`, `rewind`, `end`, `fork`), which prompt has just come on the
 * screen, and what has just befallen the video.
 * `state` is one of: opening, queued, starting, connecting, playing, slow, waiting, reconnecting, pausing, paused, ended,
 * failed.
 */
export function tell(session, { player, lost, slow, asked, mine, shown, befell }) {
  if (asked === "fork") return ["pausing", "Forking", "The new video opens in a moment."];
  if (session?.status === "ended") {
    const endings = { ...ENDINGS, requested: mine ? "You ended it." : "Its creator ended it." };
    const why = endings[session.reason] ?? session.reason;
    return ["ended", `Ended at ${clockTime(session.media_seconds)}`, `${why} Type a prompt to start another video.`];
  }
  if (session?.status === "failed") {
    return ["failed", "Failed", `${session.reason} Press Enter to start it again.`];
  }
  if (lost) return ["reconnecting", "The connection is lost", `${lost.message} Trying again by itself.`];
  switch (session?.status) {
    case undefined:
      return ["opening", "Opening the video", ""];
    case "queued": {
      const place = session.queue_position;
      const line = place ? `Waiting for a free place: number ${place} in the queue` : "Waiting for a free place";
      return ["queued", line, "It starts by itself. Leave this page open."];
    }
    case "starting":
      return ["starting", "Starting", "The first picture comes in a moment."];
    case "paused": {
      if (asked === "resume") return ["starting", "Going on", "The next picture comes in a moment."];
      if (session.reason === "unwatched") {
        return ["starting", "Waking up", "It stood still while nobody watched, and goes on by itself."];
      }
      const advice = mine ? "Press Resume to go on." : "It goes on when its creator resumes it.";
      const told = [PAUSES[session.reason], advice].filter(Boolean).join(" ");
      return ["paused", `Paused at ${clockTime(session.media_seconds)}`, told];
    }
  }
  if (ASKED[asked]) return ASKED[asked];
  if (session.pace === "offline") {
    const [made, of] = [session.media_seconds, session.max_seconds].map(clockTime);
    return ["playing", "Being made", `${made} of ${of}, as fast as other videos leave room.`];
  }
  if (player === "playing" && befell) return ["playing", "Live", `${befell}.`];
  if (player === "playing" && shown) return ["playing", "Live", `“${shown}” is on the screen.`];
  if (player === "playing" && slow) {
    return ["slow", "Live", "Pictures come slowly here: some are skipped, so that you stay in time."];
  }
  return PLAYING[player] ?? PLAYING.connecting;
}
