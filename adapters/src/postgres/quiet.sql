-- The second form: an append tells of itself only where somebody else listens. The function of the
-- first form stays for processes of the version before, which may still run beside this one: both
-- take the same lock, and so give positions in one order.
--
-- Appends to many streams, each with the version that it must have (`expected`), in one
-- statement. The arrays from `of_append` on have one entry for each event.
--
-- Appends come one after the other: each takes the lock, and only then looks (every statement of
-- this function sees what was committed before it), so a position is given only by one who has
-- seen the position before it committed. No reader can therefore miss one. Should anybody get
-- around the lock, the keys of the table refuse the second of them.
CREATE FUNCTION hakken.append_events(
    streams text[], expected bigint[],
    of_append integer[], event_streams text[], event_versions bigint[], ids bytea[], kinds text[],
    schemas integer[], metas bytea[], datas bytea[], now bigint, tells boolean,
    OUT head bigint, OUT recorded bigint, OUT versions bigint[]
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1751215726, 1);
    SELECT e.position, e.recorded_at INTO head, recorded
        FROM hakken.events e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    recorded := greatest(recorded, now);
    versions := ARRAY(
        SELECT coalesce((
            SELECT e.version FROM hakken.events e
            WHERE e.stream = s.stream ORDER BY e.version DESC LIMIT 1), 0)
        FROM unnest(streams) WITH ORDINALITY AS s (stream, place) ORDER BY s.place);
    INSERT INTO hakken.events
            (position, recorded_at, version, schema, stream, kind, id, meta, data)
        SELECT head + row_number() OVER (ORDER BY n.place),
            recorded, n.version, n.schema, n.stream, n.kind, n.id, n.meta, n.data
        FROM unnest(of_append, event_streams, event_versions, ids, kinds, schemas, metas, datas)
            WITH ORDINALITY AS n (append, stream, version, id, kind, schema, meta, data, place)
        WHERE versions[n.append] = expected[n.append]
        ORDER BY n.place;
    IF tells AND FOUND THEN
        PERFORM pg_notify('hakken_events', '');
    END IF;
END $$;
