"""Values that options list in one word: numbers, and numbers by species."""

from __future__ import annotations

from mmtp_fw.errors import InputError


def numbers(option: str, text: str) -> list[float]:
    """Return numbers separated by commas.

    Raises
    ------
    InputError
        Something else.
    """
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text}: not numbers separated by commas", f"as in {option} 1,2,3") from None


def three_counts(option: str, text: str) -> tuple[int, int, int]:
    """Return three whole numbers from 1 on.

    Raises
    ------
    InputError
        Something else.
    """
    found = [int(number) if number == int(number) else 0 for number in numbers(option, text)]
    if len(found) != 3 or min(found) < 1:
        raise InputError(f"{option} {text}: not three whole numbers from 1 on", f"as in {option} 3,3,3")
    return found[0], found[1], found[2]


def by_species(option: str, text: str, example: str) -> dict[str, float]:
    """Return numbers by species, of ``Fe=3.5,Pd=0.6``; none of an empty text.

    Raises
    ------
    InputError
        Something else.
    """
    given = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = item.partition("=")
        try:
            given[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"{option} {item}: not SPECIES=NUMBER", f"as in {option} {example}") from None
    return given
