"""Settings from files: a secrets directory, and `_FILE` for secrets and addresses."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from worker.cli.main import command_line
from worker.errors import Exit
from worker.settings import PREFIX, Settings, SettingsError
from worker.stores.duckdb.store import DuckDBStore

SECRET = "hunter2-never-to-be-shown"
SASL = {
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA__SASL_USERNAME": "worker",
}

Given = Callable[[dict[str, str]], None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Return a function that sets variables; no other variable of the worker is set."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)

    def give(values: dict[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(PREFIX + name, value)

    return give


def password() -> str:
    found = Settings.read().kafka.sasl_password
    assert found is not None
    return found.get_secret_value()


def mistakes() -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.read()
    assert SECRET not in str(refused.value)
    return refused.value.mistakes


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KAFKA__SASL_PASSWORD", SECRET),
        ("KAFKA__OAUTH_CLIENT_SECRET", SECRET),
        ("KAFKA__SSL_KEY_PASSWORD", SECRET),
        ("KAFKA__OAUTH_TOKEN_URL", "https://idp.example/token"),
        ("STORE__URL", f"postgresql://worker:{SECRET}@db/customers"),
    ],
)
def test_each_secret_and_url_is_read_from_its_file(given: Given, tmp_path: Path, variable: str, value: str) -> None:
    file = tmp_path / "value"
    file.write_text(value + "\n")
    others = {
        "KAFKA__SASL_PASSWORD": SASL,
        "KAFKA__SSL_KEY_PASSWORD": {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__SSL_CERTFILE": str(file)},
        "STORE__URL": {},
    }
    oauth = {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "OAUTHBEARER"} | {
        "KAFKA__OAUTH_TOKEN_URL": "https://idp.example/token",
        "KAFKA__OAUTH_CLIENT_ID": "worker",
        "KAFKA__OAUTH_CLIENT_SECRET": "another",
    }
    oauth.pop(variable, None)
    given(others.get(variable, oauth) | {f"{variable}_FILE": str(file)})
    settings = Settings.read()
    section, setting = variable.lower().split("__")
    found = getattr(getattr(settings, section), setting)
    assert (found if isinstance(found, str) else found.get_secret_value()) == value
    assert SECRET not in str(settings.shown()) + repr(settings)


def test_secrets_directory_has_a_file_for_each_setting(given: Given, tmp_path: Path) -> None:
    (tmp_path / "customer_worker_kafka__sasl_password").write_text(SECRET)
    (tmp_path / "CUSTOMER_WORKER_KAFKA__SASL_USERNAME").write_text("worker\n")
    (tmp_path / "tls.key").write_text("of another program")
    given({"SECRETS_DIR": str(tmp_path), "KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "PLAIN"})
    settings = Settings.read()
    assert (settings.kafka.sasl_username, password()) == ("worker", SECRET)
    assert settings.shown()[f"{PREFIX}SECRETS_DIR"] == str(tmp_path)


def test_mounted_secret_of_kubernetes_is_followed(given: Given, tmp_path: Path) -> None:
    name = "customer_worker_kafka__sasl_password"
    (tmp_path / "..2026_01_01").mkdir()
    (tmp_path / "..2026_01_01" / name).write_text(SECRET)
    (tmp_path / "..data").symlink_to("..2026_01_01")
    (tmp_path / name).symlink_to(f"..data/{name}")
    given(SASL | {"SECRETS_DIR": str(tmp_path)})
    assert password() == SECRET


def test_environment_wins_over_the_secrets_directory(given: Given, tmp_path: Path) -> None:
    (tmp_path / "customer_worker_kafka__sasl_password").write_text("old")
    given(SASL | {"SECRETS_DIR": str(tmp_path), "KAFKA__SASL_PASSWORD": SECRET})
    assert password() == SECRET


def test_only_the_line_break_at_the_end_is_removed(given: Given, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" a b \r\n")
    given(SASL | {"KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "password")})
    assert password() == " a b "


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (no such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (SECRET.encode() + b"\xff", "is not UTF-8 text"),
        (SECRET.encode() * 4096, "has more than 65536 bytes"),
    ],
    ids=["missing", "empty", "a line break", "not UTF-8", "too large"],
)
def test_unusable_file_is_named(given: Given, tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    given({"STORE__URL_FILE": str(file)})
    assert mistakes() == [f"{PREFIX}STORE__URL_FILE: the file {file} {problem}"]


def test_missing_secrets_directory_is_named(given: Given, tmp_path: Path) -> None:
    given({"SECRETS_DIR": str(tmp_path / "none")})
    (mistake,) = mistakes()
    assert mistake.startswith(f"{PREFIX}SECRETS_DIR: the directory {tmp_path / 'none'} cannot be read")


def test_value_and_file_of_one_setting_are_refused(given: Given, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(SECRET)
    given(SASL | {"KAFKA__SASL_PASSWORD": SECRET, "KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "password")})
    variable = f"{PREFIX}KAFKA__SASL_PASSWORD"
    assert mistakes() == [f"{variable} and {variable}_FILE are both set: unset one of them"]


def test_misspelt_file_is_named_with_a_suggestion(given: Given, tmp_path: Path) -> None:
    (tmp_path / "customer_worker_kafka__sasl_passwort").write_text(SECRET)
    given({"SECRETS_DIR": str(tmp_path)})
    assert mistakes() == [
        f"customer_worker_kafka__sasl_passwort is not a setting; did you mean {PREFIX}KAFKA__SASL_PASSWORD?"
    ]


def test_file_variable_of_another_setting_is_refused(given: Given) -> None:
    given({"KAFKA__GROUP_ID_FILE": "/etc/hostname"})
    (mistake,) = mistakes()
    assert mistake.startswith(f"{PREFIX}KAFKA__GROUP_ID_FILE is not a setting")


@pytest.mark.parametrize("argument", ["@{file}", "TARGET_URL", "customer_worker_store__url", "{variable}_FILE"])
def test_store_copy_takes_variables_and_files(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    url = f"postgresql://worker:{SECRET}@127.0.0.1:1/customers"
    file = tmp_path / "url"
    file.write_text(url + "\n")
    monkeypatch.setenv("TARGET_URL", url)
    given({"STORE__URL_FILE": str(file)})
    DuckDBStore(str(tmp_path / "customers.duckdb")).close()
    target = argument.format(file=file, variable=f"{PREFIX}STORE__URL")
    ended = copy(f"duckdb:///{tmp_path}/customers.duckdb", target)
    assert "postgresql://worker:********@127.0.0.1:1/customers cannot be reached" in str(ended.exception)
    assert SECRET not in str(ended.exception) + ended.output
    assert "Warning" not in ended.output


@pytest.mark.parametrize(
    ("argument", "problem"),
    [("@/no/such/file", "no such file"), ("NO_SUCH_VARIABLE", "not a variable of the environment")],
)
def test_store_copy_names_a_missing_source(given: Given, argument: str, problem: str) -> None:
    given({})
    ended = copy("duckdb:///customers.duckdb", argument)
    assert ended.exit_code == Exit.USAGE
    assert problem in " ".join(ended.output.replace("│", "").split())


def test_store_copy_warns_of_a_visible_password(given: Given, tmp_path: Path) -> None:
    given({})
    source = f"duckdb:///{tmp_path}/none.duckdb"
    assert "Warning" in copy(source, f"postgresql://worker:{SECRET}@127.0.0.1:1/customers").output
    assert "Warning" in copy(source, f"postgresql://127.0.0.1:1/customers?password={SECRET}").output
    assert "Warning" not in copy(source, "postgresql://worker@127.0.0.1:1/customers").output


def copy(source: str, target: str) -> Result:
    """Run `store copy` in this process."""
    command = ["store", "copy", source, target]
    return CliRunner().invoke(command_line(command), command, env={"COLUMNS": "200"})


def test_mistake_in_a_file_is_a_sentence_about_its_setting(given: Given, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"mysql://u:{SECRET}@h/d")
    given({"STORE__URL_FILE": str(tmp_path / "url")})
    (mistake,) = mistakes()
    assert mistake.startswith(f"{PREFIX}STORE__URL is ")
