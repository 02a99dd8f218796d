// urql: a hold over HTTP, watched over a WebSocket and, by its own fetch exchange, as an event
// stream.
import assert from "node:assert/strict";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { FOLLOW, FREE, HOLD, held, open, seat, socketUrl, url, within } from "./sale.js";

const sale = await open("urql", 3);
const sockets = createClient({
  url: socketUrl,
  webSocketImpl: WebSocket,
  connectionParams: { authorization: `Bearer ${sale.auditor}` },
});
const as = (key) => ({ headers: { authorization: `Bearer ${key}` } });
const overSocket = subscriptionExchange({
  forwardSubscription: ({ query, variables }) => ({
    subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ query, variables }, sink) }),
  }),
});
const seller = new Client({
  url, exchanges: [overSocket, fetchExchange], fetchOptions: as(sale.seller), preferGetMethod: false,
});
const auditor = new Client({
  url, exchanges: [fetchExchange], fetchOptions: as(sale.auditor), fetchSubscriptions: true,
  preferGetMethod: false,
});

const first = (client) =>
  new Promise((resolve, reject) => {
    client.subscription(FOLLOW, { after: sale.position }).subscribe(({ data, error }) => {
      if (error) reject(error);
      if (data) resolve(data.events);
    });
  });
const told = [first(seller), first(auditor)];
const { data, error } = await seller.mutation(HOLD, seat(sale, 0)).toPromise();
assert.equal(error, undefined);
const position = held(data, 0);
const free = await seller.query(FREE, { show: sale.show, atLeast: position }).toPromise();
assert.equal(free.data.availability.totals.free, 2);
for (const event of await within(20, Promise.all(told))) {
  assert.deepEqual([event.kind, event.position], ["seats-held", position]);
}
const wrong = await seller.query("{ nothing }", {}).toPromise();
assert.equal(wrong.error.graphQLErrors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
await sockets.dispose();
console.log("sold and watched twice");
process.exit(0);
