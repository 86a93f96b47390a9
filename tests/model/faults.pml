/* Faults, at any moment. */

#define MAY_FAIL (faults > 0)
#define KILLED(where) d_step { MAY_FAIL && where -> faults--; end_process(); printf("worker %d: killed\n", me) }

#ifdef HAS_RELAYS
/* An answer does not come within PUBLISH_SECONDS or INIT_SECONDS. The request may still arrive. */
#define UNANSWERED(where) d_step { MAY_FAIL && where -> faults--; leave_request(); fail(); printf("worker %d: no answer\n", me) }
/* A call of the store fails, with nothing written. */
#define REFUSED_BY_STORE(where) d_step { MAY_FAIL && where -> faults--; fail(); printf("worker %d: call of the store failed\n", me) }

/* A store that has no record of a topic's id, lost together with the topic: nothing proves what was published. */
#define IS_ORIGINAL(topic) (log[topic].log_id == 1)
#define IS_PROVEN ((IS_ORIGINAL(0) || copy.log_id[0] > 0) && (IS_ORIGINAL(1) || copy.log_id[1] > 0))

/* Retention deletes all records of an output topic, or the topic is deleted and created again. */
inline cut(topic) {
  d_step { MAY_FAIL && cuts > 0 && log[topic].stable == log[topic].end && log[topic].begin < log[topic].end ->
    faults--;
    cuts--;
    forget_records(topic);
    log[topic].begin = log[topic].end;
    printf("topic %d: records deleted up to %d\n", topic, log[topic].end)
  }
}

inline recreate(topic) {
  d_step { MAY_FAIL && cuts > 0 && log[topic].end > 0 && store.log_id[topic] > 0 ->
    faults--;
    cuts--;
    forget_records(topic);
    log[topic].begin = 0;
    log[topic].end = 0;
    log[topic].stable = 0;
    log[topic].log_id++;
    printf("topic %d: recreated\n", topic)
  }
}

inline forget_records(topic) {
  i = 0;
  do
  :: i < LENGTH ->
    if
    :: STATUS_OF(log[topic].record[i]) == OPEN -> vanished = WITH(vanished, EVENT_OF(ID_OF(log[topic].record[i])))
    :: else
    fi;
    log[topic].record[i] = 0;
    i++
  :: else -> break
  od
}
#endif

#ifdef HAS_RELAYS
#define MAY_RESTORE (MAY_FAIL && restores > 0 && is_copied && IS_PROVEN)
#else
#define MAY_RESTORE (MAY_FAIL && restores > 0 && is_copied)
#endif

#ifdef DUCKDB
inline lose_store() {
  i = 0;
  do
  :: i < 2 -> store.position[i] = 0; store.ends[i] = 0; store.log_id[i] = 0; i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < ROWS -> store.row[i] = 0; i++
  :: else -> break
  od;
  store.signed_up = 0;
  store.churned = 0;
  store.parked = 0;
  store.rows = 0;
  store.receipted = 0;
  store.receipts = 0;
  store.published = 0
}
#endif

proctype Faults(byte me) {
end:
  do
#ifdef HAS_RELAYS
  :: KILLED(W.relay == WAITING)
  :: KILLED(W.relay == RECOVERING)
  :: KILLED(W.relay == FENCING)
  :: KILLED(W.relay == FENCED)
  :: KILLED(W.relay == OPENING)
  :: KILLED(W.relay == IDENTIFYING)
  :: KILLED(W.relay == RECEIVING)
  :: KILLED(W.relay == KEEPING)
  :: KILLED(W.relay == SETTLING)
  :: KILLED(W.relay == PUBLISHING)
  :: KILLED(W.relay == SENDING)
  :: KILLED(W.relay == COMMITTING)
  :: KILLED(W.mark > 0)
  :: UNANSWERED(W.relay == FENCING)
  :: UNANSWERED(W.relay == SENDING)
  :: UNANSWERED(W.relay == COMMITTING)
  :: REFUSED_BY_STORE(W.relay == IDENTIFYING)
  :: REFUSED_BY_STORE(W.relay == KEEPING)
  :: REFUSED_BY_STORE(W.relay == PUBLISHING && W.mark > 0)
#endif
#ifdef DUCKDB
  :: KILLED(W.consumer == READING)
  :: KILLED(W.consumer == COMMITTED)
  :: KILLED(W.relay == SETTLED)
  :: KILLED(noted_published != store.published)
  /* A copy of the store is put in its place, or the store is lost, while the worker does not run. */
  :: d_step { MAY_RESTORE ->
      faults--;
      restores--;
      copy_store(store, copy);
      end_process();
      printf("killed, store restored\n") }
  :: d_step { MAY_FAIL && IS_ORIGINAL(0) && IS_ORIGINAL(1) ->
      faults--;
      lose_store();
      end_process();
      printf("killed, store lost\n") }
#endif
#ifdef POSTGRES_RELAYS
  /* The session that holds the advisory lock ends: the worker is frozen or disconnected. */
  :: d_step { MAY_FAIL && leader == me -> faults--; leader = NOBODY; printf("worker %d: the leader's session ended\n", me) }
  /* The connection to the store ends. */
  :: d_step { MAY_FAIL && !W.is_broken -> faults--; W.is_broken = true; printf("worker %d: connection to the store ended\n", me) }
#endif
#ifdef POSTGRES_CONSUMERS
  :: KILLED(W.consumer == READING)
  :: KILLED(W.consumer == DECIDED)
#endif
  od
}

proctype FaultsOfAll() {
end:
  do
#ifdef HAS_RELAYS
  /* transaction.timeout.ms, while the producer is there. */
  :: d_step { MAY_FAIL && transaction == ONGOING ->
      faults--;
      raise_epoch();
      transaction = PREPARED_ABORT;
      printf("coordinator: transaction timed out\n") }
  :: cut(0)
  :: cut(1)
  :: recreate(0)
  :: recreate(1)
#endif
  :: d_step { MAY_FAIL && restores > 0 && !is_copied && store.position[0] + store.position[1] > 0 ->
      is_copied = true;
      copy_store(copy, store);
      printf("store copied\n") }
#ifdef POSTGRES_CONSUMERS
  /* The group assigns a topic to another worker, which the first does not know yet. */
  :: d_step { MAY_FAIL && assigned[SIGNUPS] != NOBODY -> faults--; assigned[SIGNUPS] = 1 - assigned[SIGNUPS]; printf("rebalance: signups\n") }
  :: d_step { MAY_FAIL && assigned[CANCELLATIONS] != NOBODY -> faults--; assigned[CANCELLATIONS] = 1 - assigned[CANCELLATIONS]; printf("rebalance: cancellations\n") }
#endif
#ifndef DUCKDB
  /* A standby without the last commits becomes the primary: every connection ends. */
  :: d_step { MAY_RESTORE ->
      faults--;
      restores--;
      copy_store(store, copy);
#ifdef POSTGRES_RELAYS
      leader = NOBODY;
#endif
      worker[0].is_broken = true;
      worker[1].is_broken = true;
      printf("failover to the copy of the store\n") }
#endif
  od
}
