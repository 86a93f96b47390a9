-- Which log a position is an offset in: its topic's id, and the last record read before the position.
ALTER TABLE positions ADD COLUMN topic_id UUID; -- NULL: not known
ALTER TABLE positions ADD COLUMN record_offset BIGINT; -- NULL: no record was read since this column exists
ALTER TABLE positions ADD COLUMN record_fingerprint BIGINT; -- of its timestamp, key and value
