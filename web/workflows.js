// @ts-check
/** The open workflows, one per tab, as the host keeps them. */
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

function newId() {
  return crypto.randomUUID?.() ?? /** @type {any} */ (window.LiteGraph).uuidv4(); // the former in secure contexts alone
}

/**
 * A file that is opened twice has the same id in both tabs, and with it would have the same results: ids are all that the
 * server's history knows workflows by. So the tab that was opened last gets an id of its own, in the way in which the host
 * itself duplicates a workflow: its graph is loaded again under a new id. What does not do instead:
 *  - to set the id of the graph: newer frontends refuse to for one that holds nodes, as their stores go by it;
 *  - to set it in `beforeConfigureGraph`, before there are nodes: a hook is not told whether the graph that comes is a copy, or
 *    the same tab that comes back (an undo, a switch of tabs, a reload of the page), which must keep its id and results;
 *  - `afterLoadGraph`, which comes at the right time: only the newest frontends have it, and it may not load a graph.
 * The store of the open workflows tells when one of them has become the open one; nobody can have changed it yet.
 */
export function separateCopies() {
  store()?.$onAction((/** @type {any} */ { name, after }) => {
    if (name !== "openWorkflow") return;
    after((/** @type {any} */ opened) => {
      const view = rootGraph()?.extra?.ds; // as it came: what is looked at is set in a later frame
      setTimeout(() => giveOwnId(opened, view).catch((error) => console.error("EMoE: a copy keeps its file's id.", error)));
    });
  });
}

/** @param {any} opened @param {unknown} view where the file was looked at; it may have none, and then the host chooses */
async function giveOwnId(opened, view) {
  const { activeWorkflow: active, openWorkflows: open = [] } = store();
  const id = workflowId();
  if (active?.path !== opened?.path || String(active?.activeState?.id) !== id) return;
  if (!open.some((/** @type {any} */ one) => one.path !== active.path && String(one.activeState?.id) === id)) return;
  const now = rootGraph().serialize();
  const quiet = { showMissingNodesDialog: false, showMissingModelsDialog: false, silentAssetErrors: true };
  await app.loadGraphData({ ...now, id: newId(), extra: { ...now.extra, ds: view } }, true, true, active, quiet);
}
