-- The store in DuckDB, version 1.
-- `customers` and `journal` may be read by others; the rest is the worker's own.

-- The one index there is: every further one is rewritten at each checkpoint.
CREATE TABLE customers (
    customer_id UUID PRIMARY KEY,
    industry VARCHAR NOT NULL,
    plan_tier VARCHAR NOT NULL,
    signup_date DATE NOT NULL,
    mrr DECIMAL(18, 6) NOT NULL, -- US dollars a month
    churn_date DATE
);

-- One row a decision; a parked cancellation gets a second one once its signup has come. Appended to only.
CREATE TABLE journal (
    "at" TIMESTAMP NOT NULL, -- UTC
    topic VARCHAR NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    customer_id UUID, -- NULL where the record did not say it
    outcome VARCHAR NOT NULL, -- applied, duplicate, parked, rejected
    reason VARCHAR, -- of a rejection
    event_id UUID -- of the customer.churned it brought
);

-- Cancellations that wait for a signup, byte for byte.
CREATE TABLE parked (
    seq BIGINT NOT NULL, -- the order they came in
    customer_id UUID NOT NULL,
    topic VARCHAR NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB NOT NULL, -- MessagePack: [[name, value], ...]
    parked_at TIMESTAMP NOT NULL -- UTC
);

-- What is to be published, in the order of `seq`, and what was. How its text is kept is not left to be found out at
-- each checkpoint, which would take half of its time.
CREATE TABLE outbox (
    seq BIGINT NOT NULL,
    id VARCHAR NOT NULL USING COMPRESSION uncompressed,
    topic VARCHAR NOT NULL,
    partition INTEGER, -- NULL: by the key
    key BLOB USING COMPRESSION uncompressed, -- of a dead letter; an event's is its customer
    value BLOB USING COMPRESSION zstd,
    headers BLOB NOT NULL USING COMPRESSION zstd, -- MessagePack: [[name, value], ...]; of an event its own
    customer_id UUID,
    receipted BOOLEAN NOT NULL, -- found on its topic before it was published from here
    timestamp_ms BIGINT NOT NULL -- of the record that it comes of
);

-- Ids found on the output topics whose rows have yet to come: the store was restored or is being rebuilt.
CREATE TABLE receipts (id VARCHAR NOT NULL);

-- The records that say they are dead letters sent again; what became of each, the journal says.
CREATE TABLE redrives (
    dead_letter_id VARCHAR NOT NULL,
    topic VARCHAR NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    value_sha256 VARCHAR NOT NULL -- anybody can send such headers: it counts where the value is the dead letter's
);

-- Dead letters that an operator decided to leave.
CREATE TABLE discards (
    dead_letter_id VARCHAR NOT NULL,
    "at" TIMESTAMP NOT NULL, -- UTC
    why VARCHAR NOT NULL
);

CREATE TABLE positions (
    topic VARCHAR NOT NULL,
    partition INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Up to where the records on each output partition are accounted for.
CREATE TABLE output_ends (
    topic VARCHAR NOT NULL,
    partition INTEGER NOT NULL,
    end_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Written to now and then, to know that it can be.
CREATE TABLE touched ("at" TIMESTAMP NOT NULL);
INSERT INTO touched VALUES (TIMESTAMP '1970-01-01');

CREATE TABLE relay (published_seq BIGINT NOT NULL);
INSERT INTO relay VALUES (0);

-- `id` tells this store from every other, copies of it aside.
CREATE TABLE store_version (version INTEGER NOT NULL, id UUID NOT NULL);
INSERT INTO store_version VALUES (1, uuid());
