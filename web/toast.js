// @ts-check
/** A notice when a Gate blocks a prompt; a click on it shows the Gate. */
import { app } from "../../scripts/app.js";
import { allNodes, workflowId } from "./results.js";
import { why } from "./routes.js";
import { say } from "./words.js";
import { nameOf, show } from "./workflows.js";

/**
 * @typedef {import("./results.js").Card} Card
 * @typedef {{ workflow: string, executionId: string, graph: import("./results.js").ApiGraph }} Place of a Gate
 */

const LIFE = 12000;
const PAUSE = 2000; // a queue of many prompts must not fill the window
const MOST = 20;
const LONGEST = 60; // of a prompt's letters
let pausing = false;
/** @type {Map<string, { place: Place, card: Card }>} the last block of each Gate that is still to be told */
const waiting = new Map();
/** @type {Map<string, Place>} what a notice says, and the Gate that it is about */
const told = new Map();

/** Shows a Gate, in its tab and in its subgraph if it is in one. Nothing is done when the tab was closed. @param {Place} place */
async function goTo({ workflow, executionId }) {
  if (!(await show(workflow))) return;
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
 * @param {Place} place the Gate's
 * @param {Card} card
 */
export function tellBlocked(place, card) {
  waiting.set(`${place.workflow} ${place.executionId}`, { place, card });
  if (!pausing) tellNext();
}

/** Which Gate, in which tab when it is not the open one, and which prompt. @param {Place} place @param {Card} card */
function where({ workflow, executionId, graph }, card) {
  const gate = graph[executionId];
  const others = Object.values(graph).filter((node) => node.class_type === gate?.class_type).length > 1;
  const title = [gate?._meta?.title ?? "", others ? `#${executionId}` : ""].filter(Boolean).join(" ");
  const letters = [...String(card.prompt ?? "").replace(/\s+/g, " ").trim()];
  const prompt = letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join("")}…` : letters.join("");
  const tab = workflow === workflowId() ? "" : nameOf(workflow);
  return [tab, title, prompt && `“${prompt}”`].filter(Boolean).join(" · ");
}

function tellNext() {
  const [next] = waiting;
  pausing = Boolean(next);
  if (!next) return;
  setTimeout(tellNext, PAUSE);
  const [key, { place, card }] = next;
  waiting.delete(key);
  const detail = [`${say("blocked")}: ${why(card)}`, where(place, card), say("to_gate")].filter(Boolean).join(". ");
  told.delete(detail);
  told.set(detail, place);
  for (const old of [...told.keys()].slice(0, -MOST)) told.delete(old);
  const message = { severity: "warn", summary: say("toast"), detail, life: LIFE, styleClass: "emoe-toast" };
  app.extensionManager.toast.add(/** @type {any} */ (message));
}

/** A click on a notice, wherever it is shown; the frontends have no word for that, and each its own kind of notice. */
export function listenToToasts() {
  document.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement | null} */ (event.target);
    const text = target?.closest("button") ? null : target?.closest("[role='alert']")?.textContent;
    const found = text && [...told].find(([detail]) => text.includes(detail));
    if (found) goTo(found[1]).catch((error) => console.error("EMoE: the Gate could not be shown.", error));
  });
}
