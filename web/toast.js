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
/** @type {Map<string, Place>} by the class of a notice, the Gate that it is about */
const told = new Map();
let number = 0;

/** Shows a Gate, in its tab and in its subgraph if it is in one. Nothing is done when the tab was closed. @param {Place} place */
async function showGate({ workflow, executionId }) {
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

/** @param {Place} place */
function goTo(place) {
  showGate(place).catch((error) => console.error("EMoE: the Gate could not be shown.", error));
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
  tell(place, [`${say("blocked")}: ${why(card)}`, where(place, card)].filter(Boolean).join(". "));
}

/** @param {Place} place @param {string} detail */
function tell(place, detail) {
  const toast = /** @type {any} */ (app.extensionManager.toast);
  if (toast.warning) {
    const action = { label: say("see_gate"), onClick: () => goTo(place) };
    toast.warning(say("toast"), { description: detail, duration: LIFE, action });
    return;
  }
  // Older frontends have notices without actions, and pass nothing of a message to the page but its texts and its class. So
  // the click is listened to in the boxes that hold the notices; to add the same listener again does nothing.
  for (const box of document.querySelectorAll(".p-toast")) box.addEventListener("click", onClick);
  const name = `emoe-toast-${++number}`;
  told.set(name, place);
  for (const old of [...told.keys()].slice(0, -MOST)) told.delete(old);
  const message = { severity: "warn", summary: say("toast"), detail: `${detail}. ${say("to_gate")}`, life: LIFE };
  toast.add({ ...message, styleClass: `emoe-toast ${name}` });
}

/** @param {Event} event a click on a notice, its button to close it apart */
function onClick(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const notice = target.closest("button") ? null : target.closest(".emoe-toast");
  const place = told.get([...(notice?.classList ?? [])].find((name) => told.has(name)) ?? "");
  if (place) goTo(place);
}
