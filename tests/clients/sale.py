"""gql: a hold over HTTP, watched over a WebSocket. The server's address and its first key come
from the environment."""

import asyncio
import json
import os

from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

URL = os.environ["HAKKEN_URL"] + "/graphql"
HOLD = gql("""mutation Hold($input: HoldSeatsInput!) {
  holdSeats(input: $input) { hold { id seats } position userErrors { code message } } }""")
FREE = gql("""query Free($show: ID!, $atLeast: Position) {
  availability(show: $show, atLeast: $atLeast) { totals { free } } }""")
FOLLOW = gql("""subscription Follow($after: Position!) {
  events(after: $after, kinds: ["seats-held"]) { position kind } }""")


def over_http(key):
    transport = AIOHTTPTransport(url=URL, headers={"Authorization": f"Bearer {key}"})
    # The schema is fetched, and every document is checked against it before it is sent.
    return Client(transport=transport, fetch_schema_from_transport=True)


async def tell(session, mutation, fields, more):
    kind = mutation[0].upper() + mutation[1:] + "Input"
    document = gql(
        f"mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {fields} "
        "userErrors { code message } } }"
    )
    document.variable_values = {"input": {"idempotencyKey": f"python-{mutation}", **more}}
    answer = (await session.execute(document))[mutation]
    assert answer["userErrors"] == [], answer
    return answer


async def open_sale():
    async with over_http(os.environ["HAKKEN_KEY"]) as operator:
        made = await tell(operator, "registerOrganizer", "organizer { id }", {"name": "Python"})
        organizer = made["organizer"]["id"]
        keys = {}
        for role in ["ORGANIZER", "BOX_OFFICE", "AUDITOR"]:
            more = {"idempotencyKey": f"python-{role}", "label": role, "role": role,
                    "organizer": organizer}
            keys[role] = (await tell(operator, "createApiKey", "secret", more))["secret"]
    async with over_http(keys["ORGANIZER"]) as owner:
        row = [{"id": f"S{at}", "number": str(at + 1), "x": at * 50, "y": 0, "category": "stalls"}
               for at in range(3)]
        hall = {"name": "Hall", "focus": {"x": 500, "y": -200},
                "sections": [{"name": "Stalls", "rows": [{"name": "1", "seats": row}]}]}
        more = {"name": "Hall", "seatMap": {"json": json.dumps(hall)}}
        venue = (await tell(owner, "registerVenue", "venue { id }", more))["venue"]["id"]
        more = {"name": "Show", "venue": venue, "startsAt": "2098-01-01T10:00:00Z",
                "endsAt": "2098-01-01T12:00:00Z"}
        show = (await tell(owner, "scheduleShow", "show { id }", more))["show"]["id"]
        rules = {"salesFrom": "2020-01-01T00:00:00Z", "salesUntil": "2098-01-01T00:00:00Z"}
        opened = await tell(owner, "openSales", "position", {"show": show, "rules": rules})
    return keys, show, opened["position"]


async def first_hold(key, after):
    transport = WebsocketsTransport(
        url=URL.replace("http", "ws", 1),
        init_payload={"authorization": f"Bearer {key}"},
        # Left alone it looks for the answer's header in capitals, and takes the old protocol.
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )
    FOLLOW.variable_values = {"after": after}
    async with Client(transport=transport) as session:
        async for answer in session.subscribe(FOLLOW):
            return answer["events"]


async def main():
    keys, show, position = await open_sale()
    watching = asyncio.create_task(first_hold(keys["AUDITOR"], position))
    async with over_http(keys["BOX_OFFICE"]) as seller:
        HOLD.variable_values = {"input": {
            "idempotencyKey": "python-hold", "show": show, "buyer": "b", "seats": ["S0"],
        }}
        held = (await seller.execute(HOLD))["holdSeats"]
        assert held["userErrors"] == [] and held["hold"]["seats"] == ["S0"], held
        FREE.variable_values = {"show": show, "atLeast": held["position"]}
        free = await seller.execute(FREE)
        assert free["availability"]["totals"]["free"] == 2, free
        try:
            await seller.execute(gql("{ auditLog(first: 1) { edges { cursor } } }"))
        except TransportQueryError as error:
            assert error.errors[0]["extensions"]["code"] == "FORBIDDEN", error.errors
        else:
            raise AssertionError("a seller reads no audit log")
    told = await asyncio.wait_for(watching, 20)
    assert told == {"position": held["position"], "kind": "seats-held"}, told
    print("sold and watched")


asyncio.run(main())
