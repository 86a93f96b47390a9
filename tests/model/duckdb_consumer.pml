/* The consumer of the worker on DuckDB, and the relay's backlog in memory. */

#define ONE(topic) (W.next[topic] + 1)
#define ALL(topic) INPUT_END(topic)
#define HAS_ONE(topic) (W.next[topic] < INPUT_END(topic))
#define HAS_MORE(topic) (W.next[topic] + 1 < INPUT_END(topic))

/* start_offset.starting_offset: the group's offset mirrors the store's position, and is not used. */
#ifdef START_AT_GROUP_OFFSET
byte group[2];
#define START(topic) (group[topic] > store.position[topic] -> group[topic] : store.position[topic])
#else
#define START(topic) store.position[topic]
#endif

inline drop_batch() {
  j = 0;
  do
  :: j < KEPT - 1 ->
    W.batch[j].after = W.batch[j + 1].after;
    W.batch[j].last = W.batch[j + 1].last;
    W.batch[j].ids = W.batch[j + 1].ids;
    j++
  :: else -> break
  od;
  W.batch[KEPT - 1].after = 0;
  W.batch[KEPT - 1].last = 0;
  W.batch[KEPT - 1].ids = 0
}

/* Backlog.after: batches before a row are dropped. */
inline drop_batches_before(row_number) {
  do
  :: W.batch[0].last > 0 && W.batch[0].after < row_number -> drop_batch()
  :: else -> break
  od
}

/* Backlog.add: where there is no room, the oldest batch is dropped; its rows are read from the store. */
inline keep_batch() {
  i = 0;
  do
  :: i < KEPT && W.batch[i].last > 0 -> i++
  :: else -> break
  od;
  if
  :: i == KEPT -> drop_batch(); i = KEPT - 1
  :: else
  fi;
  W.batch[i].after = W.committed.after;
  W.batch[i].last = W.committed.last;
  W.batch[i].ids = W.committed.ids
}

inline forget_committed() {
  W.committed.after = 0;
  W.committed.last = 0;
  W.committed.ids = 0
}

/* DuckDBSession._saving: every commit also writes the mark that was noted. */
inline write_noted() {
  store.published = noted_published;
  store.ends[0] = noted_ends[0];
  store.ends[1] = noted_ends[1]
}

/* `count` rows were committed, `ids` of them are to be published. */
inline note_committed() {
  if
  :: count > 0 ->
    W.committed.after = store.rows - count;
    W.committed.last = store.rows;
    W.committed.ids = ids
  :: else
  fi
}

inline acknowledge(topic, until) {
  W.next[topic] = until;
#ifdef START_AT_GROUP_OFFSET
  group[topic] = W.next[topic];
#endif
  W.is_doubtful = W.is_doubtful || W.is_retrying;
  W.is_retrying = false;
  W.consumer = (W.committed.last > 0 -> COMMITTED : READING)
}

#ifdef POSITIONS_APART

inline write_batch(topic) {
  first = W.next[topic];
  read_store();
  decide(topic, W.up_to, W.read_position);
  write_effects();
  write_noted();
  note_committed();
  printf("commit: records %d to %d of topic %d\n", first, W.up_to - 1, topic);
  check_store()
}

/* A mutation: the position is committed in a transaction of its own, before the effects or after them. */
inline apply(topic, is_left, until) {
  d_step { W.consumer == READING && is_left ->
    W.of_topic = topic;
    W.up_to = until;
    W.read_position = store.position[topic];
    W.consumer = DECIDED;
#ifdef POSITIONS_FIRST
    write_position(topic, until);
    printf("commit: position %d of topic %d\n", W.up_to, topic)
#else
    write_batch(topic)
#endif
  }
}

inline finish(topic) {
  d_step { W.consumer == DECIDED && W.of_topic == topic ->
#ifdef POSITIONS_FIRST
    write_batch(topic);
#else
    write_position(topic, W.up_to);
    printf("commit: position %d of topic %d\n", W.up_to, topic);
#endif
    acknowledge(topic, W.up_to)
  }
}

#else

/* Applier._apply: decide and commit, on the store's thread. */
inline apply(topic, is_left, until) {
  d_step { W.consumer == READING && is_left ->
    commit(topic, until);
    note_committed();
    acknowledge(topic, until)
  }
}

/* The commit is durable, but its answer is lost: Applier._before_retry reopens the store, the batch is repeated. */
inline apply_unacknowledged(topic, is_left, until) {
  d_step { W.consumer == READING && is_left && faults > 0 ->
    faults--;
    commit(topic, until);
    W.is_retrying = true;
    printf("batch failed, retrying\n")
  }
}

inline commit(topic, until) {
  first = W.next[topic];
  read_store();
  decide(topic, until, store.position[topic]);
  write(topic, until);
  write_noted();
  printf("commit: records %d to %d of topic %d, rows up to %d\n", first, until - 1, topic, store.rows);
  check_store()
}

#endif

proctype Consumer(byte me) {
end:
  do
  /* Assignment._set_positions */
  :: d_step { W.consumer == STARTING ->
      W.next[SIGNUPS] = START(SIGNUPS);
      W.next[CANCELLATIONS] = START(CANCELLATIONS);
      W.consumer = READING;
      printf("assignment: read from %d and %d\n", W.next[SIGNUPS], W.next[CANCELLATIONS]) }

  :: apply(SIGNUPS, HAS_ONE(SIGNUPS), ONE(SIGNUPS))
  :: apply(CANCELLATIONS, HAS_ONE(CANCELLATIONS), ONE(CANCELLATIONS))
#if CUSTOMERS > 1
  :: apply(SIGNUPS, HAS_MORE(SIGNUPS), ALL(SIGNUPS))
#endif
#if EVENTS > 1
  :: apply(CANCELLATIONS, HAS_MORE(CANCELLATIONS), ALL(CANCELLATIONS))
#endif
#ifdef POSITIONS_APART
  :: finish(SIGNUPS)
  :: finish(CANCELLATIONS)
#elif FAULTS > 0
  :: apply_unacknowledged(SIGNUPS, HAS_ONE(SIGNUPS), ONE(SIGNUPS))
  :: apply_unacknowledged(CANCELLATIONS, HAS_ONE(CANCELLATIONS), ONE(CANCELLATIONS))
#if EVENTS > 1
  :: apply_unacknowledged(CANCELLATIONS, HAS_MORE(CANCELLATIONS), ALL(CANCELLATIONS))
#endif
#endif

  /* Relay.offer */
  :: d_step { W.consumer == COMMITTED ->
      W.known_seq = (W.committed.last > W.known_seq -> W.committed.last : W.known_seq);
      if
      :: W.committed.after >= W.settled_seq && W.committed.after >= W.seq -> keep_batch()
      :: else
      fi;
      forget_committed();
      W.consumer = READING;
      printf("relay.offer: rows up to %d\n", W.known_seq) }
  od
}
