/** Who may steer: the control tokens of the sessions that were started in this browser. They outlive a reload. */

const PREFIX = "longlive.control.";
const MOST = 200; // sessions; the oldest are forgotten first

const read = (key) => JSON.parse(localStorage.getItem(key));

/** The token of a session that was started here, or null: then this browser only watches. */
export const tokenOf = (id) => read(PREFIX + id)?.token ?? null;

export function keepToken(id, token) {
  const known = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  known.sort((a, b) => read(a).at - read(b).at);
  for (const key of known.slice(0, Math.max(0, known.length - MOST + 1))) localStorage.removeItem(key);
  localStorage.setItem(PREFIX + id, JSON.stringify({ token, at: Date.now() }));
}

/** The service does not take it: this browser only watches from now on. */
export const dropToken = (id) => localStorage.removeItem(PREFIX + id);
