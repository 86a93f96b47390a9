"""Check of an SQL statement before it runs: one query, of the public tables alone, by the parser of DuckDB.

The sandbox does not depend on this check: it holds nothing but rows of the public tables. The check explains what is
refused, and finds the tables and columns that are needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from worker.queries.snapshot import TableColumns
from worker.stores.public_tables import COLUMNS, PublicTable

_NODES = {
    # Kinds of queries.
    "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE",
    # What a query reads.
    "BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION", "PIVOT",
    # What follows it.
    "ORDER_MODIFIER", "ORDER_DEFAULT", "ASCENDING", "DESCENDING", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER",
    "DISTINCT_MODIFIER",
}  # fmt: skip
"""Nodes of a syntax tree that are no expressions. Others are refused, those that a later DuckDB adds included."""
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest"}
_REFUSED_FUNCTION = re.compile(
    r"__.*|pg_.*|duckdb_.*|has_.*_privilege|inet_.*|read_.*|json_(de)?serialize_.*|json_execute_.*|.*_description"
    r"|current_(catalog|connection_id|database|query|query_id|role|schemas?|setting|transaction_id|user)"
    r"|session_user|user|version|txid_current|getenv|getvariable|nextval|currval|setval|setseed|sleep_ms|write_log"
    r"|in_search_path|get_block_size|stats|parse_duckdb_log_message|format_pg_type|map_to_pg_oid|which_secret"
).fullmatch
"""Functions about the session, the system or its files, and those that wait."""
_COUNT_ALL = "count_star"
Node = dict[str, Any]


class Refused(Exception):
    """A statement that is refused; the message has the reason."""


def needed_tables(db: duckdb.DuckDBPyConnection, query: str) -> list[TableColumns]:
    """Return the tables and columns that a statement needs. Raises `Refused`, and the driver's errors."""
    statements = db.extract_statements(query)
    if len(statements) != 1:
        raise Refused(f"exactly one statement is accepted, these are {len(statements)}")
    [(serialized,)] = db.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
    tree = json.loads(serialized)
    if tree["error"]:
        kind = str(statements[0].type).rpartition(".")[2]
        raise Refused(f"only SELECT is accepted, this is {kind}")
    nodes = list(_nodes(tree["statements"]))
    names = {each["key"].lower() for node in nodes if "cte_map" in node for each in node["cte_map"]["map"]}
    for node in nodes:
        _require_accepted(node, names)
    return [TableColumns(table, _columns(table, nodes)) for table in PublicTable if table in set(_tables(nodes))]


def _nodes(tree: Any) -> Iterator[Node]:
    """Yield each object of a syntax tree."""
    pending = [tree]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            yield each
            pending += each.values()
        elif isinstance(each, list):
            pending += each


def _require_accepted(node: Node, names: set[str]) -> None:
    kind = node.get("type")
    if "class" not in node and isinstance(kind, str) and kind not in _NODES and not kind.endswith("_TYPE_INFO"):
        raise Refused(f"{kind.removesuffix('_NODE').replace('_', ' ')} is not accepted")
    if kind == "BASE_TABLE":
        _require_public(node, names)
    elif kind == "TABLE_FUNCTION":
        _require_function(node["function"], _TABLE_FUNCTIONS)
    elif node.get("class") == "FUNCTION":
        _require_function(node)
    elif node.get("class") == "PARAMETER":
        raise Refused("parameters have no value here")


def _require_public(node: Node, names: set[str]) -> None:
    path = [node[part] for part in ("catalog_name", "schema_name", "table_name") if node[part]]
    if len(path) > 1 or path[0].lower() not in {*PublicTable, *names} or node.get("at_clause"):
        raise Refused(f"{'.'.join(path)} is not one of the tables {', '.join(PublicTable)}")


def _require_function(node: Node, accepted: set[str] | None = None) -> None:
    name = node["function_name"].lower()
    is_refused = _REFUSED_FUNCTION(name) if accepted is None else name not in accepted
    if is_refused or node["schema"] or node["catalog"]:
        raise Refused(f"the function {name} is not accepted")


def _tables(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        if node.get("type") == "BASE_TABLE":
            yield node["table_name"].lower()


def _columns(table: PublicTable, nodes: Sequence[Node]) -> list[str]:
    """Return the columns of a table that may be needed: all that are named anywhere, or all there are."""
    every = list(COLUMNS[table])
    if any(_means_all_columns(node, set(_row_names(nodes))) for node in nodes):
        return every
    named = {text.lower() for node in nodes for text in _texts(node)}
    return [name for name in every if name in named] or every[-1:]


def _row_names(nodes: Sequence[Node]) -> Iterator[str]:
    """Yield the names by which a query can refer to a whole row."""
    for node in nodes:
        yield from (str(node[key]).lower() for key in ("alias", "table_name") if node.get(key) and "class" not in node)


def _means_all_columns(node: Node, row_names: set[str]) -> bool:
    kind = node.get("class") or node.get("type")
    if kind == "COLUMN_REF":
        return len(node["column_names"]) == 1 and node["column_names"][0].lower() in row_names
    is_by_position = kind == "POSITIONAL_REFERENCE" or bool(node.get("column_name_alias"))
    return kind in ("STAR", "PIVOT") or is_by_position or node.get("ref_type") == "NATURAL"


def _texts(node: Node) -> Iterator[str]:
    for value in node.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))
