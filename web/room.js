// @ts-check
/** How much of a node a widget takes: a new node has room for all of it, a saved one keeps its size as far as it can. */

/** Nodes 2.0 counts the title as part of a node and draws taller widgets than the host computes the size from. */
const TITLE = 48;
const TALLER = 8;

/** @param {GraphNode} node */
function missing(node) {
  return window.LiteGraph?.vueNodesMode ? TITLE + TALLER * (node.widgets?.length ?? 0) : 0;
}

/**
 * Adds an element to a node and makes a new node tall enough for `full`. Where a node is smaller (saved by an older version,
 * or made smaller by hand) the element gets what is left, down to `least`: it should not lie over the node's neighbours.
 * @param {GraphNode} node
 * @param {string} name
 * @param {HTMLElement} root
 * @param {{ least: number, full: number, most?: number }} heights
 */
export function addElement(node, name, root, { least, full, most }) {
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
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1] + full - least + missing(node))]); // a saved size comes later
}
