// Apollo Client: a hold over HTTP, watched over a WebSocket.
import assert from "node:assert/strict";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { FOLLOW, FREE, HOLD, held, open, seat, socketUrl, url, within } from "./sale.js";

const sale = await open("apollo", 3);
const sockets = createClient({
  url: socketUrl,
  webSocketImpl: WebSocket,
  connectionParams: { authorization: `Bearer ${sale.auditor}` },
});
const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(sockets),
    new HttpLink({ uri: url, headers: { authorization: `Bearer ${sale.seller}` } }),
  ),
});

const told = new Promise((resolve, reject) => {
  const variables = { after: sale.position };
  client.subscribe({ query: gql(FOLLOW), variables }).subscribe({ next: resolve, error: reject });
});
const { data } = await client.mutate({ mutation: gql(HOLD), variables: seat(sale, 0) });
const position = held(data, 0);
const free = await client.query({
  query: gql(FREE),
  variables: { show: sale.show, atLeast: position },
});
assert.equal(free.data.availability.totals.free, 2);
const event = (await within(20, told)).data.events;
assert.deepEqual([event.kind, event.position], ["seats-held", position]);

// What is refused is an error of the client, with its code.
const wrong = client.query({ query: gql`{ nothing }` });
await assert.rejects(wrong, (error) => {
  const code = error.errors?.[0]?.extensions?.code;
  return code === "GRAPHQL_VALIDATION_FAILED";
});
client.stop();
await sockets.dispose();
console.log("sold and watched");
process.exit(0);
