// Requests to the server. Every path is relative to the page, so it works under any prefix.

const base = new URL(".", document.baseURI);
const PROBE_MS = 2000;

let key = "";
let probing = false;
const listeners = { key: new Set(), down: new Set(), up: new Set() };

/** An error whose message is one sentence for the visitor. */
export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const on = (event, listener) => listeners[event].add(listener);
export const hasKey = () => key !== "";
export const absolute = (path) => new URL(path, base).href;

/** Keep the key of the visitor, in memory only. */
export function useKey(value) {
  key = value.trim();
}

function tell(event, detail) {
  listeners[event].forEach((listener) => listener(detail));
}

async function probe() {
  probing = true;
  tell("down");
  for (;;) {
    await new Promise((resolve) => { setTimeout(resolve, PROBE_MS); });
    try {
      if ((await fetch(new URL("readyz", base), { cache: "no-store" })).ok) break;
    } catch {
      // it does not answer yet
    }
  }
  probing = false;
  tell("up");
}

async function sentence(response) {
  try {
    const { error } = await response.clone().json();
    if (typeof error === "string") return error;
  } catch {
    // another program, such as a proxy, answered
  }
  return `the server answered with the status ${response.status}`;
}

const asSentence = (text) => {
  const trimmed = text.trim();
  const end = /[.!?…]$/.test(trimmed) ? "" : ".";
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + end;
};

/**
 * Send a request; returns the response if it succeeded.
 * @throws {Failure} with the server's sentence, or if it does not answer.
 */
export async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(new URL(path, base), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!probing) probe();
    throw new Failure("The server does not answer. The page tries again until it does.", 0);
  }
  if (response.ok) return response;
  const text = asSentence(await sentence(response));
  // A key that is missing, not one that lacks a scope.
  if (response.status === 401) tell("key", key ? text : "");
  throw new Failure(text, response.status);
}

export const json = async (path, options) => (await send(path, options)).json();

export const encode = encodeURIComponent;

/** The path of a version: `model` has a name and a version. */
export const pathOf = (model) => `models/${encode(model.name)}/versions/${encode(model.version)}`;

/** `Server-Timing` as milliseconds by stage. */
export function timings(response) {
  const header = response.headers.get("server-timing") ?? "";
  return [...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, stage, ms]) => [stage, Number(ms)]);
}

/** The media type that says no more than that the body is a file: the server looks at the bytes. */
const ANY = "application/octet-stream";

export const post = (path, blob, options = {}) =>
  send(path, { ...options, method: "POST", body: blob, headers: { "Content-Type": ANY, ...options.headers } });

/**
 * Runs one job at a time. Of the jobs that arrive meanwhile only the newest is run afterwards.
 */
export class Newest {
  #running = false;
  #waiting = null;

  async run(job) {
    if (this.#running) {
      this.#waiting = job;
      return;
    }
    this.#running = true;
    try {
      await job();
    } finally {
      this.#running = false;
      const next = this.#waiting;
      this.#waiting = null;
      if (next) this.run(next);
    }
  }

  /** True if a newer job waits: the result of the running one need not be shown. */
  get outdated() {
    return this.#waiting !== null;
  }

  clear() {
    this.#waiting = null;
  }
}
