/* Bounds and state. Names are those of the code wherever it has one. */

/* Parts: one worker on DuckDB, whole; the relays of two workers on PostgreSQL; their consumers. */
#if !defined(DUCKDB) && !defined(POSTGRES_RELAYS) && !defined(POSTGRES_CONSUMERS)
#error name a part
#endif
#ifdef DUCKDB
#define WORKERS 1
#else
#define WORKERS 2
#endif
#ifndef POSTGRES_CONSUMERS
#define HAS_RELAYS
#endif
#ifndef CUSTOMERS
#define CUSTOMERS 1 /* each signs up and cancels */
#endif
#ifndef LETTERS
#define LETTERS 1 /* records that cannot be read */
#endif
#ifndef FAULTS
#define FAULTS 1 /* of all kinds together */
#endif
#ifndef CUTS
#define CUTS 1 /* of these at most, cuts of output topics */
#endif
#ifndef RESTORES
#define RESTORES 1 /* of these at most, older copies of the store put in its place */
#endif
#ifndef KEPT
#define KEPT 2 /* batches in memory: backlog.BATCHES_KEPT */
#endif
#define RASH 1 /* recoveries of a worker that has lost the leadership, before it notices */

#define EVENTS (CUSTOMERS + LETTERS)
#ifdef ID_BY_CHANCE
#define IDS 16
#else
#define IDS EVENTS
#endif
#define ROWS (EVENTS + 2) /* no more than EVENTS in a correct protocol */
/* Offsets of an output topic: enough for the attempts of every run, which a property verifies. */
#if CUSTOMERS > LETTERS
#define LENGTH (CUSTOMERS * ATTEMPTS)
#else
#define LENGTH (LETTERS * ATTEMPTS)
#endif
#ifdef DUCKDB
#define ATTEMPTS (FAULTS + 2)
#else
#define ATTEMPTS (4 * FAULTS + 2)
#endif
#define REQUESTS (WORKERS + FAULTS) /* those after the workers' own are late: the sender does not wait any more */
#define NOBODY WORKERS

#define BIT(n) (1 << (n))
#define HAS(set, n) (((set) >> (n)) & 1)
#define WITH(set, n) ((set) | BIT(n))
#define WITHOUT(set, n) ((set) & ~BIT(n))

/* Input topics: the record at an offset is about the customer of that number. After the last cancellation come the
   records that cannot be read. */
#define SIGNUPS 0
#define CANCELLATIONS 1
#define INPUT_END(topic) ((topic) == SIGNUPS -> CUSTOMERS : EVENTS)

/* Output topics: 0 is `customer.churned`, 1 has the dead letters. The id of a record names its event. */
#define EVENT_OF(id) ((id) % EVENTS)
#define TOPIC_OF(id) (EVENT_OF(id) >= CUSTOMERS -> 1 : 0)

/* Of a consumer. */
#define STARTING 0 /* store-opened */
#define READING 1 /* positions-set */
#define DECIDED 2 /* before-commit */
#define COMMITTED 3 /* after-commit */
#define EXITED 4 /* exit code 70 */

/* Of a relay. */
#define WAITING 0 /* for the first assignment, or for the leadership */
#define RECOVERING 1
#define FENCING 2 /* InitProducerId is sent */
#define FENCED 3 /* predecessor-fenced */
#define OPENING 4
#define IDENTIFYING 5 /* in-recover */
#define RECEIVING 6
#define KEEPING 7 /* before-receipts */
#define SETTLING 8 /* after-receipts */
#define SETTLED 9
#define PUBLISHING 10
#define SENDING 11 /* before-publish */
#define COMMITTING 12 /* in-transaction */
#define STOPPED 13 /* exit code 70 */

/* Requests to Kafka, and answers. */
#define NONE 0
#define INIT 1
#define SEND 2
#define END 3
#define REFUSED 0
#define OK 1

/* What is left of SEND: Produce to each topic, and AddPartitionsToTxn before. */
#define ADD 2

/* A transaction of the relay's transactional id. */
#define EMPTY 0
#define ONGOING 1
#define PREPARED_COMMIT 2
#define PREPARED_ABORT 3

/* A record in a log. */
#define OPEN 1
#define VISIBLE 2
#define ABORTED 3
#define RECORD(id, status) (((id) + 1) * 4 + (status))
#define ID_OF(record) ((record) / 4 - 1)
#define STATUS_OF(record) ((record) & 3)

typedef Store {
  byte position[2];
  byte signed_up; /* sets of customers */
  byte churned;
  byte parked;
  byte rows; /* the outbox: the id in each row, rows with a receipt, receipts without a row */
  byte row[ROWS];
  byte receipted;
#ifdef HAS_RELAYS
  short receipts;
  byte published; /* published_seq */
  byte ends[2]; /* output_ends */
  byte log_id[2]; /* of the output topics, 0 if not known yet */
#endif
  /* Epochs are drawn, so that none comes a second time: only whose they are matters. */
#ifdef POSTGRES_RELAYS
  byte leader;
#endif
#ifdef POSTGRES_CONSUMERS
  byte owner[2];
#endif
}

typedef Batch {
  byte after;
  byte last;
  short ids;
}

typedef Worker {
#ifndef POSTGRES_RELAYS
  byte consumer;
  byte next[2]; /* the offset to be read next */
#endif
#if defined(POSTGRES_CONSUMERS) || defined(POSITIONS_APART)
  byte of_topic; /* of the batch; the record after it; the position that it has read */
  byte up_to;
  byte read_position;
#endif
#ifdef POSTGRES_CONSUMERS
  byte read_signed_up; /* the store as the batch has read it */
  byte read_churned;
  byte read_parked;
  byte taken; /* the input topics that it reads */
  byte expected[2]; /* the positions that it has read or set last */
  byte is_broken; /* its connection to the store */
#endif
#ifdef DUCKDB
  byte is_retrying; /* a batch whose commit failed */
  byte is_doubtful;
  byte known_seq;
  byte settled_seq;
  byte settling_seq;
  Batch committed; /* and not offered to the relay yet */
  Batch batch[KEPT];
#endif
#ifdef HAS_RELAYS
  byte relay;
  bool is_newest; /* its producer: it has the epoch of the transactional id; it was the last to get one */
  bool is_latest;
  byte known[2]; /* recovery: the ends recorded in the store, the ends of the logs, the ids found between */
  byte end[2];
  short found;
  byte seq; /* Marks.published_seq */
  byte sent_to; /* the last row of the transaction, its ids, the ends after it */
  short sent;
  byte sent_ends[2];
  byte mark; /* Marks: the row up to which a mark is to be written, 0 for none, and the ends after it */
  byte mark_ends[2];
#endif
#ifdef POSTGRES_RELAYS
  bool is_leader; /* in the session in which it calls the store */
  bool is_mark_of_leader;
  bool is_broken; /* its connection to the store */
  byte rash;
#endif
}

typedef Request {
  byte kind;
  byte is_newest;
  byte is_latest;
  byte fenced; /* topics that have seen a newer epoch */
  byte todo;
  short ids;
}

typedef Log {
  byte log_id; /* the topic's id: another one once it was created again */
  byte begin;
  byte end;
  byte stable; /* the last stable offset: of the first open record, else the end */
  byte record[LENGTH];
}

Store store;
Store copy;
bool is_copied;
byte restores = RESTORES;
Worker worker[WORKERS];
byte faults;
bool is_stopped; /* a worker has ended with exit code 70 */

#ifdef DUCKDB
/* What the process has noted and not written yet: DuckDBSession._progress. */
byte noted_published;
byte noted_ends[2];
#endif
#ifdef POSTGRES_RELAYS
byte leader = NOBODY; /* the holder of the advisory lock */
#endif
#ifdef POSTGRES_CONSUMERS
byte assigned[2] = NOBODY; /* the worker to which the group assigns each input topic */
#endif

#ifdef HAS_RELAYS
Request request[REQUESTS];
Log log[2];
byte transaction;
byte registered; /* topics in the transaction */
byte retrying = NOBODY; /* the worker whose InitProducerId has ended a transaction */
byte cuts = CUTS;

/* What the properties are about: the events that were visible to a reader of committed records, those that vanished
   with a topic before, and the ids in transactions that Kafka has decided to commit. */
byte visible;
byte vanished;
short decided;
#ifdef ID_BY_CHANCE
byte chance;
#endif
#endif

/* Of one step. */
hidden byte i, j, id, first, count, is_refused;
hidden byte is_signed_up, is_churned, is_parked, signing, churning, parking, releasing;
hidden byte new_row[ROWS];
hidden short ids, listed;

/* The properties. */
hidden byte event_published_twice, stale_leader_published, marked_unpublished, position_ahead_of_effects, event_has_two_rows;
hidden byte stopped_without_cut, not_finished;
