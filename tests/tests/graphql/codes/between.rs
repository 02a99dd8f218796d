//! Refusals that come while the engine is at the same thing: it is held at it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use hakken_adapters::memory::MemoryStore;
use hakken_domain::envelope::{Position, StoredEvent, StreamId, Version};
use hakken_projections::feed::{EventFeed, EventStream, FeedError};
use serde_json::json;
use tokio::sync::watch;

use super::{
    super::stage::{Ground, Stage, code},
    Met, done,
};

pub(super) async fn meet(met: &mut Met) {
    checkout(met).await;
    build(met).await;
}

/// From now on nobody answers events.
async fn off(duty: &watch::Sender<bool>) {
    duty.send(false).expect("a stage");
    // What was in hand is done.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Nobody answers events, so a paid order stays paid, and a cancellation under way.
async fn checkout(met: &mut Met) {
    let (duty, on_duty) = watch::channel(true);
    let stage = Stage::on(Ground { on_duty: Some(on_duty), ..Ground::in_memory() }).await;
    let tenant = stage.tenant("between").await;
    let on_sale = tenant.on_sale("concert").await;
    let seller = &tenant.box_office;
    let hold = tenant.hold(&on_sale.show, "b", &["A1", "A2"]).await;
    let line = json!({ "show": on_sale.show, "hold": hold, "ticketType": "adult" });
    let input = json!({ "buyer": "b", "lines": [line] });
    let placed = done(seller, "placeOrder", input, "order { id }").await;
    let order = placed["order"]["id"].clone();
    off(&duty).await;
    let payment = json!({ "payment": "p", "method": "card", "amountMinor": 10_000 });
    let input = json!({ "order": order, "currency": "JPY", "payments": [payment] });
    let paid = done(seller, "payOrder", input, "settled").await;
    assert_eq!(paid["settled"], "UNDER_WAY");
    let cancel = |items: &[u16]| json!({ "order": order, "items": items, "refund": "FULL", "reason": "ill" });
    met.refused("CHECKOUT_UNDER_WAY", seller, "cancelOrder", cancel(&[1])).await;

    // Somebody answers: the order is confirmed. Then nobody again.
    duty.send(true).expect("a stage");
    let query = "query($id: ID!) { order(id: $id) { status } }";
    let confirmed = async {
        while seller.ask(query, json!({ "id": order })).await["order"]["status"] != "CONFIRMED" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), confirmed).await.expect("it is confirmed");
    off(&duty).await;
    let begun = done(seller, "cancelOrder", cancel(&[1]), "settled").await;
    assert_eq!(begun["settled"], "UNDER_WAY");
    met.refused("CANCELLATION_UNDER_WAY", seller, "cancelOrder", cancel(&[2])).await;
}

/// A feed that can be told to give nothing for a while to who reads it from the beginning.
struct Held {
    inner: Arc<MemoryStore>,
    is_held: Arc<AtomicBool>,
}

impl EventFeed for Held {
    fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        Box::pin(async move {
            while self.is_held.load(Ordering::Relaxed) && after == Position(0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            EventFeed::read_all(&*self.inner, after, limit).await
        })
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<StoredEvent>>, FeedError>> {
        EventFeed::read_stream(&*self.inner, stream, after, limit)
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, FeedError>> {
        EventFeed::head(&*self.inner)
    }

    fn follow(&self, after: Position) -> EventStream {
        EventFeed::follow(&*self.inner, after)
    }
}

/// A read model that is being built is not built a second time beside that.
async fn build(met: &mut Met) {
    let store = Arc::new(MemoryStore::new());
    let is_held = Arc::new(AtomicBool::new(false));
    let ground = Ground {
        store: store.clone(),
        side: store.clone(),
        feed: Arc::new(Held { inner: store, is_held: is_held.clone() }),
        ..Ground::in_memory()
    };
    let stage = Stage::on(ground).await;
    stage.tenant("between").await;
    let operator = stage.operator();
    is_held.store(true, Ordering::Relaxed);
    let query = "mutation { rebuildProjections(input: { names: [\"orders\"] }) { \
                 userErrors { code } } }";
    let begun = operator.answer(query, json!({})).await;
    assert_eq!(begun["data"]["rebuildProjections"]["userErrors"], json!([]), "{begun}");
    let query = "mutation { verifyProjection(input: { name: \"orders\" }) { \
                 userErrors { code } } }";
    let refused = operator.answer(query, json!({})).await;
    assert_eq!(code(&refused), "", "{refused}");
    let found = &refused["data"]["verifyProjection"]["userErrors"][0]["code"];
    met.codes.insert(found.as_str().unwrap_or("").to_owned());
    assert_eq!(*found, "BUILD_UNDER_WAY", "{refused}");
    is_held.store(false, Ordering::Relaxed);
}
