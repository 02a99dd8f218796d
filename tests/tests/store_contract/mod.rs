//! What every event store must do. A store joins with one line at the end of the list below.

mod appending;
mod copying;
mod embedded;
mod eventstoredb;
mod following;
mod importing;
mod postgres;
mod racing;
mod reading;
mod side;
mod tls;
mod turning;
mod unfinished;

use std::{any::Any, sync::Arc};

use hakken_adapters::{
    data_dir::DataDir,
    embedded::{EmbeddedStore, OpenOptions},
    memory::MemoryStore,
    postgres::PostgresStore,
};
use hakken_commands::store::{EventStore, SideStore};
use hakken_projections::feed::EventFeed;
use hakken_tests::{eventstoredb::TestStore, postgres::Postgres};

/// All that a store is.
pub trait Store: EventStore + SideStore + EventFeed {}

impl<S: EventStore + SideStore + EventFeed> Store for S {}

/// An empty store and what it needs to live (a directory, a server).
pub struct Opened {
    pub store: Arc<dyn Store>,
    _alive: Box<dyn Any + Send>,
}

async fn memory() -> Opened {
    Opened { store: Arc::new(MemoryStore::new()), _alive: Box::new(()) }
}

/// A live feed so short that nearly every follower lags.
async fn memory_short_feed() -> Opened {
    Opened { store: Arc::new(MemoryStore::with_live_bytes(2_000)), _alive: Box::new(()) }
}

async fn embedded() -> Opened {
    embedded_with(OpenOptions::default()).await
}

/// Files that are full after a few batches, and an index of which nearly nothing is in memory.
async fn embedded_small_runs() -> Opened {
    let options =
        OpenOptions { index_flush_events: 7, segment_bytes: 4_096, ..OpenOptions::default() };
    embedded_with(options).await
}

async fn embedded_with(options: OpenOptions) -> Opened {
    let temp = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open_with(&DataDir::at(temp.path()), &options).await.unwrap();
    Opened { store: Arc::new(store), _alive: Box::new(temp) }
}

/// On a real server, which the first test starts.
async fn on_a_server() -> Option<Opened> {
    let database = Postgres::shared()?.database().await;
    let store = PostgresStore::open(&database.url).await.unwrap();
    Some(Opened { store: Arc::new(store), _alive: Box::new(()) })
}

/// On the double of the protocol, or on the server that the environment names.
async fn over_the_protocol() -> Opened {
    let test = TestStore::new();
    Opened { store: test.open("one").await, _alive: Box::new(test) }
}

macro_rules! contract {
    ($name:ident: $open:ident) => { contract! { $name: $open,
        appending::an_empty_stream_takes_events_at_version_0
        appending::a_wrong_version_is_a_conflict_that_brings_what_is_newer
        appending::a_version_that_is_too_high_is_a_conflict_without_events
        appending::a_conflict_brings_a_bounded_number_of_events
        appending::a_conflict_does_not_stop_the_other_appends_of_its_batch
        appending::a_batch_of_nothing_writes_nothing
        appending::a_stream_that_stands_twice_in_a_batch_gets_no_version_twice
        appending::odd_bytes_come_back_as_they_went_in
        appending::a_large_event_comes_back_as_it_went_in
        appending::the_answer_is_what_a_reader_finds
        appending::what_the_writer_decoded_is_not_decoded_again
        appending::time_never_runs_backwards_when_the_clock_does
        appending::a_cancelled_append_leaves_the_store_usable
        reading::a_stream_is_read_in_pages
        reading::everything_is_read_in_pages_in_order
        reading::a_page_is_bounded_in_bytes_and_still_goes_on
        reading::a_page_that_is_not_full_ends_where_its_stream_ends
        reading::reading_past_the_end_finds_nothing
        reading::the_feed_of_the_read_side_shows_the_same
        reading::a_long_stream_among_many_is_read_from_any_version
        following::a_follower_from_the_start_gets_everything_once
        following::a_follower_from_the_head_gets_only_what_is_new
        following::a_follower_from_beyond_the_head_waits_for_what_is_after_it
        following::a_slow_follower_misses_nothing
        following::followers_and_writers_at_once_see_one_order
        following::a_notified_reader_finds_the_event_in_the_store
        racing::a_hundred_writers_of_one_stream_all_land_once
        racing::writers_of_many_streams_all_land_once
        racing::readers_never_see_positions_out_of_order
        racing::cancelled_appends_land_once_or_not_at_all
        importing::an_imported_history_is_the_same_in_every_byte
        importing::positions_are_the_stores_own
        importing::what_does_not_follow_is_not_taken
        importing::an_imported_store_goes_on_like_its_own
        side::a_snapshot_replaces_the_one_before
        side::a_stream_without_a_snapshot_has_none
        side::a_checkpoint_is_where_it_was_left
    } };
    ($name:ident: $open:ident, $($file:ident :: $case:ident)*) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let opened: Option<super::Opened> = super::$open().await.into();
                let Some(opened) = opened else { return };
                super::$file::$case(&opened.store).await;
            })*
        }
    };
}

contract!(in_memory: memory);
contract!(in_memory_with_a_short_feed: memory_short_feed);
contract!(in_embedded: embedded);
contract!(in_embedded_with_small_runs: embedded_small_runs);
contract!(in_postgres: on_a_server);
contract!(in_eventstoredb: over_the_protocol);

// EventStoreDB gives each append of a batch its place by itself.
contract!(in_order_in_memory: memory, appending::the_appends_of_a_batch_stand_in_their_order);
contract!(in_order_in_embedded: embedded, appending::the_appends_of_a_batch_stand_in_their_order);
contract!(in_order_in_postgres: on_a_server,
    appending::the_appends_of_a_batch_stand_in_their_order);

// The embedded store has one writer, and gives no turns.
macro_rules! turns {
    ($name:ident: $open:ident) => {
        contract! { $name: $open,
            turning::a_turn_brings_what_was_written_before_it
            turning::a_turn_appends_as_everybody_does
            turning::nobody_else_appends_until_a_turn_ends
            turning::a_turn_that_is_dropped_writes_nothing_and_others_go_on
            turning::a_turn_that_is_not_waited_for_any_more_holds_up_nobody
            turning::an_expected_version_is_looked_at_in_a_turn
            turning::a_turn_that_appends_nothing_ends_well
            turning::a_turn_says_where_too_much_is_newer
            turning::who_decides_in_turns_never_meets_a_conflict
        }
    };
}

turns!(in_turns_in_memory: memory);
turns!(in_turns_in_postgres: on_a_server);
turns!(in_turns_in_eventstoredb: over_the_protocol);

contract!(in_order_in_turns_in_memory: memory,
    turning::the_appends_of_a_turn_stand_in_their_order);
contract!(in_order_in_turns_in_postgres: on_a_server,
    turning::the_appends_of_a_turn_stand_in_their_order);
