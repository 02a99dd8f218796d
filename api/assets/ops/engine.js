// Asks the server: GraphQL with the key, health and metrics. It asks only for what the schema of
// this server has.

const BUILD = ["kind", "phase", "paused", "done", "total", "perSecond", "secondsLeft"];
const REPORT = ["equal", "firstDifference", "seconds"];
const PLAIN = [
  "name", "version", "state", "reason", "stoppedAt", "position", "head", "lagPositions",
  "lagSeconds", "lastBuildError",
];
const NEWEST = ["at", "code", "message", "field", "apiKeyId", "trace"];

/** The server answers, and says no. */
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Engine {
  constructor(key) {
    this.key = key;
  }

  async ask(query, variables) {
    const response = await fetch("/graphql", {
      method: "POST",
      headers: {
        Authorization: `Bearer ${this.key}`,
        "Content-Type": "application/json",
        Accept: "application/graphql-response+json",
      },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(15_000),
      cache: "no-store",
    });
    const answer = await response.json();
    const error = answer.errors?.[0];
    if (error && !answer.data) throw new Refused(error.extensions?.code ?? "", error.message);
    return answer;
  }

  async text(path) {
    const signal = AbortSignal.timeout(15_000);
    const response = await fetch(path, { signal, cache: "no-store" });
    return { status: response.status, text: await response.text() };
  }

  /** Who we are, and what this server's schema has. */
  async begin() {
    const { data, errors } = await this.ask(`query OpsBegin {
      viewer { label role engineVersion }
      query: __type(name: "Query") { fields { name } }
      mutation: __type(name: "Mutation") { fields { name } }
      projection: __type(name: "Projection") { fields { name } }
    }`);
    if (!data.viewer) throw new Refused(errors?.[0]?.extensions?.code ?? "", errors?.[0]?.message);
    const names = (type) => new Set(data[type]?.fields.map(({ name }) => name));
    this.queries = names("query");
    this.mutations = names("mutation");
    this.fields = names("projection");
    return data.viewer;
  }

  can(mutation) {
    return this.mutations.has(mutation);
  }

  async look() {
    const has = (name) => this.fields.has(name);
    const fields = PLAIN.filter(has);
    if (has("build")) fields.push(`build { ${BUILD.join(" ")} }`);
    if (has("lastBuild")) fields.push(`lastBuild { ${REPORT.join(" ")} }`);
    if (has("former")) fields.push("former { position removedAt }");
    if (has("skipped")) fields.push("skipped { position }");
    const newest = this.queries.has("newestRefusals") ? `newestRefusals { ${NEWEST.join(" ")} }` : "";
    const { data } = await this.ask(`query OpsLook {
      projections { ${fields.join(" ")} }
      processes { name position unanswered retries }
      ${newest}
    }`);
    return data;
  }

  /** Carries a mutation out; gives what was refused, if it was. */
  async change(mutation, type, input, fields = "userErrors { code message }") {
    const query = `mutation Ops($input: ${type}!) { ${mutation}(input: $input) { ${fields} } }`;
    const { data, errors } = await this.ask(query, { input });
    const refused = data?.[mutation]?.userErrors?.[0] ?? errors?.[0];
    return refused ? refused.message : undefined;
  }
}
