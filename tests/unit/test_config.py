"""Configuration: sources and their precedence, types, and errors that say where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from perdure.config.configuration import AgentExecutionOptions as Options
from perdure.config.configuration import ConfigOption, Configuration, all_options
from perdure.errors import ConfigurationError

THRESHOLD = ConfigOption("agent.min-score", float, 0.5)


def _yaml(folder: Path, text: str) -> Path:
    path = folder / "conf.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults() -> None:
    config = Configuration()
    cpus = os.cpu_count() or 1
    assert {option.name: config.get(option) for option in all_options()} == {
        "num-async-threads": 2 * cpus,
        "max-abandoned-threads": -1,
        "max-runs-in-flight": 4096,
        "max-runs-queued": 1_000_000,
        "continuations": "auto",
        "durability": "strict",
        "store-file-mode": "0600",
        "on-divergence": "fail",
        "error-handling-strategy": "dead-letter",
        "max-retries": 3,
        "retry-wait-interval": 1.0,
        "max-payload-bytes": 16 * 1024 * 1024,
        "chat.async": True,
        "tool-call.async": True,
        "tool-call.parallelism": cpus,
        "rag.async": True,
        "action.trigger-condition.evaluate-failure-strategy": "WARN_AND_SKIP",
        "long-term-memory.vector-store": "",
        "long-term-memory.embedding-model": "",
        "long-term-memory.chat-model": "",
        "short-term-memory.state-ttl.ms": 0,
        "short-term-memory.state-ttl.update-type": "on-read-and-write",
        "memory.generate-event": None,
        "memory.generate-event.short-term-write": None,
        "memory.generate-event.short-term-read": None,
        "memory.generate-event.sensory-write": None,
        "memory.generate-event.sensory-read": None,
        "memory.generate-event.long-term-update": None,
        "memory.generate-event.long-term-get": None,
        "memory.generate-event.long-term-search": None,
        "agent-run.begin-event": False,
        "timeout": 0.0,
        "run-timeout": 0.0,
        "max-calls-per-run": 100_000,
        "max-failures": 0,
        "event-loop": "auto",
        "garbage-collector": "tuned",
        "retry.max-attempts": 1,
        "retry.initial-interval": 1.0,
        "retry.backoff-coefficient": 2.0,
        "retry.max-interval": 60.0,
        "retry.jitter": 0.1,
        "retry.total-timeout": 0.0,
        "retry.count-crashes": False,
    }
    assert all(option.description for option in all_options())


def test_defaults_satisfy_their_own_options() -> None:
    for option in all_options():
        if option.default is not None:  # a switch that others decide where it is not set
            assert option.parse(option.default, "default") == option.default


def test_precedence_is_defaults_file_environment_overrides(tmp_path: Path) -> None:
    path = _yaml(tmp_path, "num-async-threads: 2\nmax-retries: 2\ndurability: relaxed\n")
    environ = {"PERDURE_MAX_RETRIES": "5", "PERDURE_NUM_ASYNC_THREADS": "5", "HOME": "/x"}
    config = Configuration.load(path, environ, ["num-async-threads=9"])
    assert config.get(Options.NUM_ASYNC_THREADS) == 9
    assert config.get(Options.MAX_RETRIES) == 5
    assert config.get(Options.DURABILITY) == "relaxed"
    assert config.get(Options.MAX_RUNS_IN_FLIGHT) == 4096


def test_loading_again_keeps_overrides_over_the_environment() -> None:
    environ = {"PERDURE_MAX_RETRIES": "5"}
    once = Configuration.load({"max-retries": 1}, environ, ["max-retries=9"])
    again = Configuration.load(once, environ)
    assert again.get(Options.MAX_RETRIES) == 9
    assert again == once


def test_an_option_is_a_key_too() -> None:
    config = Configuration({Options.NUM_ASYNC_THREADS: 3, THRESHOLD: 0.7})
    assert (config.get(Options.NUM_ASYNC_THREADS), config.get(THRESHOLD)) == (3, 0.7)
    with pytest.raises(ConfigurationError, match="must be a string"):
        Configuration({"chat": {Options.CHAT_ASYNC: False}})


def test_load_takes_every_kind_of_base(tmp_path: Path) -> None:
    path = _yaml(tmp_path, "max-retries: 4")
    for base in ({"max-retries": 4}, path, str(path), Configuration({"max-retries": 4})):
        assert Configuration.load(base, {}).get(Options.MAX_RETRIES) == 4
    assert Configuration.load(environ={}) == Configuration()
    with pytest.raises(ConfigurationError, match="pass a mapping"):
        Configuration.load(3, {})  # type: ignore[arg-type]


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_CHAT_ASYNC", "false")
    assert Configuration.load().get(Options.CHAT_ASYNC) is False
    assert Configuration().get(Options.CHAT_ASYNC) is True


def test_nested_mappings_flatten_with_dots(tmp_path: Path) -> None:
    text = "short-term-memory:\n  state-ttl:\n    ms: 60000\ntool-call: {async: no}\n"
    config = Configuration.from_yaml(_yaml(tmp_path, text))
    assert config.get(Options.SHORT_TERM_MEMORY_STATE_TTL_MS) == 60000
    assert config.get(Options.TOOL_CALL_ASYNC) is False
    with pytest.raises(ConfigurationError, match=r"chat\.async is set twice"):
        Configuration({"chat.async": True, "chat": {"async": False}})


@pytest.mark.parametrize(
    ("option", "given", "expected"),
    [
        (Options.NUM_ASYNC_THREADS, "16", 16),
        (Options.CHAT_ASYNC, "Off", False),
        (Options.CHAT_ASYNC, "1", True),
        (Options.RETRY_WAIT_INTERVAL, "0.25", 0.25),
        (Options.RETRY_WAIT_INTERVAL, 2, 2.0),
        (Options.MAX_PAYLOAD_BYTES, "2 KiB", 2048),
        (Options.MAX_PAYLOAD_BYTES, "16MiB", 16 << 20),
        (Options.MAX_PAYLOAD_BYTES, "1GiB", 1 << 30),
        (Options.MAX_PAYLOAD_BYTES, "77", 77),
        (Options.CONTINUATIONS, False, "off"),  # what YAML makes of a bare off
        (Options.ERROR_HANDLING_STRATEGY, "ignore", "dead-letter"),
    ],
)
def test_values_are_parsed(option: ConfigOption[Any], given: Any, expected: Any) -> None:
    value = Configuration({option.name: given}).get(option)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num-async-threads", "many", "a whole number of at least 1, not 'many'"),
        ("num-async-threads", 0, "a whole number of at least 1, not 0"),
        ("num-async-threads", True, "a whole number"),
        ("num-async-threads", 1.5, "a whole number"),
        ("num-async-threads", "16MiB", "a whole number"),
        ("num-async-threads", None, "a whole number"),
        ("max-payload-bytes", "16MB", "a size such as 16MiB"),
        ("retry-wait-interval", "nan", "a number of at least 0"),
        ("retry-wait-interval", -1, "a number of at least 0"),
        ("retry-wait-interval", True, "a number"),
        ("chat.async", 1, "true or false, not 1"),
        ("chat.async", "maybe", "true or false"),
        ("durability", "lax", "one of strict, relaxed, not 'lax'"),
        ("durability", True, "one of strict, relaxed"),
        ("continuations", 3, "one of auto, off"),
        ("timeout", -1, "a number of at least 0 and at most 6307200000, not -1"),
        ("timeout", "inf", "a number of at least 0"),
        ("run-timeout", "1h", "a number of at least 0 and at most 6307200000, not '1h'"),
        ("max-calls-per-run", -1, "a whole number of at least 0"),
        ("retry.jitter", 1.5, "a number of at least 0 and at most 1, not 1.5"),
    ],
)
def test_wrong_values_are_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"configuration: {key} must be .*{message}"):
        Configuration({key: value})


def test_errors_say_where_and_name_the_nearest_key(tmp_path: Path) -> None:
    path = _yaml(tmp_path, "num-asinc-threads: 1")
    with pytest.raises(ConfigurationError, match=r"conf\.yaml: .*did you mean num-async-threads"):
        Configuration.from_yaml(path)
    with pytest.raises(ConfigurationError, match=r"variable PERDURE_MAX_RETRY: .*MAX_RETRIES"):
        Configuration.from_env({"PERDURE_MAX_RETRY": "1"})
    with pytest.raises(ConfigurationError, match="variable PERDURE_MAX_RETRIES: max-retries must"):
        Configuration.from_env({"PERDURE_MAX_RETRIES": "x"})
    with pytest.raises(ConfigurationError, match=r"--set durabilty=strict: .*mean durability"):
        Configuration().with_overrides(["durabilty=strict"])
    with pytest.raises(ConfigurationError, match="--set durability=x: durability must be"):
        Configuration().with_overrides(["durability=x"])
    with pytest.raises(ConfigurationError, match="write KEY=VALUE"):
        Configuration().with_overrides(["durability"])
    with pytest.raises(ConfigurationError, match=r"the value of agent\.x is nested too deeply"):
        Configuration().with_overrides(["agent.x=" + "[" * 100_000 + "]" * 100_000])
    with pytest.raises(ConfigurationError, match="an agent's own keys begin with"):
        Configuration({"xyzzy": 1})
    with pytest.raises(ConfigurationError, match="must be a string"):
        Configuration({1: 2})  # type: ignore[dict-item]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read configuration file .*none"):
        Configuration.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="is not YAML") as raised:
        Configuration.from_yaml(_yaml(tmp_path, "a: [1,\nb: }"))
    assert "\n" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="must be a mapping"):
        Configuration.from_yaml(_yaml(tmp_path, "- 1"))
    assert Configuration.from_yaml(_yaml(tmp_path, "")) == Configuration()


def test_reading_a_file_executes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not YAML"):
        Configuration.from_yaml(_yaml(tmp_path, "a: !!python/object/apply:os.getpid []"))


def test_an_agents_own_values() -> None:
    config = Configuration({"agent": {"min-score": 0.7, "tags": ["a"], "model": {"name": "m"}}})
    assert config.agent == {"min-score": 0.7, "tags": ["a"], "model.name": "m"}
    assert config.get(THRESHOLD) == 0.7
    assert Configuration().get(THRESHOLD) == 0.5
    with pytest.raises(ConfigurationError, match="min-score must be a number"):
        Configuration({"agent.min-score": "high"}).get(THRESHOLD)
    with pytest.raises(ConfigurationError, match=r"unknown key 'agent\.'"):
        Configuration({"agent.": 1})


def test_an_agents_own_values_from_strings() -> None:
    config = Configuration({"agent.min-score": 0.1}).with_overrides(
        ["agent.n=3", "agent.on=true", "agent.name=a=b"]
    )
    assert config.agent == {"min-score": 0.1, "n": 3, "on": True, "name": "a=b"}
    loaded = Configuration.load({"agent.min-score": 0.1}, {"PERDURE_AGENT_MIN_SCORE": "0.9"})
    assert loaded.get(THRESHOLD) == 0.9
    assert loaded.agent == {"min-score": 0.9}
    spelled = ConfigOption("agent.min_score", float, 0.5)
    assert Configuration.from_env({"PERDURE_AGENT_MIN_SCORE": "0.9"}).get(spelled) == 0.9


def test_an_option_that_nothing_can_set_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown key 'min-score'"):
        Configuration().get(ConfigOption("min-score", float, 0.5))


@pytest.mark.parametrize("key", ["{}", "limit.{}", "limits.{}.rat", "limits.{}", "limits.{}!.rate"])
def test_a_key_of_any_length_is_named_briefly(key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Configuration({key.format("k" * 10_000): "v" * 10_000})
    assert "kkk" in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_configurations_do_not_change() -> None:
    given = {"max-retries": 1}
    config = Configuration(given)
    given["max-retries"] = 2
    config.with_overrides(["max-retries=3"])
    assert config.get(Options.MAX_RETRIES) == 1
    with pytest.raises(TypeError):
        config.agent["x"] = 1  # type: ignore[index]


def test_names_and_text() -> None:
    assert Options.NUM_ASYNC_THREADS.env_name == "PERDURE_NUM_ASYNC_THREADS"
    assert Options.TOOL_CALL_ASYNC.env_name == "PERDURE_TOOL_CALL_ASYNC"
    shown = repr(Configuration({"max-retries": 1, "agent.api-key": "hidden"}))
    assert shown == "Configuration({'max-retries': 1, 'agent.api-key': '...'})"
    assert Configuration() != {}
