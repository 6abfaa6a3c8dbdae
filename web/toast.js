// @ts-check
/** A notice when a Gate blocks a prompt; a click on it shows the Gate. */
import { app } from "../../scripts/app.js";
import { allNodes } from "./results.js";
import { why } from "./routes.js";
import { say } from "./words.js";

/** @typedef {import("./results.js").Card} Card */

const LIFE = 12000;
const PAUSE = 2000; // a queue of many prompts must not fill the window
const MOST = 20;
let pausing = false;
/** @type {Map<string, Card>} the last block of each Gate that is still to be told */
const waiting = new Map();
/** @type {Map<string, string>} what a notice says, and the Gate that it is about */
const told = new Map();

/** Shows a node, in its subgraph if it is in one. @param {string} executionId */
export function goTo(executionId) {
  for (const [id, node] of allNodes()) {
    if (id !== executionId) continue;
    const canvas = /** @type {any} */ (app.canvas);
    if (canvas.graph !== node.graph) canvas.setGraph(node.graph);
    canvas.deselectAll?.();
    canvas.select?.(node);
    canvas.centerOnNode(node);
    canvas.setDirty(true, true);
  }
}

/**
 * At once, or after the pause that follows another notice: then the Gate's last block alone.
 * @param {string} executionId the Gate's
 * @param {Card} card
 */
export function tellBlocked(executionId, card) {
  waiting.set(executionId, card);
  if (!pausing) tellNext();
}

function tellNext() {
  const [next] = waiting;
  pausing = Boolean(next);
  if (!next) return;
  setTimeout(tellNext, PAUSE);
  const [executionId, card] = next;
  waiting.delete(executionId);
  const detail = `${say("blocked")}: ${why(card)}. ${say("to_gate")}`;
  told.delete(detail);
  told.set(detail, executionId);
  for (const old of [...told.keys()].slice(0, -MOST)) told.delete(old);
  const message = { severity: "warn", summary: say("toast"), detail, life: LIFE, styleClass: "emoe-toast" };
  app.extensionManager.toast.add(/** @type {any} */ (message));
}

/** A click on a notice, wherever it is shown; the frontends have no word for that, and each its own kind of notice. */
export function listenToToasts() {
  document.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement | null} */ (event.target);
    const text = target?.closest("button") ? null : target?.closest("[role='alert']")?.textContent;
    for (const [detail, gate] of told) if (text?.includes(detail)) return goTo(gate);
  });
}
