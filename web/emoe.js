// @ts-check
/** The pack's part of the frontend. Nothing needs it: without it every node works, and Score and Gate show a picture. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addWords } from "./attribution.js";
import { addCard } from "./card.js";
import { forget, isOpen, noteOpened, receive, restore, shownNodes, workflowId } from "./results.js";
import { addReview } from "./review.js";
import { showOwn } from "./room.js";
import { addMark, outlineDomNodes, showRoutes } from "./routes.js";
import { addStyle } from "./style.js";
import { tellBlocked } from "./toast.js";
import { say, speak } from "./words.js";
import { separateCopies } from "./workflows.js";

/** @type {Record<string, (node: GraphNode) => () => void>} */
const WIDGETS = { EMoE_Score: addCard, EMoE_ScoreList: addCard, EMoE_Gate: addCard, EMoE_WordAttribution: addWords, EMoE_Route: addMark, EMoE_Stop: addMark };
const TOASTS = "EMoE.SayWhenBlocked";
/** @type {WeakMap<GraphNode, () => void>} */
const drawings = new WeakMap();

/** Draws every widget of the open workflow anew. */
function showAll() {
  for (const node of shownNodes().keys()) drawings.get(node)?.();
  showRoutes();
}

/** @param {string} name */
function setting(name) {
  return /** @type {any} */ (app.extensionManager)?.setting?.get(name);
}

/** @type {Promise<void>} the work that is under way: messages are taken in one after the other */
let busy = Promise.resolve();

/** Runs what only decorates: its failure is told to the console and harms nothing. @param {() => unknown} work */
function safely(work) {
  /** @param {unknown} error */
  const tell = (error) => console.error("EMoE: a widget failed; the graph is not affected.", error);
  try {
    Promise.resolve(work()).catch(tell);
  } catch (error) {
    tell(error);
  }
}

/** As `safely`, after all messages that came before. @param {() => unknown} work */
function inTurn(work) {
  busy = busy.then(() => work()).then(undefined, (error) => safely(() => Promise.reject(error)));
}

/**
 * The widget shows all that a node's picture does, so on the node the picture would only be a second one. App mode, the
 * history and the queue keep it. In Nodes 2.0 the host's word for this is `hideOutputImages`.
 * @param {GraphNode} node
 */
function hidePicture(node) {
  /** @type {any} */ (node).hideOutputImages = true;
  const before = node.onExecuted;
  node.onExecuted = function (output) {
    before?.call(this, output);
    // Frontends that do not know the word yet draw what they keep, and they keep this very object.
    const kept = Object.values(/** @type {any} */ (app).nodeOutputs ?? {}).includes(output);
    if (kept && (output?.emoe_card || output?.emoe_words)) delete output.images;
  };
}

safely(() => speak(setting("Comfy.Locale"))); // before the setting below gets its name

app.registerExtension({
  name: "emoe.face",
  settings: [
    {
      id: /** @type {any} */ (TOASTS),
      name: say("setting"),
      category: ["EMoE", "Gate", "Notices"],
      type: "boolean",
      defaultValue: true,
    },
  ],
  setup() {
    safely(() => {
      speak(setting("Comfy.Locale"));
      addStyle();
      separateCopies();
      safely(addReview);
      api.addEventListener("executed", (event) => inTurn(() => onExecuted(/** @type {any} */ (event).detail)));
      api.addEventListener("execution_start", (event) => inTurn(() => onStart(/** @type {any} */ (event).detail)));
      for (const end of /** @type {const} */ (["execution_success", "execution_error", "execution_interrupted"]))
        api.addEventListener(end, (event) => inTurn(() => onEnd(/** @type {any} */ (event).detail)));
      app.canvas.canvas.addEventListener("litegraph:set-graph", () => safely(outlineDomNodes));
      app.canvas.canvas.addEventListener("subgraph-opened", (event) => safely(() => onOpened(/** @type {any} */ (event).detail)));
    });
  },
  beforeRegisterNodeDef(nodeType, definition) {
    const add = WIDGETS[definition.name];
    // On the canvas no frontend heeds `hideOutputImages`: there a node type's pictures are drawn by this handler, which the
    // host gives to every type and which does nothing else for ours.
    if (add && add !== addMark) delete nodeType.prototype.onDrawBackground;
  },
  nodeCreated(created) {
    const node = /** @type {GraphNode} */ (created);
    const add = WIDGETS[String(node.comfyClass)];
    if (!add) return;
    safely(() => {
      drawings.set(node, add(node));
      if (add !== addMark) hidePicture(node);
    });
  },
  afterConfigureGraph() {
    safely(showAll);
    safely(showOwn);
    inTurn(async () => (await restore()) && showAll());
  },
});

/** @param {any} message */
async function onExecuted(message) {
  const got = await receive(message);
  if (!got) return;
  const blocked = got.cards.find((card) => card.kind === "gate" && !card.passed);
  if (blocked && setting(TOASTS) !== false) tellBlocked(got, blocked);
  if (got.workflow === workflowId()) showAll();
}

/** @param {any} message */
async function onEnd(message) {
  if (await isOpen(String(message?.prompt_id))) showRoutes(true);
}

/** @param {any} opened */
function onOpened(opened) {
  noteOpened(opened?.subgraph, opened?.fromNode);
  showAll();
}

/** @param {any} message */
async function onStart(message) {
  await forget(String(message.prompt_id));
  showRoutes();
}
