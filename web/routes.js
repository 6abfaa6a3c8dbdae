// @ts-check
/** Which way each Route and Stop went in the last run and why, as a line on the node; and the nodes that did not run. */
import { app } from "../../scripts/app.js";
import { lastRun, rootGraph, shownNodes } from "./results.js";
import { addElement } from "./room.js";
import { element, styleSheet } from "./style.js";
import { say, short } from "./words.js";

/**
 * @typedef {import("./results.js").Card} Card
 * @typedef {import("./results.js").Gate} Gate
 * @typedef {import("./results.js").ApiGraph} ApiGraph
 */

const ROUTE = "EMoE_Route";
const STOP = "EMoE_Stop";
const COLOUR = "#d98a00";
/** One line, or the whole text on a node that is tall enough. */
const ROOM = { least: 32, full: 64, most: 64, width: 210 };
/** @type {WeakMap<GraphNode, HTMLElement>} */
const marks = new WeakMap();
/** @type {Set<string>} execution ids of the nodes that did not run */
let skipped = new Set();

/** The reason for a Gate's decision, in a few words. @param {Card} card */
export function why(card) {
  if (card.policy === "false_block_rate" && card.p_value !== null)
    return say("why_p", { p: short(card.p_value, 2), alpha: short(card.alpha) });
  return say("why_score", { score: short(card.score), threshold: short(card.threshold) });
}

/** @param {ApiGraph[string]} node @param {Record<string, Gate>} gates */
function decisionOf(node, gates) {
  const source = node.inputs?.passed;
  const known = [ROUTE, STOP].includes(node.class_type) && Array.isArray(source);
  return known ? gates[String(source[0])] : undefined;
}

/** The input that a Route or Stop takes; null when the branch ends there. @param {ApiGraph[string]} node @param {boolean} passed */
function armOf(node, passed) {
  if (node.class_type === STOP) return passed ? "value" : null;
  const name = passed ? "on_pass" : "on_block";
  return name in node.inputs ? name : null;
}

/**
 * The nodes that a run with these verdicts leaves out: those that only the other arms need, and those after a stop.
 * @param {ApiGraph} graph
 * @param {Record<string, Gate>} gates
 * @returns {Set<string>}
 */
export function leftOut(graph, gates) {
  /** @type {Map<string, string[]>} the nodes that each node waits for */
  const sources = new Map();
  const stopped = new Set();
  for (const [id, node] of Object.entries(graph)) {
    const gate = decisionOf(node, gates);
    const clear = gate && !gate.mixed;
    const arm = clear ? armOf(node, gate.card.passed) : null;
    if (clear && arm === null) stopped.add(id);
    const wanted = Object.entries(node.inputs ?? {}).filter(
      ([name, value]) => Array.isArray(value) && (!clear || name === arm || name === "passed"),
    );
    sources.set(id, wanted.map(([, value]) => String(value[0])));
  }
  const used = new Set(Object.values(graph).flatMap((node) => Object.values(node.inputs ?? {}).filter(Array.isArray).map((v) => String(v[0]))));
  const ran = new Set();
  const waiting = Object.keys(graph).filter((id) => !used.has(id));
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (ran.has(id)) continue;
    ran.add(id);
    waiting.push(...(sources.get(id) ?? []));
  }
  const out = new Set(Object.keys(graph).filter((id) => !ran.has(id)));
  for (let before = -1; before !== out.size; ) {
    before = out.size;
    for (const [id, wanted] of sources) if (wanted.some((other) => stopped.has(other) || out.has(other))) out.add(id);
  }
  return out;
}

/** @param {GraphNode} node @param {ApiGraph[string]} asked @param {Gate} gate */
function sentence(node, asked, gate) {
  const { card, mixed, blocked, all } = gate;
  if (mixed) return [element("b", {}, say("several", { blocked, all }))];
  const arm = armOf(asked, card.passed);
  let way = say(card.passed ? "taken_pass" : "taken_block");
  if (arm === null) way = say("stopped");
  else if (node.comfyClass === STOP) way = say("through");
  const verdict = element("b", {}, `${card.passed ? "✓" : "■"} ${say(card.passed ? "passed" : "blocked")}`);
  return [verdict, element("span", {}, ` ${way}`), element("span", { class: "emoe-why" }, ` (${why(card)})`)];
}

/**
 * Adds the line to a Route or Stop, empty until a run. @param {GraphNode} node
 * @returns {() => void} redraws it
 */
export function addMark(node) {
  const root = element("div", { class: "emoe-mark", role: "status", "data-empty": "" });
  addElement(node, "emoe_mark", root, ROOM);
  marks.set(node, root);
  return () => {};
}

/**
 * Marks every Route and Stop with a known decision from the last run, and the nodes that did not run.
 * @param {boolean} [ended] whether the run is over: nodes without a decision then have no mark
 */
export function showRoutes(ended = false) {
  const { gates, graph } = lastRun();
  skipped = Object.keys(gates).length ? leftOut(graph, gates) : new Set();
  for (const [node, executionId] of shownNodes()) {
    const asked = graph[executionId];
    const gate = asked && decisionOf(asked, gates);
    const root = marks.get(node);
    if (gate && root && node.comfyClass === asked.class_type) {
      delete root.dataset.empty;
      root.dataset.verdict = gate.card.passed && !gate.mixed ? "pass" : "block";
      root.replaceChildren(...sentence(node, asked, gate));
      root.title = root.textContent ?? "";
    } else if (root && ended) {
      root.dataset.empty = "";
      delete root.dataset.verdict;
      root.replaceChildren();
      root.title = "";
    }
    const outlined = "emoe_skipped" in node.strokeStyles;
    if (skipped.has(executionId) === outlined) continue;
    if (outlined) delete node.strokeStyles.emoe_skipped;
    else node.strokeStyles.emoe_skipped = () => ({ color: COLOUR, lineWidth: 2 });
  }
  outlineDomNodes();
  app.canvas?.setDirty(true, true);
}

/** @type {CSSStyleSheet | null} */
let outlines = null;

/** Nodes 2.0 are elements of the page: a style sheet outlines those of the open graph. */
export function outlineDomNodes() {
  const open = /** @type {any} */ (app.canvas)?.graph ?? rootGraph();
  const names = [...shownNodes()].filter(([node, id]) => skipped.has(id) && node.graph === open).map(([node]) => node.id);
  const selector = names.map((id) => `.lg-node[data-node-id="${id}"]`).join(", ");
  outlines ??= styleSheet("");
  outlines.replaceSync(selector ? `${selector} { outline: 2px dashed ${COLOUR}; outline-offset: 3px; }` : "");
}
