-- The store in PostgreSQL, version 1.
-- `customers` and `journal` may be read by others; the rest is the worker's own.
-- Every key begins with what its table can be spread by (PARTITION BY HASH, or the shards of a distributed database):
-- no key spans shards. No triggers and no LISTEN, which not every database that speaks this protocol has.

CREATE TABLE customers (
    customer_id UUID PRIMARY KEY,
    industry TEXT NOT NULL,
    plan_tier TEXT NOT NULL,
    signup_date DATE NOT NULL,
    mrr NUMERIC(18, 6) NOT NULL, -- US dollars a month
    churn_date DATE
) WITH (fillfactor = 90); -- room for the one change a customer knows, beside the row

-- One row a decision; a parked cancellation gets a second one once its signup has come. Appended to only.
-- Rows about one record or one customer are in the order of `id`; other rows need not be.
CREATE TABLE journal (
    "at" TIMESTAMPTZ NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    customer_id UUID, -- NULL where the record did not say it
    outcome TEXT NOT NULL, -- applied, duplicate, parked, rejected
    reason TEXT, -- of a rejection
    event_id UUID, -- of the customer.churned it brought
    id BIGINT GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX journal_customer ON journal (customer_id, id);
CREATE INDEX journal_place ON journal (topic, partition, "offset");
CREATE INDEX journal_given_up ON journal (topic, partition, "offset") WHERE reason = 'no_signup';

-- Cancellations that wait for a signup, byte for byte.
CREATE TABLE parked (
    customer_id UUID NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    key BYTEA,
    value BYTEA,
    headers BYTEA NOT NULL, -- MessagePack: [[name, value], ...]
    parked_at TIMESTAMPTZ NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY, -- the order they came in
    PRIMARY KEY (customer_id, topic, partition, "offset")
);
CREATE INDEX parked_place ON parked (topic, partition, "offset");
CREATE INDEX parked_since ON parked (parked_at);

-- What is to be published, in the order of `seq`, and what was. A row gets its `seq` once it is committed and seen:
-- by `row_id` alone, one that was committed late would be passed over.
CREATE TABLE outbox (
    seq BIGINT,
    id TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER, -- NULL: by the key
    key BYTEA,
    value BYTEA,
    headers BYTEA NOT NULL, -- MessagePack: [[name, value], ...]
    customer_id UUID,
    receipted BOOLEAN NOT NULL, -- found on its topic before it was published from here
    timestamp_ms BIGINT NOT NULL, -- of the record that it comes of
    row_id BIGINT GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX outbox_not_numbered ON outbox (row_id) WHERE seq IS NULL;
CREATE INDEX outbox_seq ON outbox (seq);
CREATE INDEX outbox_id ON outbox (id);

-- Ids found on the output topics whose rows have yet to come: the store was restored or is being rebuilt.
CREATE TABLE receipts (id TEXT PRIMARY KEY);

-- The records that say they are dead letters sent again; what became of each, the journal says.
CREATE TABLE redrives (
    dead_letter_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    value_sha256 TEXT NOT NULL, -- anybody can send such headers: it counts where the value is the dead letter's
    row_id BIGINT GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX redrives_letter ON redrives (dead_letter_id);

-- Dead letters that an operator decided to leave.
CREATE TABLE discards (
    dead_letter_id TEXT NOT NULL,
    "at" TIMESTAMPTZ NOT NULL,
    why TEXT NOT NULL,
    row_id BIGINT GENERATED ALWAYS AS IDENTITY
);

-- Up to where each input partition is decided (NULL: nothing of it yet), and who may take it further: every assignment
-- raises `owner_epoch`, so that whoever had the partition before cannot commit any more.
CREATE TABLE positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset BIGINT,
    owner_epoch BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
);

-- Up to where the records on each output partition are accounted for.
CREATE TABLE output_ends (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    end_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- The one row of the relay: up to where rows are numbered and published, and who publishes.
-- `leader` and `leads_until` are used where the database has no advisory locks.
CREATE TABLE relay (
    only_one BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_one),
    last_seq BIGINT NOT NULL,
    published_seq BIGINT NOT NULL,
    leader_epoch BIGINT NOT NULL,
    leader UUID,
    leads_until TIMESTAMPTZ
);
INSERT INTO relay (last_seq, published_seq, leader_epoch) VALUES (0, 0, 0);

-- Rows to be locked where the database has no advisory locks.
CREATE TABLE gates (name TEXT PRIMARY KEY);
INSERT INTO gates VALUES ('signups');

-- Written to now and then, to know that it can be.
CREATE TABLE touched (only_one BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_one), "at" TIMESTAMPTZ NOT NULL);
INSERT INTO touched ("at") VALUES (to_timestamp(0));

-- `id` tells this store from every other, copies of it aside.
CREATE TABLE store_version (version INTEGER NOT NULL, id UUID NOT NULL);
INSERT INTO store_version VALUES (1, gen_random_uuid());
