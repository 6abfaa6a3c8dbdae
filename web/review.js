// @ts-check
/**
 * The tab Review: pictures of a trial or of the ledger one by one, to be marked good or bad. The score is not there to be seen:
 * the server does not send it.
 *
 * The buttons are `<input type="button">`, and the focus rests on one of them: the frontend undoes a change of the graph on
 * Ctrl+Z before any listener of the page hears of it, except while an input has the focus.
 */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { ROUTE, listen, make, startSending, waiting } from "./marks.js";
import { addReviewStyle } from "./review_style.js";
import { element } from "./style.js";
import { say } from "./words.js";

/**
 * @typedef {{ id: number, prompt: string, pictures: { route?: string, address?: string | null }[] }} Item
 * @typedef {{ source: string, name: string, kind: string, pictures: number, left: number, error?: string }} Source
 * @typedef {{ good: number, bad: number, left: number, low: number | null, high: number | null }} Progress
 * @typedef {{ item: Item, act: "good" | "bad" | "skip" }} Step what undo takes back
 * @typedef {{ item: Item, images: HTMLImageElement[], seen: boolean }} Shown
 */

const AHEAD = 8; // known beforehand, so that a mark is followed by the next picture at once
const LOADED = 2; // of them, loaded beforehand
const MOST_SKIPPED = 300;
const MOST_STEPS = 100;
const AGAIN = { away: 3000, idle: 5000 };
const SWIPE = 60; // pixels
const CHOSEN = "emoe.review.source";

/** @type {Record<string, string>} */
const KEYS = { g: "good", arrowright: "good", b: "bad", arrowleft: "bad", s: "skip", " ": "skip", u: "undo", f: "large" };
/** @type {Record<string, string>} as `aria-keyshortcuts` */
const SHORTCUTS = { good: "G ArrowRight", bad: "B ArrowLeft", skip: "S Space", undo: "U Control+Z", large: "F" };

/** @param {string} path @returns {Promise<any>} the answer, with `error` where it is a refusal; null without one */
async function ask(path) {
  try {
    const answer = await api.fetchApi(`${ROUTE}/${path}`, { cache: "no-store" });
    const told = await answer.json();
    return answer.ok || told?.error ? told : null;
  } catch {
    return null;
  }
}

/** @param {Storage} storage @param {string} key @returns {any} */
function recall(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Storage} storage @param {string} key @param {unknown} value */
function remember(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // only a convenience is lost
  }
}

/** @param {string} act */
function button(act) {
  return /** @type {HTMLInputElement} */ (
    element("input", { type: "button", value: say(`review_${act}`), title: say(`review_${act}_tip`), "data-act": act, "aria-keyshortcuts": SHORTCUTS[act] ?? null })
  );
}

class Review {
  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
    this.source = "";
    /** @type {Source[]} */
    this.sources = [];
    /** @type {Item[]} what comes next */
    this.list = [];
    /** @type {Shown | null} */
    this.current = null;
    /** @type {Map<number, Shown>} pictures that are loaded beforehand */
    this.ready = new Map();
    /** @type {Set<number>} */
    this.skipped = new Set();
    /** @type {Set<number>} marked in this browser, whether the server knows of it yet or not */
    this.done = new Set();
    /** @type {Step[]} */
    this.steps = [];
    /** @type {Progress | null} */
    this.progress = null;
    this.trouble = "";
    this.away = false; // the server does not answer
    this.stuck = false; // or does not take marks in
    this.asked = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.closed = false;

    this.choice = /** @type {HTMLSelectElement} */ (element("select", {}));
    this.pictures = element("div", { class: "emoe-review-pictures" });
    this.prompt = element("figcaption", { class: "emoe-review-prompt", tabindex: 0 });
    this.stage = element("figure", { class: "emoe-review-stage" }, this.pictures, this.prompt);
    this.message = element("p", { class: "emoe-review-trouble" });
    this.buttons = Object.fromEntries(["bad", "skip", "undo", "good", "large", "again"].map((act) => [act, button(act)]));
    this.buttons.again.hidden = true;
    this.bar = element("div", { class: "emoe-review-bar", role: "progressbar", "aria-label": say("review_progress"), "aria-valuemin": 0 }, element("i"), element("i"));
    this.counts = element("p");
    this.width = element("p");
    this.waits = element("p");
    this.live = element("div", { class: "emoe-review-live", role: "status", "aria-live": "polite" });
    const { bad, skip, undo, good, large, again } = this.buttons;
    this.root = element(
      "section",
      { class: "emoe-review", "aria-label": say("review_title") },
      element("label", {}, element("span", {}, say("review_source")), this.choice),
      element("div", { class: "emoe-review-top" }, element("p", {}, say("review_question")), large),
      this.stage,
      this.message,
      again,
      element("div", { class: "emoe-review-buttons", role: "group", "aria-label": say("review_mark") }, bad, skip, undo, good),
      this.bar,
      this.counts,
      this.width,
      this.waits,
      this.live,
    );
    this.dialog = /** @type {HTMLDialogElement} */ (element("dialog", { class: "emoe-review-large", "aria-label": say("review_title") }));

    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.root.addEventListener("click", (event) => this.onClick(event));
    this.choice.addEventListener("change", () => this.choose(this.choice.value));
    this.dialog.addEventListener("close", () => this.place(this.container));
    this.swipe();
    const onBack = () => this.refresh();
    api.addEventListener("reconnected", onBack);
    api.addEventListener("execution_success", onBack); // the ledger may have grown
    const ended = listen((mark, answer) => this.onMark(mark, answer));
    this.end = () => {
      ended();
      api.removeEventListener("reconnected", onBack);
      api.removeEventListener("execution_success", onBack);
    };
    container.replaceChildren(this.dialog, this.root);
    this.draw();
    requestAnimationFrame(() => this.buttons.skip.focus({ preventScroll: true }));
    this.load();
  }

  close() {
    this.closed = true;
    this.end();
    this.dialog.remove();
    this.root.remove();
  }

  // --- what there is ---

  async load() {
    const told = await ask("sources");
    if (this.closed) return;
    this.away = !told;
    if (!told) {
      this.later(() => this.load());
      this.draw();
      return;
    }
    this.sources = told.sources ?? [];
    const wanted = recall(localStorage, CHOSEN);
    const chosen = this.sources.find((one) => one.source === wanted) ?? this.sources.find((one) => one.left > 0) ?? this.sources[0];
    this.choice.replaceChildren(...this.sources.map((one) => element("option", { value: one.source })));
    this.choose(chosen?.source ?? "");
  }

  /** @param {string} source */
  choose(source) {
    this.source = this.choice.value = source;
    if (source) remember(localStorage, CHOSEN, source);
    this.list = [];
    this.current = null;
    this.ready.clear();
    this.skipped.clear();
    this.done = new Set();
    for (const mark of waiting()) this.note(mark);
    this.steps = recall(sessionStorage, `emoe.review.steps ${source}`) ?? [];
    for (const { item, act } of this.steps) if (act === "skip") this.skipped.add(item.id);
    this.progress = null;
    this.trouble = this.sources.find((one) => one.source === source)?.error ?? "";
    this.draw();
    if (source) this.refresh();
  }

  /** Learns what comes next, and whether what is shown was marked elsewhere. An answer that was overtaken counts for nothing. */
  async refresh() {
    const asked = ++this.asked;
    if (this.closed) return;
    if (!this.source) return this.load();
    const own = waiting().filter((mark) => mark.source === this.source);
    if (own.length && !this.away && !this.stuck) return; // the server would tell of a moment before them; it is asked after them
    const shown = this.current?.item.id;
    const unsure = own.some((mark) => mark.picture === shown); // its undo, say
    const query = new URLSearchParams({ source: this.source, count: String(AHEAD) });
    if (this.skipped.size) query.set("without", [...this.skipped].slice(-MOST_SKIPPED).join(","));
    if (shown !== undefined) query.set("shown", String(shown));
    const told = await ask(`next?${query}`);
    if (this.closed || asked !== this.asked) return;
    this.away = !told;
    if (!told) this.later(() => this.refresh());
    else if (told.error) this.trouble = told.error;
    else {
      this.trouble = "";
      this.progress = told.progress;
      if (shown !== undefined && shown === this.current?.item.id && !told.shown && !unsure) this.leave(say("review_elsewhere"));
      /** @type {Item[]} */
      const found = told.pictures;
      this.list = found.filter(({ id }) => id !== this.current?.item.id && !this.done.has(id) && !this.skipped.has(id));
      if (this.current?.images.some((image) => image.dataset.failed)) this.loadAgain(this.current);
      this.advance();
      if (!this.current) this.later(() => this.refresh(), AGAIN.idle); // more may be drawn just now
    }
    this.draw();
  }

  /** @param {() => void} work in place of what was to be done later @param {number} [pause] */
  later(work, pause = AGAIN.away) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => !this.closed && work(), pause);
  }

  // --- what is shown ---

  /** Shows the next picture where none is shown, and loads those after it. */
  advance() {
    if (!this.current) {
      const item = this.list.shift();
      if (item) this.current = this.prepare(item);
    }
    const near = this.list.slice(0, LOADED);
    for (const item of near) this.prepare(item);
    const kept = new Set([...near.map((item) => item.id), this.current?.item.id]);
    for (const id of [...this.ready.keys()]) if (!kept.has(id)) this.ready.delete(id);
  }

  /** @param {Item} item @returns {Shown} */
  prepare(item) {
    const known = this.ready.get(item.id);
    if (known) return known;
    /** @type {Shown} */
    const made = { item, images: [], seen: false };
    made.images = item.pictures.map(({ route, address }) => {
      const image = /** @type {HTMLImageElement} */ (element("img", { alt: item.prompt, draggable: "false" }));
      image.addEventListener("load", () => this.onLoad(made));
      image.addEventListener("error", () => this.onError(made, image));
      image.src = route ? api.apiURL(route) : (address ?? "data:,");
      return image;
    });
    this.ready.set(item.id, made);
    return made;
  }

  /** @param {Shown} shown */
  loadAgain(shown) {
    this.ready.delete(shown.item.id);
    if (this.current === shown) this.current = this.prepare(shown.item);
  }

  /** @param {Shown} shown */
  onLoad(shown) {
    shown.seen = true;
    if (this.current === shown) this.draw();
  }

  /** @param {Shown} shown @param {HTMLImageElement} image */
  async onError(shown, image) {
    const { route, address } = shown.item.pictures[shown.images.indexOf(image)] ?? {};
    image.dataset.failed = "away";
    if (!route) image.dataset.failed = address ?? "missing";
    else if (await ask(route.slice(ROUTE.length + 1))) image.dataset.failed = "missing";
    if (this.current === shown) this.draw();
  }

  /** Takes the shown picture away. @param {string} told */
  leave(told) {
    this.announce(told);
    this.current = null;
  }

  // --- what is done ---

  /** @param {string} act */
  act(act) {
    if (act === "undo") this.undo();
    else if (act === "large") this.enlarge();
    else if (act === "again") this.showSkipped();
    else if (this.current) this.judge(/** @type {"good" | "bad" | "skip"} */ (act), this.current);
  }

  /** @param {"good" | "bad" | "skip"} act @param {Shown} shown */
  judge(act, shown) {
    const { id } = shown.item;
    if (act !== "skip" && !shown.seen) return this.announce(say("review_unseen")); // nobody can tell of a picture that is not there
    if (act === "skip") this.skipped.add(id);
    else {
      this.done.add(id);
      make(this.source, id, act);
    }
    this.keepSteps([...this.steps, { item: shown.item, act }]);
    this.current = null;
    this.advance();
    const next = /** @type {Shown | null} */ (this.current)?.item.prompt;
    this.announce([say(`review_was_${act}`), next].filter(Boolean).join(" "));
    this.draw();
    this.refresh();
  }

  undo() {
    const step = this.steps.at(-1);
    if (!step) return this.announce(say("review_no_undo"));
    const { item, act } = step;
    this.keepSteps(this.steps.slice(0, -1));
    if (act === "skip") this.skipped.delete(item.id);
    else {
      this.done.delete(item.id);
      make(this.source, item.id, null);
    }
    const before = this.current?.item;
    if (before && before.id !== item.id) this.list.unshift(before);
    this.list = this.list.filter(({ id }) => id !== item.id);
    this.current = this.prepare(item);
    this.advance();
    this.announce(`${say("review_was_undo")} ${item.prompt}`);
    this.draw();
    this.refresh();
  }

  /** @param {Step[]} steps kept for this tab of the browser, so that a reload takes none away */
  keepSteps(steps) {
    this.steps = steps.slice(-MOST_STEPS);
    remember(sessionStorage, `emoe.review.steps ${this.source}`, this.steps);
  }

  showSkipped() {
    this.skipped.clear();
    this.keepSteps(this.steps.filter(({ act }) => act !== "skip"));
    this.buttons.skip.focus();
    this.refresh();
  }

  /** @type {import("./marks.js").Listener} */
  onMark(mark, answer) {
    if (answer !== "elsewhere") this.stuck = answer === "later";
    if (mark.source !== this.source || answer === "later") return this.draw();
    if (answer === "elsewhere") {
      this.note(mark);
      this.list = this.list.filter(({ id }) => !this.done.has(id));
      if (this.current && this.done.has(this.current.item.id)) this.leave(say("review_elsewhere"));
      this.advance();
      this.later(() => this.refresh()); // by then the other tab has sent it
    } else if (answer.error) {
      this.done.delete(mark.picture);
      this.keepSteps(this.steps.filter(({ item }) => item.id !== mark.picture));
      this.trouble = say("review_refused", { reason: answer.error });
      this.announce(this.trouble);
    } else {
      this.progress = answer.progress;
      this.refresh();
    }
    this.draw();
  }

  /** @param {import("./marks.js").Mark} mark */
  note(mark) {
    if (mark.source !== this.source) return;
    if (mark.quality === null) this.done.delete(mark.picture);
    else this.done.add(mark.picture);
  }

  // --- keys, clicks, touch ---

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const target = event.target;
    if (target instanceof HTMLSelectElement || event.altKey) return;
    const key = event.key.toLowerCase();
    const undo = (event.ctrlKey || event.metaKey) && !event.shiftKey && key === "z";
    if ((event.ctrlKey || event.metaKey) && !undo) return;
    const act = undo ? "undo" : KEYS[key];
    if (!act) return;
    event.stopPropagation(); // the frontend has keys of its own
    const pressed = target instanceof HTMLInputElement && key === " "; // the space bar presses the button that has the focus
    if (pressed && target.dataset.act !== act) return;
    event.preventDefault();
    if (!event.repeat) this.act(act); // a key that is held down marks one picture, not all
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const act = target.dataset.act;
    if (act) this.act(act);
    else if (this.stage.contains(target) && target !== this.prompt) this.buttons.skip.focus({ preventScroll: true });
  }

  swipe() {
    /** @type {PointerEvent | null} */
    let down = null;
    this.stage.addEventListener("pointerdown", (event) => (down = event.isPrimary && event.pointerType !== "mouse" ? event : null));
    this.stage.addEventListener("pointercancel", () => (down = null));
    this.stage.addEventListener("pointerup", (event) => {
      const [x, y] = down ? [event.clientX - down.clientX, event.clientY - down.clientY] : [0, 0];
      down = null;
      if (Math.abs(x) > SWIPE && Math.abs(x) > 2 * Math.abs(y)) this.act(x > 0 ? "good" : "bad");
    });
  }

  enlarge() {
    if (this.dialog.open) return this.dialog.close();
    this.dialog.showModal();
    this.place(this.dialog);
  }

  /** @param {HTMLElement} where */
  place(where) {
    where.append(this.root);
    this.draw();
    this.buttons.skip.focus({ preventScroll: true });
  }

  /** @param {string} text for those who do not see the page */
  announce(text) {
    this.live.textContent = text;
  }

  // --- drawing ---

  draw() {
    const { current, progress } = this;
    const images = current?.images ?? [];
    if (images.length !== this.pictures.childElementCount || images.some((image, at) => this.pictures.children[at] !== image))
      this.pictures.replaceChildren(...images);
    for (const image of images) image.hidden = Boolean(image.dataset.failed);
    const prompt = current?.item.prompt ?? "";
    if (this.prompt.textContent !== prompt) this.prompt.textContent = prompt;
    this.prompt.hidden = !prompt;
    this.message.replaceChildren(...this.told());
    this.message.hidden = !this.message.childNodes.length;
    this.buttons.again.hidden = Boolean(current) || !this.skipped.size || this.away;
    for (const act of ["good", "bad", "skip"]) this.buttons[act].setAttribute("aria-disabled", String(!current || (act !== "skip" && !current.seen)));
    this.buttons.undo.setAttribute("aria-disabled", String(!this.steps.length));
    this.buttons.large.value = say(this.dialog.open ? "review_small" : "review_large");

    const { good = 0, bad = 0, left = 0, low = null, high = null } = progress ?? {};
    const all = good + bad + left;
    this.bar.setAttribute("aria-valuemax", String(all || 1));
    this.bar.setAttribute("aria-valuenow", String(good + bad));
    const counts = progress ? say("review_counts", { done: good + bad, all, good, bad }) : "";
    this.bar.setAttribute("aria-valuetext", counts);
    for (const [at, part] of [good, bad].entries()) /** @type {HTMLElement} */ (this.bar.children[at]).style.width = `${(100 * part) / (all || 1)}%`;
    this.counts.textContent = counts;
    this.width.textContent = !all ? "" : low === null || high === null ? say("review_no_width") : say("review_width", { half: ((high - low) / 2).toFixed(2) });
    const waits = waiting().length;
    this.waits.textContent = waits && (this.away || this.stuck) ? say("review_waits", { count: waits }) : "";
    for (const option of this.choice.options) {
      const one = this.sources.find(({ source }) => source === option.value);
      if (one && progress && one.source === this.source) one.left = left;
      if (one) option.text = say("review_left", { name: one.kind === "ledger" ? say("review_ledger") : one.name, left: one.left });
    }
  }

  /** What is wrong or finished. @returns {(string | HTMLElement)[]} */
  told() {
    if (this.trouble) return [this.trouble];
    if (this.away || this.stuck) return [say("review_away")];
    const failed = this.current?.images.map((image) => image.dataset.failed).find(Boolean);
    if (failed === "missing") return [say("review_missing")];
    if (failed === "away") return [say("review_away")];
    if (failed) return [say("review_other"), " ", element("a", { href: failed, target: "_blank", rel: "noreferrer" }, failed)];
    if (this.current || (this.source && !this.progress)) return [];
    if (!this.sources.length) return [say("review_nothing")];
    if (this.skipped.size) return [say("review_only_skipped")];
    return this.progress?.left === 0 ? [say("review_finished")] : [];
  }
}

/** @type {Review | null} */
let open = null;

/** Adds the tab, and sends the marks that an earlier page could not. */
export function addReview() {
  addReviewStyle();
  startSending();
  app.extensionManager.registerSidebarTab({
    id: "emoe-review",
    icon: "pi pi-thumbs-up",
    title: say("review"),
    tooltip: say("review_title"),
    label: say("review"),
    type: "custom",
    render(container) {
      if (open && container.contains(open.root)) return; // frontends call this whenever they draw anew
      open?.close();
      open = new Review(container);
    },
    destroy() {
      open?.close();
      open = null;
    },
  });
}
