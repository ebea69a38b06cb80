"""Skills: a resource that reads skills from folders, packages and zips."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from perdure.errors import AgentDefinitionError, ConfigurationError
from perdure.llm.skills.archive import unpacked
from perdure.llm.skills.skill import SKILL_FILE, Skill, read_skill
from perdure.printable import printable_logger
from perdure.resource import Resource, ResourceContext, ResourceType

__all__ = ["SkillSourceSpec", "Skills", "chosen_skills"]

logger = printable_logger("perdure")

MAX_SKILLS: Final = 1_000
_PARAMS: Final = {"local": ("path",), "url": ("url",), "package": ("package", "resource")}


@dataclasses.dataclass(frozen=True, slots=True)
class SkillSourceSpec:
    """Where skills come from.

    Attributes:
        scheme: "local", "package" or "url".
        params: `path`; `package` and `resource`; or `url`.
    """

    __journal_name__ = "perdure:SkillSourceSpec"

    scheme: str
    params: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse what names no source."""
        needed = _PARAMS.get(self.scheme)
        if needed is None:
            raise AgentDefinitionError(
                f"skills: there is no scheme {self.scheme!r}; there are {', '.join(_PARAMS)}"
            )
        if set(self.params) != set(needed) or not all(
            isinstance(each, str) and each for each in self.params.values()
        ):
            raise AgentDefinitionError(
                f"skills: a source of the scheme {self.scheme!r} needs {' and '.join(needed)},"
                f" not {dict(self.params)!r}"
            )

    def __str__(self) -> str:
        return ":".join(self.params.values())


class Skills(Resource):
    """Skills for chat models: folders with a SKILL.md each, read when the job opens.

    Nothing of a skill is run when it is read, and no link may lead out of it. A chat model has
    those that its `skills=` names.

    Attributes:
        sources: Where they come from.
    """

    __journal_name__ = "perdure:Skills"

    RESOURCE_TYPE: ClassVar = ResourceType.SKILLS

    def __init__(self, sources: Iterable[SkillSourceSpec] = ()) -> None:
        self.sources = tuple(sources)
        self._skills: dict[str, Skill] | None = None

    @classmethod
    def from_local_dir(cls, *paths: str | os.PathLike[str]) -> Self:
        """Return the skills in folders: each holds folders with a SKILL.md, is one, or is a zip.

        A relative path is taken from the working directory in which the job opens.
        """
        return cls([SkillSourceSpec("local", {"path": os.fspath(each)}) for each in paths])

    @classmethod
    def from_package(cls, *pairs: tuple[str, str]) -> Self:
        """Return the skills in packages: pairs of a package and a folder, or a zip, in it.

        A package at the top is found without being imported.
        """
        return cls(
            [
                SkillSourceSpec("package", {"package": package, "resource": resource})
                for package, resource in pairs
            ]
        )

    @classmethod
    def from_url(cls, *urls: str) -> Self:
        """Return skills at addresses: opening it is refused, for nothing is fetched here."""
        return cls([SkillSourceSpec("url", {"url": each}) for each in urls])

    @property
    def skills(self) -> Mapping[str, Skill]:
        """The skills by name, once it is open.

        Raises:
            ConfigurationError: It is not.
        """
        if self._skills is None:
            _ = self.context  # says so
            raise ConfigurationError(f"the {self._called()} is not open yet")
        return self._skills

    async def open(self) -> None:
        """Read the skills, on a thread."""
        self._skills = await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, Skill]:
        where = self._called()
        if not self.sources:
            raise ConfigurationError(f"the {where} has no source: Skills.from_local_dir(path)")
        found: dict[str, Skill] = {}
        for source in self.sources:
            try:
                skills = _skills_in(_folder_of(source))
            except ConfigurationError as error:
                raise ConfigurationError(f"the {where}: {error}") from None
            except OSError as error:
                raise ConfigurationError(f"the {where}: {source}: {error}") from error
            for each in skills:
                add_skill(found, each)
        return found


def add_skill(found: dict[str, Skill], skill: Skill) -> None:
    """Add a skill to others, by its name.

    Raises:
        ConfigurationError: Another one has its name.
    """
    first = found.setdefault(skill.name, skill)
    if first.folder != skill.folder:
        raise ConfigurationError(
            f"two skills are called {skill.name!r}, in {first.folder} and {skill.folder}:"
            " rename one"
        )


def chosen_skills(
    skills: Iterable[str | Resource], context: ResourceContext, where: str
) -> dict[str, Skill]:
    """Return the skills that are meant, by name.

    Args:
        skills: Names of skills, or Skills, whose skills are meant.
        context: Where Skills are found.
        where: Whose they are, for messages.

    Raises:
        ConfigurationError: There is none of a name, or there are two.
    """
    declared: dict[str, Skill] = {}
    for name in context.names(ResourceType.SKILLS):
        for each in _of(context.get_resource(name, ResourceType.SKILLS)):
            add_skill(declared, each)
    found: dict[str, Skill] = {}
    for meant in skills:
        if isinstance(meant, Resource):
            for each in _of(meant):
                add_skill(found, each)
        elif meant in declared:
            add_skill(found, declared[meant])
        else:
            known = ", ".join(declared) or "none: declare them with @skills"
            raise ConfigurationError(f"{where}: there is no skill {meant!r}; there are: {known}")
    return found


def _of(resource: Resource) -> Iterable[Skill]:
    assert isinstance(resource, Skills)
    return resource.skills.values()


def _folder_of(source: SkillSourceSpec) -> Path:
    """Return the folder that a source means; a zip is unpacked."""
    params: Mapping[str, Any] = source.params
    if source.scheme == "url":
        raise ConfigurationError(
            f"skills are not fetched from {params['url']}: download it, look at it, and name the"
            " folder or zip with Skills.from_local_dir(path)"
        )
    if source.scheme == "package":
        path = _in_package(params["package"], params["resource"])
    else:
        path = Path(params["path"]).expanduser()
    if path.is_dir():
        return path
    if not path.exists():
        raise ConfigurationError(f"there is no folder {path}")
    if not path.is_file() or path.suffix.lower() not in (".zip", ".skill"):
        raise ConfigurationError(f"{path} is no folder and no zip")
    return unpacked(path)


def _in_package(package: str, resource: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"there is no package {package!r}: {error}") from None
    places = None if spec is None else spec.submodule_search_locations
    if places is None:
        said = "there is no" if spec is None else "it is a module, not a"
        raise ConfigurationError(f"skills in {package!r}: {said} package")
    for place in places:
        root = Path(os.path.realpath(place))
        found = Path(os.path.realpath(root / resource))
        if not found.is_relative_to(root):
            raise ConfigurationError(f"{resource!r} leads out of the package {package!r}")
        if found.exists():
            return found
    raise ConfigurationError(f"the package {package!r} has no {resource!r} as a file of its own")


def _skills_in(folder: Path) -> list[Skill]:
    """Return the skills in a folder of folders, or the one that it is."""
    root = Path(os.path.realpath(folder))
    if (root / SKILL_FILE).is_file():
        return [read_skill(root)]
    found = []
    for name in sorted(os.listdir(root)):
        place = root / name
        if name.startswith((".", "__")) or not place.is_dir():
            continue
        if not Path(os.path.realpath(place)).is_relative_to(root):
            raise ConfigurationError(
                f"the link {place} leads out of it: put the folder itself there"
            )
        if not (place / SKILL_FILE).exists():
            logger.warning("%s has no %s: it is no skill", place, SKILL_FILE)
            continue
        found.append(read_skill(place))
        if len(found) > MAX_SKILLS:
            raise ConfigurationError(f"{folder} has over {MAX_SKILLS:,} skills")
    if not found:
        raise ConfigurationError(f"{folder} has no folder with a {SKILL_FILE}")
    return found
