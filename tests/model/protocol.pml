/* The exactly-once protocol: docs/design.md, "Model". */

#include "state.pml"

#define W worker[me]

#include "store.pml"
#ifdef DUCKDB
#include "duckdb_consumer.pml"
#endif
#ifdef POSTGRES_RELAYS
#include "postgres_batches.pml"
#endif
#ifdef POSTGRES_CONSUMERS
#include "postgres_consumers.pml"
#else
#include "process.pml"
#include "kafka.pml"
#include "relay.pml"
#endif
#include "faults.pml"

init {
  byte number;
  atomic {
    select(faults : 0 .. FAULTS);
    number = 0;
#ifdef HAS_RELAYS
    log[0].log_id = 1;
    log[1].log_id = 1;
    do
    :: number < REQUESTS -> run Broker(number); number++
    :: else -> break
    od;
    run Coordinator();
    number = 0;
    do
    :: number < WORKERS -> run Relay(number); run Faults(number); number++
    :: else -> break
    od;
#endif
#ifdef DUCKDB
    run Consumer(0);
#endif
#ifdef POSTGRES_RELAYS
    store.leader = NOBODY;
    copy.leader = NOBODY;
    run Batches();
#endif
#ifdef POSTGRES_CONSUMERS
    store.owner[0] = NOBODY;
    store.owner[1] = NOBODY;
    copy.owner[0] = NOBODY;
    copy.owner[1] = NOBODY;
    do
    :: number < WORKERS -> run Consumer(number); run Faults(number); number++
    :: else -> break
    od;
#endif
    number = 0;
    run FaultsOfAll()
  }
  /* No step is left: everything must be done, or a worker has stopped. */
  timeout ->
  d_step {
    check_store();
    not_finished = !is_stopped && (store.parked > 0 || listed + 1 != BIT(EVENTS) || store.position[SIGNUPS] < CUSTOMERS || store.position[CANCELLATIONS] < EVENTS);
#ifdef HAS_RELAYS
    not_finished = not_finished || !is_stopped &&
      ((visible | vanished) + 1 != BIT(EVENTS) || store.published < store.rows || transaction != EMPTY);
#endif
    printf("end\n");
    assert(!not_finished)
  }
}
