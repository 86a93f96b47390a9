"""Commands in the documents, taken apart and compared with what exists; none of them is run."""

import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
from functools import cache
from typing import Any

import typer.main
import yaml

from tests.documents.documents import ROOT
from tests.support.kafka import jars
from worker.cli.main import command_line

KAFKA_TOOLS = {
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-delete-records.sh": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
}
SHELL = {"ssh", "curl", "echo", "export", "openssl", "wc"}
PLACEHOLDERS = {"ID": "6f0c1e0a-3f64-4c8b-9a58-0b8d1c1f2a77", "REASON": "too_large"}
_SEPARATORS = re.compile(r"[|&;<>()]+")
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)


def simple_commands(text: str) -> list[list[str]]:
    """Return the words of each command of a script, with its variables substituted."""
    commands: list[list[str]] = []
    variables: dict[str, list[str]] = {}
    joined = text.replace("\\\n", " ").replace("|\n", "| ")
    for line in joined.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        pieces = itertools.groupby(lexer, lambda word: bool(_SEPARATORS.fullmatch(word)))
        separator = ""
        for is_separator, group in pieces:
            words = list(group)
            if is_separator or separator == ">":  # what follows a > is a file
                separator = words[0]
                continue
            while words and (assignment := _ASSIGNMENT.fullmatch(words[0])):
                variables["$" + assignment[1]] = shlex.split(assignment[2])
                words.pop(0)
            if words:
                commands.append([*variables.get(words[0], [words[0]]), *words[1:]])
    return [*commands, *(words for words in variables.values() if words and words[0] in KAFKA_TOOLS)]


def require_valid(words: list[str]) -> None:
    """Raise `AssertionError` or click's `UsageError` for a command, a target or an option that does not exist."""
    program, *arguments = words
    if program == "customer-worker":
        parse(arguments)
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text()
        for name in arguments:  # a target, or a variable with its value
            line = rf"^{name.partition('=')[0]} \?=" if "=" in name else f"^{name}:"
            assert re.search(line, makefile, re.MULTILINE), name
    elif program in KAFKA_TOOLS:
        known = _options(_help_of_tool(KAFKA_TOOLS[program]))
        assert {word for word in arguments if word.startswith("--")} <= known, words
    elif program.endswith("python") or program == "python3":
        _require_python(arguments)
    elif program == "docker":
        _require_docker(arguments)
    elif program == "kubectl":
        _require_kubectl(arguments)
    elif program == "faststream":
        assert arguments == ["run", "worker.app:create", "--factory"]
    else:
        assert program in SHELL, words


def parse(arguments: list[str], *, is_complete: bool = True) -> None:
    """Parse as the worker's command line does; where it is not `is_complete`, arguments may be missing."""
    words = [PLACEHOLDERS.get(word, word) for word in arguments]
    command: Any = typer.main.get_command(command_line(words))
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    context = command.make_context("", words, resilient_parsing=not is_complete)
    assert not context.args, f"unexpected: {context.args}"


@cache
def all_options() -> frozenset[str]:
    """Every option of every command."""
    found = {"--help"}
    pending: list[Any] = [typer.main.get_command(command_line([]))]
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        found.update(option for parameter in command.params for option in parameter.opts)
    return frozenset(found)


@cache
def top_level_commands() -> frozenset[str]:
    """Return the names of the top-level commands and groups."""
    command: Any = typer.main.get_command(command_line([]))
    return frozenset(command.commands)


def _options(shown: str) -> set[str]:
    return set(re.findall(r"--[a-z-]+", shown))


@cache
def _help_of_tool(main_class: str) -> str:
    command = [jars.java(), *jars.soon_gone(), "-cp", jars.classpath(), main_class, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # some exit with 1
    return done.stdout + done.stderr


@cache
def _help_of_module(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT).stdout


def _require_python(arguments: list[str]) -> None:
    option, what, *rest = arguments
    if option == "-c":
        compile(what, "example", "exec")
        return
    assert option == "-m"
    assert importlib.util.find_spec(what), what
    asked = {word for word in rest if word.startswith("--")}
    if asked and what.startswith("tests."):
        assert asked <= _options(_help_of_module(what)), arguments


def _require_docker(arguments: list[str]) -> None:
    command, *rest = arguments
    if command == "compose":
        _require_compose(rest)
    elif command == "exec":
        _, *inside = rest
        require_valid(inside)
    else:
        assert command == "build"
        assert {word for word in rest if word.startswith("--")} <= {"--tag", "--build-arg", "--secret"}, arguments


def _require_compose(arguments: list[str]) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    profiles = {profile for service in compose["services"].values() for profile in service.get("profiles", [])}
    known = {"up", "down", "build", *compose["services"], *profiles}
    options = {"--build", "--detach", "--wait", "--profile", "--volumes"}
    assert set(arguments) <= known | options, arguments


def _require_kubectl(arguments: list[str]) -> None:
    if arguments[0] == "apply":
        _, option, directory = arguments
        assert option == "--kustomize"
        assert (ROOT / directory / "kustomization.yaml").exists(), directory
    else:
        kinds = {("create", "namespace"), ("create", "secret")}
        options = {word for word in arguments if word.startswith("--")}
        assert tuple(arguments[:2]) in kinds, arguments
        assert options <= {"--namespace", "--from-file"}, arguments
