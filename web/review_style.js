// @ts-check
/** The looks of the tab Review, in the frontend's own colours: they follow its theme, light or dark. */
import { styleSheet } from "./style.js";

const RULES = `
.emoe-review { --emoe-ink: var(--input-text, #ddd); --emoe-rim: var(--border-color, #4e4e4e);
  --emoe-good: color-mix(in srgb, #2f9be0 55%, var(--emoe-ink)); --emoe-bad: color-mix(in srgb, #d98a00 55%, var(--emoe-ink));
  box-sizing: border-box; width: 100%; height: 100%; min-width: 0; display: flex; flex-direction: column; gap: 8px; padding: 10px;
  font: 14px/1.4 Inter, Arial, sans-serif; color: var(--emoe-ink); overflow-y: auto; }
.emoe-review p, .emoe-review figure { margin: 0; }
.emoe-review-top { display: flex; gap: 8px; align-items: center; justify-content: space-between; }
.emoe-review label { display: flex; gap: 6px; align-items: center; }
.emoe-review select { flex: 1 1 0; min-width: 0; }
.emoe-review select, .emoe-review input[type="button"] { font: inherit; color: var(--emoe-ink); min-height: 32px; padding: 2px 10px;
  background: var(--comfy-input-bg, #333); border: 1px solid var(--emoe-rim); border-radius: 6px; cursor: pointer; }
.emoe-review :focus-visible { outline: 3px solid var(--emoe-ink); outline-offset: 1px; }
.emoe-review [hidden] { display: none; }
.emoe-review-stage { display: flex; flex-direction: column; gap: 8px; touch-action: pan-y pinch-zoom; }
.emoe-review-pictures { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); grid-template-rows: minmax(0, 1fr); gap: 4px;
  aspect-ratio: 1; max-height: max(200px, calc(100vh - 430px)); }
.emoe-review-pictures img { width: 100%; height: 100%; object-fit: contain; user-select: none; border-radius: 6px; }
.emoe-review-prompt { max-height: 7em; overflow-y: auto; overflow-wrap: anywhere; white-space: pre-wrap; }
.emoe-review-trouble { padding: 8px; border: 1px solid var(--emoe-bad); border-radius: 6px; overflow-wrap: anywhere; }
.emoe-review-trouble a { color: inherit; }
.emoe-review-buttons { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 6px; }
.emoe-review .emoe-review-buttons input { min-height: 52px; padding: 2px 4px; white-space: normal; }
.emoe-review input[data-act="good"] { border: 2px solid var(--emoe-good); font-weight: 700; }
.emoe-review input[data-act="bad"] { border: 2px solid var(--emoe-bad); font-weight: 700; }
.emoe-review input[aria-disabled="true"] { border-style: dashed; cursor: default; }
.emoe-review-bar { display: flex; height: 10px; border: 1px solid var(--emoe-rim); border-radius: 5px; overflow: hidden; }
.emoe-review-bar i { flex: 0 0 auto; transition: width 150ms; }
.emoe-review-bar i:first-child { background: var(--emoe-good); }
.emoe-review-bar i:last-child { background: var(--emoe-bad); }
.emoe-review-live { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
dialog.emoe-review-large { width: 100vw; height: 100vh; max-width: none; max-height: none; margin: 0; padding: 0; border: 0; overflow: hidden; }
.emoe-review-large .emoe-review { max-width: 1400px; margin: 0 auto; }
.emoe-review-large .emoe-review-stage, .emoe-review-large .emoe-review-pictures { flex: 1 1 0; min-height: 160px; }
.emoe-review-large .emoe-review-pictures { aspect-ratio: auto; max-height: none; }
dialog.emoe-review-large, .emoe-review-large::backdrop { background: var(--comfy-menu-bg, #222); }
@media (prefers-reduced-motion: reduce) { .emoe-review-bar i { transition: none; } }
`;

/** @type {CSSStyleSheet | null} */
let own = null;

/** Puts the rules into the page, once. */
export function addReviewStyle() {
  own ??= styleSheet(RULES);
}
