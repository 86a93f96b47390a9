/* The store: each inline is one transaction of worker.stores. */

#ifdef ID_BY_CHANCE
#define NEW_ID(event) ((event) + EVENTS * chance)
#else
#define NEW_ID(event) (event)
#endif

/* batch.BatchProcessor.apply: the effects of the records from `first` up to `until`, of a batch that has read the
   sets is_signed_up, is_churned and is_parked, and the position. A record before the position is a replay. */
inline decide(topic, until, before) {
  signing = 0; churning = 0; parking = 0; releasing = 0; count = 0;
  i = first;
  do
  :: i < until ->
    if
    :: topic == SIGNUPS && !HAS(is_signed_up, i) ->
      signing = WITH(signing, i);
      if
      :: HAS(is_parked, i) -> releasing = WITH(releasing, i); new_row[count] = i; count++
      :: else
      fi
    :: topic == CANCELLATIONS && i < CUSTOMERS && !HAS(is_signed_up, i) -> parking = WITH(parking, i)
    :: topic == CANCELLATIONS && i < CUSTOMERS && HAS(is_signed_up, i) && !HAS(is_churned, i) ->
      churning = WITH(churning, i); new_row[count] = i; count++
    :: topic == CANCELLATIONS && i >= CUSTOMERS && i >= before -> new_row[count] = i; count++
    :: else
    fi;
    i++
  :: else -> break
  od
}

inline read_store() {
  is_signed_up = store.signed_up;
  is_churned = store.churned;
  is_parked = store.parked
}

/* commits.commit: everything in one transaction. `ids` are the outgoing records without a receipt. */
inline write(topic, until) {
  write_effects();
  write_position(topic, until)
}

inline write_effects() {
  store.signed_up = store.signed_up | signing;
  store.churned = store.churned | churning | releasing;
  store.parked = (store.parked | parking) & ~releasing;
  ids = 0;
  i = 0;
  do
  :: i < count ->
#ifdef ID_BY_CHANCE
    chance++;
#endif
    id = NEW_ID(new_row[i]);
    store.row[store.rows] = id;
    ids = WITH(ids, id);
#ifdef HAS_RELAYS
    if
    :: HAS(store.receipts, id) ->
      store.receipts = WITHOUT(store.receipts, id);
      store.receipted = WITH(store.receipted, store.rows);
      ids = WITHOUT(ids, id)
    :: else
    fi;
#endif
    store.rows++;
    i++
  :: else -> break
  od
}

inline write_position(topic, until) {
  if
  :: until > store.position[topic] -> store.position[topic] = until
  :: else
  fi
}

#ifdef HAS_RELAYS
/* OutboxStore.keep_receipts: the ids found on the output topics. */
inline keep_receipts(those, marked_to) {
  ids = those;
  i = 0;
  do
  :: i < store.rows ->
    if
    :: HAS(those, store.row[i]) ->
      ids = WITHOUT(ids, store.row[i]);
      if
      :: i >= marked_to -> store.receipted = WITH(store.receipted, i)
      :: else
      fi
    :: else
    fi;
    i++
  :: else -> break
  od;
#ifndef RECEIPTS_NOT_KEPT
  store.receipts = store.receipts | ids
#endif
}
#endif

/* Everything before a position has its effect; no event has two rows; what is marked or has a receipt is published. */
inline check_store() {
  listed = 0;
  i = 0;
  do
  :: i < store.rows ->
    event_has_two_rows = event_has_two_rows || HAS(listed, EVENT_OF(store.row[i]));
    listed = WITH(listed, EVENT_OF(store.row[i]));
#ifdef HAS_RELAYS
    marked_unpublished = marked_unpublished ||
      ((i < store.published || HAS(store.receipted, i)) && !HAS(decided, store.row[i]));
#endif
    i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < EVENTS ->
    position_ahead_of_effects = position_ahead_of_effects ||
      (i < store.position[SIGNUPS] && !HAS(store.signed_up, i)) ||
      (i < store.position[CANCELLATIONS] && i < CUSTOMERS && !HAS(store.parked | store.churned, i)) ||
      (HAS(store.churned, i) && !HAS(listed, i)) ||
      (i < store.position[CANCELLATIONS] && i >= CUSTOMERS && !HAS(listed, i));
    i++
  :: else -> break
  od;
  assert(!position_ahead_of_effects);
  assert(!event_has_two_rows);
  assert(!marked_unpublished)
}

inline copy_store(to, from) {
  i = 0;
  do
  :: i < 2 ->
    to.position[i] = from.position[i];
#ifdef HAS_RELAYS
    to.ends[i] = from.ends[i];
    to.log_id[i] = from.log_id[i];
#endif
#ifdef POSTGRES_CONSUMERS
    to.owner[i] = from.owner[i];
#endif
    i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < ROWS -> to.row[i] = from.row[i]; i++
  :: else -> break
  od;
  to.signed_up = from.signed_up;
  to.churned = from.churned;
  to.parked = from.parked;
  to.rows = from.rows;
  to.receipted = from.receipted;
#ifdef HAS_RELAYS
  to.receipts = from.receipts;
  to.published = from.published;
#endif
#ifdef POSTGRES_RELAYS
  to.leader = from.leader;
#endif
}
