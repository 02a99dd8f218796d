//! cynic: a hold over HTTP, watched over a WebSocket that is cut off and goes on. The server's
//! address and its first key come from the environment.

mod documents;
mod sale;

use std::{env, time::Duration};

use cynic::{GraphQlResponse, MutationBuilder, Operation, QueryBuilder, SubscriptionBuilder};
use documents::{
    ErrorCode, Follow, FollowVariables, Free, FreeVariables, Hold, HoldSeatsInput, HoldVariables,
    Position,
};
use futures_lite::StreamExt;
use graphql_ws_client::{Client, Subscription};
use sale::{Failure, Sale, ask};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{client::IntoClientRequest, http::HeaderValue};

/// What is told comes so soon.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let url = format!("{}/graphql", env::var("HAKKEN_URL")?);
    let sale = Sale::open(&url, &env::var("HAKKEN_KEY")?)?;
    let mut watching = watch(&sale, sale.position).await?;
    let first = hold(&sale, "S0")?;
    assert_eq!(told(&mut watching).await?, first);
    let free = Free::build(FreeVariables { show: sale.show.clone(), at_least: Some(first) });
    let free = ask(&url, &sale.seller, free)?.availability.ok_or("nothing is known")?;
    assert_eq!((free.totals.free, free.seat_letters.as_deref()), (2, Some("HFF")));

    // Cut off, and gone on behind the last position that came.
    drop(watching);
    let second = hold(&sale, "S1")?;
    assert_eq!(told(&mut watch(&sale, first).await?).await?, second);

    // A refusal is data: the seat is held already.
    let taken = ask(&url, &sale.seller, held(&sale, "S1", "again"))?.hold_seats;
    let taken = taken.ok_or("no answer")?;
    assert_eq!((taken.hold, &taken.user_errors[0].code), (None, &ErrorCode::SeatTaken));
    assert!(taken.user_errors[0].message.contains("S1"), "{:?}", taken.user_errors);
    println!("sold and watched, cut off and gone on");
    Ok(())
}

fn held(sale: &Sale, seat: &str, once: &str) -> Operation<Hold, HoldVariables> {
    let input = HoldSeatsInput {
        idempotency_key: Some(format!("cynic-{seat}-{once}")),
        show: sale.show.clone(),
        buyer: "b".to_owned(),
        seats: vec![seat.to_owned()],
    };
    Hold::build(HoldVariables { input })
}

/// Holds a seat; gives the position at which that stands.
fn hold(sale: &Sale, seat: &str) -> Result<Position, Failure> {
    let payload = ask(&sale.url, &sale.seller, held(sale, seat, "first"))?.hold_seats;
    let payload = payload.ok_or("no answer")?;
    assert!(payload.user_errors.is_empty(), "{:?}", payload.user_errors);
    assert_eq!(payload.hold.ok_or("no hold")?.seats, [seat]);
    Ok(payload.position.ok_or("nothing happened")?)
}

type Following = Subscription<documents::Following>;

/// Follows behind a position, on a socket of its own.
async fn watch(sale: &Sale, after: Position) -> Result<Following, Failure> {
    let mut request = sale.url.replacen("http", "ws", 1).into_client_request()?;
    let protocol = HeaderValue::from_static("graphql-transport-ws");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (socket, _) = tokio_tungstenite::connect_async(request).await?;
    let greeting = json!({ "authorization": format!("Bearer {}", sale.auditor) });
    let kinds = Some(vec!["seats-held".to_owned()]);
    let follow = Follow::build(FollowVariables { after, kinds });
    Ok(Client::build(socket).payload(greeting)?.subscribe(follow).await?)
}

/// The position of the next event.
async fn told(watching: &mut Following) -> Result<Position, Failure> {
    let next = timeout(PATIENCE, watching.next()).await?.ok_or("it ended")??;
    let GraphQlResponse { data, errors } = next;
    assert!(errors.is_none(), "{errors:?}");
    let event = data.ok_or("nothing is told")?.events;
    assert_eq!(event.kind, "seats-held");
    Ok(event.position)
}
