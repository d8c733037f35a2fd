"""Logs of W&B's client: blocks of a LevelDB log that hold protobuf records."""

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.files import json_bytes
from tests.fuzz.mutations import spoiled_bytes, spoiled_tree

BLOCK, HEAD = 32_768, 7
Texts = list[dict[str, Any]]  # records: kind, and a mapping of keys to values


def write_logs(
    file: Path, result: Mapping[str, Any], config: Mapping[str, Any], rows: Iterable[Mapping[str, str]]
) -> None:
    """Write the log of a finished run, and beside it its records as JSON, which `spoil_log` mutates."""
    records: Texts = [{"run": dict(config), "id": result["id"], "group": result["group"]}]
    for row in rows:
        item = {"trainer/global_step": int(row["step"]), "epoch": int(row["epoch"]), row["name"]: float(row["value"])}
        records.append({"history": item})
    records.append({"summary": {**result["metrics"], "result": json.dumps(result)}})
    file.with_suffix(".json").write_text(json.dumps(records))
    file.write_bytes(_log(records))


def spoil_log(rng: Random, file: Path) -> None:
    """Mutate a log: its bytes, the text of the result in it, or its records."""
    way = rng.random()
    if way < 0.3:
        file.write_bytes(spoiled_bytes(rng, file.read_bytes()))
        return
    records = json.loads(file.with_suffix(".json").read_text())
    if way < 0.7:
        summary = next(record["summary"] for record in records if "summary" in record)
        text = json_bytes(spoiled_tree(rng, json.loads(summary["result"])))
        text = spoiled_bytes(rng, text) if rng.random() < 0.2 else text
        summary["result"] = text.decode("utf-8", "replace")
    else:
        records = spoiled_tree(rng, records)
    file.write_bytes(_log(records))


def _log(records: Any) -> bytes:
    out = bytearray(struct.pack("<4sHB", b":W&B", 0xBEE1, 0))
    for record in records if isinstance(records, list) else []:
        data = _record(record)
        kinds = iter((1,) if len(data) + HEAD <= BLOCK - len(out) % BLOCK else (2, *(3,) * (len(data) // BLOCK + 2)))
        while data:
            room = BLOCK - len(out) % BLOCK
            if room <= HEAD:
                out += b"\0" * room
                continue
            part, data = data[: room - HEAD], data[room - HEAD :]
            kind = bytes([next(kinds)])
            kind = b"\4" if kind == b"\3" and not data else kind
            out += struct.pack("<IH", zlib.crc32(kind + part), len(part)) + kind + part
    return bytes(out)


def _record(record: Any) -> bytes:
    from wandb.proto import wandb_internal_pb2

    made = wandb_internal_pb2.Record()
    for kind, content in record.items() if isinstance(record, dict) else ():
        if kind == "run":
            made.run.run_id, made.run.run_group = (
                str(record.get(key, "")).encode("ascii", "replace").decode() for key in ("id", "group")
            )
            updates = made.run.config.update
        elif kind in ("history", "summary"):
            updates = made.history.item if kind == "history" else made.summary.update
        else:
            continue
        for key, value in content.items() if isinstance(content, dict) else ():
            update = updates.add()
            update.key = str(key).encode("ascii", "replace").decode()
            update.value_json = json_bytes(value).decode("utf-8", "replace")
    return made.SerializeToString()
