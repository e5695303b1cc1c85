/**
 * Who may steer: the control tokens of the sessions that were started in this browser. They outlive a reload, unless the
 * browser keeps nothing for this page: then they live as long as it is open.
 */

const PREFIX = "longlive.control.";
const MOST = 200; // sessions; the oldest are forgotten first

const tokens = new Map(); // by the id of a session: {token, at}

/** The token of a session that was started here, or null: then this browser only watches. */
export const tokenOf = (id) => tokens.get(id)?.token ?? null;

export function keepToken(id, token) {
  const kept = { token, at: Date.now() };
  tokens.set(id, kept);
  const oldest = [...tokens].sort(([, a], [, b]) => a.at - b.at);
  for (const [other] of oldest.slice(0, Math.max(0, tokens.size - MOST))) dropToken(other);
  stored((storage) => storage.setItem(PREFIX + id, JSON.stringify(kept)));
}

/** The service does not take it: this browser only watches from now on. */
export function dropToken(id) {
  tokens.delete(id);
  stored((storage) => storage.removeItem(PREFIX + id));
}

/** What another tab has kept or dropped holds here, too. */
addEventListener("storage", ({ key, newValue }) => {
  if (key === null) tokens.clear();
  else take(key, newValue);
});

stored((storage) => {
  for (const key of Object.keys(storage)) take(key, storage.getItem(key));
});

function take(key, text) {
  if (!key.startsWith(PREFIX)) return;
  const id = key.slice(PREFIX.length);
  const kept = parsed(text);
  if (typeof kept?.token === "string") tokens.set(id, { token: kept.token, at: Number(kept.at) || 0 });
  else tokens.delete(id);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // whoever wrote it, it was not us
  }
}

/** Do something with the storage; one that is full, or that the browser does not give us, is done without. */
function stored(act) {
  try {
    act(localStorage);
  } catch (error) {
    console.warn("tokens are kept until this page is closed:", error.message);
  }
}
