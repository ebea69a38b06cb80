"""Skills of theirs over the core's: what a chat model is told, and `load_skill` and `bash`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from perdure.errors import ToolArgumentsError
from perdure.flink_agents.api.resource import Resource, ResourceDescriptor
from perdure.flink_agents.api.tools.tool import Tool, ToolMetadata, ToolType
from perdure.flink_agents.api.tools.tool_response import ToolResponse
from perdure.flink_agents.border.own_loop import OwnLoop
from perdure.llm.skills.skills import Skills as CoreSkills
from perdure.llm.skills.skills import SkillSourceSpec
from perdure.llm.skills.tools import SkillTools
from perdure.llm.tool import Tool as CoreTool
from perdure.resource import ResourceContext

__all__ = ["HeldSkills", "ModelSkills", "SkillTool"]


class HeldSkills(CoreSkills):
    """Skills of theirs as the core reads them.

    Args:
        source: Skills of theirs, or their descriptor.

    Attributes:
        theirs: The user's own object.
    """

    __journal_name__ = "perdure:flink_agents.HeldSkills"

    def __init__(self, source: Resource | ResourceDescriptor) -> None:
        theirs: Any = source
        if isinstance(source, ResourceDescriptor):
            theirs = source.clazz(**source.arguments)
        super().__init__([SkillSourceSpec(each.scheme, each.params) for each in theirs.sources])
        self.theirs = theirs


class SkillTool(Tool):
    """`load_skill` or `bash` of one chat model.

    Owns: the loop that plain calls of it run on.
    """

    __journal_name__ = "perdure:flink_agents.SkillTool"

    _core: CoreTool = PrivateAttr()
    _loop: OwnLoop = PrivateAttr(default_factory=OwnLoop)

    if TYPE_CHECKING:  # pydantic makes one

        def __init__(self, **data: Any) -> None: ...

    @classmethod
    def of(cls, core: CoreTool) -> SkillTool:
        """Return a tool of the core as one of theirs."""
        described = ToolMetadata.model_validate(
            {"name": core.name, "description": core.description, "args_schema": core.parameters}
        )
        made = cls(metadata=described)
        made._core = core
        return made

    @classmethod
    def tool_type(cls) -> ToolType:
        """Return ToolType.FUNCTION."""
        return ToolType.FUNCTION

    @property
    def durable(self) -> Callable[..., Any]:
        """What a durable call of it calls: it ends when the call is cancelled."""
        core = self._core
        if inspect.iscoroutinefunction(core.func):

            async def run(**arguments: Any) -> Any:
                try:
                    return await core.func(**core.checked(arguments))
                except ToolArgumentsError as error:  # its text is for the model
                    return ToolResponse.failure(error, tool_name=core.name)

            return run

        def read(**arguments: Any) -> Any:
            try:
                return core.func(**core.checked(arguments))
            except ToolArgumentsError as error:
                return ToolResponse.failure(error, tool_name=core.name)

        return read

    def call(self, *args: Any, **kwargs: Any) -> Any:
        named = dict(zip(self._core.parameters["properties"], args, strict=False))
        found = self.durable(**named, **kwargs)
        return self._loop.run(found) if inspect.iscoroutine(found) else found

    def close(self) -> None:
        """Stop its loop."""
        self._loop.close()


class ModelSkills:
    """What one chat model of theirs has of skills, while its job is open.

    Owns: the commands that its `bash` runs.

    Args:
        model: The model's name.
        setup: It; its skills are found and its lists checked.
        context: Where skills are found.

    Raises:
        ConfigurationError: A skill, a folder or the extra `skills` is missing, or a name is none.
    """

    def __init__(self, model: str, setup: Any, context: ResourceContext) -> None:
        self._core = SkillTools(
            setup.skills or (),
            setup.allowed_commands,
            setup.allowed_script_dirs,
            {},
            f"chat model {model!r}",
            context,
        )
        self.tools = [SkillTool.of(each) for each in self._core.tools]

    def close(self) -> None:
        """Kill the commands that run."""
        self._core.close()
        for each in self.tools:
            each.close()
