//! What the suite is worth: an adapter that answers before it has written must be noticed.

use hakken_tests::sim::Chance;

use super::{house::House, postgres::Postgres};

/// The database's function that appends is put behind another one, which answers as it does and
/// then takes back what it wrote: as an adapter would that answers before the commit, when the
/// commit fails. It does so once.
const LIAR: &str = "
    ALTER FUNCTION hakken.append_events(text[], bigint[], integer[], text[], bigint[], bytea[], text[],
        integer[], bytea[], bytea[], bigint, boolean) RENAME TO append_events_truly;
    CREATE SEQUENCE hakken.lies;
    CREATE FUNCTION hakken.append_events(
        streams text[], expected bigint[],
        of_append integer[], event_streams text[], event_versions bigint[], ids bytea[],
        kinds text[], schemas integer[], metas bytea[], datas bytea[], now bigint,
        tells boolean,
        OUT head bigint, OUT recorded bigint, OUT versions bigint[]
    ) LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        SELECT t.head, t.recorded, t.versions INTO head, recorded, versions
            FROM hakken.append_events_truly(streams, expected, of_append, event_streams,
                event_versions, ids, kinds, schemas, metas, datas, now, tells) AS t;
        IF 'seats-held' = ANY (kinds) AND versions = expected AND nextval('hakken.lies') = 5 THEN
            RAISE EXCEPTION 'taken back';
        END IF;
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END $$";

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_answers_before_it_has_written_is_noticed() {
    let Some(ground) = Postgres::new().await else { return };
    let mut house = House::open(ground, Chance::new(1)).await;
    house.goes_on().await.unwrap();
    house.check().await.unwrap();
    house.ground.database.tell(LIAR).await;
    // Whatever a session remembers of the function goes with it.
    house.ground.end_sessions().await;
    let wrong = loop {
        if let Err(wrong) = house.goes_on().await {
            break wrong;
        }
        if let Err(wrong) = house.check().await {
            break wrong;
        }
    };
    // What was taken back was told to a client, or something that was recorded later stands on it.
    let noticed =
        ["was acknowledged, and is not recorded", "with [", "is sold to order", "is not paid"];
    assert!(noticed.iter().any(|words| wrong.contains(words)), "{wrong}");
}
