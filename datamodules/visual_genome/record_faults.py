"""Words for records that are not in Visual Genome's format: the field, its value, and the expected form."""

import json
from typing import Any

ID_KEYS: tuple[str, ...] = ("id", "image_id")


def whole(value: Any) -> int | None:
    """Return a value as an integer of 64 bits, also if it is written as text or as 5.0; None if it is none."""
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    exact = type(value) in (int, str) or (type(value) is float and number == value)
    return number if exact and abs(number) < 2**63 else None


def shown(value: Any) -> str:
    """Return a value as JSON writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 50 else f"{text[:47]}..."


def image_fault(record: Any) -> str | None:
    """Return the fault of an image's entry in the region descriptions; None if none is found."""
    if not isinstance(record, dict):
        return f"it is {shown(record)}, not an object"
    if not isinstance(record.get("regions"), list):
        return f"'regions' is {shown(record['regions'])}, not a list" if "regions" in record else "'regions' is missing"
    for key in ID_KEYS:
        if key in record:
            return None if whole(record[key]) is not None else f"{key} is {shown(record[key])}, not a number"
    first = record["regions"][0] if record["regions"] else None
    if isinstance(first, dict) and ("image_id" in first or "image" in first):
        return None
    return "neither it nor its first region has the id of the image"


def region_fault(record: Any) -> str | None:
    """Return the fault of a region; None if none is found."""
    if not isinstance(record, dict):
        return f"it is {shown(record)}, not an object"
    for key in ("x", "y", "width", "height", "phrase"):
        if key not in record:
            return f"{key!r} is missing"
        value, kind = record[key], "text" if key == "phrase" else "a number"
        if not isinstance(value, str if key == "phrase" else (int, float)):
            return f"{key} is {shown(value)}, not {kind}"
    return None


def size_fault(record: Any) -> str | None:
    """Return the fault of an entry of the list of sizes; None if none is found."""
    if not isinstance(record, dict):
        return f"it is {shown(record)}, not an object"
    for key in ("image_id" if "image_id" in record else "id", "width", "height"):
        number = whole(record.get(key))
        if number is None:
            return f"{key} is {shown(record[key])}, not a number" if key in record else f"{key!r} is missing"
        if key in ("width", "height") and not 0 < number < 2**31:
            return f"{key} is {shown(record[key])}, not a number of pixels"
    return None
