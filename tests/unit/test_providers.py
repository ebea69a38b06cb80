"""What stands behind a model's name is said by `integrations`, not known by `llm`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tests.unit.connections import Connection

from perdure import ChatModel, ConfigurationError, EmbeddingModel, ResourceType
from perdure.llm import providers
from perdure.llm.providers import provider, register_provider


@pytest.fixture
def classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_CLASSES", dict(providers._CLASSES))


@pytest.mark.usefixtures("classes")
def test_another_class_can_stand_behind_a_provider() -> None:
    name = f"{Connection.__module__}.{Connection.__qualname__}"
    register_provider(ResourceType.CHAT_MODEL_CONNECTION, name, "house")
    model = ChatModel("house:small", api_key="k")
    assert isinstance(model.connection, Connection)
    assert model.connection.given == {"model": "house:small", "base_url": None, "api_key": "k"}


@pytest.mark.usefixtures("classes")
def test_a_provider_without_a_class_of_its_own_has_the_common_one() -> None:
    register_provider(ResourceType.VECTOR_STORE, "a.B")
    register_provider(ResourceType.VECTOR_STORE, "a.C", "c")
    assert provider(ResourceType.VECTOR_STORE, "else") == "a.B"
    assert provider(ResourceType.VECTOR_STORE, "c") == "a.C"


@pytest.mark.usefixtures("classes")
def test_an_unknown_one_says_what_to_do() -> None:
    providers._CLASSES.clear()
    message = (
        "no class is known for a chat_model_connection of 'openai': import"
        " perdure.integrations.providers first, or call register_provider"
    )
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        ChatModel("openai:gpt-5")


@pytest.mark.parametrize(
    "imports",
    [
        "from perdure import EmbeddingModel",
        "from perdure import Agent; from perdure.embedding_model import EmbeddingModel",
        "import perdure.yaml_agent.build; from perdure.llm.embedding_model import EmbeddingModel",
    ],
)
def test_every_way_to_a_model_knows_the_integrations(imports: str) -> None:
    program = f"{imports}; EmbeddingModel('local:minilm')"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_local_model_takes_no_provider() -> None:
    assert EmbeddingModel("local:minilm")._descriptor.arguments == {}
