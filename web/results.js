// @ts-check
/**
 * The server's results for each EMoE node, by workflow and by execution id ("5", or "12:5" inside a subgraph).
 *
 * Live results come with the socket's messages. After a reload, or when a tab is opened again, they come from the
 * server's own history: nothing is written into the workflow.
 */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

/**
 * @typedef {Record<string, any>} Card what `emoe_core.show.card` says about one prompt
 * @typedef {{ cards: Card[], earlier: Card[] }} Result one node's cards: those of the last run, and of earlier runs
 * @typedef {{ card: Card, mixed: boolean, blocked: number, all: number }} Gate a Gate's decisions in the last run
 * @typedef {Record<string, { class_type: string, inputs: Record<string, any>, _meta?: { title?: string } }>} ApiGraph
 * @typedef {{ workflow: string, graph: ApiGraph }} Run
 */

const MOST_EARLIER = 20;
const HISTORY = 40;
const MOST_RUNS = 20;
/** The keys of a node's output that hold its card. */
const KEYS = ["emoe_card", "emoe_words"];

/** @type {Map<string, Result>} */
const results = new Map();
/** @type {Map<string, Run>} */
const runs = new Map();
/** @type {Map<string, Record<string, Gate>>} by workflow and execution id */
const verdicts = new Map();
/** @type {Map<string, ApiGraph>} the graph of a workflow's last run */
const graphs = new Map();
/** @type {Set<string>} workflows whose history was fetched */
const asked = new Set();

/** The graph that contains all others. */
export function rootGraph() {
  const host = /** @type {any} */ (app);
  return host.rootGraph ?? host.graph;
}

/** The saved id of the open workflow. */
export function workflowId() {
  return String(rootGraph()?.id ?? "");
}

/**
 * All nodes with their execution ids, those inside subgraphs too.
 * @param {any} [graph]
 * @param {string} [prefix]
 * @returns {Generator<[string, GraphNode]>}
 */
export function* allNodes(graph = rootGraph(), prefix = "") {
  for (const node of graph?.nodes ?? graph?._nodes ?? []) {
    yield [`${prefix}${node.id}`, node];
    if (node.subgraph) yield* allNodes(node.subgraph, `${prefix}${node.id}:`);
  }
}

/** @type {WeakMap<object, string>} the prefix of the ids of a subgraph's nodes, from the node that last opened it */
const openedBy = new WeakMap();

/** Several nodes may use one subgraph; this records which of them was opened. @param {any} subgraph @param {any} node */
export function noteOpened(subgraph, node) {
  if (subgraph && node) openedBy.set(subgraph, `${executionIdOf(node) ?? node.id}:`);
}

/**
 * The execution id of a node's result; in a subgraph that several nodes use, that of the opened node, else of the first.
 * @param {GraphNode} node
 * @returns {string | undefined}
 */
function executionIdOf(node) {
  return shownNodes().get(node);
}

/** All nodes, each once, with the execution id of the result they show. @returns {Map<GraphNode, string>} */
export function shownNodes() {
  /** @type {Map<GraphNode, string>} */
  const found = new Map();
  for (const [id, node] of allNodes()) {
    const opened = `${openedBy.get(/** @type {any} */ (node).graph) ?? ""}${node.id}`;
    if (!found.has(node) || id === opened) found.set(node, id);
  }
  return found;
}

/**
 * @param {string} workflow
 * @param {string} executionId
 * @param {Card[]} cards
 */
function remember(workflow, executionId, cards) {
  const key = `${workflow} ${executionId}`;
  const before = results.get(key);
  const earlier = before ? [...before.earlier, ...before.cards] : [];
  const last = earlier.at(-1);
  const same = last && (JSON.stringify(last) === JSON.stringify(cards.at(-1)) || (last.kind === "score" && toldOf([last]) === toldOf(cards.slice(-1))));
  const kept = same ? earlier.slice(0, -(before?.cards.length ?? 0)) : earlier;
  results.set(key, { cards, earlier: kept.slice(-MOST_EARLIER) });
  if (cards[0].kind !== "gate") return;
  const stopped = cards.filter((card) => !card.passed);
  const gate = { card: stopped[0] ?? cards[0], blocked: stopped.length, all: cards.length, mixed: stopped.length % cards.length > 0 };
  verdicts.set(workflow, { ...verdicts.get(workflow), [executionId]: gate });
}

/** @param {Card} card without a Gate's additions */
function scoreOf(card) {
  const { verdict, passed, mode, policy, alpha, threshold, reason, ...score } = card;
  return { ...score, kind: "score" };
}

const SCORES = ["EMoE_Score", "EMoE_ScoreList"];

/** The scores: a Score may report its own, and its Gate may report it too, in either order. @param {Card[]} cards */
function toldOf(cards) {
  return JSON.stringify(cards.map(({ fingerprint, prompt, items }) => [fingerprint, prompt, items]));
}

/**
 * Takes a Score's card from its Gate. A Score in ComfyUI's cache sends nothing (newer hosts send its last result), and would
 * show an older prompt's score or none. The Gate that reads its report always sends the card it decided on.
 * @param {string} workflow
 * @param {ApiGraph} graph
 * @param {string} gate
 * @param {Card[]} cards
 */
function tellScore(workflow, graph, gate, cards) {
  const source = cards[0].kind === "gate" ? graph[gate]?.inputs?.report : null;
  if (!Array.isArray(source) || !SCORES.includes(graph[source[0]]?.class_type)) return;
  const known = results.get(`${workflow} ${source[0]}`);
  if (!known || toldOf(known.cards) !== toldOf(cards)) remember(workflow, String(source[0]), cards.map(scoreOf));
}

/** @param {Record<string, any> | undefined} output */
function cardsOf(output) {
  const key = KEYS.find((name) => Array.isArray(output?.[name]) && output[name].length);
  return key ? /** @type {Card[]} */ (output?.[key]) : [];
}

/** @param {any} entry of the history's or the queue's `prompt`: number, id, graph, extra data, outputs */
function runOf(entry) {
  const workflow = entry?.[3]?.extra_pnginfo?.workflow?.id;
  return workflow ? { workflow: String(workflow), graph: /** @type {ApiGraph} */ (entry[2]) } : null;
}

/** @param {string} path */
async function ask(path) {
  const answer = await api.fetchApi(path);
  return answer.ok ? answer.json() : {};
}

/**
 * The run under a prompt id, from the queue while it runs and from the history later.
 * @param {string} promptId
 * @returns {Promise<Run | null>}
 */
async function runWithId(promptId) {
  const known = runs.get(promptId);
  if (known) return known;
  const queue = await ask("/queue");
  const waiting = [...(queue.queue_running ?? []), ...(queue.queue_pending ?? [])];
  let run = runOf(waiting.find((entry) => entry[1] === promptId));
  run ??= runOf((await ask(`/history/${promptId}`))[promptId]?.prompt);
  if (run) runs.set(promptId, run);
  for (const old of [...runs.keys()].slice(0, -MOST_RUNS)) runs.delete(old);
  return run;
}

/**
 * Takes one `executed` message; returns the workflow it belongs to, or null without a card.
 * @param {{ node?: string | number, display_node?: string | number, prompt_id?: string, output?: Record<string, any> }} message
 * @returns {Promise<{ workflow: string, executionId: string, cards: Card[], graph: ApiGraph } | null>}
 */
export async function receive(message) {
  const cards = cardsOf(message.output);
  if (!cards.length) return null;
  const run = await runWithId(String(message.prompt_id));
  const workflow = run?.workflow ?? workflowId();
  const executionId = String(message.node);
  if (run) graphs.set(workflow, run.graph);
  remember(workflow, executionId, cards);
  if (run) tellScore(workflow, run.graph, executionId, cards);
  return { workflow, executionId, cards, graph: run?.graph ?? {} };
}

/**
 * Adds, once per page, what the server's history knows about the open workflow.
 * @returns {Promise<boolean>} whether anything was found
 */
export async function restore() {
  const workflow = workflowId();
  if (!workflow || asked.has(workflow)) return false;
  asked.add(workflow);
  const live = new Set([...results.keys()]);
  const ran = graphs.has(workflow);
  const history = Object.values(await ask(`/history?max_items=${HISTORY}`));
  history.sort((a, b) => (a?.prompt?.[0] ?? 0) - (b?.prompt?.[0] ?? 0));
  let found = false;
  for (const entry of history) {
    const run = runOf(entry?.prompt);
    if (run?.workflow !== workflow) continue;
    let ours = false;
    if (!ran) verdicts.delete(workflow); // only those of the last run are shown
    const sent = Object.entries(entry.outputs ?? {})
      .filter(([id]) => !live.has(`${workflow} ${id}`))
      .map(([id, output]) => ({ id, cards: cardsOf(output) }))
      .filter(({ cards }) => cards.length);
    for (const { id, cards } of sent) {
      remember(workflow, id, cards);
      ours = found = true;
    }
    for (const { id, cards } of sent) tellScore(workflow, run.graph, id, cards);
    if (ours || !ran) graphs.set(workflow, run.graph);
  }
  return found;
}

/** What a node shows. @param {GraphNode} node @returns {Result | undefined} */
export function resultOf(node) {
  return results.get(`${workflowId()} ${executionIdOf(node)}`);
}

/** The Gates' decisions in the open workflow's last run, and the graph that ran. */
export function lastRun() {
  const workflow = workflowId();
  return { gates: verdicts.get(workflow) ?? {}, graph: graphs.get(workflow) ?? {} };
}

/** Whether a finished run was one of the open workflow. @param {string} promptId */
export async function isOpen(promptId) {
  return (await runWithId(promptId))?.workflow === workflowId();
}

/** A new run begins, so the Gates' earlier decisions no longer count. @param {string} promptId */
export async function forget(promptId) {
  const run = await runWithId(promptId);
  if (!run) return;
  graphs.set(run.workflow, run.graph);
  verdicts.delete(run.workflow);
}
