/** The HTTP API: JSON in and out, its errors as sentences, a session's events. */

/** An answer that is no success. `message` is a sentence for people; `code` is stable. */
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }

  /** Whether asking again later can help: the service did not answer, or not as itself. */
  get passing() {
    return this.code === "unreachable" || this.code === "not-ready" || this.status >= 500;
  }
}

/** `fetch`, but whatever is not 2xx, or no answer at all, is a Problem. An abort stays what it is. */
export async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "The service does not answer. Is it running?");
  }
  if (answer.ok) return answer;
  const isProblem = answer.headers.get("content-type")?.startsWith("application/problem+json");
  const said = isProblem ? await answer.json().catch(() => null) : null;
  // A proxy in front of a service that is starting answers for it, with a 404 or a 503 of its own.
  throw said
    ? new Problem(answer.status, said.code, said.detail)
    : new Problem(answer.status, "not-ready", `The service is not ready (HTTP ${answer.status}).`);
}

const json = async (url, options) => (await ask(url, options)).json();
const post = (url, body) =>
  json(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** Where a session's resources are; its id came from an address that anybody can type. */
export const pathOf = (id, part = "") => `/v1/sessions/${encodeURIComponent(id)}${part}`;

export const readModel = () => json("/v1/model");
export const readSession = (id, signal) => json(pathOf(id), { signal });
export const createSession = (prompt) => post("/v1/sessions", { prompt });
export const addPrompt = (id, text) => post(pathOf(id, "/prompts"), { text });
export const endSession = (id) => ask(pathOf(id), { method: "DELETE" });

/** Wait; a stopped wait resolves at once. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** States of a session that will not go on. */
export const OVER = ["ended", "failed"];

const LAST_ENTRIES = ["session.ended", "session.failed"];
const ENTRIES = ["session.created", "session.live", "prompt.requested", "prompt.applied", "prompt.refused", ...LAST_ENTRIES];
const RETRY_MS = 2000;

/**
 * Every timeline entry of a session from its first on, and `stats` (the session) between them, until it is over.
 * `EventSource` resumes after a broken connection by itself. When it is refused it gives up and does not say why: then
 * we ask, and start again if there can be more.
 */
export function followEvents(id, onEvent, signal) {
  let last = "";
  const connect = () => {
    if (signal.aborted) return;
    const source = new EventSource(pathOf(id, "/events") + (last && `?after=${encodeURIComponent(last)}`));
    const close = () => source.close();
    signal.addEventListener("abort", close);
    source.addEventListener("error", async () => {
      if (source.readyState !== EventSource.CLOSED) return;
      signal.removeEventListener("abort", close);
      await pause(RETRY_MS, signal);
      try {
        const { data } = await json(pathOf(id, `/timeline?limit=1&after=${encodeURIComponent(last)}`), { signal });
        if (!data.length && OVER.includes((await readSession(id, signal)).status)) return;
      } catch (problem) {
        if (problem.code === "cursor-gone") last = "";
        else if (!problem.passing) return;
      }
      connect();
    });
    for (const type of [...ENTRIES, "stats"]) {
      source.addEventListener(type, (event) => {
        if (type !== "stats") last = event.lastEventId;
        if (LAST_ENTRIES.includes(type)) close();
        onEvent(type, JSON.parse(event.data));
      });
    }
  };
  connect();
}
