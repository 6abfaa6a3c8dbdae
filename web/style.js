// @ts-check
/** The widgets' looks, in the frontend's own colours: they follow its theme, light or dark. */

const RULES = `
.emoe-card, .emoe-mark, .emoe-words {
  --emoe-ink: var(--input-text, #ddd);
  --emoe-faint: color-mix(in srgb, var(--input-text, #ddd) 78%, var(--comfy-input-bg, #222));
  --emoe-paper: var(--comfy-input-bg, #222);
  --emoe-rim: var(--border-color, #4e4e4e);
  --emoe-pass: color-mix(in srgb, #2f9be0 55%, var(--input-text, #ddd));
  --emoe-block: color-mix(in srgb, #d98a00 55%, var(--input-text, #ddd));
  --emoe-tone: var(--emoe-pass);
  box-sizing: border-box; width: 100%; font: 12px/1.35 Inter, Arial, sans-serif; color: var(--emoe-ink);
  background: var(--emoe-paper); border: 1px solid var(--emoe-rim); border-left: 4px solid var(--emoe-tone);
  border-radius: 6px; padding: 5px 8px; cursor: default; user-select: none; overflow: hidden;
}
.emoe-card { position: relative; height: 100%; min-height: 24px; display: flex; flex-direction: column; container-type: size; }
.emoe-card[data-verdict="block"], .emoe-mark[data-verdict="block"] { --emoe-tone: var(--emoe-block); }
.emoe-card[data-empty] { --emoe-tone: var(--emoe-rim); }
.emoe-card[data-empty] > :not(.emoe-line) { display: none; }
.emoe-head { display: flex; align-items: baseline; gap: 8px; font-size: 18px; line-height: 1.2; white-space: nowrap; }
.emoe-head[data-many] { font-size: 14px; }
.emoe-verdict { color: var(--emoe-tone); font-weight: 700; }
.emoe-observed { font-size: 12px; color: var(--emoe-faint); }
.emoe-score { margin-left: auto; }
.emoe-brief { display: none; font-size: 12px; color: var(--emoe-faint); }
.emoe-more { font: inherit; font-size: 14px; line-height: 1; color: var(--emoe-ink); background: none;
  border: 1px solid var(--emoe-rim); border-radius: 4px; padding: 2px 6px; cursor: pointer; min-width: 24px; min-height: 24px; }
.emoe-line { color: var(--emoe-faint); display: flex; flex-wrap: wrap; gap: 0 8px; flex-shrink: 0; }
.emoe-p { white-space: nowrap; }
.emoe-prompt { color: var(--emoe-ink); display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
  overflow-wrap: anywhere; }
.emoe-gauge { position: relative; flex: 1 1 50px; min-height: 50px; margin: 2px 0 2px; touch-action: none; }
.emoe-gauge svg { position: absolute; inset: 14px 0 0; width: 100%; height: calc(100% - 14px); overflow: visible; }
.emoe-bar { fill: color-mix(in srgb, var(--emoe-tone) 45%, var(--emoe-paper)); }
.emoe-base { stroke: var(--emoe-faint); stroke-width: 1; vector-effect: non-scaling-stroke; }
.emoe-marker { position: absolute; bottom: 0; width: 3px; height: 62%; margin-left: -1.5px; background: var(--emoe-tone); }
.emoe-marker::before { content: ""; position: absolute; left: -4px; top: -4px; width: 11px; height: 11px; border-radius: 50%;
  background: var(--emoe-tone); box-shadow: 0 0 0 2px var(--emoe-paper); }
.emoe-limit { position: absolute; top: 0; bottom: 0; width: 0; border-left: 2px dashed var(--emoe-ink); }
.emoe-limit span { position: absolute; top: -2px; left: 5px; line-height: 14px; white-space: nowrap; background: var(--emoe-paper); }
.emoe-limit[data-side="left"] span { left: auto; right: 6px; }
.emoe-limit[role="slider"] { cursor: ew-resize; width: 15px; margin-left: -7px; border-left: 0; }
.emoe-limit[role="slider"]::before { content: ""; position: absolute; left: 6px; top: 0; bottom: 0; border-left: 3px solid var(--emoe-ink); }
.emoe-limit[role="slider"]::after { content: ""; position: absolute; left: 1px; bottom: 0; width: 13px; height: 9px; border-radius: 3px;
  background: var(--emoe-ink); }
.emoe-limit[role="slider"] span { left: 13px; }
.emoe-limit[role="slider"][data-side="left"] span { right: 13px; left: auto; }
.emoe-card :focus-visible { outline: 2px solid var(--emoe-ink); outline-offset: 1px; }
.emoe-history { display: flex; gap: 2px; height: 14px; margin: 3px 0 0; padding: 0; list-style: none; }
.emoe-history li { flex: 0 1 12px; display: flex; align-items: flex-end; height: 14px; }
.emoe-history i { display: block; width: 100%; min-height: 2px; background: var(--emoe-pass); }
.emoe-history li[data-verdict="block"] i { background: var(--emoe-block); }
.emoe-details { position: absolute; inset: 31px 0 0; padding: 3px 8px 4px; background: var(--emoe-paper); display: flex; gap: 8px; z-index: 1; }
.emoe-details[hidden] { display: none; }
.emoe-details table { border-collapse: separate; border-spacing: 1px; align-self: flex-start; font-size: 10px; line-height: 1.2; }
.emoe-details th { font-weight: 400; padding: 0 3px; color: var(--emoe-ink); }
.emoe-details td { min-width: 22px; padding: 2px; text-align: center; }
.emoe-details caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.emoe-details dl { margin: 0; flex: 1; min-width: 0; display: grid; grid-template-columns: 1fr auto; gap: 3px 6px; align-content: start;
  font-size: 10px; line-height: 1.15; }
.emoe-details dt { color: var(--emoe-faint); }
.emoe-details dd { margin: 0; font-size: 11px; text-align: right; }
.emoe-mark { padding: 2px 6px; max-height: 100%; min-height: 22px; display: flex; flex-wrap: wrap; gap: 0 6px; align-content: start;
  container-type: inline-size; }
.emoe-mark[data-empty] { visibility: hidden; }
.emoe-mark b { color: var(--emoe-tone); }
.emoe-words { white-space: normal; min-height: 36px; height: 100%; overflow: auto; line-height: 1.9; font-size: 14px; border-left-width: 1px; }
.emoe-words mark { color: #111; border-radius: 3px; padding: 1px 3px; }
/* Hidden on a low card. Heights: head 26, line 17 (34 when narrow), prompt 17 or 34, gauge 54, history 17. */
@container (max-height: 147px) { .emoe-prompt { -webkit-line-clamp: 1; } }
@container (max-height: 164px) and (max-width: 244px) { .emoe-prompt { -webkit-line-clamp: 1; } }
@container (max-height: 130px) { .emoe-prompt { display: none; } }
@container (max-height: 147px) and (max-width: 244px) { .emoe-prompt { display: none; } }
@container (max-height: 130px) and (max-width: 244px) { .emoe-phrase { display: none; } }
@container (max-height: 113px) { .emoe-gauge, .emoe-more { display: none; } .emoe-prompt { display: -webkit-box; } }
@container (max-height: 76px) { .emoe-prompt { display: none; } }
@container (max-height: 58px) { .emoe-history { display: none; } }
@container (max-height: 36px) { .emoe-card:not([data-empty]) > .emoe-line { display: none; } .emoe-brief { display: inline; }
  .emoe-head { font-size: 14px; line-height: 18px; margin: -3px 0; } .emoe-card[data-empty] > .emoe-line { margin: -2px 0; } }
@container (max-width: 244px) { .emoe-observed ~ .emoe-brief { display: none; } }
@container (max-width: 210px) { .emoe-head { font-size: 14px; gap: 5px; } .emoe-observed { font-size: 11px; } }
@container (max-width: 150px) { .emoe-why { display: none; } }
.emoe-toast { cursor: pointer; }
`;

/**
 * A style sheet of the page that no element stands for: nothing is put among what others own.
 * @param {string} rules
 */
export function styleSheet(rules) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(rules);
  document.adoptedStyleSheets.push(sheet);
  return sheet;
}

/** @type {CSSStyleSheet | null} */
let own = null;

/** Puts the rules into the page, once. */
export function addStyle() {
  own ??= styleSheet(RULES);
}

/**
 * An element with attributes and children; attributes that are null are left out.
 * @param {string} tag
 * @param {Record<string, string | number | null>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

// Anchors of viridis (Smith and van der Walt, 2015, CC0), as on the score card.
const VIRIDIS = ["#440154", "#482475", "#414487", "#345f8d", "#2a768e", "#21918c", "#22a884", "#44bf70", "#7ad151", "#bdde26", "#fde725"];

/**
 * Background and readable text for a place on the scale from 0 to 1.
 * @param {number} share
 */
export function heat(share) {
  const place = Math.round(Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1));
  return { background: VIRIDIS[place], color: place >= 5 ? "#111" : "#fff" };
}
