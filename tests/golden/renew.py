"""Write the golden screens anew: `python -m tests.golden.renew`."""

from __future__ import annotations

from tests.golden.screens import FILES, FOLDER, SCREENS, WIDTHS, drawn, path_of, written


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name in SCREENS:
        for width in WIDTHS:
            path_of(name, width).write_text(drawn(name, width), encoding="utf-8")
    for name in FILES:
        (FOLDER / name).write_text(written(name), encoding="utf-8")
    print(f"{len(SCREENS) * len(WIDTHS)} screens in {FOLDER}")


if __name__ == "__main__":
    main()
