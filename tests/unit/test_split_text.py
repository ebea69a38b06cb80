"""split_text and Document.from_file: long texts, and files, for retrieval."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import ConfigurationError, Document, TerminalError, split_text

PAGE = """# Delivery
Parcels come within three days. On islands it takes a week.

Ask us when one does not come.

# Returns
You have two weeks. The goods must be whole.
"""


def test_it_cuts_at_paragraphs_and_sentences_before_words() -> None:
    assert split_text(PAGE, 50, 0) == [
        "# Delivery\nParcels come within three days.",
        "On islands it takes a week.",
        "Ask us when one does not come.",
        "# Returns\nYou have two weeks.",
        "The goods must be whole.",
    ]


def test_a_text_that_fits_is_one_piece_and_an_empty_one_none() -> None:
    assert split_text(PAGE) == [PAGE.strip()]
    assert split_text("") == split_text(" \n\n ") == []


def test_pieces_begin_with_the_end_of_the_one_before() -> None:
    text = "One is here. Two is here. Three is here. Four is here."
    assert split_text(text, 30, 15) == [
        "One is here. Two is here.",
        "Two is here. Three is here.",
        "Three is here. Four is here.",
    ]


def test_only_a_word_that_is_too_long_is_cut() -> None:
    assert split_text("ab cdefghij k", 4, 0) == ["ab", "cdef", "ghij", "k"]


@given(st.text(alphabet="ab.# \n", max_size=200), st.integers(1, 30), st.data())
def test_no_piece_is_too_long_and_nothing_is_lost(
    text: str, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    pieces = split_text(text, size, overlap)
    assert all(0 < len(piece) <= size for piece in pieces)
    begin = 0
    for piece in pieces:  # each is found in the text, not before the one before it
        begin = text.index(piece, begin)
    if overlap == 0:
        assert "".join("".join(pieces).split()) == "".join(text.split())


def test_pieces_of_a_document_keep_what_is_known_of_it_but_not_its_id() -> None:
    page = Document(PAGE, {"source": "shop.md"}, id="shop", embedding=[1.0])
    first, *_, last = split_text(page, 50, 0)
    assert first.content.startswith("# Delivery")
    assert (first.metadata, last.metadata) == (
        {"source": "shop.md", "part": 0},
        {"source": "shop.md", "part": 4},
    )
    assert (first.id, first.embedding) == (None, None)
    assert page.metadata == {"source": "shop.md"}


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_sizes_that_cannot_be_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ConfigurationError, match=f"size={size}, overlap={overlap}"):
        split_text("text", size, overlap)


def test_a_file_is_a_document_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "terms.md"
    file.write_text("\ufeff# Terms\nzwölf", "utf-8")
    document = Document.from_file(file, {"topic": "terms"})
    assert document.content == "# Terms\nzwölf"
    assert document.metadata == {"source": str(file), "topic": "terms"}


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "terms.pdf"
    file.write_bytes(b"%PDF \xff\xfe")
    with pytest.raises(TerminalError, match=r"terms\.pdf is no UTF-8 text \(byte 5\)"):
        Document.from_file(file)
