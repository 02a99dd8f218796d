// Says of each case what the reference implementation says: node oracle.cjs <cases.json>, where
// the package `graphql` can be found from the folder of <cases.json>. Prints one array of
// { valid, reason }.
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");

const file = path.resolve(process.argv[2]);
const graphql = createRequire(file)("graphql");
const { sdl, cases } = JSON.parse(fs.readFileSync(file, "utf8"));
const schema = graphql.buildSchema(sdl);

function verdict({ text, variables }) {
  let document;
  try {
    document = graphql.parse(text);
  } catch (error) {
    return { valid: false, reason: error.message };
  }
  const errors = graphql.validate(schema, document);
  if (errors.length > 0) return { valid: false, reason: errors[0].message };
  if (variables !== undefined) {
    const operation = document.definitions.find((one) => one.kind === "OperationDefinition");
    const defined = operation.variableDefinitions ?? [];
    const found = graphql.getVariableValues(schema, defined, variables);
    if (found.errors) return { valid: false, reason: found.errors[0].message };
  }
  return { valid: true, reason: "" };
}

process.stdout.write(JSON.stringify(cases.map(verdict)));
