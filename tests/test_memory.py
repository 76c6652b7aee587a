"""Amounts of memory, and the workers that fit into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from softlab_cli.core import memory
from softlab_cli.core.errors import UsageError
from softlab_cli.core.memory import (
    CaseMemory,
    available_bytes,
    available_cores,
    control_groups,
    format_bytes,
    kills_for_memory,
    parse_bytes,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [("16G", 16 * 2**30), ("512 MiB", 512 * 2**20), ("1.5kb", 1536), ("1000", 1000)],
)
def test_amounts(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "G", "12 apples", "-1G"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an amount of memory"):
        parse_bytes(text)


def test_amounts_for_people() -> None:
    assert format_bytes(1000) == "1000 B"
    assert format_bytes(3 * 2**29) == "1.5 GiB"


def test_projection_counts_every_part() -> None:
    base = CaseMemory(1000, 0, 0, 0, 0, 1).total
    assert CaseMemory(1000, 0, 7, 2, 100, 3).total == base + 7 + 2000 + 900
    assert CaseMemory(1000, 5000, 7, 2, 100, 3).total == base + 5000 + 900


@pytest.fixture
def system(tmp_path: Path, monkeypatch) -> Path:
    """A system with much memory and no control groups yet, outside SLURM."""
    for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE", "CPUS_PER_TASK"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    found = lambda: control_groups(tmp_path / "cgroup", tmp_path / "fs")  # noqa: E731
    monkeypatch.setattr(memory, "control_groups", found)
    return tmp_path


def limit(system: Path, group: str, text: str) -> None:
    path = system / "fs" / group
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("where", ["job/step/task", "job/step", "job", "."])
def test_a_limit_counts_wherever_it_is(system: Path, where: str) -> None:
    (system / "cgroup").write_text("0::/job/step/task\n")
    limit(system, "job/step/task/memory.max", "max\n")
    limit(system, f"{where}/memory.max", f"{5 * 2**20}\n")
    assert available_bytes() == 5 * 2**20


@pytest.mark.parametrize("where", ["memory/job/step", "memory/job", "memory"])
def test_the_same_for_the_first_version(system: Path, where: str) -> None:
    (system / "cgroup").write_text("9:name=systemd:/\n4:cpu,memory:/job/step\n2:cpu:/other\n")
    limit(system, "memory/job/step/memory.limit_in_bytes", f"{2**63 - 4096}\n")
    limit(system, f"{where}/memory.limit_in_bytes", f"{3 * 2**20}\n")
    limit(system, "memory/other/memory.limit_in_bytes", "1\n")
    assert available_bytes() == 3 * 2**20


def test_a_container_sees_its_own_group_at_the_top(system: Path) -> None:
    (system / "cgroup").write_text("0::/host/only/knows\n")
    limit(system, "memory.max", f"{7 * 2**20}\n")
    assert available_bytes() == 7 * 2**20


def test_kills_are_counted(system: Path) -> None:
    assert kills_for_memory() == 0
    (system / "cgroup").write_text("0::/job\n1:memory:/job\n")
    limit(system, "job/memory.events", "low 0\noom 9\noom_kill 2\noom_group_kill 0\n")
    limit(system, "memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert kills_for_memory() == 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"SLURM_MEM_PER_NODE": "6"}, 6),
        ({"SLURM_MEM_PER_CPU": "2", "SLURM_CPUS_ON_NODE": "4"}, 8),
        ({"SLURM_MEM_PER_CPU": "2", "SLURM_CPUS_PER_TASK": "3"}, 6),
        ({"SLURM_MEM_PER_CPU": "2"}, 2),
    ],
)
def test_what_slurm_gave(system: Path, monkeypatch, given, expected) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert available_bytes() == expected * 2**20


def test_all_memory_of_a_node(system: Path, monkeypatch) -> None:
    before = available_bytes()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")
    assert available_bytes() > before // 2


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("64", 2), ("", 2), ("many", 2)])
def test_cores_that_slurm_gave(system: Path, monkeypatch, given: str, expected: int) -> None:
    monkeypatch.setattr(memory.os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
    assert available_cores() == expected
