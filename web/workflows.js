// @ts-check
/** The open workflows, one a tab, as the host keeps them. */
import { app } from "../../scripts/app.js";

/** Lets the host see a change that it does not notice by itself: for undo, for redo and for what it keeps over a reload. */
export function record() {
  const tracker = /** @type {any} */ (app.extensionManager)?.workflow?.activeWorkflow?.changeTracker;
  if (tracker?.captureCanvasState) tracker.captureCanvasState();
  else tracker?.checkState?.(); // its name in older frontends
}
