// Runs one graph through @stable-canvas/comfyui-client, unmodified, and prints what it gives as JSON.
// node stable_canvas.cjs NODE_MODULES HOST:PORT HOW GRAPH_FILE
// HOW is polling (enqueue_polling), invoke (Workflow.invoke) or enqueue. The exit code is 1 when the client throws.
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const [modules, server, how, file] = process.argv.slice(2);
const library = createRequire(`${modules}/`)("@stable-canvas/comfyui-client");
const graph = JSON.parse(readFileSync(file, "utf8"));
const client = new library.Client({ api_host: server, ssl: false });

// The client's own images, and, in the place that it keeps for other data, the Gate's verdicts and files.
const resolver = (result, output, context) => ({
  ...library.builtins.RESOLVERS.image(result, output, context),
  data: { verdicts: output.emoe ?? result.data?.verdicts ?? [], files: output.files ?? result.data?.files ?? [] },
});

// The client numbers nodes itself, from 1, in the order in which they are made.
function workflow() {
  const made = new library.Workflow();
  const ids = Object.keys(graph);
  const linked = (value) => (Array.isArray(value) ? [`${ids.indexOf(value[0]) + 1}`, value[1]] : value);
  for (const { class_type, inputs } of Object.values(graph)) {
    made.node(class_type, Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, linked(value)])));
  }
  return made;
}

async function run() {
  if (how === "polling") return client.enqueue_polling(graph, { polling_ms: 100, resolver });
  await client.connect();
  return how === "enqueue" ? client.enqueue(graph, { resolver }) : workflow().invoke(client, { resolver });
}

run()
  .then(({ images, data }) => ({ images: images.map((image) => image.data), ...data }))
  .catch((error) => {
    const kind = Object.keys(library).find((name) => library[name] === error.constructor) ?? error.name;
    return { error: kind, said: String(error.message).trim() };
  })
  .then((result) => {
    process.stdout.write(JSON.stringify(result));
    client.close();
    process.exit(result.error === undefined ? 0 : 1);
  });
