/* Batches of several workers on PostgreSQL as the relays see them: commits, one after another. postgres_consumers.pml
   has how they come about. */

inline commit(topic, is_left, until) {
  d_step { is_left ->
    first = store.position[topic];
    read_store();
    decide(topic, until, first);
    write(topic, until);
    printf("commit: records %d to %d of topic %d, rows up to %d\n", first, store.position[topic] - 1, topic, store.rows);
    check_store()
  }
}

#define ONE(topic) (store.position[topic] + 1)
#define ALL(topic) INPUT_END(topic)
#define HAS_ONE(topic) (!is_stopped && store.position[topic] < INPUT_END(topic))
#define HAS_MORE(topic) (!is_stopped && store.position[topic] + 1 < INPUT_END(topic))

proctype Batches() {
end:
  do
  :: commit(SIGNUPS, HAS_ONE(SIGNUPS), ONE(SIGNUPS))
  :: commit(CANCELLATIONS, HAS_ONE(CANCELLATIONS), ONE(CANCELLATIONS))
#if CUSTOMERS > 1
  :: commit(SIGNUPS, HAS_MORE(SIGNUPS), ALL(SIGNUPS))
#endif
#if EVENTS > 1
  :: commit(CANCELLATIONS, HAS_MORE(CANCELLATIONS), ALL(CANCELLATIONS))
#endif
  od
}
