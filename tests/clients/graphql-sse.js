// graphql-sse in both its modes: the sale, and watching it, as event streams.
import assert from "node:assert/strict";
import { createClient } from "graphql-sse";
import { FOLLOW, HOLD, held, open, seat, url, within } from "./sale.js";

for (const singleConnection of [false, true]) {
  const sale = await open(`graphql-sse-${singleConnection}`, 3);
  const connect = (key) =>
    createClient({
      url, singleConnection, retryAttempts: 0, headers: { authorization: `Bearer ${key}` },
    });
  const [seller, auditor] = [connect(sale.seller), connect(sale.auditor)];
  const once = (client, payload) =>
    new Promise((resolve, reject) => {
      let result;
      client.subscribe(payload, {
        next: (next) => (result = next),
        error: reject,
        complete: () => resolve(result),
      });
    });
  const seen = [];
  let stop;
  const watched = new Promise((resolve, reject) => {
    const variables = { after: sale.position };
    stop = auditor.subscribe({ query: FOLLOW, variables }, {
      next: ({ data, errors }) => {
        if (errors) reject(errors);
        seen.push(data.events.position);
        if (seen.length === 2) resolve();
      },
      error: reject,
      complete: () => {},
    });
  });
  const sold = [];
  for (const at of [0, 1]) {
    const { data } = await within(20, once(seller, { query: HOLD, variables: seat(sale, at) }));
    sold.push(held(data, at));
  }
  await within(20, watched);
  assert.deepEqual(seen, sold);
  stop();
  const roles = ["{ viewer { role } }", "{ viewer { role } }"];
  const answers = await within(20, Promise.all(roles.map((query) => once(seller, { query }))));
  assert.deepEqual(answers.map(({ data }) => data.viewer.role), ["BOX_OFFICE", "BOX_OFFICE"]);
  if (!singleConnection) {
    const { errors } = await within(20, once(seller, { query: "{ nothing }" }));
    assert.equal(errors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
  }
  seller.dispose();
  auditor.dispose();
}
console.log("sold and watched in both modes");
process.exit(0);
