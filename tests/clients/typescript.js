// Types are generated from the committed schema, a program is compiled with them as strictly as
// TypeScript can, and run.
import { spawnSync } from "node:child_process";
import assert from "node:assert/strict";

const run = (name, ...more) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`node_modules/${name}`, ...more], {
    encoding: "utf8",
  });
  assert.equal(status, 0, `${name}: ${stdout}${stderr}`);
};
run("@graphql-codegen/cli/cjs/bin.js", "--config", "codegen.json");
run("typescript/bin/tsc", "--project", "tsconfig.json");
await import("./typed.js");
