// A supergraph of Hakken and a subgraph of somebody else, composed by a library of others: what
// the running server says of itself must be accepted, and its entities must take fields from
// outside.
import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';

const answer = await fetch(`${process.env.HAKKEN_URL}/graphql`, {
  method: 'POST',
  headers: {
    'content-type': 'application/json',
    authorization: `Bearer ${process.env.HAKKEN_KEY}`,
  },
  body: JSON.stringify({ query: '{ _service { sdl } }' }),
});
const { sdl } = (await answer.json()).data._service;

const others = (key) => `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])
  type Ticket @key(fields: "${key}") { ${key}: ID! parkingSpace: String }
  type Order @key(fields: "${key}") { ${key}: ID! invoice: String }
  type Show @key(fields: "${key}") { ${key}: ID! reviews: [String!]! }
  type Query { parkingSpaces: [Ticket!]! }
`;
const compose = (first, second) =>
  composeServices([
    { name: 'hakken', typeDefs: parse(first), url: 'http://hakken/graphql' },
    { name: 'others', typeDefs: parse(second), url: 'http://others/graphql' },
  ]);
const expect = (holds, words) => {
  if (!holds) {
    console.error(words);
    process.exit(1);
  }
};

const { errors, supergraphSdl } = compose(sdl, others('id'));
expect(!errors?.length, `not composed: ${JSON.stringify(errors, null, 2)}`);
const supergraph = parse(supergraphSdl);
const fields = (name) => {
  const type = supergraph.definitions.find((each) => each.name?.value === name);
  return type?.fields.map((field) => field.name.value) ?? [];
};
for (const [type, own, added] of [
  ['Ticket', 'seat', 'parkingSpace'],
  ['Order', 'total', 'invoice'],
  ['Show', 'startsAt', 'reviews'],
]) {
  const found = fields(type);
  expect(found.includes(own) && found.includes(added), `${type} has ${found}`);
}
expect(fields('Query').includes('parkingSpaces') && fields('Query').includes('shows'), 'Query');
expect(!fields('Query').some((name) => name.startsWith('_')), 'the machinery shows');
expect(fields('Mutation').length > 30, 'Mutation');

// The checks see what they look for: a type that is no entity is not accepted.
const keyless = sdl.replaceAll(' @key(fields: "id")', '');
expect(compose(keyless, others('id')).errors?.length > 0, 'composed without keys');
expect(compose(sdl, others('number')).errors?.length > 0, 'composed with another key');
console.log('composed');
