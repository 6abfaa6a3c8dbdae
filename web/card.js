// @ts-check
/** The widget on Score and Gate: the verdict, the gauge, the last scores, and the experts on hover or focus. */
import { gauge } from "./gauge.js";
import { resultOf } from "./results.js";
import { addElement } from "./room.js";
import { element, heat } from "./style.js";
import { say, short } from "./words.js";
import { record } from "./workflows.js";

/**
 * @typedef {import("./results.js").Card} Card
 * @typedef {import("./results.js").Result} Result
 */

/** From one line with the verdict up to the gauge, the prompt and the history. A run never makes a node grow. */
const HEIGHTS = { least: 32, full: 172 };
const RAW = "raw_threshold";

/** @param {GraphNode} node @param {string} name */
function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** @param {GraphNode} node @param {string} name */
function isLinked(node, name) {
  const slot = (node.inputs ?? []).findIndex((input) => input.name === name);
  return slot >= 0 && node.isInputConnected(slot);
}

/** The place of the score: a phrase, and the p-value if there is one. @param {Card} card @returns {[string, string]} */
function placeOf(card) {
  if (card.percentile === null || card.percentile === undefined) return [say("uncalibrated"), ""];
  return [say("above", { share: Math.round(card.percentile) }), say("p_value", { p: short(card.p_value, 2) })];
}

/** The same as one sentence. @param {Card} card */
function sentenceOf(card) {
  return placeOf(card).filter(Boolean).join(say("comma"));
}

/** The line of text, whole at any width: parts that do not fit on the node are left out, not cut. @param {Card} card */
function lineOf(card) {
  const [phrase, p] = placeOf(card);
  const place = p ? [element("span", { class: "emoe-phrase" }, `${phrase}${say("comma")}`), element("span", { class: "emoe-p" }, p)] : [phrase];
  const title = [sentenceOf(card), card.prompt].filter(Boolean).join(" · ");
  const line = element("div", { class: "emoe-line", title }, element("span", {}, ...place));
  if (card.prompt) line.append(element("span", { class: "emoe-prompt" }, card.prompt));
  return line;
}

/** @param {Card} card */
function details(card) {
  const names = /** @type {string[]} */ (card.experts);
  const rows = /** @type {number[][]} */ (card.pairwise);
  const most = Math.max(...rows.flat(), 0);
  const head = element("tr", {}, element("td", { title: say("experts") }, "%"), ...names.map((name, at) => element("th", { scope: "col", title: name }, `${at + 1}`)));
  const body = rows.map((row, at) => {
    const cells = row.map((value, other) => {
      const share = at === other ? "" : String(Math.round(most > 0 ? (100 * value) / most : 0));
      const cell = element("td", { title: `${names[at]} – ${names[other]}: ${short(value, 2)}` }, share);
      if (at !== other) Object.assign(cell.style, heat(most > 0 ? value / most : 0));
      return cell;
    });
    return element("tr", {}, element("th", { scope: "row", title: names[at] }, `${at + 1}`), ...cells);
  });
  const table = element("table", {}, element("caption", {}, say("experts")), element("tbody", {}, head, ...body));
  if (names.length > 5) table.querySelectorAll("td").forEach((cell) => Object.assign(cell.style, { fontSize: "0", minWidth: "10px" }));
  const seed = card.seed_variance === null ? say("unmeasured") : short(card.seed_variance, 2);
  const list = element("dl");
  for (const [name, value] of [["models", short(card.epistemic, 2)], ["seed", seed], ["response", short(card.response, 3)], ["took", card.took], ["expected", card.expected?.join("–")]])
    if (value) list.append(element("dt", {}, say(name)), element("dd", {}, value));
  return [table, list];
}

/** @param {Card[]} cards oldest first */
function historyOf(cards) {
  const highest = Math.max(...cards.map((card) => card.score), 0) || 1;
  const list = element("ol", { class: "emoe-history", "aria-label": say("history") });
  for (const card of cards.slice(-20)) {
    const told = [short(card.score), card.verdict ? say(card.verdict) : "", card.prompt].filter(Boolean).join(" · ");
    const bar = element("i");
    bar.style.height = `${Math.max((14 * card.score) / highest, 2)}px`;
    list.append(element("li", { title: told, "aria-label": told, "data-verdict": card.verdict ?? null }, bar));
  }
  return list;
}

/**
 * Adds the widget to a Score or a Gate.
 * @param {GraphNode} node
 * @returns {() => void} redraws it from the last result
 */
export function addCard(node) {
  // `widget-expands` is Nodes 2.0's class for a widget that takes the node's spare height
  const root = element("div", { class: "emoe-card widget-expands", role: "group", "data-empty": "" });
  addElement(node, "emoe_card", root, HEIGHTS);

  /** What is shown: the same content is not drawn again while the details are open or a slider is held. */
  let shown = "";
  const draw = () => {
    const result = resultOf(node);
    const now = JSON.stringify([result ?? null, isLinked(node, "threshold"), widgetOf(node, "policy")?.value, widgetOf(node, "threshold")?.value]);
    if (now === shown) return;
    shown = now;
    if (!result) {
      root.dataset.empty = "";
      root.replaceChildren(element("div", { class: "emoe-line" }, say("none")));
      return;
    }
    delete root.dataset.empty;
    fill(root, node, result);
    node.setDirtyCanvas(true, true);
  };
  for (const name of ["policy", "threshold"]) {
    const source = widgetOf(node, name);
    if (!source) continue;
    const before = source.callback;
    source.callback = function (...values) {
      const answer = before?.apply(this, /** @type {any} */ (values));
      if (!root.contains(document.activeElement)) draw();
      return answer;
    };
  }
  draw();
  return draw;
}

/**
 * @param {HTMLElement} root
 * @param {GraphNode} node
 * @param {Result} result
 */
function fill(root, node, result) {
  const { cards, earlier } = result;
  const card = cards.reduce((worst, one) => (one.score > worst.score ? one : worst));
  const blocked = cards.filter((one) => one.verdict === "block").length;
  let verdict = card.verdict ? say(card.verdict) : say("score");
  if (cards.length > 1 && card.verdict) verdict = say("several", { blocked, all: cards.length });
  root.dataset.verdict = card.verdict ?? "";

  const policy = widgetOf(node, "policy");
  const limit = widgetOf(node, "threshold");
  const raw = Boolean(limit) && policy?.value === RAW;
  const threshold = raw ? Number(limit?.value) : (card.threshold ?? null);
  const label = say("gauge", { verdict, score: short(card.score), line: sentenceOf(card) });
  root.setAttribute("aria-label", label);
  const drag = !raw || isLinked(node, "threshold") ? null : (/** @type {number} */ value) => {
    if (!limit) return;
    limit.value = value;
    limit.callback?.(value, /** @type {any} */ (undefined), node);
    node.setDirtyCanvas(true, true);
  };

  const panel = element("div", { class: "emoe-details", hidden: "" }, ...details(card));
  const more = element("button", { class: "emoe-more", type: "button", "aria-expanded": "false", "aria-label": say("details"), title: say("details") }, "⊞");
  const open = (/** @type {boolean} */ yes) => {
    panel.hidden = !yes;
    more.setAttribute("aria-expanded", String(yes));
  };
  more.addEventListener("pointerenter", () => open(true));
  more.addEventListener("focus", () => open(true));
  more.addEventListener("blur", () => open(false));
  root.onpointerleave = () => document.activeElement !== more && open(false);
  more.addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
    if (event.key === "Enter" || event.key === " ") open(panel.hidden);
    if (["Escape", "Enter", " "].includes(event.key)) event.preventDefault(), event.stopPropagation();
  });
  const head = element("div", { class: "emoe-head", "data-many": cards.length > 1 ? "" : null }, element("span", { class: "emoe-verdict" }, verdict));
  if (card.mode === "observe") head.append(element("span", { class: "emoe-observed" }, say("observed")));
  head.append(element("span", { class: "emoe-brief" }, placeOf(card)[1]));
  head.append(element("span", { class: "emoe-score" }, short(card.score, 4)), more);
  root.replaceChildren(
    head,
    lineOf(card),
    gauge(card, threshold, label, drag, record),
    historyOf([...earlier, ...cards]),
    panel,
  );
}
