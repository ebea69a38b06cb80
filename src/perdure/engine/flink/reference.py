"""Where an agent is, as a text that a worker can import: `module:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import types
from typing import Any

from perdure.agent.declaration import Agent
from perdure.engine.flink.spec import FunctionSpec
from perdure.errors import AgentDefinitionError, PerdureError

__all__ = ["agent_of", "load_agent", "reference_to"]

_MOVE = "put it into a module of its own and import it from there"


def reference_to(agent: Any) -> str:
    """Return `module:attribute` for an agent.

    Args:
        agent: the text itself; a class, or an instance of one, whose constructor takes nothing; a
            module's attribute; a function of a module that makes an agent.

    Raises:
        AgentDefinitionError: a worker could not import it.
    """
    if isinstance(agent, str):
        load_agent(agent)
        return agent
    found = _attribute_of_a_module(agent) if isinstance(agent, Agent) else None
    if found is not None:
        return found
    if isinstance(agent, type):
        _check_takes_nothing(agent)
        return _reference(agent, f"agent {agent.__qualname__}")
    if isinstance(agent, Agent):
        cls = type(agent)
        where = f"agent {cls.__qualname__}"
        if cls is Agent:
            raise AgentDefinitionError(_no_attribute("this Agent", cls))
        _check_is_importable(cls.__module__, cls.__qualname__, where)
        _check_takes_nothing(cls)
        if _shape(vars(agent)) != _shape(vars(cls())):
            raise AgentDefinitionError(
                f"this instance of {where} has more than {cls.__name__}() makes, and workers make"
                " their own: assign it to an attribute of its module, or add it in __init__"
            )
        return _reference(cls, where)
    if isinstance(agent, types.FunctionType):
        return _reference(agent, f"agent factory {agent.__qualname__}")
    raise AgentDefinitionError(
        f"{agent!r} is no agent: pass a class, an attribute of a module, or 'module:attribute'"
    )


def agent_of(spec: FunctionSpec) -> Any:
    """Return the agent of a job.

    Raises:
        AgentDefinitionError: there is no such module or attribute here, or nothing can be made of
            what was packed.
    """
    found = load_agent(spec.agent)
    return found if spec.packed is None else found(spec.packed)


def load_agent(reference: str) -> Any:
    """Return what a reference names.

    Raises:
        AgentDefinitionError: it is not written so, or there is no such module or attribute.
    """
    module_name, colon, attribute = reference.partition(":")
    if not colon or not module_name or not attribute or "/" in module_name:
        raise AgentDefinitionError(
            f"agent {reference!r}: write 'module:attribute', such as 'shop.agents:ReviewAgent'"
        )
    try:
        found: Any = importlib.import_module(module_name)
    except PerdureError as error:
        raise AgentDefinitionError(f"agent {reference!r}: {error}") from error
    except Exception as error:
        raise AgentDefinitionError(
            f"agent {reference!r}: module {module_name} cannot be imported"
            f" ({type(error).__name__}: {error}): name a module on the Python path of the workers"
            " (PYTHONPATH, or python.files of Flink)"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise AgentDefinitionError(f"agent {reference!r}: {found!r} has no attribute {part!r}")
        found = getattr(found, part)
    return found


def _reference(definition: Any, where: str) -> str:
    _check_is_importable(definition.__module__, definition.__qualname__, where)
    reference = f"{definition.__module__}:{definition.__qualname__}"
    if load_agent(reference) is not definition:
        raise AgentDefinitionError(
            f"{where}: {reference} is another object by now, which workers would import: rename one"
        )
    return reference


def _check_is_importable(module: str, qualname: str, where: str) -> None:
    if module == "__main__":
        place = "a notebook" if _is_notebook() else "__main__, the program itself"
        raise AgentDefinitionError(
            f"{where} is defined in {place}, which Flink's workers cannot import: {_MOVE}"
        )
    if "<locals>" in qualname or "<lambda>" in qualname:
        raise AgentDefinitionError(
            f"{where} is defined inside a function, where Flink's workers cannot import it: define"
            f" it at the top of {module}"
        )
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise AgentDefinitionError(
            f"{where} is in module {module}, which cannot be imported by that name: {_MOVE}, on the"
            " Python path"
        )


def _check_takes_nothing(cls: type) -> None:
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise AgentDefinitionError(_no_attribute(f"agent {cls.__qualname__}", cls))


def _no_attribute(what: str, cls: type) -> str:
    module = "a module" if cls is Agent or cls.__module__ == "__main__" else cls.__module__
    needs = "" if cls is Agent else f", whose constructor takes arguments ({parameters(cls)}),"
    return (
        f"{what}{needs} has no name that Flink's workers could import: make it at the top of"
        f" {module} (agent = ...) and pass that attribute"
    )


def parameters(cls: type) -> str:
    """Return the names of what a constructor takes."""
    return ", ".join(inspect.signature(cls).parameters)


def _attribute_of_a_module(agent: Agent) -> str | None:
    """Return the reference to an instance that is an attribute of a module."""
    own = type(agent).__module__
    for name in sorted(sys.modules, key=lambda each: each != own):
        module = sys.modules[name]
        if name == "__main__" or not isinstance(module, types.ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            if value is agent and _is_importable(name):
                return f"{name}:{attribute}"
    return None


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _shape(value: Any) -> Any:
    """Return what two instances that were made alike have in common."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    return len(value) if isinstance(value, (list, tuple, set)) else type(value)


def _is_notebook() -> bool:
    return "ipykernel" in sys.modules or hasattr(sys.modules.get("builtins"), "get_ipython")
