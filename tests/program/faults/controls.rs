//! What the suite is worth: an adapter that answers before it has written must be noticed.

use std::time::{Duration, Instant};

use hakken_tests::sim::Chance;

use super::{
    house::{House, PATIENCE},
    postgres::Postgres,
};

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
    let since = Instant::now();
    loop {
        // Others may come before it: what is recorded later stands on what was taken back.
        let complaints = house.complaints().await;
        if complaints.iter().any(|wrong| wrong.contains("was acknowledged, and is not recorded")) {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "nobody noticed it: {complaints:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
