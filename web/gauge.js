// @ts-check
/** The gauge: the calibration's histogram, the place of the score, and the threshold, which may be dragged. */
import { element } from "./style.js";
import { say, short } from "./words.js";

/** @typedef {import("./results.js").Card} Card */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Lowest and highest score on the scale, as on the score card.
 * @param {Card} card
 * @param {number | null} threshold
 * @returns {[number, number]}
 */
export function gaugeRange(card, threshold) {
  const values = [card.score];
  if (threshold !== null) values.push(threshold);
  if (card.calibration) values.push(card.calibration.low, card.calibration.high);
  else values.push(0);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const air = 0.04 * (high - low) || 0.5 * Math.abs(high) || 0.5;
  return [low < 0 ? low - air : Math.max(low - air, 0), high + air];
}

/** @param {string} tag @param {Record<string, string | number>} attributes */
function drawn(tag, attributes) {
  const part = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, String(value));
  return part;
}

/**
 * @param {Card} card
 * @param {[number, number]} range
 * @param {string} label
 */
function bars(card, [low, high], label) {
  const svg = drawn("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": label });
  const known = card.calibration;
  if (known) {
    const step = (known.high - known.low) / known.counts.length;
    const most = Math.max(...known.counts, 1);
    known.counts.forEach((/** @type {number} */ count, /** @type {number} */ place) => {
      if (!count) return;
      const x = (100 * (known.low + place * step - low)) / (high - low);
      const width = Math.max((100 * step) / (high - low) - 0.4, 0.4);
      svg.append(drawn("rect", { class: "emoe-bar", x, width, y: 100 - (85 * count) / most, height: (85 * count) / most }));
    });
  }
  svg.append(drawn("line", { class: "emoe-base", x1: 0, x2: 100, y1: 100, y2: 100 }));
  return svg;
}

/**
 * A dragged value with no more digits than a pixel can show.
 * @param {number} value
 * @param {[number, number]} range
 */
function rounded(value, [low, high]) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 200));
  return Number((Math.round(value / step) * step).toPrecision(12));
}

/**
 * @param {Card} card
 * @param {number | null} threshold the line's value; null for no line
 * @param {string} label the picture's text for a screen reader
 * @param {((value: number) => void) | null} onDrag called while the line is dragged; null if it is fixed
 * @param {() => void} onDone called after dragging
 * @returns {HTMLElement}
 */
export function gauge(card, threshold, label, onDrag, onDone) {
  const range = gaugeRange(card, threshold);
  const [low, high] = range;
  const place = (/** @type {number} */ value) => `${(100 * (Math.min(Math.max(value, low), high) - low)) / (high - low)}%`;
  const marker = element("div", { class: "emoe-marker" });
  marker.style.left = place(card.score);
  const made = element("div", { class: "emoe-gauge" }, bars(card, range, label), marker);
  if (threshold === null) return made;

  const text = element("span");
  const line = element("div", { class: "emoe-limit" }, text);
  const show = (/** @type {number} */ value) => {
    line.style.left = place(value);
    line.dataset.side = value > (low + high) / 2 ? "left" : "right";
    text.textContent = short(value);
    if (!onDrag) return;
    line.setAttribute("aria-valuenow", String(value));
    line.setAttribute("aria-valuetext", value === card.threshold ? short(value) : say("dragged", { value: short(value) }));
  };
  made.append(line);
  if (onDrag) {
    line.setAttribute("role", "slider");
    line.setAttribute("tabindex", "0");
    line.setAttribute("aria-label", say("threshold"));
    line.setAttribute("aria-valuemin", String(rounded(low, range)));
    line.setAttribute("aria-valuemax", String(rounded(high, range)));
    /** @param {number} value */
    const move = (value) => {
      show(value);
      onDrag(value);
    };
    listen(made, line, range, () => Number(line.getAttribute("aria-valuenow")), move, onDone);
  }
  show(threshold);
  return made;
}

/**
 * Pointer and keys of the slider.
 * @param {HTMLElement} track
 * @param {HTMLElement} line
 * @param {[number, number]} range
 * @param {() => number} now
 * @param {(value: number) => void} move
 * @param {() => void} done
 */
function listen(track, line, range, now, move, done) {
  const [low, high] = range;
  const to = (/** @type {number} */ value) => move(rounded(Math.min(Math.max(value, low), high), range));
  line.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    line.focus();
    line.setPointerCapture(event.pointerId);
  });
  line.addEventListener("pointermove", (event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    const box = track.getBoundingClientRect();
    to(low + ((event.clientX - box.left) / box.width) * (high - low));
  });
  line.addEventListener("lostpointercapture", done); // after every release, wherever the pointer is
  const step = (high - low) / 100;
  /** @type {Record<string, () => number>} */
  const keys = {
    ArrowLeft: () => now() - step,
    ArrowDown: () => now() - step,
    ArrowRight: () => now() + step,
    ArrowUp: () => now() + step,
    PageDown: () => now() - 10 * step,
    PageUp: () => now() + 10 * step,
    Home: () => low,
    End: () => high,
  };
  line.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    to(keys[event.key]());
  });
  line.addEventListener("keyup", (event) => event.key in keys && done());
}
