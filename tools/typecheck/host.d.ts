/** The host's modules as ComfyUI serves them, with the types that its frontend publishes. */

type ComfyApp = import("@comfyorg/comfyui-frontend-types").ComfyApp;
type Extension = Parameters<ComfyApp["registerExtension"]>[0];
type PublishedNode = Parameters<NonNullable<Extension["nodeCreated"]>>[0];
type Widget = NonNullable<PublishedNode["widgets"]>[number];

/** What the frontend adds to every node; the published types leave it out. */
interface DomWidgetOptions {
  serialize?: boolean;
  hideOnZoom?: boolean;
  getMinHeight?: () => number;
  getMaxHeight?: () => number;
  getValue?: () => string;
  setValue?: (value: string) => void;
}
type GraphNode = PublishedNode & {
  onExecuted?: (output: Record<string, any>) => void;
  addDOMWidget(name: string, type: string, element: HTMLElement, options?: DomWidgetOptions): Widget;
};

interface Window {
  LiteGraph?: { vueNodesMode?: boolean };
}

declare module "*/scripts/app.js" {
  export const app: ComfyApp;
}

declare module "*/scripts/api.js" {
  export const api: import("@comfyorg/comfyui-frontend-types").ComfyApi;
}
