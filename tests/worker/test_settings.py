"""Every setting has a default, and every mistake one sentence."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from worker.settings import PREFIX, Http, Kafka, Settings, SettingsError, Store

SECRET = "hunter2-never-to-be-shown"
TOKEN = f"{SECRET}-4a6f+/~._="


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def give(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(PREFIX + name, value)

    return give


def mistakes() -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.read()
    assert SECRET not in str(refused.value)
    assert str(refused.value) == "\n".join(refused.value.mistakes)
    return refused.value.mistakes


# Defaults


def test_every_setting_has_a_default() -> None:
    settings = Settings.read()
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.kafka.group_id == "customer-worker"
    assert settings.kafka.security_protocol == "PLAINTEXT"
    assert settings.topics.inputs == ("customer.signup", "customer.cancellation")
    assert settings.topics.outputs == ("customer.churned", "customer.signup-dlt", "customer.cancellation-dlt")
    assert (settings.store.path, settings.store.shown) == ("customers.duckdb", "duckdb:///customers.duckdb")
    assert settings.batch.max_value_bytes == 64 * 1024
    assert settings.events.source == "/customers"
    assert (settings.http.host, settings.http.port, settings.http.enabled) == ("127.0.0.1", 8080, True)


def test_settings_that_may_lose_records_are_off() -> None:
    assert set(Settings.read().safety.model_dump().values()) == {False, "refuse"}


CONTRACT = [
    "KAFKA__BOOTSTRAP_SERVERS", "KAFKA__GROUP_ID", "KAFKA__SECURITY_PROTOCOL", "KAFKA__SASL_MECHANISM",
    "KAFKA__SASL_USERNAME", "KAFKA__SASL_PASSWORD", "KAFKA__SSL_CAFILE", "KAFKA__SSL_CERTFILE", "KAFKA__SSL_KEYFILE",
    "TOPICS__SIGNUP", "TOPICS__CANCELLATION", "TOPICS__CHURNED", "TOPICS__DEAD_LETTER_SUFFIX", "STORE__URL",
    "BATCH__MAX_RECORDS", "BATCH__MAX_BYTES", "HTTP__HOST", "HTTP__PORT", "HTTP__ENABLED",
]  # fmt: skip


@pytest.mark.parametrize("name", CONTRACT)
def test_every_setting_of_the_contract_is_there(name: str) -> None:
    assert PREFIX + name in Settings.read().shown()


# Reading


def test_settings_are_read_from_the_environment(given: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.touch()
    given(
        KAFKA__BOOTSTRAP_SERVERS="a:1, b:65535,[::1]:9092", KAFKA__GROUP_ID="g", KAFKA__SECURITY_PROTOCOL="SASL_SSL",
        KAFKA__SASL_MECHANISM="SCRAM-SHA-512", KAFKA__SASL_USERNAME="u", KAFKA__SASL_PASSWORD=SECRET,
        KAFKA__SSL_CAFILE=str(file), KAFKA__SSL_CERTFILE=str(file), KAFKA__SSL_KEYFILE=str(file),
        TOPICS__SIGNUP="eu.signup", TOPICS__CANCELLATION="eu.cancellation", TOPICS__CHURNED="eu.churned",
        TOPICS__DEAD_LETTER_SUFFIX=".dead", STORE__URL="duckdb:////var/lib/c.duckdb", BATCH__MAX_RECORDS="10",
        BATCH__MAX_BYTES="1048576", BATCH__MAX_VALUE_BYTES="1", EVENTS__SOURCE="/eu", SAFETY__ALLOW_SKIP_FORWARD="true",
        SAFETY__ALLOW_LOST_RECORDS="1", SAFETY__CUT_OUTPUTS="resend", HTTP__HOST="0.0.0.0", HTTP__PORT="0",
        HTTP__TOKEN=TOKEN, HTTP__ENABLED="false", LOG__LEVEL="DEBUG", LOG__FORMAT="json",
    )  # fmt: skip
    settings = Settings.read()
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.get_secret_value() == SECRET
    assert settings.kafka.ssl_keyfile == file
    assert settings.topics.inputs == ("eu.signup", "eu.cancellation")
    assert settings.topics.outputs == ("eu.churned", "eu.signup.dead", "eu.cancellation.dead")
    assert settings.store.path == "/var/lib/c.duckdb"
    assert set(settings.safety.model_dump().values()) == {True, "resend"}
    assert (settings.batch.max_records, settings.http.port, settings.http.enabled) == (10, 0, False)
    assert settings.http.token is not None
    assert settings.http.token.get_secret_value() == TOKEN


@pytest.mark.parametrize("text", ["info", "INFO", "Info"])
def test_log_level_is_read_in_any_letter_case(given: Callable[..., None], text: str) -> None:
    given(LOG__LEVEL=text)
    assert Settings.read().log.level == "INFO"


@pytest.mark.parametrize("text", ["a:1,[::1]:9092,b.c:65535", " a:1 ,\t[::1]:9092, b.c:65535 \n"])
def test_white_space_around_servers_is_ignored(given: Callable[..., None], text: str) -> None:
    given(KAFKA__BOOTSTRAP_SERVERS=text)
    assert Settings.read().kafka.bootstrap_servers == "a:1,[::1]:9092,b.c:65535"


@pytest.mark.parametrize(("text", "host"), [
    ("::", "::"), ("0:0::1", "::1"), ("[::1]", "::1"), ("localhost", "localhost"), ("10.0.0.1", "10.0.0.1"),
])  # fmt: skip
def test_http_host_is_a_name_or_an_address(given: Callable[..., None], text: str, host: str) -> None:
    given(HTTP__HOST=text)
    assert Settings.read().http.host == host


def test_letter_case_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("customer_worker_kafka__group_id", "g")
    assert Settings.read().kafka.group_id == "g"


@pytest.mark.parametrize(("url", "path"), [
    ("duckdb:///customers.duckdb", "customers.duckdb"), ("duckdb:///data/c.duckdb", "data/c.duckdb"),
    ("duckdb:////var/c.duckdb", "/var/c.duckdb"), ("duckdb://:memory:", ":memory:"),
])  # fmt: skip
def test_three_slashes_are_relative_and_four_absolute(given: Callable[..., None], url: str, path: str) -> None:
    given(STORE__URL=url)
    assert Settings.read().store.path == path


@pytest.mark.parametrize(("url", "shown"), [
    (f"postgresql://u:{SECRET}@h:5432/d", "postgresql://u:********@h:5432/d"),
    (f"postgresql://u:{SECRET}%2F@h,g:5432/d?sslmode=require", "postgresql://u:********@h,g:5432/d?sslmode=require"),
    (f"postgres://h/d?user=u&password={SECRET}&sslmode=require", "postgres://h/d?user=u&password=********&sslmode=require"),
    (f"postgresql://h/d?sslpassword={SECRET}", "postgresql://h/d?sslpassword=********"),
    (f"postgresql://{SECRET}@h/d", "postgresql://********@h/d"), ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
    (f"postgresql://u:{SECRET}?{SECRET}@h/d", "postgresql://********"),
    (f"postgresql://u:{SECRET}#{SECRET}@h/d", "postgresql://********"),
    (f"postgresql://h/d?password={SECRET}@{SECRET}", "postgresql://********"),
    (f"postgresql://h/d?options=-c%20a.b%3D{SECRET}&user=u", "postgresql://h/d?options=********&user=u"),
    (f"postgresql://h/d?p%61ssword={SECRET}", "postgresql://h/d?********=********"),
    ("postgresql://%2Frun%2Fpg/d?sslmode=verify-full&sslrootcert=/ca.pem", "postgresql://%2Frun%2Fpg/d?sslmode=verify-full&sslrootcert=/ca.pem"),
    ("duckdb:///a:b@c.duckdb", "duckdb:///a:b@c.duckdb"),
])  # fmt: skip
def test_the_stores_address_is_shown_without_its_password(given: Callable[..., None], url: str, shown: str) -> None:
    given(STORE__URL=url)
    assert Settings.read().store.shown == shown


def test_a_typo_in_the_stores_scheme_is_named(given: Callable[..., None]) -> None:
    given(STORE__URL=f"postgressql://u:{SECRET}@h/d")
    with pytest.raises(SettingsError, match=r"STORE__URL is .*; it does not begin with postgresql://$"):
        Settings.read()


def test_settings_never_change_once_read() -> None:
    settings = Settings.read()
    with pytest.raises(ValidationError):
        settings.kafka.group_id = "other"
    with pytest.raises(ValidationError):
        settings.kafka = settings.kafka


def test_failpoint_variable_is_accepted(given: Callable[..., None]) -> None:
    given(FAILPOINT="after-commit:3")
    Settings.read()


# Mistakes: one sentence each, and the variable's name in it

MISTAKES = {
    "a protocol": ("KAFKA__BOOTSTRAP_SERVERS", "PLAINTEXT://localhost:9092"),
    "a semicolon": ("KAFKA__BOOTSTRAP_SERVERS", "a:1;b:2"),
    "a comma at the end": ("KAFKA__BOOTSTRAP_SERVERS", "a:1,"),
    "an empty entry": ("KAFKA__BOOTSTRAP_SERVERS", "a:1, ,b:2"),
    "no port after the colon": ("KAFKA__BOOTSTRAP_SERVERS", "a:"),
    "a sign before the port": ("KAFKA__BOOTSTRAP_SERVERS", "a:+1"),
    "a space in a host": ("KAFKA__BOOTSTRAP_SERVERS", "a b:1"),
    "IPv6 without brackets": ("KAFKA__BOOTSTRAP_SERVERS", "::1:9092"),
    "brackets around a name": ("KAFKA__BOOTSTRAP_SERVERS", "[a]:9092"),
    "a password in the list": ("KAFKA__BOOTSTRAP_SERVERS", f"u:{SECRET}@a:9092"),
    "no port": ("KAFKA__BOOTSTRAP_SERVERS", "localhost"),
    "no host": ("KAFKA__BOOTSTRAP_SERVERS", ":9092"),
    "port 0": ("KAFKA__BOOTSTRAP_SERVERS", "a:0"),
    "port too high": ("KAFKA__BOOTSTRAP_SERVERS", "a:65536"),
    "Arabic port": ("KAFKA__BOOTSTRAP_SERVERS", "a:\u0669\u0660\u0669\u0662"),
    "no servers": ("KAFKA__BOOTSTRAP_SERVERS", ""),
    "one of two": ("KAFKA__BOOTSTRAP_SERVERS", "a:1,b"),
    "no group": ("KAFKA__GROUP_ID", ""),
    "unknown protocol": ("KAFKA__SECURITY_PROTOCOL", "TLS"),
    "unknown mechanism": ("KAFKA__SASL_MECHANISM", "AWS_MSK_IAM"),
    "a token endpoint in the clear": ("KAFKA__OAUTH_TOKEN_URL", "http://idp.example/token"),
    "a token endpoint with a password": ("KAFKA__OAUTH_TOKEN_URL", f"https://u:{SECRET}@idp.example/token"),
    "a token endpoint that is no URL": ("KAFKA__OAUTH_TOKEN_URL", "idp.example/token"),
    "a token endpoint without a number for a port": ("KAFKA__OAUTH_TOKEN_URL", "https://idp.example:x/"),
    "a token endpoint with a line break": ("KAFKA__OAUTH_TOKEN_URL", "https://idp.example/\ntoken"),
    "a provider without a function": ("KAFKA__OAUTH_PROVIDER", "company.tokens"),
    "an extension without a value": ("KAFKA__OAUTH_EXTENSIONS", "logicalCluster"),
    "the token as an extension": ("KAFKA__OAUTH_EXTENSIONS", f"auth={SECRET}"),
    "no such file": ("KAFKA__SSL_CAFILE", "/no/such/file"),
    "a directory for a file": ("KAFKA__SSL_CERTFILE", "/"),
    "spaces in a topic": ("TOPICS__SIGNUP", "customer signup"),
    "topic too long": ("TOPICS__CHURNED", "x" * 250),
    "no topic": ("TOPICS__CANCELLATION", ""),
    "a point for a topic": ("TOPICS__CHURNED", ".."),
    "no suffix": ("TOPICS__DEAD_LETTER_SUFFIX", ""),
    "another database": ("STORE__URL", f"mysql://u:{SECRET}@h/d"),
    "no file": ("STORE__URL", "duckdb:///"),
    "a home directory": ("STORE__URL", "duckdb:///~/customers.duckdb"),
    "somebody's home directory": ("STORE__URL", "duckdb:///~root/customers.duckdb"),
    "parameters of DuckDB": ("STORE__URL", "duckdb:///customers.duckdb?access_mode=read_only"),
    "an extension of DuckDB": ("STORE__URL", f"duckdb:///md:customers?token={SECRET}"),
    "a file elsewhere": ("STORE__URL", "duckdb:///s3://bucket/customers.duckdb"),
    "a memory with a name": ("STORE__URL", "duckdb:///:memory:customers"),
    "two slashes": ("STORE__URL", "duckdb://customers.duckdb"),
    "no URL": ("STORE__URL", "customers.duckdb"),
    "a typo in the scheme": ("STORE__URL", f"postgressql://u:{SECRET}@h/d"),
    "one slash": ("STORE__URL", f"postgresql:/u:{SECRET}@h/d"),
    "an @ in the password": ("STORE__URL", f"postgresql://u:{SECRET}@{SECRET}@h/d"),
    "a slash in the password": ("STORE__URL", f"postgresql://u:{SECRET}/x@h/d"),
    "a space in the password": ("STORE__URL", f"postgresql://u:{SECRET} x@h/d"),
    "a percent sign in the password": ("STORE__URL", f"postgresql://u:{SECRET}%zz@h/d"),
    "no port of PostgreSQL": ("STORE__URL", f"postgresql://u:{SECRET}@h:postgres/d"),
    "a parameter that libpq does not know": ("STORE__URL", f"postgresql://u:{SECRET}@h/d?sslmod=require"),
    "no records": ("BATCH__MAX_RECORDS", "0"),
    "no number": ("BATCH__MAX_RECORDS", "many"),
    "too few bytes": ("BATCH__MAX_BYTES", "1048575"),
    "no bytes": ("BATCH__MAX_VALUE_BYTES", "0"),
    "a space in the source": ("EVENTS__SOURCE", "/our customers"),
    "a bare percent sign in the source": ("EVENTS__SOURCE", "/100%"),
    "no source": ("EVENTS__SOURCE", ""),
    "neither yes nor no": ("HTTP__ENABLED", "maybe"),
    "no HTTP host": ("HTTP__HOST", ""),
    "white space for an HTTP host": ("HTTP__HOST", " "),
    "a port in the HTTP host": ("HTTP__HOST", "127.0.0.1:8080"),
    "a URL for an HTTP host": ("HTTP__HOST", "http://127.0.0.1"),
    "a space in the HTTP host": ("HTTP__HOST", "a b"),
    "negative port": ("HTTP__PORT", "-1"),
    "HTTP port too high": ("HTTP__PORT", "65536"),
    "a short token": ("HTTP__TOKEN", SECRET[:15]),
    "no token": ("HTTP__TOKEN", ""),
    "a space in the token": ("HTTP__TOKEN", f"Bearer {SECRET}{SECRET}"),
    "a line feed after the token": ("HTTP__TOKEN", f"{SECRET}{SECRET}\n"),
    "neither yes nor no to safety": ("SAFETY__ALLOW_SKIP_FORWARD", "perhaps"),
    "unknown way with a cut output": ("SAFETY__CUT_OUTPUTS", "true"),
    "unknown level": ("LOG__LEVEL", "LOUD"),
    "unknown format": ("LOG__FORMAT", "xml"),
}


@pytest.mark.parametrize(("name", "value"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_that_names_its_variable(given: Callable[..., None], name: str, value: str) -> None:
    given(**{name: value})
    (mistake,) = mistakes()
    assert re.match(rf"{PREFIX}{name}:? [a-z]", mistake), mistake
    assert "\n" not in mistake


OAUTH = {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "OAUTHBEARER"}
TOGETHER = {
    "SASL without credentials": ({"KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_MECHANISM"),
    "SASL without a password": (
        {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "PLAIN", "KAFKA__SASL_USERNAME": "u"},
        "SASL_PASSWORD",
    ),
    "a token endpoint without a secret": (
        OAUTH | {"KAFKA__OAUTH_TOKEN_URL": "https://idp.example/token", "KAFKA__OAUTH_CLIENT_ID": "worker"},
        "OAUTH_CLIENT_SECRET",
    ),
    "OAUTHBEARER without a token": (OAUTH, "OAUTH_TOKEN_URL, OAUTH_TOKEN_FILE, OAUTH_PROVIDER"),
    "two sources of tokens": (
        OAUTH | {"KAFKA__OAUTH_TOKEN_FILE": "/etc/hostname", "KAFKA__OAUTH_PROVIDER": "a:b"},
        "one of OAUTH_TOKEN_URL",
    ),
    "a secret without a token endpoint": (
        OAUTH | {"KAFKA__OAUTH_PROVIDER": "a:b", "KAFKA__OAUTH_CLIENT_SECRET": SECRET},
        "need OAUTH_TOKEN_URL",
    ),
    "a password beside OAUTHBEARER": (OAUTH | {"KAFKA__SASL_PASSWORD": SECRET}, "OAUTHBEARER"),
    "tokens beside a password": (
        {
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__SASL_MECHANISM": "PLAIN",
            "KAFKA__SASL_USERNAME": "u",
            "KAFKA__SASL_PASSWORD": SECRET,
            "KAFKA__OAUTH_PROVIDER": "a:b",
        },
        "SASL_MECHANISM is PLAIN",
    ),
    "tokens without SASL": ({"KAFKA__OAUTH_PROVIDER": "a:b"}, "SECURITY_PROTOCOL"),
    "a key's password without a certificate": ({"KAFKA__SSL_KEY_PASSWORD": SECRET}, "SSL_CERTFILE"),
    "credentials without SASL": ({"KAFKA__SASL_PASSWORD": SECRET}, "SECURITY_PROTOCOL"),
    "a key without a certificate": ({"KAFKA__SSL_KEYFILE": "/etc/hostname"}, "SSL_CERTFILE"),
    "two topics of one name": ({"TOPICS__SIGNUP": "x", "TOPICS__CANCELLATION": "x"}, "same name"),
    "a dead letter topic that is read": (
        {"TOPICS__SIGNUP": "x", "TOPICS__CANCELLATION": "x-dlt"},
        "same name",
    ),
    "a dead letter topic with too long a name": ({"TOPICS__SIGNUP": "x" * 246}, "249"),
}


@pytest.mark.parametrize(("values", "word"), TOGETHER.values(), ids=TOGETHER)
def test_settings_that_do_not_go_together_are_one_sentence(
    given: Callable[..., None], values: dict[str, str], word: str
) -> None:
    given(**values)
    (mistake,) = mistakes()
    section = next(iter(values)).split("__")[0]
    assert mistake.startswith(PREFIX + section)
    assert word in mistake


def test_every_mistake_is_named_at_once(given: Callable[..., None]) -> None:
    given(KAFKA__GROUP_ID="", BATCH__MAX_RECORDS="0", HTTP__PORT="x", STORE__URL="x", TOPICS__SIGNUP=" ", NONSENSE="1")
    found = mistakes()
    assert len(found) == 6
    for name in ("KAFKA__GROUP_ID", "BATCH__MAX_RECORDS", "HTTP__PORT", "STORE__URL", "TOPICS__SIGNUP", "NONSENSE"):
        assert sum(PREFIX + name in mistake for mistake in found) == 1


@pytest.mark.parametrize(("name", "meant"), [
    ("KAFKA__BOOTSTRAP_SERVER", "KAFKA__BOOTSTRAP_SERVERS"), ("KAFKA_GROUP_ID", "KAFKA__GROUP_ID"),
    ("TOPIC__SIGNUP", "TOPICS__SIGNUP"), ("STORE_URL", "STORE__URL"),
])  # fmt: skip
def test_unknown_variable_is_one_sentence_with_a_suggestion(given: Callable[..., None], name: str, meant: str) -> None:
    given(**{name: "localhost:9092"})
    assert mistakes() == [f"{PREFIX}{name} is not a setting; did you mean {PREFIX}{meant}?"]


def test_unknown_variable_without_a_similar_one_has_no_advice(given: Callable[..., None]) -> None:
    given(ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ="1")
    (mistake,) = mistakes()
    assert mistake.endswith("is not a setting")


@pytest.mark.parametrize("value", ["text", "1", "{}", '{"group_id": "x"}', "{"])
def test_a_whole_section_in_one_variable_is_no_setting(given: Callable[..., None], value: str) -> None:
    given(KAFKA=value)
    (mistake,) = mistakes()
    assert mistake.startswith(f"{PREFIX}KAFKA is not a setting")


def test_variables_of_other_programs_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMER_SERVICE_URL", "x")
    monkeypatch.setenv("KAFKA__GROUP_ID", "x")
    assert Settings.read().kafka.group_id == "customer-worker"


def test_gssapi_without_its_library_is_refused(given: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    given(KAFKA__SECURITY_PROTOCOL="SASL_SSL", KAFKA__SASL_MECHANISM="GSSAPI")
    (mistake,) = mistakes()
    assert mistake.startswith(f"{PREFIX}KAFKA__SASL_MECHANISM is GSSAPI, which needs the Python package gssapi")


# Secrets


def test_password_is_never_shown(given: Callable[..., None]) -> None:
    given(
        KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT", KAFKA__SASL_MECHANISM="PLAIN", KAFKA__SASL_USERNAME="u",
        KAFKA__SASL_PASSWORD=SECRET,
    )  # fmt: skip
    settings = Settings.read()
    assert SECRET not in str(settings.shown()) + repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.shown()[f"{PREFIX}KAFKA__SASL_PASSWORD"] == "********"
    assert settings.shown()[f"{PREFIX}KAFKA__SASL_USERNAME"] == "u"


def test_token_is_never_shown(given: Callable[..., None]) -> None:
    given(HTTP__TOKEN=TOKEN)
    settings = Settings.read()
    assert TOKEN not in str(settings.shown()) + repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.shown()[f"{PREFIX}HTTP__TOKEN"] == "********"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_token_is_read_from_a_file(given: Callable[..., None], tmp_path: Path, end: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(f"{TOKEN}{end}".encode())
    given(HTTP__TOKEN_FILE=str(file), HTTP__PORT="7")
    settings = Settings.read()
    assert settings.http.token is not None
    assert (settings.http.token.get_secret_value(), settings.http.port) == (TOKEN, 7)


@pytest.mark.parametrize("content", [b"", b"\n", SECRET[:10].encode(), b"\xff" * 30, f"{SECRET} {SECRET}".encode()])
def test_unusable_token_file_is_one_mistake(given: Callable[..., None], tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    given(HTTP__TOKEN_FILE=str(file))
    (mistake,) = mistakes()
    assert mistake.startswith(f"{PREFIX}HTTP")
    assert "TOKEN" in mistake
    assert SECRET[:10] not in mistake


def test_missing_token_file_is_named(given: Callable[..., None], tmp_path: Path) -> None:
    given(HTTP__TOKEN_FILE=str(tmp_path / "token"))
    (mistake,) = mistakes()
    assert mistake.endswith(f"TOKEN_FILE: the file {tmp_path}/token cannot be read (no such file or directory)")


def test_token_and_its_file_exclude_each_other(given: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    given(HTTP__TOKEN=TOKEN, HTTP__TOKEN_FILE=str(tmp_path / "token"))
    (mistake,) = mistakes()
    assert mistake.endswith("TOKEN_FILE are both set: unset one of them")


@pytest.mark.parametrize(("name", "value"), [
    ("KAFKA__SASL_MECHANISM", "NONE"), ("KAFKA__SECURITY_PROTOCOL", "PLAINTEXT"), ("KAFKA__SASL_PASSWORDS", SECRET),
])  # fmt: skip
def test_error_of_another_setting_does_not_show_the_password(given: Callable[..., None], name: str, value: str) -> None:
    given(
        **{"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "PLAIN", "KAFKA__SASL_USERNAME": "u",
           "KAFKA__SASL_PASSWORD": SECRET, name: value}
    )  # fmt: skip
    with pytest.raises(SettingsError) as refused:
        Settings.read()
    assert SECRET not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize(
    "make",
    [lambda: Store.model_validate({"url": f"mysql://u:{SECRET}@h/d"}), lambda: Kafka(sasl_password=SecretStr(SECRET)),
     lambda: Http(token=SecretStr(f"{SECRET} {SECRET}"))],
    ids=["the store's address", "the password", "the token"],
)  # fmt: skip
def test_validation_errors_show_no_secret(make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError) as refused:
        make()
    assert SECRET not in str(refused.value) + repr(refused.value)


def test_secrets_of_oauth_are_never_shown(given: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "client.pem").touch()
    given(
        KAFKA__SECURITY_PROTOCOL="SASL_SSL", KAFKA__SASL_MECHANISM="OAUTHBEARER", KAFKA__OAUTH_CLIENT_ID="worker",
        KAFKA__OAUTH_TOKEN_URL=f"https://idp.example/token?key={SECRET}", KAFKA__OAUTH_CLIENT_SECRET=SECRET,
        KAFKA__SSL_CERTFILE=str(tmp_path / "client.pem"), KAFKA__SSL_KEY_PASSWORD=SECRET,
    )  # fmt: skip
    shown = Settings.read().shown()
    assert SECRET not in str(shown)
    assert shown[f"{PREFIX}KAFKA__OAUTH_TOKEN_URL"] == "https://idp.example/token?********"
    assert shown[f"{PREFIX}KAFKA__OAUTH_CLIENT_SECRET"] == shown[f"{PREFIX}KAFKA__SSL_KEY_PASSWORD"] == "********"


def test_shown_settings_are_valid_variables(given: Callable[..., None]) -> None:
    given(HTTP__ENABLED="no", BATCH__MAX_RECORDS="7")
    shown = Settings.read().shown()
    assert all(name.startswith(PREFIX) and isinstance(value, str) for name, value in shown.items())
    assert shown[f"{PREFIX}HTTP__ENABLED"] == "false"
    assert shown[f"{PREFIX}BATCH__MAX_RECORDS"] == "7"
    assert shown[f"{PREFIX}KAFKA__SSL_CAFILE"] == ""
    assert shown[f"{PREFIX}STORE__URL"] == "duckdb:///customers.duckdb"
