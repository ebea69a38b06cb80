"""Writes the table of metrics in metrics.md from the source: `make docs`."""

from __future__ import annotations

from pathlib import Path

from perdure.web.metric_names import METRICS

PAGE = Path(__file__).with_name("metrics.md")
BEGIN = "<!-- Metrics: written by `make docs` from src/perdure/web/metric_names.py. -->"
END = "<!-- End of metrics. -->"


def table() -> str:
    """Return the table of the metrics that perdure has."""
    lines = ["| name | kind | labels | what it says |", "|---|---|---|---|"]
    for each in METRICS.values():
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.text} |")
    return "\n".join(lines)


def render(page: str) -> str:
    """Return the page with the table as the source is now."""
    head, _, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} has lost the marks between which its table stands")
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")
    print(f"{PAGE.name}: {len(METRICS)} metrics")
