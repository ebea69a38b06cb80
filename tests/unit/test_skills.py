"""Skills: what is read of folders, packages and zips, and what is refused."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.unit.skill_files import SCRIPT, lay, skill, text_of, zipped

from perdure import ConfigurationError, Skills
from perdure.errors import AgentDefinitionError
from perdure.llm.skills import archive
from perdure.llm.skills.skills import SkillSourceSpec

SKILL = {"pdf/SKILL.md": text_of(), "pdf/scripts/run.sh": SCRIPT, "pdf/notes.md": "Notes."}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def opened(skills: Skills) -> Any:
    asyncio.run(skills.open())
    return skills.skills


def refusal(skills: Skills) -> str:
    with pytest.raises(ConfigurationError) as caught:
        opened(skills)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_of_folders(tmp_path: Path) -> None:
    skill(tmp_path / "s", "pdf")
    text = (
        "---\nname: b-2\ndescription: >\n  Two\n  lines.\nlicense: MIT\n"
        "compatibility: Python\nmetadata: {version: 1.0, by: Ada}\nallowed-tools: x\n---\n"
        "Body\n---\n"
    )
    lay(tmp_path / "s", {"b/SKILL.md": text, ".git/config": "", "other/readme.txt": ""})
    found = opened(Skills.from_local_dir(tmp_path / "s"))
    assert list(found) == ["b-2", "pdf"]
    assert found["pdf"].text == "Do it."
    assert found["pdf"].files == ("notes.md", "scripts/run.sh")
    assert found["pdf"].folder == str(tmp_path / "s" / "pdf")
    second = found["b-2"]
    assert (second.description, second.text) == ("Two lines.", "Body\n---")
    assert (second.license, second.compatibility) == ("MIT", "Python")
    assert second.metadata == {"version": "1.0", "by": "Ada"}


def test_a_folder_may_be_one_skill_and_have_links_to_itself(tmp_path: Path) -> None:
    folder = skill(tmp_path)
    (folder / "again.md").symlink_to("notes.md")
    assert opened(Skills.from_local_dir(str(folder)))["pdf"].files[0] == "again.md"


def test_of_a_package_that_is_not_imported(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    lay(tmp_path / "kit_of_skills", {"__init__.py": "raise SystemExit('imported')"})
    skill(tmp_path / "kit_of_skills" / "skills")
    assert list(opened(Skills.from_package(("kit_of_skills", "skills")))) == ["pdf"]
    assert "kit_of_skills" not in sys.modules
    assert "leads out" in refusal(Skills.from_package(("kit_of_skills", "../x")))
    assert "has no 'nope'" in refusal(Skills.from_package(("kit_of_skills", "nope")))
    assert "there is no package" in refusal(Skills.from_package(("no_such_kit", "skills")))


def test_from_url_is_made_and_refused_at_open() -> None:
    skills = Skills.from_url("https://x.example/s.zip")
    assert skills.sources == (SkillSourceSpec("url", {"url": "https://x.example/s.zip"}),)
    assert "download it, look at it" in refusal(skills)


def test_a_source_that_is_none() -> None:
    for scheme, params in (("ftp", {}), ("local", {}), ("local", {"path": ""})):
        with pytest.raises(AgentDefinitionError):
            SkillSourceSpec(scheme, params)
    assert "no source" in refusal(Skills())
    assert "there is no folder" in refusal(Skills.from_local_dir("/no/such/folder"))


def test_two_skills_of_one_name(tmp_path: Path) -> None:
    one, two = skill(tmp_path / "a"), skill(tmp_path / "b")
    assert "two skills are called 'pdf'" in refusal(Skills.from_local_dir(one, two))
    assert list(opened(Skills.from_local_dir(one, one))) == ["pdf"]


HOSTILE_TEXTS = {
    "no front matter": ("# Hi", "does not begin with front matter"),
    "no end": ("---\nname: x\ndescription: y\n", "does not end"),
    "no mapping": ("---\n- a\n---\n", "no mapping"),
    "no YAML": ("---\nname: [\n---\n", "is no YAML"),
    "upper case": (text_of("Pdf"), "use 1 to 64 of a-z"),
    "a path": (text_of("../x"), "use 1 to 64 of a-z"),
    "a long name": (text_of("a" * 65), "use 1 to 64 of a-z"),
    "a name of two lines": (text_of('"a\\n"'), "use 1 to 64 of a-z"),
    "a number": (text_of("1"), "use 1 to 64 of a-z"),
    "no description": ("---\nname: x\n---\n", "no description"),
    "a long description": (text_of(description="x" * 1025), "1,024 at most"),
    "control characters": (text_of(description='"a\\x1b[2J"'), "control characters"),
    "an alias": ("---\na: &a [x]\nname: x\ndescription: *a\n---\n", "alias"),
    "an object": ("---\nname: !!python/object/apply:os.system [id]\n---\n", "is no YAML"),
    "deep": ("---\n" + "[" * 5_000 + "\n---\n", "nested over 16 deep"),
    "front matter without end": ("---\n" + "# x\n" * 10_000 + "---\n", "over 16 kB"),
    "a NUL": (text_of(body="\0"), "NUL"),
    "too large": (text_of(body="x" * 300_000), "over 256 kB"),
    "metadata": ("---\nname: x\ndescription: y\nmetadata: {a: [1]}\n---\n", "metadata"),
}


@pytest.mark.parametrize("case", HOSTILE_TEXTS)
def test_a_hostile_skill_file_is_refused(case: str, tmp_path: Path) -> None:
    text, said = HOSTILE_TEXTS[case]
    lay(tmp_path, {"x/SKILL.md": text})
    message = refusal(Skills.from_local_dir(tmp_path))
    assert said in message
    assert str(tmp_path / "x" / "SKILL.md") in message
    assert len(message) < 1_000


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    skill(tmp_path)
    (tmp_path / "pdf" / "SKILL.md").write_bytes(b"---\n\xff\xfe")
    assert "no UTF-8" in refusal(Skills.from_local_dir(tmp_path))


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    folder = skill(tmp_path / "s")
    link = folder / "scripts" / "passwords"
    link.symlink_to("/etc/passwd")
    assert "the link scripts/passwords leads out" in refusal(Skills.from_local_dir(tmp_path / "s"))
    link.unlink()
    (folder / "SKILL.md").rename(tmp_path / "SKILL.md")
    (folder / "SKILL.md").symlink_to("../../SKILL.md")
    assert "the link SKILL.md leads out" in refusal(Skills.from_local_dir(tmp_path / "s"))
    skill(tmp_path / "elsewhere")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "x").symlink_to(tmp_path / "elsewhere" / "pdf")
    assert "leads out" in refusal(Skills.from_local_dir(tmp_path / "t"))


def test_a_skill_that_is_too_deep_or_has_too_many_files(tmp_path: Path, monkeypatch: Any) -> None:
    folder = skill(tmp_path)
    lay(folder, {"/".join("abcdefghi") + "/x": ""})
    assert "deep" in refusal(Skills.from_local_dir(tmp_path))
    monkeypatch.setattr("perdure.llm.skills.skill.MAX_FILES", 3)
    assert "over 3 files" in refusal(Skills.from_local_dir(tmp_path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    os.mkfifo(tmp_path / "x" / "SKILL.md")
    assert "it is no file" in refusal(Skills.from_local_dir(tmp_path))


# Zips


def test_a_zip_is_unpacked_where_its_content_says(tmp_path: Path) -> None:
    file = tmp_path / "s.zip"
    file.write_bytes(zipped(SKILL))
    found = opened(Skills.from_local_dir(file))["pdf"]
    place = Path(found.folder)
    assert place.is_relative_to(tmp_path / "cache" / "perdure" / "skills")
    assert found.files == ("notes.md", "scripts/run.sh")
    assert (place / "scripts" / "run.sh").stat().st_mode & stat.S_IXUSR
    assert not (place / "notes.md").stat().st_mode & 0o333
    before = (place / "notes.md").stat().st_ino
    file.rename(tmp_path / "t.zip")
    assert opened(Skills.from_local_dir(tmp_path / "t.zip"))["pdf"].folder == str(place)
    assert (place / "notes.md").stat().st_ino == before  # it was there already
    file.write_bytes(zipped({**SKILL, "pdf/notes.md": "Others."}))
    assert opened(Skills.from_local_dir(file))["pdf"].folder != str(place)


def _write(place: Path) -> None:
    (place / "notes.md").chmod(0o644)
    (place / "notes.md").write_text("Changed")


def _link(place: Path) -> None:
    place.chmod(0o755)
    (place / "notes.md").unlink()
    (place / "notes.md").symlink_to("/etc/passwd")


def _add(place: Path) -> None:
    place.chmod(0o755)
    (place / "more.md").write_text("More")


def _replace(place: Path) -> None:
    root = place.parent
    root.rename(root.with_name("moved"))
    root.symlink_to("moved")


@pytest.mark.parametrize("change", [_write, _link, _add, _replace])
def test_an_unpacked_zip_that_was_changed_is_made_anew(tmp_path: Path, change: Any) -> None:
    file = tmp_path / "s.zip"
    file.write_bytes(zipped(SKILL))
    place = Path(opened(Skills.from_local_dir(file))["pdf"].folder)
    change(place)
    found = opened(Skills.from_local_dir(file))["pdf"]
    assert found.folder == str(place)
    assert found.files == ("notes.md", "scripts/run.sh")
    assert (place / "notes.md").read_text() == "Notes."
    assert not place.parent.is_symlink()
    left = {each.name for each in place.parents[1].iterdir()} - {"moved"}
    assert left == {place.parent.name}


def _entry(name: str, mode: int = 0, **more: Any) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    for key, value in more.items():
        setattr(entry, key, value)
    return entry


def _encrypted() -> bytes:
    data = bytearray(zipped({"pdf/SKILL.md": text_of()}, zipfile.ZIP_STORED))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _lying() -> bytes:
    data = bytearray(zipped({"pdf/SKILL.md": "x" * 1000}, zipfile.ZIP_DEFLATED))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(data)


HOSTILE_ZIPS = {
    "up": (lambda: zipped({"../x": "x"}), "plain path"),
    "up inside": (lambda: zipped({"pdf/../../x": "x"}), "plain path"),
    "absolute": (lambda: zipped({"/etc/x": "x"}), "plain path"),
    "backslash": (lambda: zipped({"pdf\\..\\x": "x"}), "plain path"),
    "drive": (lambda: zipped({"C:x": "x"}), "plain path"),
    "control": (lambda: zipped({"pdf/a\nb": "x"}), "plain path"),
    "link": (lambda: zipped({_entry("pdf/l", 0o120777): "/etc/passwd"}), "link or a device"),
    "fifo": (lambda: zipped({_entry("pdf/l", 0o010644): ""}), "link or a device"),
    "device": (lambda: zipped({_entry("pdf/l", 0o020644): ""}), "link or a device"),
    "bomb": (lambda: zipped({"pdf/x": b"\0" * 10_000_000}), "100 times"),
    "large file": (
        lambda: zipped({"pdf/x": b"x" * 17 * 1024**2}, zipfile.ZIP_STORED), "over 16 MB",
    ),
    "large": (
        lambda: zipped({f"pdf/{n}": b"\0" * 15 * 1024**2 for n in range(5)}), "over 64 MB",
    ),
    "entries": (lambda: zipped({f"pdf/{n}": "" for n in range(2_001)}), "over 2,000"),
    "deep": (lambda: zipped({"/".join("abcdefghij"): "x"}), "deep"),
    "long": (lambda: zipped({"pdf/" + "x" * 300: "x"}), "too long"),
    "case": (lambda: zipped({"pdf/a": "x", "PDF/A": "y"}), "in it twice"),
    "file and folder": (lambda: zipped({"pdf": "x", "pdf/a": "y"}), "in it twice"),
    "encrypted": (_encrypted, "encrypted"),
    "method": (lambda: zipped({"pdf/x": "x"}, zipfile.ZIP_LZMA), "another way"),
    "lying": (_lying, "zip of skills"),
    "cut": (lambda: zipped(SKILL)[:-30], "no zip"),
    "damaged": (lambda: zipped(SKILL).replace(b"PK\x03\x04", b"PK\x03\x05"), "damaged"),
    "list": (lambda: zipped({f"pdf/{n:0250}": "" for n in range(4_000)}), "list of entries"),
    "no skills": (lambda: zipped({"pdf/readme": "x"}), "no folder with a SKILL.md"),
    "nothing": (lambda: b"", "no zip"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused_and_nothing_of_it_is_written(case: str, tmp_path: Path) -> None:
    make, said = HOSTILE_ZIPS[case]
    file = tmp_path / "zips" / "s.zip"
    file.parent.mkdir()
    file.write_bytes(make())
    assert said in refusal(Skills.from_local_dir(file))
    written = {each.name for each in tmp_path.rglob("*") if each.is_file()}
    assert written == ({"s.zip", "readme"} if case == "no skills" else {"s.zip"})


def test_a_list_of_entries_in_the_long_form_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    file = tmp_path / "s.zip"
    file.write_bytes(zipped(SKILL))
    assert "list of entries" in refusal(Skills.from_local_dir(file))


def test_a_zip_is_not_unpacked_where_others_may_write(tmp_path: Path) -> None:
    place = tmp_path / "cache" / "perdure" / "skills"
    place.mkdir(parents=True)
    place.chmod(0o777)
    file = tmp_path / "s.zip"
    file.write_bytes(zipped(SKILL))
    message = refusal(Skills.from_local_dir(file))
    assert "others may write there" in message
    assert "set XDG_CACHE_HOME" in message


def test_the_bounds_are_those_of_the_page() -> None:
    assert (archive.MAX_ENTRIES, archive.MAX_RATIO) == (2_000, 100)
    page = (Path(__file__).parents[2] / "docs" / "skills.md").read_text("utf-8")
    assert "2,000 entries" in page
    assert "100 times" in page
