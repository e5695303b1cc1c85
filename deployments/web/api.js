/** The HTTP API: JSON in and out, its errors as sentences. Every request is short; none is held open. */

import { dropToken, keepToken, tokenOf } from "./tokens.js";

const REQUEST_MS = 15_000;
const TRIES = 3; // of a command whose answer was lost: its key makes the service take it once
const RETRY_MS = 700;
const PATIENCE_MS = 90_000; // longer than the service works on a command, or keeps the key of one that it died over

/** An answer that is no success. `message` is a sentence for people; `code` is stable. */
export class Problem extends Error {
  /** `wait`: milliseconds after which the service says to ask again. */
  constructor(status, code, detail, wait = RETRY_MS) {
    super(detail);
    this.status = status;
    this.code = code;
    this.wait = wait;
  }

  /** Whether asking again later can help: the service did not answer, or not as itself. */
  get passing() {
    return this.code === "unreachable" || this.code === "not-ready" || this.status >= 500;
  }
}

/** `fetch`, but whatever is not 2xx, or no answer at all, is a Problem. An abort stays what it is. */
export async function ask(url, { signal, ...options } = {}) {
  const limit = AbortSignal.timeout(REQUEST_MS);
  let answer;
  try {
    answer = await fetch(url, { ...options, signal: signal ? AbortSignal.any([signal, limit]) : limit });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "The service does not answer. Is it running?");
  }
  if (answer.ok) return answer;
  const isProblem = answer.headers.get("content-type")?.startsWith("application/problem+json");
  const said = isProblem ? await answer.json().catch(() => null) : null;
  // A proxy in front of a service that is starting answers for it, with a 404 or a 503 of its own.
  throw said
    ? new Problem(answer.status, said.code, said.detail, waitOf(answer))
    : new Problem(answer.status, "not-ready", `The service is not ready (HTTP ${answer.status}).`);
}

function waitOf(answer) {
  const seconds = parseFloat(answer.headers.get("retry-after"));
  return Number.isFinite(seconds) ? seconds * 1000 : RETRY_MS;
}

/** `ask` for JSON; null where there is nothing to say. Half an answer is none. */
async function json(url, options = {}) {
  const answer = await ask(url, options);
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw brokeOff();
  }
}

const brokeOff = () => new Problem(0, "unreachable", "The service's answer broke off.");

/** The server-sent events of an answer as they come, `{name, data}`, while it is not aborted. */
async function* eventsOf(answer, signal) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); // not every browser can iterate a stream
  let rest = "";
  try {
    while (true) {
      const { value, done } = await reader.read().catch(() => ({ done: true }));
      signal?.throwIfAborted();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const [name, data] = ["event", "data"].map((field) => part.match(new RegExp(`^${field}: (.*)$`, "m"))?.[1]);
        if (name && data) yield { name, data: JSON.parse(data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // what is broken is over already
  }
}

/** A command, taken once however often its answer is lost on the way, or however long it takes. */
async function command(method, url, { body, token } = {}) {
  const headers = {};
  if (method === "POST") headers["Idempotency-Key"] = newKey();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
  const began = performance.now();
  let lost = 0;
  while (true) {
    try {
      return await json(url, options);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const isLost = error.code === "unreachable" && ++lost < TRIES;
      const goesOn = error.code === "in-progress" && performance.now() - began < PATIENCE_MS;
      if (!isLost && !goesOn) throw error;
      await pause(error.wait);
    }
  }
}

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join("-");

/** A command that only the creator of a session may give. A token that is refused is forgotten. */
async function steer(method, id, part, body) {
  try {
    return await command(method, pathOf(id, part), { body, token: tokenOf(id) });
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) dropToken(id);
    throw error;
  }
}

/** Where a session's resources are; its id came from an address that anybody can type. */
export const pathOf = (id, part = "") => `/v1/sessions/${encodeURIComponent(id)}${part}`;

export const readModel = () => json("/v1/model");
export const readSession = (id, signal) => json(pathOf(id), { signal });
export const listSessions = (limit, signal) => json(`/v1/sessions?limit=${limit}`, { signal });
export const readTimeline = (id, after, signal) =>
  json(pathOf(id, `/timeline?limit=200&after=${encodeURIComponent(after)}`), { signal });
export const readChunks = (id, after, signal) =>
  json(pathOf(id, `/chunks?limit=1000&after=${encodeURIComponent(after)}`), { signal });
/** Those of the chunks after one; -1: all. */
export const readThumbnails = (id, after, signal) => json(pathOf(id, `/thumbnails?after=${after}`), { signal });

/** Its creator, and nobody else, can steer the session from now on. */
async function create(url, body) {
  const session = await command("POST", url, { body });
  keepToken(session.id, session.control_token);
  return session;
}

export const createSession = (fields) => create("/v1/sessions", fields);
/** A new session that goes on from a frame of this one. */
export const forkSession = (id, frame, record) => create(pathOf(id, "/fork"), { at: { frame }, record, queue: true });
/** A new session that makes this one's video once more, as it is so far, and keeps it. */
export const renderSession = (id) => create(pathOf(id, "/render"), { queue: true });

export const addPrompt = (id, fields) => steer("POST", id, "/prompts", fields);
/**
 * What would be made of a text: `{prompt, mode, warnings, ...}`. `hear` gets the prompt as far as it is written, again and
 * again. Throws a Problem.
 */
export async function previewPrompt(id, text, hear, signal) {
  const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
  const body = JSON.stringify({ session: id, text });
  const answer = await ask("/v1/prompts/preview", { method: "POST", headers, body, signal });
  for await (const { name, data } of eventsOf(answer, signal)) {
    if (name === "problem") throw new Problem(data.status, data.code, data.detail);
    if (name === "expansion") return data;
    if (name === "words") hear(data.prompt);
  }
  throw brokeOff();
}
/** Texts that would change what a video shows. */
export const readSuggestions = async (id, signal) => (await json(pathOf(id, "/suggestions"), { signal })).data;
export const cancelPrompt = (id, promptId) => steer("DELETE", id, `/prompts/${encodeURIComponent(promptId)}`);
export const pauseSession = (id) => steer("POST", id, "/pause");
export const resumeSession = (id) => steer("POST", id, "/resume");
export const rewindSession = (id, frame) => steer("POST", id, "/rewind", { to: { frame } });
export const endSession = (id) => steer("DELETE", id, "");

export const createExport = (id, fields) => command("POST", pathOf(id, "/exports"), { body: fields });
export const readExport = (id, exportId, signal) =>
  json(pathOf(id, `/exports/${encodeURIComponent(exportId)}`), { signal });

/** Wait; a stopped wait resolves at once. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const stop = () => (clearTimeout(timer), resolve());
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
