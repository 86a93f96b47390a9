/* The consumers of two workers on one PostgreSQL store: optimistic batches, claims, failover. */

#define ONE(topic) (W.next[topic] + 1)
#define ALL(topic) INPUT_END(topic)
#define HAS_ONE(topic) (W.next[topic] < INPUT_END(topic))
#define HAS_MORE(topic) (W.next[topic] + 1 < INPUT_END(topic))

/* checks.require_ownership: claims.require_committed, require_owned, positions */
#ifdef COMMITS_NOT_EXPECTED
#define IS_BEHIND(topic) false
#else
#define IS_BEHIND(topic) (store.position[topic] < W.expected[topic])
#endif
#ifdef OWNER_NOT_COMPARED
#define IS_TAKEN_OVER(topic) false
#else
#define IS_TAKEN_OVER(topic) (store.owner[topic] != me)
#endif
#ifdef POSITIONS_NOT_COMPARED
#define HAS_MOVED false
#else
#define HAS_MOVED (store.position[W.of_topic] != W.read_position)
#endif
/* checks.pass_gate, lock_changed, take_parked */
#ifdef GATE_NOT_PASSED
#define HAS_CONFLICT (HAS_MOVED || (churning & store.churned) || (releasing & ~store.parked))
#else
#define HAS_CONFLICT (HAS_MOVED || (churning & store.churned) || (releasing & ~store.parked) || \
  (parking & store.signed_up) || (signing & store.parked & ~releasing))
#endif
#define IS_COMMITTABLE (W.consumer == DECIDED && !W.is_broken && !IS_BEHIND(W.of_topic) && !IS_TAKEN_OVER(W.of_topic))

inline forget_batch() {
  W.of_topic = 0;
  W.up_to = 0;
  W.read_position = 0;
  W.read_signed_up = 0;
  W.read_churned = 0;
  W.read_parked = 0;
  W.consumer = READING
}

/* Assignment._start: claim the topic in the store, and read from its position. A worker that could not commit claims
   again what the group still assigns to it: Assignment.reclaim. */
inline claim(topic) {
  d_step { (assigned[topic] == NOBODY || assigned[topic] == me && !HAS(W.taken, topic)) && W.consumer != DECIDED ->
    assigned[topic] = me;
    W.is_broken = false;
    store.owner[topic] = me;
    copy.owner[topic] = (copy.owner[topic] == me -> NOBODY : copy.owner[topic]);
    W.next[topic] = store.position[topic];
    W.expected[topic] = store.position[topic];
    W.taken = WITH(W.taken, topic);
    W.consumer = READING;
    printf("worker %d: claim of topic %d, read from %d\n", me, topic, W.next[topic])
  }
}

inline give_back(topic) {
  W.taken = WITHOUT(W.taken, topic);
  W.next[topic] = 0;
  W.expected[topic] = 0
}

/* Assignment.on_partitions_revoked */
inline revoke(topic) {
  d_step { HAS(W.taken, topic) && assigned[topic] != me && W.consumer == READING ->
    give_back(topic);
    printf("worker %d: topic %d revoked\n", me, topic)
  }
}

/* Applier.check_store: each second between batches. */
inline check_commits(topic) {
  d_step { W.consumer == READING && HAS(W.taken, topic) && IS_BEHIND(topic) ->
    W.is_broken = false;
    give_back(topic);
    printf("worker %d: store lost commits\n", me)
  }
}

/* Applier._apply: a batch reads the store. */
inline read_batch(topic, is_left, to) {
  d_step { W.consumer == READING && HAS(W.taken, topic) && is_left ->
    W.is_broken = false;
    W.of_topic = topic;
    W.up_to = to;
    W.read_position = store.position[topic];
    W.read_signed_up = store.signed_up;
    W.read_churned = store.churned;
    W.read_parked = store.parked;
    W.consumer = DECIDED;
    printf("worker %d: batch: topic %d up to %d\n", me, topic, W.up_to - 1)
  }
}

/* commits.commit: checks the rows that were read, and writes. */
inline commit() {
  first = W.next[W.of_topic];
  is_signed_up = W.read_signed_up;
  is_churned = W.read_churned;
  is_parked = W.read_parked;
  decide(W.of_topic, W.up_to, W.read_position);
  is_refused = HAS_CONFLICT;
  if
  :: is_refused -> printf("worker %d: batch retried after a conflict\n", me)
  :: else ->
    write(W.of_topic, W.up_to);
    printf("worker %d: commit: topic %d up to %d, rows up to %d\n", me, W.of_topic, W.up_to - 1, store.rows);
    check_store()
  fi
}

proctype Consumer(byte me) {
end:
  do
  :: claim(SIGNUPS)
  :: claim(CANCELLATIONS)
  :: revoke(SIGNUPS)
  :: revoke(CANCELLATIONS)
#ifndef COMMITS_NOT_EXPECTED
  :: check_commits(SIGNUPS)
  :: check_commits(CANCELLATIONS)
#endif
  :: read_batch(SIGNUPS, HAS_ONE(SIGNUPS), ONE(SIGNUPS))
  :: read_batch(CANCELLATIONS, HAS_ONE(CANCELLATIONS), ONE(CANCELLATIONS))
#if CUSTOMERS > 1
  :: read_batch(SIGNUPS, HAS_MORE(SIGNUPS), ALL(SIGNUPS))
#endif
#if EVENTS > 1
  :: read_batch(CANCELLATIONS, HAS_MORE(CANCELLATIONS), ALL(CANCELLATIONS))
#endif

  /* Applier._before_retry: the store is opened again. */
  :: d_step { W.consumer == DECIDED && W.is_broken ->
      W.is_broken = false;
      forget_batch();
      printf("worker %d: batch failed, retrying\n", me) }
#ifndef COMMITS_NOT_EXPECTED
  :: d_step { W.consumer == DECIDED && !W.is_broken && IS_BEHIND(W.of_topic) ->
      give_back(W.of_topic);
      forget_batch();
      printf("worker %d: store lost commits\n", me) }
#endif
#ifndef OWNER_NOT_COMPARED
  :: d_step { W.consumer == DECIDED && !W.is_broken && !IS_BEHIND(W.of_topic) && IS_TAKEN_OVER(W.of_topic) ->
      give_back(W.of_topic);
      forget_batch();
      printf("worker %d: batch left to another worker\n", me) }
#endif
  :: d_step { IS_COMMITTABLE ->
      commit();
      W.next[W.of_topic] = (is_refused -> W.next[W.of_topic] : W.up_to);
      W.expected[W.of_topic] = (is_refused -> W.expected[W.of_topic] : store.position[W.of_topic]);
      forget_batch() }
  /* The commit is durable, but its answer is lost: the batch is repeated. */
  :: d_step { IS_COMMITTABLE && faults > 0 ->
      faults--;
      commit();
      forget_batch();
      printf("worker %d: batch failed, retrying\n", me) }
  od
}

inline end_process() {
  forget_batch();
  W.consumer = STARTING;
  W.is_broken = false;
  i = 0;
  do
  :: i < 2 ->
    W.next[i] = 0;
    W.expected[i] = 0;
    assigned[i] = (assigned[i] == me -> NOBODY : assigned[i]);
    i++
  :: else -> break
  od;
  W.taken = 0
}
