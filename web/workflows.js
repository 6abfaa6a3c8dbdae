// @ts-check
/** The open workflows, one a tab, as the host keeps them. */
import { app } from "../../scripts/app.js";
import { rootGraph, workflowId } from "./results.js";

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

/** So many frames the host is given to make a workflow that it has put into the graph the open one. */
const FRAMES = 60;
let turn = 0;

function newId() {
  return crypto.randomUUID?.() ?? /** @type {any} */ (window.LiteGraph).uuidv4(); // the former in secure contexts alone
}

/**
 * A template that is opened twice has the same id both times, and with it would have the same results. The copy gets an id
 * of its own: the host is given the very graph again, as it does itself after an undo, since the id of a graph that holds
 * nodes cannot be changed. A workflow that comes back (its tab, an undo, a reload) has no other with its id and keeps it.
 */
export async function giveOwnId() {
  const mine = ++turn;
  const view = JSON.stringify(rootGraph()?.extra?.ds ?? null); // as it came: what is looked at is set in a later frame
  for (let frame = 0; frame < FRAMES; frame++) {
    await new Promise(requestAnimationFrame);
    if (mine !== turn) return;
    const { activeWorkflow: active, openWorkflows: open = [] } = store() ?? {};
    const id = workflowId();
    if (!active || String(active.activeState?.id) !== id) continue;
    if (!open.some((/** @type {any} */ one) => one.path !== active.path && String(one.activeState?.id) === id)) continue;
    const now = rootGraph().serialize();
    const copy = { ...now, id: newId(), extra: { ...now.extra, ds: JSON.parse(view) ?? undefined } };
    const quiet = { showMissingNodesDialog: false, showMissingModelsDialog: false, silentAssetErrors: true };
    await app.loadGraphData(copy, true, true, active, quiet);
    return;
  }
}
