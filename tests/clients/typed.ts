// A sale in which the compiler knows every field: what is misspelt here does not compile.
import assert from "node:assert/strict";
import { print } from "graphql";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { createClient, type Client } from "graphql-ws";
import WebSocket from "ws";
import { open, seat, socketUrl, within } from "./sale.js";
import {
  FollowDocument,
  FreeDocument,
  HoldDocument,
  type FollowSubscription,
  type HoldMutation,
} from "./operations.js";

const sale = await open("typed", 3);
const connect = (key: string): Client =>
  createClient({
    url: socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    retryAttempts: 0,
  });
const seller = connect(sale.seller);
const auditor = connect(sale.auditor);

/** The first answer to an operation. */
async function first<D, V extends Record<string, unknown>>(
  client: Client,
  document: TypedDocumentNode<D, V>,
  variables: V,
): Promise<D> {
  const answers = client.iterate<D>({ query: print(document), variables });
  for await (const { data, errors } of answers) {
    assert.equal(errors, undefined);
    if (data) return data;
  }
  throw new Error("no answer");
}

const watching: Promise<FollowSubscription> = first(auditor, FollowDocument, { after: sale.position });
const held: HoldMutation = await first(seller, HoldDocument, seat(sale, 0));
assert.deepEqual(held.holdSeats?.userErrors, []);
assert.deepEqual(held.holdSeats?.hold?.seats, ["S0"]);
const position: number = held.holdSeats?.position ?? 0;
const free = await first(seller, FreeDocument, { show: sale.show, atLeast: position });
assert.equal(free.availability?.totals.free, 2);
const told = await within(20, watching);
assert.deepEqual([told.events.kind, told.events.position], ["seats-held", position]);
// @ts-expect-error The schema has no such field.
void told.events.nothing;
await seller.dispose();
await auditor.dispose();
console.log("compiled, sold and watched");
process.exit(0);
