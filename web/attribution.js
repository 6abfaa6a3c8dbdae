// @ts-check
/** The widget on Word Attribution: the prompt, its words coloured by what they add to the score. */
import { resultOf } from "./results.js";
import { addElement } from "./room.js";
import { element } from "./style.js";
import { say, short } from "./words.js";

const HEIGHTS = { least: 44, full: 110 }; // a run never makes a node grow; a long prompt scrolls
const RAISES = "#e69f00";
const LOWERS = "#56b4e9";

/** @param {number} change @param {number} highest */
function colour(change, highest) {
  const share = highest > 0 ? Math.round((100 * Math.min(Math.abs(change), highest)) / highest) : 0;
  return `color-mix(in srgb, ${change > 0 ? RAISES : LOWERS} ${share}%, #fff)`;
}

/** @param {import("./results.js").Card} card */
function content(card) {
  const letters = [...String(card.prompt)]; // places are counted in characters, as in Python
  const highest = Math.max(...card.words.map((/** @type {any} */ word) => Math.abs(word.change ?? 0)), 0);
  /** @type {(Node | string)[]} */
  const parts = [];
  let at = 0;
  for (const word of card.words) {
    parts.push(letters.slice(at, word.start).join(""));
    const told = word.change === null ? word.text : say("word", { word: word.text, change: `${word.change > 0 ? "+" : ""}${short(word.change, 2)}` });
    const mark = element("mark", { title: told }, word.text);
    mark.style.background = colour(word.change ?? 0, highest);
    parts.push(mark);
    at = word.end;
  }
  return [...parts, letters.slice(at).join("")];
}

/**
 * @param {GraphNode} node
 * @returns {() => void} redraws it from the last result
 */
export function addWords(node) {
  const root = element("div", { class: "emoe-words widget-expands", role: "group", "aria-label": say("words"), tabindex: "0" });
  addElement(node, "emoe_words", root, HEIGHTS);
  const draw = () => {
    const card = resultOf(node)?.cards.at(-1);
    if (card) {
      root.replaceChildren(...content(card));
      const ranked = card.words.filter((/** @type {any} */ word) => word.change !== null).sort((/** @type {any} */ a, /** @type {any} */ b) => b.change - a.change);
      const told = ranked.map((/** @type {any} */ word) => say("word", { word: word.text, change: short(word.change, 2) }));
      root.setAttribute("aria-label", `${say("words")}: ${told.join(", ")}`);
    } else root.replaceChildren(say("none"));
    node.setDirtyCanvas(true, true);
  };
  draw();
  return draw;
}
