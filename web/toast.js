// @ts-check
/** A notice when a Gate blocks a prompt; a click on it shows the Gate. */
import { app } from "../../scripts/app.js";
import { allNodes } from "./results.js";
import { why } from "./routes.js";
import { say } from "./words.js";

/** @typedef {import("./results.js").Card} Card */

const LIFE = 12000;
const PAUSE = 2000; // a queue of many prompts must not fill the window
let last = -Infinity;

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
 * @param {string} executionId the Gate's
 * @param {Card} card
 */
export function tellBlocked(executionId, card) {
  const now = performance.now();
  if (now - last < PAUSE) return;
  last = now;
  const place = `emoe-gate-${executionId.replaceAll(":", "_")}`;
  const message = {
    severity: "warn",
    summary: say("toast"),
    detail: `${say("blocked")}: ${why(card)}. ${say("to_gate")}`,
    life: LIFE,
    styleClass: `emoe-toast ${place}`,
  };
  app.extensionManager.toast.add(/** @type {any} */ (message));
}

/** A click on a notice, wherever it is shown. */
export function listenToToasts() {
  document.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement | null} */ (event.target);
    const toast = target?.closest?.(".emoe-toast");
    if (!toast || target?.closest("button")) return;
    const place = [...toast.classList].find((name) => name.startsWith("emoe-gate-"));
    if (place) goTo(place.slice("emoe-gate-".length).replaceAll("_", ":"));
  });
}
