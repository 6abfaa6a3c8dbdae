// @ts-check
/** Where a widget is: how much of its node it takes, that the page shows it, and that the canvas under it can be moved. */
import { app } from "../../scripts/app.js";

/** Nodes 2.0 counts the title as part of a node, and draws widgets taller than in the host's computed size. */
const TITLE = 48;
const TALLER = 8;

/** A widget's row, and the button that shows the folded ones. */
const ROW = 24;
const BUTTON = 32;

/** How much more (or less) a node takes than the host computes. @param {GraphNode} node */
function missing(node) {
  if (!window.LiteGraph?.vueNodesMode) return 0;
  const widgets = node.widgets ?? [];
  const folded = widgets.filter((widget) => /** @type {any} */ (widget.options)?.advanced).length;
  return TITLE + TALLER * (widgets.length - folded) + (folded ? BUTTON - ROW * folded : 0);
}

/**
 * The wheel and the middle button belong to the canvas, even over a widget; in Nodes 2.0 the host itself passes them on.
 * @param {HTMLElement} root
 */
function shareWithCanvas(root) {
  const host = /** @type {any} */ (app);
  /** @param {PointerEvent} event @param {string} name of the canvas's own */
  const hand = (event, name) => window.LiteGraph?.vueNodesMode || host.canvas[name](event);
  root.addEventListener("pointerdown", (event) => {
    if (event.button === 0) event.stopPropagation();
    if (event.button === 1) hand(event, "processMouseDown");
  });
  root.addEventListener("mousedown", (event) => event.button === 0 && event.stopPropagation());
  root.addEventListener("pointermove", (event) => event.buttons & 4 && hand(event, "processMouseMove"));
  root.addEventListener("pointerup", (event) => event.button === 1 && hand(event, "processMouseUp"));
  root.addEventListener("wheel", (event) => {
    if (window.LiteGraph?.vueNodesMode) return;
    const scrolls = root.scrollHeight > root.clientHeight && getComputedStyle(root).overflowY === "auto";
    if (scrolls && !event.ctrlKey) return;
    event.preventDefault();
    host.canvas.processMouseWheel(event);
  });
}

/**
 * Adds an element to a node and makes a new node tall enough for `full`. On a smaller node (saved by an older version, or
 * made smaller by hand) the element gets the remaining height, down to `least`, so that it does not cover other nodes.
 * @param {GraphNode} node
 * @param {string} name
 * @param {HTMLElement} root
 * @param {{ least: number, full: number, most?: number, width?: number }} room `width`: of a new node at least
 */
export function addElement(node, name, root, { least, full, most, width = 0 }) {
  /** @type {DomWidgetOptions} */
  const options = {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => least,
    getValue: () => "",
    setValue: () => {},
  };
  if (most !== undefined) options.getMaxHeight = () => most;
  const widget = node.addDOMWidget(name, name, root, options);
  widget.serialize = false;
  shareWithCanvas(root);
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], node.computeSize()[1] + full - least + missing(node))]); // a saved size is set after this
}

/**
 * The page shows the open graph's own elements. Nodes 2.0 puts a widget's element into the page when the component for the
 * node's id is mounted, and keeps that component when another node comes with the same id, as after an undo: then the element
 * of the node that is gone stays. It is exchanged here, since no frontend has a call that mounts an element anew. A component
 * that is mounted later takes the element of the node that is there by itself.
 */
export function showOwn() {
  for (const node of app.canvas?.graph?.nodes ?? []) {
    for (const widget of node.widgets ?? []) {
      const own = /** @type {any} */ (widget).element;
      if (!widget.name.startsWith("emoe_") || !(own instanceof HTMLElement)) continue;
      const shown = document.querySelector(`.lg-node[data-node-id="${node.id}"] .${own.classList[0]}`);
      if (shown && shown !== own) shown.replaceWith(own);
    }
  }
}
