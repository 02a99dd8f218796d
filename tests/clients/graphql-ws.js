// graphql-ws: the sale over one WebSocket; the feed goes on where it was cut off.
import assert from "node:assert/strict";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { FOLLOW, HOLD, held, open, seat, socketUrl, within } from "./sale.js";

const sale = await open("graphql-ws", 4);
const connect = (key, more = {}) =>
  createClient({
    url: socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    retryAttempts: 0,
    ...more,
  });
const seller = connect(sale.seller);

const once = (client, payload) =>
  new Promise((resolve, reject) => {
    let result;
    client.subscribe(payload, {
      next: (next) => (result = next),
      error: reject,
      complete: () => resolve(result),
    });
  });
const sell = async (at) => {
  const { data } = await within(20, once(seller, { query: HOLD, variables: seat(sale, at) }));
  return held(data, at);
};

/** Follows from a position, on a socket of its own that is cut off after so many events. */
const follow = (after, count) =>
  new Promise((resolve, reject) => {
    const seen = [];
    let socket;
    const auditor = connect(sale.auditor, { on: { connected: (open) => (socket = open) } });
    const cut = () => {
      socket.terminate();
      resolve(seen);
    };
    auditor.subscribe({ query: FOLLOW, variables: { after } }, {
      next: ({ data }) => {
        // What had come already is still told behind the cut.
        if (seen.length === count) return;
        seen.push(data.events.position);
        if (seen.length === count) cut();
      },
      // The end of the socket, which was cut off on purpose.
      error: (error) => (seen.length < count ? reject(error) : undefined),
      complete: () => reject(new Error("it ended")),
    });
  });

const sold = [await sell(0), await sell(1)];
const before = await within(20, follow(sale.position, 1));
sold.push(await sell(2));
const watching = follow(before.at(-1), 3);
sold.push(await sell(3));
assert.deepEqual([...before, ...(await within(20, watching))], sold);

// Errors before anything runs come as `error`, and the socket stays.
await assert.rejects(once(seller, { query: "{ nothing }" }), (errors) => {
  return errors[0].extensions.code === "GRAPHQL_VALIDATION_FAILED";
});
assert.ok((await once(seller, { query: "{ viewer { role } }" })).data.viewer);

// A key that opens nothing closes the socket with 4403.
await assert.rejects(once(connect("hk_nothing"), { query: "{ viewer { role } }" }), ({ code }) => {
  return code === 4403;
});
await seller.dispose();
console.log("sold and watched, cut off and gone on");
process.exit(0);
