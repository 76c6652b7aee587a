"""Damages of a store: each changes some files of it and says what it did.

A damage that cannot be done here (two shards are exchanged, and there is one) returns
nothing, and another one is drawn.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from tests.campaign.stores import Sound

__all__ = ["FAULTS", "Fault"]

Fault = Callable[[Path, Sound, random.Random], str]

ABSENT = 2**64 - 1


def shards(path: Path) -> list[Path]:
    """Every shard file of a store, sorted."""
    return sorted(p for p in path.rglob("c.*") if p.is_file())


def documents(path: Path) -> list[Path]:
    """Every zarr.json of a store, sorted."""
    return sorted(path.rglob("zarr.json"))


def cases(path: Path) -> list[Path]:
    """Every case folder of a store, sorted."""
    return sorted(p for p in path.iterdir() if p.is_dir())


def arrays(path: Path) -> list[Path]:
    """Every array folder of a store, sorted."""
    every = [p.parent for p in path.glob("*/*/**/zarr.json")]
    return sorted(p for p in every if p.name not in ("labels", "label"))


def groups(path: Path) -> list[Path]:
    """Every folder of label images of a store, sorted."""
    return sorted(path.glob("*/labels")) + sorted(path.glob("*/labels/label"))


def pair(entries: list[Path], chance: random.Random) -> list[Path]:
    """Two different entries, or none where there are fewer."""
    return chance.sample(entries, 2) if len(entries) > 1 else []


def exchange(a: Path, b: Path) -> str:
    """Give each of two files or folders the name of the other."""
    between = a.with_name("between")
    a.rename(between)
    b.rename(a)
    between.rename(b)
    return f"exchanged {a} and {b}"


# ---- bytes ----------------------------------------------------------------


def flip(file: Path, chance: random.Random) -> str:
    """Turn one bit."""
    content = bytearray(file.read_bytes())
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    content[place] ^= 1 << bit
    file.write_bytes(content)
    return f"bit {bit} of byte {place} of {file}"


def flip_shard(path: Path, sound: Sound, chance: random.Random) -> str:
    """One bit of a shard."""
    return flip(chance.choice(shards(path)), chance)


def flip_metadata(path: Path, sound: Sound, chance: random.Random) -> str:
    """One bit of a zarr.json."""
    return flip(chance.choice(documents(path)), chance)


def overwrite_bytes(path: Path, sound: Sound, chance: random.Random) -> str:
    """A stretch of any file becomes zeros, noise, or what is elsewhere in it."""
    file = chance.choice(shards(path) + documents(path))
    content = bytearray(file.read_bytes())
    start, length = chance.randrange(len(content)), chance.choice([1, 4, 16, 64, 512])
    stop = min(len(content), start + length)
    other = chance.randrange(len(content))
    put = chance.choice(
        [bytes(length), chance.randbytes(length), bytes(content[other : other + length])]
    )
    content[start:stop] = put[: stop - start].ljust(stop - start, b"\0")
    file.write_bytes(content)
    return f"bytes {start} to {stop} of {file}"


def truncate(path: Path, sound: Sound, chance: random.Random) -> str:
    """Any file loses its end, or all that it has."""
    file = chance.choice(shards(path) + documents(path))
    size = file.stat().st_size
    left = chance.choice([0, size // 2, size - 1, chance.randrange(size)])
    os.truncate(file, left)
    return f"{left} of {size} bytes left of {file}"


def lengthen(path: Path, sound: Sound, chance: random.Random) -> str:
    """Any file gets bytes at its end, in front, or in between."""
    file = chance.choice(shards(path) + documents(path))
    content, more = file.read_bytes(), chance.randbytes(chance.choice([1, 4, 20]))
    more = chance.choice([more, bytes(len(more)), b" " * len(more), content])
    place = chance.choice([0, len(content), chance.randrange(len(content))])
    file.write_bytes(content[:place] + more + content[place:])
    return f"{len(more)} bytes more at {place} of {file}"


# ---- files and folders ----------------------------------------------------


def delete_file(path: Path, sound: Sound, chance: random.Random) -> str:
    """Any file is gone."""
    file = chance.choice(shards(path) + documents(path))
    file.unlink()
    return f"deleted {file}"


def delete_folder(path: Path, sound: Sound, chance: random.Random) -> str:
    """A case, an array or a folder of label images is gone."""
    folder = chance.choice(cases(path) + arrays(path) + groups(path))
    shutil.rmtree(folder)
    return f"deleted {folder}"


def exchange_shards(path: Path, sound: Sound, chance: random.Random) -> str:
    """Two shards of an array, of two cases or of two arrays change places."""
    two = pair(shards(path), chance)
    return exchange(*two) if two else ""


def exchange_alike_shards(path: Path, sound: Sound, chance: random.Random) -> str:
    """The same shard of two cases."""
    first = chance.choice(shards(path))
    inside = first.relative_to(path).parts[1:]
    others = [case.joinpath(*inside) for case in cases(path)]
    others = [p for p in others if p.is_file() and p != first]
    return exchange(first, chance.choice(others)) if others else ""


def exchange_arrays(path: Path, sound: Sound, chance: random.Random) -> str:
    """Two arrays."""
    return exchange(*pair(arrays(path), chance))


def exchange_cases(path: Path, sound: Sound, chance: random.Random) -> str:
    """Two cases."""
    return exchange(*pair(cases(path), chance))


def exchange_metadata(path: Path, sound: Sound, chance: random.Random) -> str:
    """Two documents."""
    return exchange(*pair(documents(path), chance))


def rename_case(path: Path, sound: Sound, chance: random.Random) -> str:
    """A case gets another name."""
    case = chance.choice(cases(path))
    name = chance.choice([case.name + "2", "four", f"{case.name}.partial-1-2", case.name.upper()])
    case.rename(path / name)
    return f"{case} renamed to {name}"


def copy_case(path: Path, sound: Sound, chance: random.Random) -> str:
    """A case lies there a second time."""
    case = chance.choice(cases(path))
    shutil.copytree(case, path / "four")
    return f"{case} copied to four"


def copy_shard(path: Path, sound: Sound, chance: random.Random) -> str:
    """A shard is put where there was another one, or none."""
    source = chance.choice(shards(path))
    parts = list(source.relative_to(path).parts)
    places = parts[-1].split(".")
    places[-1 - chance.randrange(2)] = str(chance.randrange(3))
    parts[-1] = ".".join(places)
    parts[0] = chance.choice(cases(path)).name
    target = path.joinpath(*parts)
    if target == source:
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return f"{source} copied to {target}"


def foreign_part(path: Path, sound: Sound, chance: random.Random) -> str:
    """An array, a shard or a document of another store with the same recipe and names."""
    return _from_another(chance.choice(arrays(path) + shards(path) + documents(path)), path, sound)


def foreign_case(path: Path, sound: Sound, chance: random.Random) -> str:
    """A whole case of such a store: sound by itself, so only its sources tell."""
    return _from_another(chance.choice(cases(path)), path, sound)


def _from_another(entry: Path, path: Path, sound: Sound) -> str:
    source = sound.other / entry.relative_to(path)
    if not source.exists():
        return ""
    if entry.is_dir():
        shutil.rmtree(entry)
        shutil.copytree(source, entry)
    else:
        shutil.copy(source, entry)
    return f"{entry} from another store"


def link(path: Path, sound: Sound, chance: random.Random) -> str:
    """Something becomes a symbolic link: to a copy of it, to another one, or to nothing."""
    entry = chance.choice(cases(path) + arrays(path) + shards(path) + documents(path))
    relative = entry.relative_to(path)
    targets = [sound.path / relative, path / "nowhere"]
    if entry not in cases(path):  # that would be a foreign case
        targets.append(sound.other / relative)
    target = chance.choice(targets)
    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    entry.symlink_to(target)
    return f"{entry} leads to {target}"


def change_type(path: Path, sound: Sound, chance: random.Random) -> str:
    """A file becomes a folder, or a folder a file."""
    entry = chance.choice(cases(path) + arrays(path) + shards(path) + documents(path))
    if entry.is_dir():
        shutil.rmtree(entry)
        entry.write_bytes(b"")
    else:
        entry.unlink()
        entry.mkdir()
    return f"{entry} is of another kind"


# ---- the index of a shard, with the right checksum ------------------------


def forge_index(path: Path, sound: Sound, chance: random.Random) -> str:
    """Two chunks change places, or one is lost or doubled, and the index looks sound."""
    file = chance.choice(shards(path))
    content = file.read_bytes()
    array = next(p for p in file.parents if (p / "zarr.json").is_file())
    sharding = json.loads((array / "zarr.json").read_text())
    whole = sharding["chunk_grid"]["configuration"]["chunk_shape"]
    inner = sharding["codecs"][0]["configuration"]["chunk_shape"]
    slots = int(np.prod([a // b for a, b in zip(whole, inner, strict=True)]))
    start = len(content) - 16 * slots - 4
    index = list(struct.unpack(f"<{2 * slots}Q", content[start:-4]))
    entries = [tuple(index[2 * i : 2 * i + 2]) for i in range(slots)]
    i, j = chance.randrange(slots), chance.randrange(slots)
    if chance.random() < 0.5:
        entries[i], entries[j] = entries[j], entries[i]
    else:
        entries[i] = chance.choice([(ABSENT, ABSENT), entries[j]])
    forged = struct.pack(f"<{2 * slots}Q", *(n for entry in entries for n in entry))
    if forged == content[start:-4]:
        return ""
    checksum = struct.pack("<I", google_crc32c.value(forged))
    file.write_bytes(content[:start] + forged + checksum)
    return f"slots {i} and {j} in the index of {file}"


# ---- metadata -------------------------------------------------------------


def nodes(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every entry of a JSON document is."""
    entries: Any = value.items() if isinstance(value, dict) else ()
    entries = enumerate(value) if isinstance(value, list) else entries
    for key, entry in entries:
        yield (*where, key)
        yield from nodes(entry, (*where, key))


def edit_entry(path: Path, sound: Sound, chance: random.Random) -> str:
    """An entry of a zarr.json is changed, dropped, doubled, renamed, or of another type."""
    file = chance.choice(documents(path))
    document = json.loads(file.read_text())
    where = chance.choice(list(nodes(document)))
    holder = document
    for key in where[:-1]:
        holder = holder[key]
    what = chance.choice([_change, _change, _change, _retype, _drop, _add])(
        holder, where[-1], chance
    )
    file.write_text(json.dumps(document))
    return f"{file}: {'.'.join(map(str, where))} {what}"


def _change(holder: Any, key: Any, chance: random.Random) -> str:
    value = holder[key]
    if isinstance(value, bool):
        changed: Any = not value
    elif isinstance(value, int | float):
        steps = [value + 1, value - 1, -value, value * 2, value / 3, value * 1.000001, 0, 10**20]
        changed = chance.choice([*steps, float("nan"), float("inf"), float(value)])
    elif isinstance(value, str):
        changed = chance.choice([value + "x", value[1:], value.upper(), "", value[::-1], "\0"])
    elif isinstance(value, list):
        changed = chance.choice([value[::-1], value[1:], value + value[:1], [], value * 2])
    elif isinstance(value, dict):
        changed = chance.choice([{}, {**value, "more": 1}, dict(list(value.items())[1:])])
    else:
        changed = chance.choice([0, False, "", [], {}])
    holder[key] = changed
    return f"becomes {str(changed)[:40]}"


def _retype(holder: Any, key: Any, chance: random.Random) -> str:
    value = holder[key]
    nested: Any = []
    for _ in range(200):
        nested = [nested]
    holder[key] = chance.choice([None, str(value), [value], {"0": value}, 1, "x", [], {}, nested])
    return "gets another type"


def _drop(holder: Any, key: Any, chance: random.Random) -> str:
    value = holder.pop(key)
    if isinstance(holder, dict) and chance.random() < 0.3:
        holder[f"{key}_"] = value
        return "is renamed"
    return "is dropped"


def _add(holder: Any, key: Any, chance: random.Random) -> str:
    if isinstance(holder, list):
        holder.insert(key, holder[key])
        return "is doubled"
    holder[chance.choice(["extra", "must_understand", "", "seal", "attributes"])] = {"a": 1}
    return "has a neighbour more"


def exchange_entries(path: Path, sound: Sound, chance: random.Random) -> str:
    """Two entries of one document change places."""
    file = chance.choice(documents(path))
    document = json.loads(file.read_text())
    holders = [document] + [_at(document, where) for where in nodes(document)]
    holder = chance.choice([h for h in holders if isinstance(h, dict | list) and len(h) > 1])
    a, b = chance.sample(list(holder) if isinstance(holder, dict) else range(len(holder)), 2)
    holder[a], holder[b] = holder[b], holder[a]
    file.write_text(json.dumps(document))
    return f"{file}: {a} and {b} exchanged"


def _at(document: Any, where: tuple[Any, ...]) -> Any:
    for key in where:
        document = document[key]
    return document


def format_anew(path: Path, sound: Sound, chance: random.Random) -> str:
    """A document with other spaces, another order, or doubled keys: nothing that counts."""
    file = chance.choice(documents(path))
    document = json.loads(file.read_text())
    text = chance.choice(
        [
            json.dumps(document, indent=2),
            json.dumps(document, sort_keys=True),
            json.dumps(document, separators=(",", ":"), ensure_ascii=False),
            "\n" + json.dumps(document) + "\n",
            '{"zarr_format": 1, ' + json.dumps(document)[1:],
        ]
    )
    file.write_text(text)
    return f"{file} formatted anew"


def garble(path: Path, sound: Sound, chance: random.Random) -> str:
    """A document becomes something else."""
    file = chance.choice(documents(path))
    file.write_bytes(
        chance.choice(
            [b"", b"{}", b"[]", b"null", b"\xff\xfe{}", b"[" * 100_000, b'{"attributes": 1}',
             b'{"attributes": {"softlab": {"schema": 1}}}', file.read_bytes()[::-1]]
        )
    )  # fmt: skip
    return f"{file} garbled"


FAULTS: dict[str, Fault] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        flip_shard, flip_metadata, overwrite_bytes, truncate, lengthen, delete_file,
        delete_folder, exchange_shards, exchange_alike_shards, exchange_arrays, exchange_cases,
        exchange_metadata, rename_case, copy_case, copy_shard, foreign_part, foreign_case, link,
        change_type, forge_index, edit_entry, exchange_entries, format_anew, garble,
    )
}  # fmt: skip
"""Name to fault."""
