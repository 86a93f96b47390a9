/* The relay of a worker: recovery, publishing, marks, leadership. */

#define IS_MISSING(topic) (log[topic].begin > W.known[topic] || log[topic].end < W.known[topic])
#ifdef OUTPUTS_NOT_IDENTIFIED
#define IS_ANOTHER(topic) false
#else
#define IS_ANOTHER(topic) (store.log_id[topic] > 0 && store.log_id[topic] != log[topic].log_id)
#endif
#ifdef CUT_IGNORED
#define IS_CUT false
#else
#define IS_CUT (IS_MISSING(0) || IS_MISSING(1) || IS_ANOTHER(0) || IS_ANOTHER(1))
#endif
#define IS_UNREAD(topic) (W.known[topic] < W.end[topic])
#ifdef RECEIPTS_NOT_READ
#define NEXT_OF_RECOVERY SETTLING
#else
#define NEXT_OF_RECOVERY (IS_UNREAD(0) || IS_UNREAD(1) -> RECEIVING : SETTLING)
#endif
#define IS_IDENTIFIED (store.log_id[0] > 0 && store.log_id[1] > 0)

/* A reader of committed records waits for the end of a transaction that is open before the end. */
#ifdef READ_UNCOMMITTED
#define IS_READ(status) true
#define IS_STABLE(topic) true
#else
#define IS_READ(status) ((status) == VISIBLE)
#define IS_STABLE(topic) (log[topic].stable >= W.end[topic])
#endif
#define IS_GONE(topic) (log[topic].begin > W.known[topic] || log[topic].end < W.end[topic])

/* LogReading.parts */
inline receive_part(topic) {
  d_step { W.relay == RECEIVING && IS_UNREAD(topic) && (topic == 0 || !IS_UNREAD(0)) && !IS_GONE(0) && !IS_GONE(1) && IS_STABLE(topic) ->
    i = W.known[topic];
    W.found = 0;
    do
    :: i < W.end[topic] ->
      if
      :: IS_READ(STATUS_OF(log[topic].record[i])) -> W.found = WITH(W.found, ID_OF(log[topic].record[i]))
      :: else
      fi;
      i++
    :: else -> break
    od;
    W.known[topic] = W.end[topic];
    W.relay = KEEPING;
    printf("worker %d: receipts on topic %d: %d\n", me, topic, W.found)
  }
}

/* Relay._publish_next, Backlog.after: rows of the store without a receipt, in one transaction. */
inline publish(is_due, to) {
  d_step { is_due ->
    ids = 0;
    W.sent_to = to;
    i = W.seq;
    do
    :: i < W.sent_to ->
      if
      :: !HAS(store.receipted, i) -> ids = WITH(ids, store.row[i])
      :: else
      fi;
      i++
    :: else -> break
    od;
#ifdef DUCKDB
    W.known_seq = (W.is_doubtful && store.rows > W.known_seq -> store.rows : W.known_seq);
    W.is_doubtful = false;
#endif
    send()
  }
}

/* Publisher.publish: BatchProducer.send */
inline send() {
  printf("worker %d: before-publish: rows %d to %d, ids %d\n", me, W.seq + 1, W.sent_to, ids);
  if
  :: ids == 0 -> note_mark(); forget_transaction()
  :: else ->
    W.sent = ids;
    request[me].kind = SEND;
    request[me].is_newest = W.is_newest;
    request[me].is_latest = W.is_latest;
    request[me].ids = ids;
    request[me].todo = BIT(ADD);
    id = 0;
    do
    :: id < IDS ->
      request[me].todo = (HAS(ids, id) -> WITH(request[me].todo, TOPIC_OF(id)) : request[me].todo);
      id++
    :: else -> break
    od;
    W.relay = SENDING
  fi
}

#ifdef DUCKDB
#define IS_PENDING (W.relay == PUBLISHING && (W.seq != W.known_seq || W.is_doubtful) && W.seq < store.rows && !HAS_BATCH)
#define HAS_BATCH (W.batch[0].last > 0 && W.batch[0].after == W.seq)

inline publish_batch() {
  d_step { W.relay == PUBLISHING && HAS_BATCH ->
    ids = W.batch[0].ids;
    W.sent_to = W.batch[0].last;
    drop_batch();
    send()
  }
}
#else
#define IS_PENDING (W.relay == PUBLISHING && !IS_BROKEN && W.is_leader && W.seq < store.rows)

/* PostgresStore.reopen: the leadership ends with the connection. */
inline reopen() {
  W.is_broken = false;
#ifndef LEADERSHIP_OUTLIVES_CONNECTION
  W.is_leader = false;
  W.is_mark_of_leader = false;
#endif
}

inline end_leadership() {
  leave_request();
  forget_relay();
  W.is_leader = false;
  W.rash = 0;
  W.relay = WAITING;
  leader = (leader == me -> NOBODY : leader)
}
#endif

proctype Relay(byte me) {
end:
  do
#ifdef DUCKDB
  /* Components.relay_once_assigned */
  :: d_step { W.relay == WAITING && W.consumer == READING ->
      W.relay = RECOVERING;
      printf("relay.run\n") }
#else
  /* Leadership.gained: AdvisoryLocks.lead */
  :: d_step { W.relay == WAITING && leader == NOBODY && !IS_BROKEN && !is_stopped ->
      leader = me;
      store.leader = me;
      copy.leader = (copy.leader == me -> NOBODY : copy.leader);
      W.is_leader = true;
#ifndef MARK_WITH_NEXT_EPOCH
      W.is_mark_of_leader = false;
#endif
      W.relay = RECOVERING;
      printf("worker %d: relay leadership gained\n", me) }
  /* Leadership.run_while_held: the relay is cancelled. A call of the store that has begun runs to its end. */
  :: d_step { HAS_LOST_LEADERSHIP -> end_leadership(); printf("worker %d: relay leadership lost\n", me) }
  :: d_step { HAS_LOST_LEADERSHIP && W.mark > 0 ->
      end_leadership();
      forget_mark();
      printf("worker %d: relay leadership lost, mark dropped\n", me) }
  /* Applier._before_retry */
  :: d_step { IS_BROKEN -> reopen(); printf("worker %d: store reopened\n", me) }
#endif

  /* Recovery.run: Publisher.start */
  :: d_step { W.relay == RECOVERING && MAY_RECOVER && !IS_BROKEN ->
#ifdef POSTGRES_RELAYS
      W.rash = (HAS_LOST_LEADERSHIP -> W.rash + 1 : W.rash);
#endif
#ifdef RECEIPTS_BEFORE_FENCING
      W.relay = FENCED;
#else
      request[me].kind = INIT;
      W.relay = FENCING;
#endif
      printf("worker %d: recovery.run\n", me) }

  /* keep_receipts: OutboxStore.output_ends. The store's thread has ended earlier calls. */
  :: d_step { W.relay == FENCED && !IS_BROKEN && W.mark == 0 ->
      W.known[0] = KNOWN_END(0);
      W.known[1] = KNOWN_END(1);
      W.relay = OPENING;
      printf("worker %d: output_ends: %d and %d\n", me, W.known[0], W.known[1]) }

  /* OutputTopics.logs, receipts._keep_from */
  :: d_step { W.relay == OPENING && !IS_CUT ->
      W.end[0] = log[0].end;
      W.end[1] = log[1].end;
      W.relay = (IS_IDENTIFIED -> NEXT_OF_RECOVERY : IDENTIFYING);
      printf("worker %d: in-recover, ends %d and %d\n", me, W.end[0], W.end[1]) }
#ifndef CUT_IGNORED
  :: d_step { W.relay == OPENING && IS_CUT ->
      exit();
      stopped_without_cut = (cuts == CUTS);
      printf("worker %d: stopped, an output topic has lost records\n", me);
      assert(!stopped_without_cut) }
#endif
  /* OutboxStore.identify_outputs */
  :: d_step { W.relay == IDENTIFYING && !IS_BROKEN && IS_ALLOWED ->
      store.log_id[0] = log[0].log_id;
      store.log_id[1] = log[1].log_id;
      W.relay = NEXT_OF_RECOVERY;
      printf("worker %d: identify_outputs\n", me) }

#ifndef RECEIPTS_NOT_READ
  :: receive_part(0)
  :: receive_part(1)
  /* The log begins later now, or ends before the end that is waited for. */
  :: d_step { W.relay == RECEIVING && (IS_GONE(0) || IS_GONE(1)) ->
      fail();
      printf("worker %d: receipts cannot be read\n", me) }
  /* OutboxStore.keep_receipts */
  :: d_step { W.relay == KEEPING && !IS_BROKEN && IS_ALLOWED ->
      keep_receipts(W.found, PUBLISHED);
#ifdef DUCKDB
      noted_ends[0] = W.known[0];
      noted_ends[1] = W.known[1];
      write_noted();
#else
      store.ends[0] = W.known[0];
      store.ends[1] = W.known[1];
#endif
      W.found = 0;
      W.relay = NEXT_OF_RECOVERY;
      printf("worker %d: keep_receipts, ends %d and %d\n", me, W.known[0], W.known[1]);
      check_store() }
#endif

#ifdef DUCKDB
  /* Backlog.settle */
  :: d_step { W.relay == SETTLING ->
      W.settling_seq = store.rows;
      W.relay = SETTLED;
      printf("backlog.settle: rows up to %d\n", W.settling_seq) }
  :: d_step { W.relay == SETTLED ->
      W.settled_seq = W.settling_seq;
      W.known_seq = (W.settled_seq > W.known_seq -> W.settled_seq : W.known_seq);
      W.settling_seq = 0;
#ifndef BACKLOG_NOT_FORGOTTEN
      drop_batches_before(W.settled_seq);
#endif
#ifdef RECEIPTS_BEFORE_FENCING
      request[me].kind = INIT;
      W.relay = FENCING }
#else
      begin_publishing() }
#endif
#else
#ifdef RECEIPTS_BEFORE_FENCING
  :: d_step { W.relay == SETTLING && !IS_BROKEN ->
      request[me].kind = INIT;
      W.relay = FENCING }
#else
  :: d_step { W.relay == SETTLING && !IS_BROKEN -> begin_publishing() }
#endif
#endif

#ifdef POSTGRES_RELAYS
  /* A call of the store that fails. */
  :: d_step { W.relay >= FENCED && W.relay <= PUBLISHING && W.relay != OPENING && W.relay != RECEIVING && IS_BROKEN ->
      fail();
      printf("worker %d: store failed\n", me) }
  :: d_step { (W.relay == IDENTIFYING || W.relay == KEEPING) && !IS_BROKEN && !IS_ALLOWED ->
      fail();
      printf("worker %d: receipts refused\n", me) }
  :: d_step { W.relay == PUBLISHING && !IS_BROKEN && (!W.is_leader || W.mark > 0 && !IS_MARK_ALLOWED) ->
      fail();
      printf("worker %d: mark or rows refused\n", me) }
  :: d_step { W.relay < PUBLISHING && W.mark > 0 && (IS_BROKEN || !IS_MARK_ALLOWED) ->
      forget_mark();
      printf("worker %d: mark refused\n", me) }
#endif

#ifdef DUCKDB
  :: publish_batch()
#endif
  :: publish(IS_PENDING, store.rows)
  :: publish(IS_PENDING && W.seq + 1 < store.rows, W.seq + 1)
  /* Marks._mark */
#ifdef DUCKDB
  :: d_step { W.mark > 0 ->
      write_mark(noted_published, noted_ends[0], noted_ends[1]);
      printf("mark_published: %d, ends %d and %d\n", noted_published, noted_ends[0], noted_ends[1]) }
  :: d_step { noted_published != store.published || noted_ends[0] != store.ends[0] || noted_ends[1] != store.ends[1] ->
      write_noted();
      printf("write_mark: %d\n", store.published);
      check_store() }
#else
  :: d_step { W.mark > 0 && !IS_BROKEN && IS_MARK_ALLOWED ->
      write_mark(store.published, store.ends[0], store.ends[1]);
      printf("worker %d: mark_published: %d, ends %d and %d\n", me, store.published, store.ends[0], store.ends[1]);
      check_store() }
#endif
  od
}
