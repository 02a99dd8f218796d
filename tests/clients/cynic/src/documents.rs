//! What is asked: cynic writes the documents of these types, and checks them against the schema
//! when they are compiled.

#[cynic::schema("hakken")]
mod schema {}

/// A place in the log.
#[derive(cynic::Scalar, Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(pub u64);

/// A code that came in an answer: a new one must not break a program that is older.
#[derive(cynic::Enum, Debug, Clone, PartialEq, Eq)]
#[cynic(non_exhaustive)]
pub enum ErrorCode {
    SeatTaken,
    #[cynic(fallback)]
    Other(String),
}

#[derive(cynic::QueryFragment, Debug)]
pub struct UserError {
    pub code: ErrorCode,
    pub message: String,
}

#[derive(cynic::InputObject)]
pub struct HoldSeatsInput {
    #[cynic(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    pub show: cynic::Id,
    pub buyer: String,
    pub seats: Vec<String>,
}

#[derive(cynic::QueryVariables)]
pub struct HoldVariables {
    pub input: HoldSeatsInput,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Mutation", variables = "HoldVariables")]
pub struct Hold {
    #[arguments(input: $input)]
    pub hold_seats: Option<HoldSeatsPayload>,
}

#[derive(cynic::QueryFragment, Debug)]
pub struct HoldSeatsPayload {
    pub hold: Option<Held>,
    pub position: Option<Position>,
    pub user_errors: Vec<UserError>,
}

#[derive(cynic::QueryFragment, Debug, PartialEq, Eq)]
#[cynic(graphql_type = "Hold")]
pub struct Held {
    pub seats: Vec<String>,
}

#[derive(cynic::QueryVariables)]
pub struct FreeVariables {
    pub show: cynic::Id,
    pub at_least: Option<Position>,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Query", variables = "FreeVariables")]
pub struct Free {
    #[arguments(show: $show, atLeast: $at_least)]
    pub availability: Option<Availability>,
}

#[derive(cynic::QueryFragment, Debug)]
pub struct Availability {
    pub totals: AvailabilityTotals,
    pub seat_letters: Option<String>,
}

#[derive(cynic::QueryFragment, Debug)]
pub struct AvailabilityTotals {
    pub free: i32,
}

#[derive(cynic::QueryVariables)]
pub struct FollowVariables {
    pub after: Position,
    pub kinds: Option<Vec<String>>,
}

#[derive(cynic::QueryFragment, Debug)]
#[cynic(graphql_type = "Subscription", variables = "FollowVariables")]
pub struct Follow {
    #[arguments(after: $after, kinds: $kinds)]
    pub events: Event,
}

/// What a subscription to the events is of.
pub type Following = cynic::StreamingOperation<Follow, FollowVariables>;

#[derive(cynic::QueryFragment, Debug)]
pub struct Event {
    pub position: Position,
    pub kind: String,
}
