"""Statements of `sql`: queries of the public tables are accepted with what they need, all else is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from worker.snapshots.sandbox import Request, open_database
from worker.snapshots.statement import Refused, needed_tables
from worker.stores.public_tables import COLUMNS

ALL = {table.value: list(columns) for table, columns in COLUMNS.items()}
ACCEPTED = {
    "SELECT 1": {},
    "VALUES (1, 'a')": {},
    "SELECT * FROM range(3)": {},
    "SELECT unnest([1, 2]), generate_series(1, 2)": {},
    "FROM customers": {"customers": ALL["customers"]},
    "TABLE journal": {"journal": ALL["journal"]},
    'SELECT * FROM "Customers";': {"customers": ALL["customers"]},
    "SELECT count(*) FROM customers": {"customers": ["churn_date"]},
    "SELECT plan_tier, count(*), sum(lost_arr) FROM churned GROUP BY ALL ORDER BY 3 DESC NULLS LAST LIMIT 5": {
        "churned": ["plan_tier", "lost_arr"]
    },
    "SELECT MRR * 12 AS arr FROM customers AS c WHERE c.Churn_Date IS NULL ORDER BY arr": {
        "customers": ["mrr", "churn_date"]
    },
    "SELECT c FROM customers c": {"customers": ALL["customers"]},
    "SELECT customers FROM customers": {"customers": ALL["customers"]},
    "SELECT c.* EXCLUDE (mrr) FROM customers c": {"customers": ALL["customers"]},
    "SELECT COLUMNS('.*id') FROM journal": {"journal": ALL["journal"]},
    "SELECT #1 FROM customers": {"customers": ALL["customers"]},
    "SELECT a FROM customers AS c(a)": {"customers": ALL["customers"]},
    "SELECT count(*) FROM customers NATURAL JOIN churned": {"customers": ALL["customers"], "churned": ALL["churned"]},
    "UNPIVOT customers ON mrr": {"customers": ALL["customers"]},
    "SELECT count(DISTINCT c) FROM (SELECT industry FROM customers) AS c": {"customers": ALL["customers"]},
    "SELECT count(*) FROM customers JOIN churned USING (customer_id)": {
        "customers": ["customer_id"],
        "churned": ["customer_id"],
    },
    """
    WITH RECURSIVE
    months AS (SELECT DATE '2026-01-01' AS m UNION ALL SELECT m + INTERVAL 1 MONTH FROM months WHERE m < '2026-12-01'),
    churned AS MATERIALIZED (SELECT date_trunc('month', churn_date) AS m, lost_arr FROM churned)
    SELECT m, coalesce(sum(lost_arr), 0), row_number() OVER (PARTITION BY m ORDER BY m ROWS UNBOUNDED PRECEDING)
    FROM months LEFT JOIN churned USING (m) WHERE m IN (SELECT m FROM churned)
    GROUP BY GROUPING SETS ((m), ()) HAVING true
    UNION ALL BY NAME SELECT NULL AS m FROM journal WHERE "at" > now() AND EXISTS (SELECT 1 FROM range(1)) -- a comment;
    """: {"churned": ["churn_date", "lost_arr"], "journal": ["at"]},
    "SELECT list_transform([1], lambda x: x + 1), CASE WHEN true THEN 1 END, {'a': 1}.a, 1::DECIMAL(9, 2), [1][1:]": {},
    "SELECT current_date, current_timestamp, today(), date_diff('day', DATE '2026-01-01', DATE '2026-02-01')": {},
    "SELECT outcome, count(*) FILTER (WHERE reason IS NOT NULL) FROM journal TABLESAMPLE 10% GROUP BY outcome": {
        "journal": ["outcome", "reason"]
    },
    'SELECT j."at" FROM journal j ASOF JOIN churned c ON j.customer_id = c.customer_id AND j."at" >= c.churn_date': {
        "churned": ["customer_id", "churn_date"],
        "journal": ["at", "customer_id"],
    },
    "SELECT x FROM customers a, LATERAL (SELECT a.mrr + 1 AS x)": {"customers": ["mrr"]},
    "SELECT a.mrr FROM customers a POSITIONAL JOIN customers b": {"customers": ["mrr"]},
    "SELECT * FROM (PIVOT_WIDER customers ON plan_tier IN ('free') USING count(*))": {"customers": ALL["customers"]},
    "SELECT regexp_replace(reason, 'a', 'b'), 'x' LIKE 'y', reason ILIKE '%x', reason COLLATE nocase FROM churned": {
        "churned": ["reason"]
    },
}
REFUSED = {
    "": "exactly one statement is accepted, these are 0",
    "-- nothing": "these are 0",
    "SELECT 1; SELECT 2": "these are 2",
    "SELECT 1; DROP TABLE customers": "these are 2",
    "INSERT INTO customers SELECT * FROM customers": "only SELECT is accepted, this is INSERT",
    "UPDATE customers SET mrr = 0": "UPDATE",
    "DELETE FROM customers": "DELETE",
    "MERGE INTO customers USING churned USING (customer_id) WHEN MATCHED THEN DELETE": "only SELECT is accepted",
    "TRUNCATE customers": "only SELECT is accepted",
    "DROP TABLE customers": "DROP",
    "CREATE TABLE x AS SELECT 1": "CREATE",
    "CREATE OR REPLACE VIEW customers AS SELECT 1": "CREATE",
    "CREATE MACRO f() AS 1": "CREATE",
    "CREATE SECRET (TYPE s3)": "CREATE",
    "ALTER TABLE customers ADD COLUMN x INTEGER": "ALTER",
    "WITH x AS (DELETE FROM customers RETURNING *) SELECT * FROM x": "DELETE QUERY is not accepted",
    "WITH x AS (INSERT INTO customers VALUES (1) RETURNING *) SELECT 1": "INSERT QUERY is not accepted",
    "WITH x AS (UPDATE customers SET mrr = 0 RETURNING *) FROM x": "UPDATE QUERY is not accepted",
    "COPY customers TO '/tmp/x.csv'": "COPY",
    "COPY (SELECT 1) TO '/tmp/x.parquet'": "COPY",
    "COPY customers FROM '/etc/passwd'": "COPY",
    "EXPORT DATABASE '/tmp/x'": "EXPORT",
    "IMPORT DATABASE '/tmp/x'": "only SELECT is accepted",
    "ATTACH '/tmp/x.duckdb'": "ATTACH",
    "ATTACH 'postgresql://db' AS pg (TYPE postgres)": "ATTACH",
    "DETACH memory": "DETACH",
    "USE memory": "SET",
    "INSTALL httpfs": "LOAD",
    "LOAD httpfs": "LOAD",
    "FORCE INSTALL x FROM community": "LOAD",
    "SET memory_limit = '100GB'": "SET",
    "RESET memory_limit": "SET",
    "SET VARIABLE x = 1": "SET",
    "PRAGMA enable_external_access": "PRAGMA",
    "PRAGMA database_list": "only SELECT is accepted",
    "CALL pragma_version()": "CALL",
    "CHECKPOINT": "only SELECT is accepted",
    "VACUUM": "VACUUM",
    "BEGIN": "TRANSACTION",
    "COMMIT": "TRANSACTION",
    "PREPARE x AS SELECT 1": "PREPARE",
    "EXECUTE x": "EXECUTE",
    "EXPLAIN SELECT 1": "EXPLAIN",
    "EXPLAIN ANALYZE SELECT 1": "EXPLAIN",
    "PIVOT customers ON plan_tier": "MULTI",
    "SHOW TABLES": "SHOW REF is not accepted",
    "SHOW DATABASES": "SHOW REF is not accepted",
    "DESCRIBE customers": "SHOW REF is not accepted",
    "SUMMARIZE customers": "SHOW REF is not accepted",
    "SELECT * FROM (DESCRIBE customers)": "SHOW REF is not accepted",
    "SELECT ?": "parameters have no value here",
    "SELECT $1": "parameters have no value here",
    "SELECT * FROM outbox": "outbox is not one of the tables customers, churned, journal",
    "SELECT * FROM parked": "parked is not one of the tables",
    "SELECT * FROM decisions": "decisions is not one of the tables",
    "SELECT * FROM main.customers": "main.customers is not one of the tables",
    "SELECT * FROM customers.journal": "customers.journal is not one of the tables",
    "SELECT * FROM memory.main.customers": "memory.main.customers is not one of the tables",
    "SELECT * FROM system.information_schema.tables": "system.information_schema.tables is not one",
    "SELECT * FROM information_schema.tables": "information_schema.tables is not one of the tables",
    "SELECT * FROM pg_catalog.pg_class": "pg_catalog.pg_class is not one of the tables",
    "SELECT * FROM pg_class": "pg_class is not one of the tables",
    "SELECT * FROM sqlite_master": "sqlite_master is not one of the tables",
    "SELECT * FROM duckdb_tables": "duckdb_tables is not one of the tables",
    "SELECT * FROM '/etc/passwd'": "/etc/passwd is not one of the tables",
    "SELECT * FROM 'x.parquet'": "x.parquet is not one of the tables",
    "SELECT * FROM 'https://example.com/x.csv'": "is not one of the tables",
    "SELECT * FROM 'customers.duckdb'": "is not one of the tables",
    "SELECT 1 WHERE 1 IN (SELECT 1 FROM x)": "x is not one of the tables",
    "WITH x AS (FROM y) FROM x": "y is not one of the tables",
    "SELECT (SELECT max(seq) FROM outbox)": "outbox is not one of the tables",
    "SELECT * FROM customers AT (VERSION => 1)": "customers is not one of the tables",
    "SELECT pg_catalog.format_type(1, 1)": "the function format_type is not accepted",
    "SELECT main.abs(1)": "the function abs is not accepted",
    "SELECT pg_read_file('/etc/passwd')": "the function pg_read_file is not accepted",
    "SELECT pg_ls_dir('/')": "the function pg_ls_dir is not accepted",
    "SELECT lo_import('/etc/passwd')": "lo_import does not exist",
    "SELECT * FROM dblink('host=db', 'SELECT 1')": "the function dblink is not accepted",
    "SELECT dblink_exec('DROP TABLE x')": "dblink_exec does not exist",
    "SELECT set_config('x', 'y', false)": "set_config does not exist",
    "SELECT CURRENT_SETTING('memory_limit')": "the function current_setting is not accepted",
    **{
        f"SELECT {call}": f"the function {call.partition('(')[0]} is not accepted"
        for call in (
            "getenv('HOME')", "getvariable('x')", "version()", "current_database()", "current_schema()",
            "pg_sleep(9)", "sleep_ms(9)", "write_log('x')", "json_serialize_plan('SELECT 1')",
            "json_deserialize_sql('{}')", "txid_current()", "nextval('x')", "setval('x', 1)",
            "has_table_privilege('x', 'y')", "inet_server_addr()", "stats(1)", "current_query()",
            "in_search_path('a', 'b')", "pg_typeof(1)", "__internal_decompress_string('x')", "setseed(0.1)",
        )
    },
    **{
        f"SELECT * FROM {call}": f"the function {call.partition('(')[0]} is not accepted"
        for call in (
            "read_csv('/etc/passwd')", "read_csv_auto('x')", "read_text('/etc/passwd')", "read_blob('/etc/passwd')",
            "read_parquet('x')", "parquet_metadata('x')", "read_json('x')", "read_ndjson('x')", "read_duckdb('x')",
            "glob('/*')", "sniff_csv('x')", "parquet_scan('x')", "query('DROP TABLE customers')",
            "query_table('customers')", "repeat('x', 9)", "json_execute_serialized_sql('{}')", "duckdb_settings()",
            "duckdb_tables()", "duckdb_secrets()", "duckdb_logs()", "pragma_table_info('customers')",
            "pragma_version()", "pragma_database_size()", "which_secret('x', 's3')", "postgres_scan('x', 'y', 'z')",
            "sqlite_scan('x', 'y')", "iceberg_scan('x')", "delta_scan('x')", "st_read('x')", "checkpoint('x')",
            "force_checkpoint()", "enable_logging()", "truncate_duckdb_logs()", "seq_scan('customers')",
            "histogram(customers, mrr)", "python_map_function(1)", "arrow_scan(1, 2, 3)", "pandas_scan(1)",
            "test_all_types()", "add_grammar_extension('x')", "register_external_resource('x')",
        )
    },
}  # fmt: skip


ROWS = {
    "customers": """
        SELECT uuid(), ['FinTech', 'EdTech'][1 + i % 2], ['free', 'growth'][1 + i % 3 % 2], DATE '2026-01-01', i,
            CASE WHEN i % 2 = 0 THEN DATE '2026-02-01' + (i * 9)::INTEGER END
        FROM range(9) numbers(i)
    """,
    "churned": """
        SELECT customer_id, signup_date, churn_date, churn_date - signup_date, false, industry, plan_tier, mrr,
            mrr * 12, 'a reason'
        FROM customers WHERE churn_date IS NOT NULL
    """,
    "journal": """
        SELECT TIMESTAMP '2026-04-01', 'topic', i, i, NULL, ['applied', 'duplicate'][1 + i % 2], NULL, NULL
        FROM range(4) numbers(i)
    """,
}


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_database(Request("", 1, 1, 64, 0, "")) as opened:
        yield opened


def check(db: duckdb.DuckDBPyConnection, query: str) -> dict[str, list[str]]:
    """Check a statement as the sandbox does; returns the columns by table."""
    needed = needed_tables(db, query)
    db.sql(query)
    return {each.table.value: each.columns for each in needed}


@pytest.mark.parametrize("query", ACCEPTED)
def test_queries_are_accepted_with_what_they_need(db: duckdb.DuckDBPyConnection, query: str) -> None:
    assert check(db, query) == ACCEPTED[query]


@pytest.fixture(scope="module")
def filled() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with rows of all tables, also under other names."""
    with open_database(Request("", 1, 1, 256, 0, "")) as opened:
        for table, rows in ROWS.items():
            opened.execute(f"INSERT INTO {table} {rows}; CREATE TABLE whole_{table} AS FROM {table}")
        yield opened


@pytest.mark.parametrize(
    "query", [query for query in ACCEPTED if "TABLESAMPLE" not in query and "current" not in query]
)
def test_columns_left_out_do_not_change_the_result(filled: duckdb.DuckDBPyConnection, query: str) -> None:
    for table, columns in ALL.items():
        pruned = ACCEPTED[query].get(table, columns[:1])
        names = ", ".join(f'"{name}"' for name in pruned)
        filled.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT {names} FROM whole_{table}")
    found = sorted(filled.execute(query).fetchall(), key=str)
    for table in ALL:
        filled.execute(f"CREATE OR REPLACE TABLE {table} AS FROM whole_{table}")
    assert found == sorted(filled.execute(query).fetchall(), key=str)


@pytest.mark.parametrize("query", REFUSED)
def test_other_statements_are_refused(db: duckdb.DuckDBPyConnection, query: str) -> None:
    with pytest.raises((Refused, duckdb.CatalogException), match=re.escape(REFUSED[query])):
        check(db, query)


def test_every_function_of_files_or_session_is_refused(db: duckdb.DuckDBPyConnection) -> None:
    accepted = []
    kinds = "('table', 'table_macro', 'pragma')"
    query = f"SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN {kinds}"
    for (name,) in db.execute(query).fetchall():
        try:
            needed_tables(db, f'SELECT * FROM "{name}"()')
        except Refused:
            continue
        accepted.append(name)
    assert sorted(accepted) == ["generate_series", "range", "unnest"]


@pytest.mark.parametrize("nested", ["(" * 3_000 + "1" + ")" * 3_000, "-" * 3_000 + "1", "1" + "+1" * 20_000])
def test_deeply_nested_statement_is_no_crash(db: duckdb.DuckDBPyConnection, nested: str) -> None:
    with pytest.raises((Refused, duckdb.Error)):
        needed_tables(db, f"SELECT {nested}, x FROM nowhere")


UNCHECKED = [
    "COPY customers TO '{directory}/x.csv'", "COPY (SELECT 1) TO '{directory}/x.parquet'",
    "COPY customers FROM '/etc/passwd'", "EXPORT DATABASE '{directory}/x'", "ATTACH '{directory}/x.duckdb'",
    "CREATE TABLE x AS SELECT 1", "INSERT INTO customers (mrr) VALUES (1)", "DELETE FROM customers",
    "DROP TABLE customers", "UPDATE customers SET mrr = 0",
    "WITH x AS (DELETE FROM customers RETURNING *) SELECT * FROM x", "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_blob('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')", "SELECT * FROM read_duckdb('{directory}/customers.duckdb')", "INSTALL httpfs",
    "LOAD httpfs", "LOAD '{directory}/x.duckdb_extension'", "SET memory_limit = '1TB'",
    "SET lock_configuration = false", "SET enable_external_access = true", "RESET enable_external_access",
    "SET temp_directory = '{directory}'", "SET threads = 100", "PRAGMA memory_limit = '1TB'",
    "CREATE SECRET (TYPE s3)", "SELECT getenv('HOME')", "SELECT * FROM local_variable",
    "SELECT * FROM 'https://example.com/x.csv'",
]  # fmt: skip


@pytest.mark.parametrize("query", UNCHECKED)
def test_sandbox_refuses_what_passes_the_check(db: duckdb.DuckDBPyConnection, tmp_path: Path, query: str) -> None:
    local_variable = [(1,)]  # noqa: F841 - Python's variables are no tables
    (tmp_path / "customers.duckdb").touch()
    db.execute("BEGIN TRANSACTION READ ONLY")
    try:
        with pytest.raises(duckdb.Error):
            db.execute(query.format(directory=tmp_path)).fetchall()
    finally:
        db.execute("ROLLBACK")
    assert [file.name for file in tmp_path.iterdir()] == ["customers.duckdb"]
