"""The tools of an MCP server: `python -m perdure.testing.mcp tools.py` serves them."""

from __future__ import annotations

RATES = {"EUR": 1.0, "USD": 1.08, "CHF": 0.94}


def convert(amount: float, currency: str) -> float:
    """Convert an amount of euros.

    Args:
        amount: The amount in euros.
        currency: What it is wanted in: EUR, USD or CHF.
    """
    if currency not in RATES:
        raise ValueError(f"no rate for {currency}: there are {', '.join(RATES)}")
    return round(amount * RATES[currency], 2)


def stock(article: str) -> int:
    """Tell how many pieces of an article are in the warehouse.

    Args:
        article: The article, such as kettle-07.
    """
    return sum(map(ord, article)) % 7
