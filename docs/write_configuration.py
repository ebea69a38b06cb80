"""Writes configuration.md from the options in the code: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perdure.config.configuration import AgentExecutionOptions, ConfigOption, all_options

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

<!-- Written by `make docs`; change the descriptions in src/perdure/config/configuration.py. -->

An option is looked up in these places; a later one wins:

1. its default
2. `LocalEngine(config=...)`: a dict or the path of a YAML file, where a dot in a key may be
   written as nesting
3. the environment variable
4. on the command line, `--set KEY=VALUE`, as often as needed

An unknown key or a wrong value is an error that says where it stands. Keys that begin with
`agent.` are the agent's own: any value, read through `ctx.config.agent`.

| key | default | values | meaning | environment variable |
|---|---|---|---|---|
"""

# A test loads the YAML of this section.
RETRY_AND_LIMITS = """
## Retry and limits

`timeout`, `retry` and `limits` are about durable calls. A call's own options, given by
`ctx.with_options(...)` or `@durable(...)`, go before `timeout` and `retry`.

A run that takes longer than `run-timeout` fails with a `TimeoutError`. An action that asks for more
calls than `max-calls-per-run` leaves to its run fails as well.

```yaml
timeout: 30                 # seconds for one attempt
retry:
  max-attempts: 4
  initial-interval: 0.5     # then 1, 2, ... seconds
  max-interval: 20
  total-timeout: 300
limits:
  openai:                   # at most 50 at the same time, and 500 begun in any minute
    concurrency: 50
    rate: 500/min
  crawler:
    rate: 20/30s
```

Which exceptions are tried again is said in Python, where `retry` may be a policy:

```python
from perdure import RetryPolicy

config = {"retry": RetryPolicy(max_attempts=4, non_retryable=(ValueError,))}
```

The keys below `retry` in the environment and in `--set` change single values of the policy.
`retry.initial-interval` may not be longer than `retry.max-interval`.

A limit holds for the attempts of the calls that name it: `ctx.with_options(limit="openai")`. It has
`concurrency`, `rate` or both; they may come from different places.

- `concurrency`: attempts that run at the same time, a whole number from 1
- `rate`: attempts that begin, as `N/UNIT` or `N/TIME`: `500/min`, `20/30s`, `100/5min`; the units
  are `s`, `sec`, `second`, `min`, `minute`, `h`, `hour`, `day`

A limit's name has letters, digits, `-` and `_`. Its key for `--set` is such as
`limits.openai.concurrency`, its environment variable such as `PERDURE_LIMITS_OPENAI_CONCURRENCY`:
the variable means the limit so named in the file, whatever its case and whether it has `-` or `_`,
and otherwise the name in lower case with `-`. In Python a limit may be a
`Limit(concurrency=50, rate=500, per=60)`, with `per` in seconds.
"""

# These depend on the machine, which the page must not.
BY_MACHINE = {
    AgentExecutionOptions.NUM_ASYNC_THREADS.name: "2 x CPUs",
    AgentExecutionOptions.TOOL_CALL_PARALLELISM.name: "CPUs",
}

KINDS = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}


def render() -> str:
    """Return the page."""
    return HEAD + "".join(row(option) for option in all_options()) + RETRY_AND_LIMITS


def row(option: ConfigOption[Any]) -> str:
    """Return an option's line of the table."""
    cells = [f"`{option.name}`", default(option), values(option), option.description]
    return f"| {' | '.join(cells)} | `{option.env_name}` |\n"


def default(option: ConfigOption[Any]) -> str:
    """Return the default as a reader would write it."""
    if option.name in BY_MACHINE:
        return BY_MACHINE[option.name]
    if option.in_bytes and option.default % (1 << 20) == 0:
        return f"`{option.default >> 20}MiB`"
    if option.default is None:
        return ""
    if isinstance(option.default, bool):
        return f"`{str(option.default).lower()}`"
    return f"`{option.default}`"


def values(option: ConfigOption[Any]) -> str:
    """Return what the option may be set to."""
    if option.choices:
        text = ", ".join(f"`{choice}`" for choice in option.choices)
        aliases = [f"`{alias}` is `{choice}`" for alias, choice in option.aliases.items()]
        return "; ".join([text, *aliases])
    text = KINDS[option.type]
    if option.minimum is not None:
        text += f" from {option.minimum:.10g}"
    if option.maximum is not None:
        text += f" to {option.maximum:.10g}"
    return text + (", or with `KiB`, `MiB`, `GiB`" if option.in_bytes else "")


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
