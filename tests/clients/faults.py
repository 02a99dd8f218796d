"""What Schemathesis is told of Hakken: values of its scalars, and which answers are a fault."""

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

schemathesis.graphql.scalar("DateTime", st.datetimes().map(lambda at: nodes.String(at.isoformat() + "Z")))
schemathesis.graphql.scalar("Position", st.integers(0, 2**53).map(nodes.Int))
schemathesis.graphql.scalar("MinorUnits", st.integers(0, 2**53).map(nodes.Int))
schemathesis.graphql.scalar("JSON", st.text().map(nodes.String))
schemathesis.graphql.scalar("Currency", st.sampled_from(["JPY", "EUR", "XTS", "yen", ""]).map(nodes.String))
schemathesis.graphql.scalar("_Any", st.text().map(nodes.String))

# Whoever sends nonsense, or has not the right, is told so with one of these.
EXPECTED = {
    "BAD_USER_INPUT", "BAD_REQUEST", "FORBIDDEN", "UNAUTHENTICATED", "THROTTLED",
    "NOT_YET_VISIBLE", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED",
}


@schemathesis.check
def no_fault_of_the_server(ctx, response, case):
    """Every answer is JSON, no status is above 499, and every error has a code that is expected."""
    assert response.status_code < 500, response.status_code
    answer = response.json()
    assert "data" in answer or answer.get("errors"), answer
    for error in answer.get("errors", []):
        assert error["message"], error
        assert error["extensions"]["code"] in EXPECTED, error
