// @ts-check
/**
 * Marks on their way to the server. A mark is kept in the browser until the server has acknowledged it, so that a reload, a
 * crash or a server that is away loses none. Each has a token, and the server counts a token once, so it may be sent twice.
 */
import { api } from "../../scripts/api.js";

/**
 * @typedef {"good" | "bad" | null} Quality null takes a mark away
 * @typedef {{ source: string, picture: number, quality: Quality, token: string }} Mark
 * @typedef {{ error?: string, progress?: any }} Answer
 * @typedef {(mark: Mark, answer: Answer | "elsewhere" | "later") => void} Listener
 *   hears each mark as it is acknowledged or refused, as another tab of the browser makes it, or when it could not be sent now
 */

export const ROUTE = "/emoe/review";
/** One entry per mark: two tabs never write the same entry. Several servers may lie under one origin, at paths of their own. */
const PREFIX = `emoe.mark ${location.pathname} `;
const PATIENCE = 30000;
const PAUSE = { first: 500, longest: 8000 };

/** @type {Map<string, Mark>} what cannot be kept in the browser's storage, since that is off or full */
const unkept = new Map();
/** @type {Set<Listener>} */
const listeners = new Set();
let latest = 0;
let sending = false;
let pause = PAUSE.first;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** The entries of all waiting marks, in the order in which they were made. @returns {string[]} */
function entries() {
  const found = [...unkept.keys()];
  try {
    for (let at = 0; at < localStorage.length; at++) {
      const key = localStorage.key(at);
      if (key?.startsWith(PREFIX)) found.push(key);
    }
  } catch {
    // no storage: all marks are in `unkept`
  }
  return found.sort();
}

/** @param {string} key @returns {Mark | null} */
function read(key) {
  const held = unkept.get(key);
  if (held) return held;
  try {
    const mark = JSON.parse(localStorage.getItem(key) ?? "null");
    return typeof mark?.token === "string" ? mark : null;
  } catch {
    return null;
  }
}

/** @param {string} key */
function drop(key) {
  unkept.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    // it was never there
  }
}

/** All marks that wait, oldest first. @returns {Mark[]} */
export function waiting() {
  return entries().map(read).filter((mark) => mark !== null);
}

/** @param {Listener} listener @returns {() => void} ends it */
export function listen(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** @param {Mark} mark @param {Answer | "elsewhere" | "later"} answer */
function tell(mark, answer) {
  for (const listener of listeners) listener(mark, answer);
}

/** Random letters; `crypto.randomUUID` is missing where a page comes over plain HTTP. */
function newToken() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Keeps a mark and sends it.
 * @param {string} source
 * @param {number} picture
 * @param {Quality} quality
 */
export function make(source, picture, quality) {
  const mark = { source, picture, quality, token: newToken() };
  latest = Math.max(latest + 1, Date.now());
  const key = `${PREFIX}${String(latest).padStart(15, "0")} ${mark.token}`;
  try {
    localStorage.setItem(key, JSON.stringify(mark));
  } catch {
    unkept.set(key, mark);
  }
  send();
}

/** Sends what waits, one after the other; what the server cannot take in now is sent again later. */
export async function send() {
  if (sending) return;
  sending = true;
  clearTimeout(timer);
  try {
    for (let [key] = entries(); key; [key] = entries()) {
      const mark = read(key);
      const answer = mark && (await post(mark));
      if (mark && !answer) {
        tell(mark, "later");
        timer = setTimeout(send, pause);
        pause = Math.min(2 * pause, PAUSE.longest);
        return;
      }
      pause = PAUSE.first;
      drop(key);
      if (mark && answer) tell(mark, answer);
    }
  } finally {
    sending = false;
  }
}

/**
 * The server's answer; null where there is none that this pack gave, or where it says that it may take the mark in later.
 * @param {Mark} mark
 * @returns {Promise<Answer | null>}
 */
async function post(mark) {
  try {
    const answer = await api.fetchApi(`${ROUTE}/mark`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(mark),
      signal: AbortSignal.timeout(PATIENCE),
    });
    const told = await answer.json();
    const refused = answer.status >= 400 && answer.status < 500 && typeof told?.error === "string";
    return answer.ok || refused ? told : null;
  } catch {
    return null;
  }
}

/** Sends what an earlier page has left, and whatever waits whenever the server may be back. */
export function startSending() {
  const now = () => {
    pause = PAUSE.first;
    send();
  };
  api.addEventListener("reconnected", now);
  addEventListener("online", now);
  addEventListener("storage", (event) => {
    if (!event.key?.startsWith(PREFIX) || event.newValue === null) return;
    const mark = read(event.key);
    if (mark) tell(mark, "elsewhere");
    setTimeout(send, PAUSE.longest); // where the tab that made it is gone before it was sent
  });
  now();
}
