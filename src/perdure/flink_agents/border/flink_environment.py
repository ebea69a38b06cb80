"""FlinkEnvironment: agents as parts of a Flink job, over DataStreams and tables."""

from __future__ import annotations

import functools
from typing import Any, Final
from weakref import WeakKeyDictionary

from perdure.config.configuration import Configuration
from perdure.engine.flink.engine import check_store, find_flink, run_job
from perdure.engine.flink.loopback import prepare
from perdure.engine.flink.placing import is_keyed, place, table_environment
from perdure.engine.flink.spec import SHARDS, FunctionSpec
from perdure.flink_agents.border.compiled import made
from perdure.flink_agents.border.core_config import core_config
from perdure.flink_agents.border.environment import AgentBuilder, Environment
from perdure.flink_agents.border.flink_elements import PlainElements, check_selector
from perdure.flink_agents.border.on_workers import send_names
from perdure.flink_agents.border.shipped import UNPACKED, packed

__all__ = ["FlinkEnvironment"]

# Names of jobs by the environment of Flink that they are in: operators are known by them.
_taken: Final[WeakKeyDictionary[Any, set[str]]] = WeakKeyDictionary()


class FlinkEnvironment(Environment):
    """Puts agents into the job of an environment of Flink, and runs that job.

    What an agent is compiled from, its resources, its configuration, is read when its outputs are
    asked for. Used on one thread.

    Args:
        env: The environment of Flink.
        t_env: The table environment over it; None: one is made where it is needed.
        store: Where calls are kept: `flink://`, Flink's own state, or `memory://`.
        job: What names of jobs begin with; an agent's job is named after the agent.
        shards: What keys are spread over: the most parallelism, fixed for the life of a state.

    Raises:
        ConfigurationError: There is no Flink or Java here, or the store is not known.
        TypeError: `env` is no environment of Flink.
    """

    def __init__(
        self,
        env: Any,
        t_env: Any = None,
        *,
        store: str = "flink://",
        job: str | None = None,
        shards: int = SHARDS,
    ) -> None:
        super().__init__()
        check_store(store)
        find_flink()
        prepare()
        if not hasattr(env, "_j_stream_execution_environment"):
            raise TypeError(
                f"env is a {type(env).__name__}: pass a StreamExecutionEnvironment of PyFlink, or"
                " leave it out and use from_list"
            )
        send_names(env)
        self._env = env
        self._t_env = t_env
        self._store = store
        self._prefix = f"{job}." if job else ""
        self._shards = shards
        self._builders: list[_StreamBuilder] = []  # whose job has not been executed
        self._clients: list[Any] = []  # Flink's, of the job that runs

    @property
    def t_env(self) -> Any:
        """The table environment."""
        if self._t_env is None:
            self._t_env = table_environment(self._env)
        return self._t_env

    def from_list(self, input: list[dict[str, Any]]) -> AgentBuilder:
        raise NotImplementedError(
            "an environment of Flink takes no list: use from_datastream or from_table, or leave"
            " `env` out of get_execution_environment"
        )

    def from_datastream(self, input: Any, key_selector: Any = None) -> AgentBuilder:
        if is_keyed(input):
            return self._over(input, None)
        if key_selector is None:
            raise RuntimeError(
                "KeySelector must be provided: pass key_selector=, or a KeyedStream (key_by)"
            )
        check_selector(key_selector)
        return self._over(input, key_selector)

    def from_table(self, input: Any, key_selector: Any = None) -> AgentBuilder:
        if key_selector is None:
            raise RuntimeError(
                "KeySelector must be provided: pass key_selector=, a function of a row"
            )
        check_selector(key_selector)
        return self._over(self.t_env.to_data_stream(input), key_selector)

    def _over(self, stream: Any, selector: Any) -> AgentBuilder:
        builder = _StreamBuilder(self, stream, selector)
        self._builders.append(builder)
        return builder

    def execute(self, job_name: str | None = None) -> None:
        applied = [each for each in self._builders if each.agent is not None]
        for each in applied:
            if each.spec is None:
                raise RuntimeError(
                    f"nothing takes the outputs of {type(each.agent).__name__}: call"
                    " to_datastream() or to_table() before execute"
                )
        if not applied:
            raise RuntimeError(
                "there is nothing to execute: call from_datastream(...).apply(agent)"
                ".to_datastream()"
            )
        specs = [each.spec for each in applied if each.spec is not None]
        self._builders.clear()
        name = job_name or f"perdure {', '.join(each.job for each in specs)}"
        run_job(self._env, name, specs, self._clients)

    def spec_of(self, agent: Any, *, fails: bool) -> FunctionSpec:
        """Return the job of an agent, under a name that none in Flink's environment has yet.

        Args:
            agent: The agent.
            fails: A failed run fails the job.

        Raises:
            AgentDefinitionError: It is no agent of theirs, or cannot be sent to workers.
            ConfigurationError: An option has a wrong value.
        """
        config = Configuration.load(core_config(self._config))
        names = _taken.setdefault(self._env, set())
        first = name = f"{self._prefix}{self._name_of(agent)}"
        number = 1
        while name in names:
            number += 1
            name = f"{first}-{number}"
        data = packed(agent, self._config, self.resources)
        names.add(name)
        return FunctionSpec(
            agent=UNPACKED, packed=data, job=name, store=self._store, config=config.values(),
            shards=self._shards, has_ids=False, fails=fails,
        )  # fmt: skip

    def _name_of(self, agent: Any) -> str:
        for name, loaded in self._agents.items():
            if loaded is agent:
                return name
        return type(agent).__name__


class _StreamBuilder(AgentBuilder):
    """One stream, and the agent over it."""

    def __init__(self, environment: FlinkEnvironment, stream: Any, selector: Any) -> None:
        self._environment = environment
        self._stream = stream
        self._selector = selector
        self.agent: Any = None
        self.spec: FunctionSpec | None = None  # once its outputs were asked for
        self._outputs: Any = None
        self._failures_are_taken = False

    def apply(self, agent: Any) -> AgentBuilder:
        if self.agent is not None:
            raise RuntimeError(
                "apply was called already: a stream takes one agent; begin with from_datastream"
                " over its outputs for the next"
            )
        self.agent = made(self._environment.agent_named(agent))
        return self

    def to_list(self) -> list[dict[Any, Any]]:
        raise NotImplementedError("a stream of Flink makes no list: use to_datastream or to_table")

    def to_datastream(self, output_type: Any = None) -> Any:
        if self._outputs is None:
            if self.agent is None:
                raise RuntimeError("Must apply agent before call to_datastream/to_table.")
            elements = functools.partial(PlainElements, selector=self._selector)
            spec = self._environment.spec_of(self.agent, fails=not self._failures_are_taken)
            self.spec, self._outputs = place(spec, self._stream, elements, output_type)
        return self._outputs

    def to_table(self, schema: Any, output_type: Any = None) -> Any:
        if output_type is None and self._outputs is None:
            raise ValueError(
                "to_table needs output_type=, Flink's row type of the outputs, such as"
                " ExternalTypeInfo(RowTypeInfo(types, names))"
            )
        outputs = self.to_datastream(output_type)
        return self._environment.t_env.from_data_stream(outputs, schema)

    @property
    def failed(self) -> Any:
        """The tag of the side output of failed runs, for who wants them beside the outputs.

        Without it a failed run fails the job, as there. It is asked for before the outputs are.

        Raises:
            RuntimeError: The outputs were asked for.
        """
        from perdure.engine.flink.topology import failed_tag

        if self._outputs is not None and not self._failures_are_taken:
            raise RuntimeError(
                "a failed run fails this job: ask for the tag `failed` before to_datastream, so"
                " that failed runs leave by it"
            )
        self._failures_are_taken = True
        return failed_tag(FunctionSpec(agent=UNPACKED, job=""))
