// A show on sale, and what each client does with it: hold a seat and see that this is told.
import assert from "node:assert/strict";

export const url = `${process.env.HAKKEN_URL}/graphql`;
export const socketUrl = url.replace(/^http/, "ws");

export const HOLD = `mutation Hold($input: HoldSeatsInput!) {
  holdSeats(input: $input) { hold { id seats } position userErrors { code message } }
}`;
export const FREE = `query Free($show: ID!, $atLeast: Position) {
  availability(show: $show, atLeast: $atLeast) { totals { free } }
}`;
export const FOLLOW = `subscription Follow($after: Position!) {
  events(after: $after, kinds: ["seats-held"]) { position kind }
}`;

/** Sends an operation without any client, and gives its data. */
async function ask(key, query, variables) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

async function tell(key, mutation, fields, input) {
  const kind = `${mutation[0].toUpperCase()}${mutation.slice(1)}Input`;
  const query = `mutation($input: ${kind}!) {
    ${mutation}(input: $input) { ${fields} userErrors { code message } } }`;
  const payload = (await ask(key, query, { input }))[mutation];
  assert.deepEqual(payload.userErrors, [], mutation);
  return payload;
}

/** An organizer with a hall of so many seats on sale; the names keep sales apart. */
export async function open(name, seats) {
  const operator = process.env.HAKKEN_KEY;
  const once = (what) => `${name}-${what}`;
  const made = await tell(operator, "registerOrganizer", "organizer { id }", {
    idempotencyKey: once("organizer"),
    name,
  });
  const organizer = made.organizer.id;
  const keyOf = async (role) => {
    const input = { idempotencyKey: once(role), label: role, role, organizer };
    return (await tell(operator, "createApiKey", "secret", input)).secret;
  };
  const [owner, seller, auditor] = await Promise.all(["ORGANIZER", "BOX_OFFICE", "AUDITOR"].map(keyOf));
  const row = [...Array(seats).keys()].map((at) => ({
    id: `S${at}`, number: `${at + 1}`, x: at * 50, y: 0, category: "stalls",
  }));
  const map = {
    name: "Hall",
    focus: { x: 500, y: -200 },
    sections: [{ name: "Stalls", rows: [{ name: "1", seats: row }] }],
  };
  const { venue } = await tell(owner, "registerVenue", "venue { id }", {
    idempotencyKey: once("venue"), name: "Hall", seatMap: { json: JSON.stringify(map) },
  });
  const { show } = await tell(owner, "scheduleShow", "show { id }", {
    idempotencyKey: once("show"), name: "Show", venue: venue.id,
    startsAt: "2098-01-01T10:00:00Z", endsAt: "2098-01-01T12:00:00Z",
  });
  const { position } = await tell(owner, "openSales", "position", {
    idempotencyKey: once("sales"),
    show: show.id,
    rules: { salesFrom: "2020-01-01T00:00:00Z", salesUntil: "2098-01-01T00:00:00Z" },
  });
  return { show: show.id, seller, auditor, position, seats };
}

/** The input that holds one seat. */
export const seat = (sale, at) => ({
  input: { idempotencyKey: `hold-${sale.show}-${at}`, show: sale.show, buyer: "b", seats: [`S${at}`] },
});

/** What a good answer to HOLD is; gives its position. */
export function held(data, at) {
  assert.deepEqual(data.holdSeats.userErrors, []);
  assert.deepEqual(data.holdSeats.hold.seats, [`S${at}`]);
  return data.holdSeats.position;
}

/** Fails a script in which something that is waited for never comes. */
export function within(seconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came in ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
