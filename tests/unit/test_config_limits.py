"""Configuration of durable calls: timeouts, the default retry policy, named limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from perdure.call import Limit, RetryPolicy
from perdure.config.configuration import AgentExecutionOptions as Options
from perdure.config.configuration import Configuration
from perdure.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def _yaml(folder: Path, text: str) -> Path:
    path = folder / "conf.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_timeouts_and_the_bound_of_calls_come_from_every_source(tmp_path: Path) -> None:
    path = _yaml(tmp_path, "timeout: 1\nrun-timeout: 1\nmax-calls-per-run: 1\n")
    environ = {"PERDURE_TIMEOUT": "2.5", "PERDURE_RUN_TIMEOUT": "2"}
    config = Configuration.load(path, environ, ["timeout=3"])
    assert config.get(Options.TIMEOUT) == 3.0
    assert config.get(Options.RUN_TIMEOUT) == 2.0
    assert config.get(Options.MAX_CALLS_PER_RUN) == 1
    assert Configuration({"max-calls-per-run": 0}).get(Options.MAX_CALLS_PER_RUN) == 0


# Retry


def test_there_is_no_policy_unless_something_is_set() -> None:
    assert Configuration().retry_policy() is None
    assert Configuration({"retry": {}, "retry-wait-interval": 2}).retry_policy() is None
    assert Configuration().get(Options.RETRY_MAX_ATTEMPTS) == 1


def test_a_policy_from_nested_keys(tmp_path: Path) -> None:
    text = """
    retry:
      max-attempts: 4
      initial-interval: 0.5
      backoff-coefficient: 3
      max-interval: 20
      jitter: 0
      total-timeout: 300
      count-crashes: true
    """
    config = Configuration.from_yaml(_yaml(tmp_path, text))
    assert config.retry_policy() == RetryPolicy(
        max_attempts=4,
        initial_interval=0.5,
        backoff_coefficient=3.0,
        max_interval=20.0,
        jitter=0.0,
        total_timeout=300.0,
        count_crashes=True,
    )
    assert config.get(Options.RETRY_BACKOFF_COEFFICIENT) == 3.0


def test_any_key_makes_a_policy_of_its_defaults() -> None:
    config = Configuration({"retry.jitter": 0.2})
    assert config.retry_policy() == RetryPolicy(jitter=0.2)
    assert config.get(Options.RETRY_MAX_ATTEMPTS) == RetryPolicy().max_attempts == 3
    assert Configuration({"retry.max-attempts": 1}).retry_policy() == RetryPolicy(max_attempts=1)


def test_zero_is_no_total_timeout() -> None:
    config = Configuration({"retry.total-timeout": 0})
    assert config.retry_policy() == RetryPolicy(total_timeout=None)
    assert config.get(Options.RETRY_TOTAL_TIMEOUT) == 0.0


def test_precedence_of_retry_keys(tmp_path: Path) -> None:
    path = _yaml(tmp_path, "retry: {max-attempts: 2, jitter: 0.2, max-interval: 2}")
    environ = {"PERDURE_RETRY_MAX_ATTEMPTS": "5", "PERDURE_RETRY_JITTER": "0.5"}
    config = Configuration.load(path, environ, ["retry.max-attempts=9"])
    expected = RetryPolicy(max_attempts=9, jitter=0.5, max_interval=2.0)
    assert config.retry_policy() == expected
    assert Configuration.load(config, environ).retry_policy() == expected


def test_a_policy_from_python_is_kept() -> None:
    policy = RetryPolicy(max_attempts=7, retry_on=(OSError,), max_interval=1e6)
    config = Configuration({"retry": policy})
    assert config.retry_policy() is policy
    assert config.get(Options.RETRY_MAX_ATTEMPTS) == 7
    assert config.get(Options.RETRY_TOTAL_TIMEOUT) == 0.0
    assert Configuration.load(config, {}).retry_policy() is policy


def test_keys_of_later_sources_go_over_a_policy_from_python() -> None:
    policy = RetryPolicy(max_attempts=7, non_retryable=(OSError,), total_timeout=9.0)
    environ = {"PERDURE_RETRY_JITTER": "0.3"}
    loaded = Configuration.load({"retry": policy}, environ, ["retry.total-timeout=0"])
    expected = RetryPolicy(max_attempts=7, non_retryable=(OSError,), jitter=0.3)
    assert loaded.retry_policy() == expected


@pytest.mark.parametrize("policy_first", [True, False])
def test_a_policy_and_a_key_of_it_in_one_place_are_refused(policy_first: bool) -> None:
    pairs: list[tuple[str, Any]] = [("retry", RetryPolicy()), ("retry.max-attempts", 4)]
    with pytest.raises(ConfigurationError, match=r"configuration: retry\S* is set twice"):
        Configuration(dict(pairs if policy_first else reversed(pairs)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("retry.max-attempts=0", "retry.max-attempts must be a whole number of at least 1"),
        ("retry.initial-interval=-1", "retry.initial-interval must be a number of at least 0"),
        ("retry.backoff-coefficient=0.5", "must be a number of at least 1"),
        ("retry.max-interval=inf", "retry.max-interval must be a number of at least 0"),
        ("retry.jitter=2", "must be a number of at least 0 and at most 1"),
        ("retry.total-timeout=-1", "retry.total-timeout must be a number of at least 0"),
        ("retry.count-crashes=maybe", "retry.count-crashes must be true or false"),
        ("retry.max-attempt=3", "unknown key 'retry.max-attempt': did you mean retry.max-attempts"),
        ("retry.retry-on=OSError", "exceptions are set in Python: pass RetryPolicy"),
        ("retry=3", "retry must be a RetryPolicy or a mapping, not '3'"),
    ],
)
def test_wrong_retry_keys_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--set {re.escape(override)}: .*{message}"):
        Configuration().with_overrides([override])


def test_other_wrong_retry_values_name_their_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"conf\.yaml: retry must be .*, not None: set"):
        Configuration.from_yaml(_yaml(tmp_path, "retry:\n"))
    with pytest.raises(ConfigurationError, match="mean PERDURE_RETRY_MAX_ATTEMPTS"):
        Configuration.from_env({"PERDURE_RETRY_MAX_ATTEMPT": "1"})


def test_intervals_that_make_no_sense_together_name_both_sources(tmp_path: Path) -> None:
    path = _yaml(tmp_path, "retry: {initial-interval: 120}")
    with pytest.raises(
        ConfigurationError,
        match=r"conf\.yaml: retry\.initial-interval \(120\) is longer than "
        r"retry\.max-interval \(60, the default\)",
    ):
        Configuration.from_yaml(path)
    with pytest.raises(ConfigurationError, match=r"\(90, environment variable PERDURE_RETRY_MAX_"):
        Configuration.load(path, {"PERDURE_RETRY_MAX_INTERVAL": "90"})


def test_a_later_source_may_complete_a_policy(tmp_path: Path) -> None:
    path = _yaml(tmp_path, "retry: {initial-interval: 120}")
    policy = Configuration.load(path, {}, ["retry.max-interval=600"]).retry_policy()
    assert policy == RetryPolicy(initial_interval=120.0, max_interval=600.0)
    overrides = ["retry.initial-interval=120", "retry.max-interval=120"]
    assert Configuration().with_overrides(overrides).retry_policy() is not None


def test_a_maximum_alone_cuts_the_default_interval() -> None:
    policy = Configuration({"retry.max-interval": 0.5}).retry_policy()
    assert policy == RetryPolicy(max_interval=0.5)


# Limits


def test_limits_from_a_file(tmp_path: Path) -> None:
    text = "limits:\n  openai: {concurrency: 50, rate: 500/min}\n  Web_2: {rate: 20/30s}\n"
    limits = Configuration.from_yaml(_yaml(tmp_path, text)).limits()
    assert limits == {
        "openai": Limit(concurrency=50, rate=500, per=60.0),
        "Web_2": Limit(rate=20, per=30.0),
    }
    assert Configuration().limits() == {}
    assert Configuration({"limits": {}}).limits() == {}


def test_limits_from_the_environment_and_overrides() -> None:
    environ = {
        "PERDURE_LIMITS_OPEN_AI_CONCURRENCY": "50",
        "PERDURE_LIMITS_OPEN_AI_RATE": "5/s",
        "PERDURE_LIMITS_WEB_RATE_CONCURRENCY": "2",
    }
    config = Configuration.load(
        None, environ, ["limits.open-ai.concurrency=7", "limits.B.rate=1/s"]
    )
    assert config.limits() == {
        "open-ai": Limit(concurrency=7, rate=5, per=1.0),
        "web-rate": Limit(concurrency=2),
        "B": Limit(rate=1, per=1.0),
    }
    assert Configuration.load(config, environ) == config


def test_one_limit_from_several_places() -> None:
    base = {"limits": {"openai": {"concurrency": 50}}}
    config = Configuration.load(base, {}, ["limits.openai.rate=500/min"])
    assert config.limits() == {"openai": Limit(concurrency=50, rate=500, per=60.0)}
    spread = Configuration({"limits": {"a": Limit(concurrency=5)}, "limits.a.rate": "1/h"})
    assert spread.limits() == {"a": Limit(concurrency=5, rate=1, per=3600.0)}


@pytest.mark.parametrize("limit", [Limit(concurrency=50), Limit(concurrency=3, rate=7, per=2.5)])
@pytest.mark.parametrize("nested", [True, False])
def test_a_limit_from_python_is_taken(limit: Limit, nested: bool) -> None:
    config = Configuration({"limits": {"openai": limit}} if nested else {"limits.openai": limit})
    assert config.limits() == {"openai": limit}
    changed = config.with_overrides(["limits.openai.concurrency=1"]).limits()["openai"]
    assert (changed.concurrency, changed.rate, changed.per) == (1, limit.rate, limit.per)


def test_the_environment_means_the_limit_there_is() -> None:
    base = {"limits": {"Open_AI": {"concurrency": 1}}}
    environ = {"PERDURE_LIMITS_OPEN_AI_RATE": "5/s"}
    config = Configuration.load(base, environ)
    assert config.limits() == {"Open_AI": Limit(concurrency=1, rate=5)}
    dashed = {"limits": {"open_ai": Limit(rate=1), "open-ai": Limit(rate=2)}}
    assert Configuration.load(dashed, environ).limits() == {
        "open_ai": Limit(rate=1),
        "open-ai": Limit(rate=5),
    }
    with pytest.raises(ConfigurationError, match=r"may mean OPEN_AI or open_ai: .*--set"):
        Configuration.load(
            {"limits": {"open_ai": Limit(rate=1), "OPEN_AI": Limit(rate=2)}}, environ
        )


def test_limits_are_parsed_once_and_do_not_change() -> None:
    config = Configuration({"limits": {"a": {"rate": "1/s"}}})
    assert config.limits()["a"] is config.limits()["a"]
    with pytest.raises(TypeError):
        config.limits()["b"] = Limit(rate=1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "number", "per"),
    [
        ("5/s", 5, 1.0),
        ("5/sec", 5, 1.0),
        ("5/second", 5, 1.0),
        ("500/min", 500, 60.0),
        ("500/minute", 500, 60.0),
        ("7/h", 7, 3600.0),
        ("7/hour", 7, 3600.0),
        ("1/day", 1, 86400.0),
        ("20/30s", 20, 30.0),
        ("100/5min", 100, 300.0),
        (" 100 / 5 Min ", 100, 300.0),
    ],
)
def test_rates(text: str, number: int, per: float) -> None:
    limits = Configuration({"limits.a.rate": text}).limits()
    assert limits == {"a": Limit(rate=number, per=per)}


@pytest.mark.parametrize(
    "rate",
    [
        *("500", "500/", "/min", "0/min", "5/0s", "-5/s", "5/s/s", "1.5/s", "5/week", "5 per s"),
        *("", "9" * 5000 + "/s", "٣/s", 500, 5.0, True, None, {}, ["5/s"]),
    ],
)
def test_bad_rates_are_refused(rate: Any) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"configuration: limits\.a\.rate must be .* such as 500/min or 20/30s .*day\), not",
    ):
        Configuration({"limits": {"a": {"rate": rate}}})


@pytest.mark.parametrize("concurrency", [0, -1, "many", 1.5, True, None])
def test_bad_concurrency_is_refused(concurrency: Any) -> None:
    message = r"configuration: limits\.a\.concurrency must be a whole number of at least 1, not"
    with pytest.raises(ConfigurationError, match=message):
        Configuration({"limits": {"a": {"concurrency": concurrency}}})


@pytest.mark.parametrize("limit", [Limit(concurrency=True), Limit(rate=1.5)])  # type: ignore[arg-type]
def test_bad_numbers_in_a_limit_from_python_are_refused(limit: Limit) -> None:
    with pytest.raises(ConfigurationError, match=r"limits\.a\.\w+ must be a whole number"):
        Configuration({"limits": {"a": limit}})


@pytest.mark.parametrize("limit", [{}, Limit()])
@pytest.mark.parametrize("nested", [True, False])
def test_a_limit_that_limits_nothing_is_refused(limit: Any, nested: bool) -> None:
    with pytest.raises(ConfigurationError, match=r"limits\.a needs concurrency, rate or both"):
        Configuration({"limits": {"a": limit}} if nested else {"limits.a": limit})


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"limits": None}, r"limits must be a mapping .* set limits\.NAME\.concurrency"),
        ({"limits": {"a": 5}}, r"limits\.a must be a Limit .*not 5: set limits\.a\.concurrency"),
        ({"limits": {"a": {"concurency": 5}}}, r"did you mean limits\.a\.concurrency\?"),
        ({"limits": {"a": {"burst": 5}}}, r"'limits\.a\.burst': write limits\.NAME\.conc.* or lim"),
        ({"limits": {"a b": {"rate": "1/s"}}}, "letters, digits, '-' and '_' only, not 'a b'"),
        ({"limits": {"a.b": {"rate": "1/s"}}}, "only, not 'a.b'"),
        ({"limits": {"": {"rate": "1/s"}}}, "only, not ''"),
        ({"limits": {"ä": {"rate": "1/s"}}}, "only, not 'ä'"),
        ({"limits": {1: {"rate": "1/s"}}}, r"limits\.1 must be a string: quote it"),
        ({"limit": {"a": {"rate": "1/s"}}}, r"'limit\.a\.rate': did you mean limits\.a\.rate\?"),
        (
            {"limits": {"a": Limit(rate=1)}, "limits.a.rate": "1/s"},
            r"limits\.a\.rate is set twice",
        ),
    ],
)
def test_wrong_limits_are_refused(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^configuration: .*{message}"):
        Configuration(mapping)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("PERDURE_LIMITS_A_CONCURENCY", r"did you mean PERDURE_LIMITS_A_CONCURRENCY\?"),
        ("PERDURE_LIMIT_A_RATE", r"did you mean PERDURE_LIMITS_A_RATE\?"),
        ("PERDURE_LIMITS", "write PERDURE_LIMITS_NAME_CONCURRENCY or PERDURE_LIMITS_NAME_RATE"),
        ("PERDURE_LIMITS_A", "write PERDURE_LIMITS_NAME_CONCURRENCY or PERDURE_LIMITS_NAME_RATE"),
        ("PERDURE_LIMITS_RATE", "write PERDURE_LIMITS_NAME_CONCURRENCY or PERDURE_"),
        ("PERDURE_LIMITS_A.B_RATE", r"only, not 'a\.b'"),
        ("PERDURE_LIMITS_A_RATE", r"limits\.a\.rate must be"),
    ],
)
def test_wrong_limits_in_the_environment_name_the_variable(variable: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^environment variable {variable}: .*{message}"):
        Configuration.from_env({variable: "x"})


def test_wrong_limits_in_other_sources_name_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^--set limits\.a=5: limits\.a must be"):
        Configuration().with_overrides(["limits.a=5"])
    with pytest.raises(ConfigurationError, match=r"conf\.yaml: limits\.a\.rate must be"):
        Configuration.from_yaml(_yaml(tmp_path, "limits: {a: {rate: 500}}"))


def test_the_example_of_the_page(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    config = Configuration.from_yaml(_yaml(tmp_path, example))
    assert config.get(Options.TIMEOUT) == 30.0
    assert config.retry_policy() == RetryPolicy(
        max_attempts=4, initial_interval=0.5, max_interval=20.0, total_timeout=300.0
    )
    assert config.limits() == {
        "openai": Limit(concurrency=50, rate=500, per=60.0),
        "crawler": Limit(rate=20, per=30.0),
    }
