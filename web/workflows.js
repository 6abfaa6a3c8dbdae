// @ts-check
/** The open workflows, one a tab, as the host keeps them. */
import { app } from "../../scripts/app.js";
import { workflowId } from "./results.js";

/** The host's own store of them. */
function store() {
  return /** @type {any} */ (app.extensionManager)?.workflow;
}

/** The open workflow that is saved with an id. @param {string} id */
function withId(id) {
  return (store()?.openWorkflows ?? []).find((/** @type {any} */ one) => String(one.activeState?.id) === id);
}

/** Lets the host see a change that it does not notice by itself: for undo, for redo and for what it keeps over a reload. */
export function record() {
  const tracker = store()?.activeWorkflow?.changeTracker;
  if (tracker?.captureCanvasState) tracker.captureCanvasState();
  else tracker?.checkState?.(); // its name in older frontends
}

/** What a workflow's tab is called. @param {string} id */
export function nameOf(id) {
  return String(withId(id)?.filename ?? "");
}

/**
 * Brings a workflow's tab to the front.
 * @param {string} id
 * @returns {Promise<boolean>} whether it is there; not when its tab was closed
 */
export async function show(id) {
  if (workflowId() === id) return true;
  const wanted = withId(id);
  if (!wanted) return false;
  record();
  await app.loadGraphData(JSON.parse(JSON.stringify(wanted.activeState)), true, false, wanted);
  return workflowId() === id;
}
