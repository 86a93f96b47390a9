/* Kafka: requests in any order, the transaction coordinator, the output topics. */

/* Request `me`: of a worker, or late. */
#define R request[me]
/* An answer and its receipt are one step: one that is lost is a request that comes after its sender has given up. */
#define ANSWER(with) forget_request(me); reply(with)

inline reply(with) {
  if
  :: me < WORKERS && with == OK -> answered()
  :: me < WORKERS && with == REFUSED -> fail(); printf("worker %d: fenced\n", me)
  :: else
  fi
}

/* The epoch of the transactional id is raised. */
inline raise_epoch() {
  i = 0;
  do
  :: i < REQUESTS ->
    request[i].is_newest = false;
    if
    :: i >= WORKERS && (request[i].kind == END || HAS(request[i].todo, ADD)) -> forget_request(i) /* would be refused */
    :: else
    fi;
    i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < WORKERS -> worker[i].is_newest = false; i++
  :: else -> break
  od
}

inline become_latest() {
  i = 0;
  do
  :: i < REQUESTS -> request[i].is_latest = false; i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < WORKERS -> worker[i].is_latest = (i == me); worker[i].is_newest = (i == me || worker[i].is_newest); i++
  :: else -> break
  od
}

/* A topic has seen the newest epoch. */
inline fence(topic) {
  i = 0;
  do
  :: i < REQUESTS ->
    request[i].fenced = (request[i].is_newest || request[i].kind != SEND -> request[i].fenced : WITH(request[i].fenced, topic));
    if
    :: i >= WORKERS && request[i].kind == SEND && !(request[i].todo & ~request[i].fenced) -> forget_request(i)
    :: else
    fi;
    i++
  :: else -> break
  od
}

/* A batch to one topic, once AddPartitionsToTxn is answered. */
inline produce(topic) {
  d_step { R.kind == SEND && !HAS(R.todo, ADD) && HAS(R.todo, topic) ->
    if
    :: HAS(R.fenced, topic) ->
      ANSWER(REFUSED);
      printf("topic %d: batch of %d fenced\n", topic, me)
    :: else ->
      id = 0;
      do
      :: id < IDS ->
        if
        :: HAS(R.ids, id) && TOPIC_OF(id) == topic ->
          assert(log[topic].end < LENGTH);
          log[topic].record[log[topic].end] = RECORD(id, OPEN);
          log[topic].end++
        :: else
        fi;
        id++
      :: else -> break
      od;
      R.todo = WITHOUT(R.todo, topic);
      if
      :: me < WORKERS -> worker[me].sent_ends[topic] = log[topic].end
      :: else
      fi;
      printf("topic %d: batch of %d, end %d\n", topic, me, log[topic].end);
      if
      :: R.todo == 0 -> ANSWER(OK)
      :: else
      fi
    fi
  }
}

/* A client whose InitProducerId has ended a transaction repeats it; the model has it win against others. */
#define MAY_INIT (retrying == NOBODY || retrying == me)

proctype Broker(byte me) {
end:
  do
  /* InitProducerId: a transaction that is open is aborted; then the epoch is raised. */
#ifdef NO_FENCING
  :: d_step { R.kind == INIT ->
      become_latest();
      ANSWER(OK);
      printf("coordinator: InitProducerId of %d, the epoch stays\n", me) }
#else
  :: d_step { R.kind == INIT && transaction == ONGOING && MAY_INIT ->
      raise_epoch();
      transaction = PREPARED_ABORT;
      if
      :: me >= WORKERS -> forget_request(me) /* CONCURRENT_TRANSACTIONS, and nobody repeats it */
      :: else -> retrying = me
      fi;
      printf("coordinator: InitProducerId of %d: abort\n", me) }
  :: d_step { R.kind == INIT && transaction == EMPTY && MAY_INIT ->
      raise_epoch();
      become_latest();
      retrying = NOBODY;
      ANSWER(OK);
      printf("coordinator: InitProducerId of %d: new epoch\n", me) }
#endif

  /* AddPartitionsToTxn */
  :: d_step { R.kind == SEND && HAS(R.todo, ADD) && R.is_newest && transaction <= ONGOING ->
      transaction = ONGOING;
      registered = registered | WITHOUT(R.todo, ADD);
      R.todo = WITHOUT(R.todo, ADD);
      printf("coordinator: AddPartitionsToTxn of %d\n", me) }
  :: d_step { R.kind == SEND && HAS(R.todo, ADD) && !R.is_newest ->
      ANSWER(REFUSED);
      printf("coordinator: AddPartitionsToTxn of %d fenced\n", me) }

  /* Produce */
  :: produce(0)
  :: produce(1)

  /* EndTxn */
  :: d_step { R.kind == END && R.is_newest && transaction == ONGOING ->
      transaction = PREPARED_COMMIT;
      decided = decided | R.ids;
      stale_leader_published = !R.is_latest;
      ANSWER(OK);
      printf("coordinator: EndTxn of %d: commit\n", me);
      assert(!stale_leader_published) }
  :: d_step { R.kind == END && !R.is_newest ->
      ANSWER(REFUSED);
      printf("coordinator: EndTxn of %d fenced\n", me) }
  od
}

/* The markers of a decided transaction reach its topics one by one. */
inline mark_end(topic) {
  d_step { transaction >= PREPARED_COMMIT && HAS(registered, topic) ->
    i = log[topic].begin;
    do
    :: i < log[topic].end ->
      if
      :: STATUS_OF(log[topic].record[i]) == OPEN && transaction == PREPARED_COMMIT ->
        id = ID_OF(log[topic].record[i]);
        log[topic].record[i] = RECORD(id, VISIBLE);
        event_published_twice = event_published_twice || HAS(visible, EVENT_OF(id));
        visible = WITH(visible, EVENT_OF(id));
        printf("topic %d: event %d is visible, id %d, offset %d\n", topic, EVENT_OF(id), id, i)
      :: STATUS_OF(log[topic].record[i]) == OPEN && transaction == PREPARED_ABORT ->
        log[topic].record[i] = RECORD(ID_OF(log[topic].record[i]), ABORTED)
      :: else
      fi;
      i++
    :: else -> break
    od;
    log[topic].stable = log[topic].end;
    fence(topic);
    registered = WITHOUT(registered, topic);
    transaction = (registered == 0 -> EMPTY : transaction);
    printf("topic %d: end of the transaction\n", topic);
    assert(!event_published_twice)
  }
}

/* Whether a worker, or a request on its way, can end the transaction. */
#define IS_ENDED_BY(me) (worker[me].is_newest && worker[me].relay >= SENDING && worker[me].relay < STOPPED)
#define CAN_END(number) (request[number].is_newest && request[number].kind != NONE)
#if WORKERS == 1
#define HAS_PRODUCER IS_ENDED_BY(0)
#else
#define HAS_PRODUCER (IS_ENDED_BY(0) || IS_ENDED_BY(1))
#endif
#if FAULTS == 0
#define IS_LATE_ONE false
#elif FAULTS == 1
#define IS_LATE_ONE CAN_END(WORKERS)
#elif FAULTS == 2
#define IS_LATE_ONE (CAN_END(WORKERS) || CAN_END(WORKERS + 1))
#else
#define IS_LATE_ONE (CAN_END(WORKERS) || CAN_END(WORKERS + 1) || CAN_END(WORKERS + 2))
#endif

proctype Coordinator() {
end:
  do
  :: mark_end(0)
  :: mark_end(1)
  /* transaction.timeout.ms, where the producer is gone. */
  :: d_step { transaction == ONGOING && !HAS_PRODUCER && !IS_LATE_ONE ->
      raise_epoch();
      transaction = PREPARED_ABORT;
      printf("coordinator: the transaction of a producer that is gone timed out\n") }
  od
}
