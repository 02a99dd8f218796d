-- The third form: a stream is known by the position where it began. Names of streams come in no
-- order, so in an index of (stream, version) every append of another stream met another page, and
-- the larger the table was, the dearer. Positions come in order, so streams that are young stand
-- beside one another, and what is large and without order has one entry for each stream.
--
-- Nobody else may write meanwhile. Rewriting the table takes some 17 s for a million events.
LOCK TABLE hakken.events IN ACCESS EXCLUSIVE MODE;

CREATE TABLE hakken.streams (
    stream text COLLATE "C" NOT NULL,
    began bigint NOT NULL
);
INSERT INTO hakken.streams SELECT stream, position FROM hakken.events WHERE version = 1;
ALTER TABLE hakken.streams ADD PRIMARY KEY (stream);
CREATE TRIGGER streams_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hakken.streams
    FOR EACH STATEMENT EXECUTE FUNCTION hakken.events_never_change();

CREATE FUNCTION hakken.began_at(of_stream text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT s.began FROM hakken.streams s WHERE s.stream = of_stream);
END $$;
ALTER TABLE hakken.events
    DROP CONSTRAINT events_stream_version_key,
    ADD COLUMN began bigint;
ALTER TABLE hakken.events
    ALTER COLUMN began TYPE bigint USING hakken.began_at(stream),
    ALTER COLUMN began SET NOT NULL,
    ADD UNIQUE (began, version);
DROP FUNCTION hakken.began_at;

-- Appends to many streams, each with the version that it must have (`expected`), in one
-- statement. The arrays from `of_append` on have one entry for each event, and the events of an
-- append stand together. Processes of the version before call the same function.
--
-- Appends come one after the other: each takes the lock, and only then looks (every statement of
-- this function sees what was committed before it), so a position is given only by one who has
-- seen the position before it committed. No reader can therefore miss one. Should anybody get
-- around the lock, the keys of the tables refuse the second of them.
--
-- The setting keeps plans that were made once: to weigh others costs as much as to carry one out.
DROP FUNCTION hakken.append_events(
    text[], bigint[], integer[], text[], bigint[], bytea[], text[], integer[], bytea[], bytea[],
    bigint);
CREATE OR REPLACE FUNCTION hakken.append_events(
    streams text[], expected bigint[],
    of_append integer[], event_streams text[], event_versions bigint[], ids bytea[], kinds text[],
    schemas integer[], metas bytea[], datas bytea[], now bigint, tells boolean,
    OUT head bigint, OUT recorded bigint, OUT versions bigint[]
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    begans bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(1751215726, 1);
    SELECT e.position, e.recorded_at INTO head, recorded
        FROM hakken.events e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    recorded := greatest(recorded, now);
    begans := ARRAY(
        SELECT (SELECT b.began FROM hakken.streams b WHERE b.stream = s.stream)
        FROM unnest(streams) WITH ORDINALITY AS s (stream, place) ORDER BY s.place);
    versions := ARRAY(
        SELECT coalesce((
            SELECT e.version FROM hakken.events e
            WHERE e.began = s.began ORDER BY e.version DESC LIMIT 1), 0)
        FROM unnest(begans) WITH ORDINALITY AS s (began, place) ORDER BY s.place);
    WITH written AS (
        INSERT INTO hakken.events
                (position, recorded_at, version, schema, stream, kind, id, meta, data, began)
            SELECT n.position, recorded, n.version, n.schema, n.stream, n.kind, n.id, n.meta, n.data,
                -- Where it is new, its first event has version 1.
                coalesce(begans[n.append], n.position - n.version + 1)
            FROM (
                SELECT head + row_number() OVER (ORDER BY n.place) AS position, n.*
                FROM unnest(of_append, event_streams, event_versions, ids, kinds, schemas, metas, datas)
                    WITH ORDINALITY AS n (append, stream, version, id, kind, schema, meta, data, place)
                WHERE versions[n.append] = expected[n.append]
            ) AS n
            ORDER BY n.place
            RETURNING stream, began, version
    )
    INSERT INTO hakken.streams SELECT w.stream, w.began FROM written w WHERE w.version = 1;
    IF tells AND EXISTS (SELECT FROM hakken.events e WHERE e.position > head) THEN
        PERFORM pg_notify('hakken_events', '');
    END IF;
END $$;
