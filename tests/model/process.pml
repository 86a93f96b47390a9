/* What a worker has in memory, and the end of its process. */

#ifdef POSTGRES_RELAYS
#define IS_BROKEN W.is_broken
#ifdef EPOCH_NOT_COMPARED
#define IS_ALLOWED true
#define IS_MARK_ALLOWED true
#else
#define IS_ALLOWED (W.is_leader && store.leader == me)
#define IS_MARK_ALLOWED (W.is_mark_of_leader && store.leader == me)
#endif
#define KNOWN_END(topic) store.ends[topic]
#define PUBLISHED store.published
#define HAS_LOST_LEADERSHIP (W.relay != WAITING && W.relay != STOPPED && (leader != me || !W.is_leader))
#define MAY_RECOVER (!HAS_LOST_LEADERSHIP || W.rash < RASH)
#define AFTER_RECEIPTS SETTLING
#else
#define IS_BROKEN false
#define IS_ALLOWED true
#define KNOWN_END(topic) noted_ends[topic]
#define PUBLISHED noted_published
#define MAY_RECOVER true
#endif

/* Marks.published: the transaction is committed. */
inline note_mark() {
  W.seq = W.sent_to;
  W.mark = W.seq;
  W.mark_ends[0] = (W.sent_ends[0] > 0 -> W.sent_ends[0] : W.mark_ends[0]);
  W.mark_ends[1] = (W.sent_ends[1] > 0 -> W.sent_ends[1] : W.mark_ends[1]);
#ifdef POSTGRES_RELAYS
  W.is_mark_of_leader = W.is_leader;
#else
  drop_batches_before(W.seq);
#endif
}

/* Marks._mark: the mark, in memory (DuckDB) or in the store (PostgreSQL). */
inline write_mark(to_seq, to_end_0, to_end_1) {
  to_seq = W.mark;
#ifdef ENDS_OF_THE_LOG
  to_end_0 = log[0].end;
  to_end_1 = log[1].end;
#else
  to_end_0 = (W.mark_ends[0] > 0 -> W.mark_ends[0] : to_end_0);
  to_end_1 = (W.mark_ends[1] > 0 -> W.mark_ends[1] : to_end_1);
#endif
  forget_mark()
}

inline forget_mark() {
#ifdef POSTGRES_RELAYS
  W.is_mark_of_leader = false;
#endif
  W.mark = 0;
  W.mark_ends[0] = 0;
  W.mark_ends[1] = 0
}

inline forget_recovery() {
  W.known[0] = 0;
  W.known[1] = 0;
  W.end[0] = 0;
  W.end[1] = 0;
  W.found = 0
}

inline forget_transaction() {
  W.sent_to = 0;
  W.sent = 0;
  W.sent_ends[0] = 0;
  W.sent_ends[1] = 0
}

inline forget_relay() {
  forget_recovery();
  forget_transaction();
  W.is_newest = false;
  W.is_latest = false;
  W.seq = 0
}

inline begin_publishing() {
  forget_recovery();
  W.seq = PUBLISHED;
  W.relay = PUBLISHING;
  printf("worker %d: recovered, published up to %d\n", me, W.seq)
}

/* Publisher.start, Publisher.publish: an answer has come. Once the batches are acknowledged, EndTxn is sent. */
inline answered() {
  if
  :: W.relay == FENCING ->
#ifdef RECEIPTS_BEFORE_FENCING
    begin_publishing()
#else
    W.relay = FENCED;
    printf("worker %d: predecessor-fenced\n", me)
#endif
  :: W.relay == SENDING ->
    request[me].kind = END;
    request[me].is_newest = W.is_newest;
    request[me].is_latest = W.is_latest;
    request[me].ids = W.sent;
#ifdef MARK_BEFORE_COMMIT
    note_mark();
#endif
    W.relay = COMMITTING;
    printf("worker %d: in-transaction\n", me)
  :: W.relay == COMMITTING ->
    note_mark();
    forget_transaction();
    W.relay = PUBLISHING;
    printf("worker %d: after-publish: rows up to %d\n", me, W.seq)
  fi
}

/* Relay._recover_after */
inline fail() {
  forget_relay();
  forget_mark();
  W.relay = RECOVERING
}

inline forget_request(number) {
  request[number].kind = NONE;
  request[number].is_newest = false;
  request[number].is_latest = false;
  request[number].fenced = 0;
  request[number].todo = 0;
  request[number].ids = 0
}

/* The request of a worker that waits no longer stays on the network. */
inline leave_request() {
  if
  :: request[me].kind != NONE ->
    i = WORKERS;
    do
    :: i < REQUESTS && request[i].kind != NONE -> i++
    :: else -> break
    od;
    if
    :: i < REQUESTS ->
      request[i].kind = request[me].kind;
      request[i].is_newest = request[me].is_newest;
      request[i].is_latest = request[me].is_latest;
      request[i].fenced = request[me].fenced;
      request[i].todo = request[me].todo;
      request[i].ids = request[me].ids
    :: else
    fi;
    retrying = (retrying == me -> NOBODY : retrying);
    forget_request(me)
  :: else
  fi
}

#ifdef DUCKDB
/* DuckDBSession._open_progress, of a new process. */
inline read_noted() {
  noted_published = store.published;
  noted_ends[0] = store.ends[0];
  noted_ends[1] = store.ends[1]
}
#endif

inline end_process() {
  leave_request();
  forget_relay();
  forget_mark();
  W.relay = WAITING;
#ifdef POSTGRES_RELAYS
  W.is_leader = false;
  W.is_broken = false;
  W.rash = 0;
  leader = (leader == me -> NOBODY : leader)
#else
  W.consumer = STARTING;
  W.next[0] = 0;
  W.next[1] = 0;
#ifdef POSITIONS_APART
  W.of_topic = 0;
  W.up_to = 0;
  W.read_position = 0;
#endif
  forget_committed();
  i = 0;
  do
  :: i < KEPT -> drop_batch(); i++
  :: else -> break
  od;
  W.is_retrying = false;
  W.is_doubtful = false;
  W.known_seq = 0;
  W.settled_seq = 0;
  W.settling_seq = 0;
  read_noted()
#endif
}

/* Exit code 70. */
inline exit() {
  is_stopped = true;
  end_process();
  W.relay = STOPPED;
#ifdef DUCKDB
  W.consumer = EXITED
#endif
}
