/** What is told about a session's state: one short line, and one that says what to do. */

import { clockTime } from "./element.js";

const ENDINGS = {
  unwatched: "Nobody was watching.",
  stopped: "The service was stopped.",
  finished: "It has the length that was asked for.",
  abandoned: "Nobody was there any more when it began.",
};
const PLAYING = {
  connecting: ["connecting", "Waiting for the first picture", ""],
  playing: ["playing", "Live", ""],
  waiting: ["waiting", "Generating", "The next pictures are late. They come by themselves."],
  reconnecting: ["reconnecting", "The connection is lost", "Trying again by itself."],
};

/**
 * `[state, line, advice]` for a session (null: not read yet), the player's state, why the service is `lost`, whether this
 * browser steers it, what it has `asked` for (`pause`, `resume`, `end`), and which prompt has just come on the screen.
 * `state` is one of: opening, queued, starting, connecting, playing, slow, waiting, reconnecting, pausing, paused, ended,
 * failed.
 */
export function tell(session, { player, lost, slow, asked, mine, shown }) {
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
      const advice = mine ? "Press Resume to go on." : "It goes on when its creator resumes it.";
      return ["paused", `Paused at ${clockTime(session.media_seconds)}`, advice];
    }
  }
  if (asked === "pause") return ["pausing", "Pausing", "after the picture that is being made."];
  if (asked === "end") return ["pausing", "Ending", "after the picture that is being made."];
  if (player === "playing" && shown) return ["playing", "Live", `“${shown}” is on the screen.`];
  if (player === "playing" && slow) {
    return ["slow", "Live", "Pictures come slowly here: some are skipped, so that you stay in time."];
  }
  return PLAYING[player] ?? PLAYING.connecting;
}
