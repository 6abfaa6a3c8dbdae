// Runs one graph through @saintno/comfyui-sdk, unmodified, and prints what it gives as JSON.
// node saintno.mjs NODE_MODULES URL NODES GRAPH_FILE
// NODES are the ids of the nodes that are mapped as outputs, with commas. The exit code is 1 when the client calls it a failure.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, url, nodes, file] = process.argv.slice(2);
const { ComfyApi, CallWrapper, PromptBuilder } = createRequire(`${modules}/`)("@saintno/comfyui-sdk");
const names = nodes.split(",");
let builder = new PromptBuilder(JSON.parse(readFileSync(file, "utf8")), [], names);
for (const name of names) builder = builder.setRawOutputNode(name, name);

const api = await new ComfyApi(url).init(5, 500).waitForReady();
let failure;
const outputs = await new CallWrapper(api, builder).onFailed((error) => (failure = error)).run();
const said = outputs ? { outputs } : { error: failure.name, said: failure.message };
process.stdout.write(JSON.stringify(said), () => process.exit(outputs ? 0 : 1));
