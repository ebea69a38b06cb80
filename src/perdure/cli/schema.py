"""`perdure schema`: the JSON schema of YAML agent files, for editors."""

from __future__ import annotations

import typer

from perdure.cli.options import epilog


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(epilog=epilog("perdure schema > agent.schema.json"))(schema)


def schema() -> None:
    """Print the JSON schema of YAML agent files.

    Editors with a YAML language server check a file by it whose first line is
    `# yaml-language-server: $schema=agent.schema.json`.
    """
    # Here, so that `perdure --help` waits for none of it.
    from perdure.yaml_agent.schema import schema_text

    print(schema_text(), end="")
