"""Whole runs of the trainer: what it refuses, what it leaves behind, who can use that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from softlab_cli.core.errors import StoreError
from softlab_cli.nnunet.checkpoints import load_checkpoint
from softlab_cli.nnunet.dataset import check_store
from softlab_cli.nnunet.preprocess import preprocess
from softlab_cli.nnunet.trainer import nnUNetTrainerSoftLab
from softlab_cli.store.reader import Store
from tests.nnunet_support import (
    Dataset,
    make_dataset,
    make_trainer,
    preprocess_as_nnunet_does,
    rewrite_segmentation,
    segmentation,
    silence,
)

ROOT = Path(__file__).parents[1]
SHIM = ROOT / "examples" / "nnunet" / "torchvision_on_cpu"
"""Start-up for machines whose torchvision is built for CUDA and whose torch is not."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Dataset:
    dataset = make_dataset(tmp_path_factory.mktemp("nnunet"))
    preprocess_as_nnunet_does(dataset)
    return dataset


@pytest.fixture
def dataset(prepared, tmp_path, monkeypatch) -> Dataset:
    """A copy with a store of SVLS labels; the variables are those of a user."""
    shutil.copytree(prepared.root, tmp_path / "nnunet")
    copy = Dataset(tmp_path / "nnunet")
    for name, folder in copy.environment().items():
        monkeypatch.setenv(name, folder)
    monkeypatch.setenv("SOFTLAB_STORE", "svls")
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    preprocess("501", ["3d_fullres"])
    return copy


class Short(nnUNetTrainerSoftLab):
    """Two epochs of two steps."""

    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cpu")):  # noqa: B008
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 2
        self.num_iterations_per_epoch = 2
        self.num_val_iterations_per_epoch = 1


def folder_of(dataset: Dataset) -> Path:
    return dataset.preprocessed / "nnUNetPlans_3d_fullres"


def refusal(dataset: Dataset, store: str = "svls") -> str:
    """What the trainer says when it is about to load its cases."""
    trainer = make_trainer(dataset, store)
    with silence(), pytest.raises(StoreError) as refused:
        trainer.get_tr_and_val_datasets()
    return str(refused.value)


def without_softlab(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python where softlab cannot be imported and none of the variables are set."""
    block = "import sys; sys.modules['softlab_cli'] = None\n"
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("nnUNet", "SOFTLAB"))}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", block + code], capture_output=True, text=True, cwd=ROOT.parent,
        env={**kept, **variables},
    )  # fmt: skip


def test_a_run_from_start_to_prediction(dataset, monkeypatch) -> None:
    """Loads in another process, learns, validates, ends; then predicts without softlab."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    trainer = make_trainer(dataset, "svls", kind=Short)
    with silence():
        trainer.run_training()
    assert np.isfinite(trainer.logger.get_value("train_losses", step=-1))
    fold = Path(trainer.output_folder)
    final = load_checkpoint(fold / "checkpoint_final.pth")
    assert final["trainer_name"] == "nnUNetTrainer"
    assert final["softlab_trainer_name"] == "Short"
    assert not [p for p in fold.iterdir() if p.name.startswith("checkpoint") and p.suffix != ".pth"]

    again = make_trainer(dataset, "svls", kind=Short)
    with silence():
        again.load_checkpoint(str(fold / "checkpoint_final.pth"))
    assert again.current_epoch == 2

    predicted = without_softlab(
        "import numpy as np, torch\n"
        "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor\n"
        "if __name__ == '__main__':\n"
        "    p = nnUNetPredictor(device=torch.device('cpu'), allow_tqdm=False)\n"
        f"    p.initialize_from_trained_model_folder({str(fold.parent)!r}, (0,))\n"
        "    data = torch.rand(1, 32, 32, 32)\n"
        "    print('shape', tuple(p.predict_logits_from_preprocessed_data(data).shape))\n"
    )
    assert "shape (4, 32, 32, 32)" in predicted.stdout, predicted.stderr


def test_nnunet_finds_the_trainer(dataset, softlab) -> None:
    shown = softlab("nnunet", "ext-path")
    assert shown.exit_code == 0
    folder = Path(shown.output.strip())
    assert [p.name for p in folder.glob("*.py")] == ["softlab_trainers.py"]
    found = subprocess.run(
        [sys.executable, "-c",
         "import pickle\n"
         "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name\n"
         "kind = recursive_find_trainer_class_by_name('nnUNetTrainerSoftLab')\n"
         "print('found', kind.__module__, pickle.loads(pickle.dumps(kind)) is kind)\n"],
        capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "nnUNet_extTrainer": str(folder), "PYTHONPATH": str(SHIM)},
    )  # fmt: skip
    assert "found softlab_cli.nnunet.trainer True" in found.stdout, found.stderr


def test_current_stores_are_taken(dataset) -> None:
    values = segmentation(folder_of(dataset), "case1")
    rewrite_segmentation(folder_of(dataset), "case1", values)  # other bytes, same voxels
    with silence():
        training, _ = make_trainer(dataset, "svls").get_tr_and_val_datasets()
    assert len(training.identifiers) == 2


def test_a_stale_store_is_refused(dataset) -> None:
    values = segmentation(folder_of(dataset), "case1")
    values[3, 3, 3] = (values[3, 3, 3] + 1) % 4
    rewrite_segmentation(folder_of(dataset), "case1", values)
    said = refusal(dataset)
    assert "svls.zarr" in said
    assert "nnU-Net's case1 has changed since" in said
    assert "Run softlab nnunet preprocess again" in said


def test_missing_cases_are_named(dataset) -> None:
    store = Store(dataset.preprocessed / "softlab/nnUNetPlans_3d_fullres/svls.zarr")
    shutil.rmtree(store.path / "case0")
    assert "has no soft labels of case0." in refusal(dataset)


def test_other_classes_are_refused(dataset) -> None:
    facts = dataset.preprocessed / "dataset.json"
    facts.write_text(facts.read_text().replace('"three": 3', '"three": 3, "four": 4'))
    said = refusal(dataset)
    assert "has the 4 classes 0, 1, 2, 3, and the data set the 5 classes 0, 1, 2, 3, 4" in said


@pytest.mark.parametrize(
    ("facts", "said"),
    [({"labels_only": True}, "hard labels only"), ({"sums_to_one": False}, "do not add up to 1")],
)
def test_stores_of_another_kind_are_refused(dataset, facts, said) -> None:
    store = Store(dataset.preprocessed / "softlab/nnUNetPlans_3d_fullres/svls.zarr")
    store.info = replace(store.info, **facts)
    with pytest.raises(StoreError, match=said):
        check_store(store, folder_of(dataset), ["case0"], [0, 1, 2, 3])


def test_a_missing_store_is_explained(dataset) -> None:
    said = refusal(dataset, "other")
    assert "has no store 'other'. There are: svls." in said
    assert "softlab nnunet preprocess -d Dataset501_Tiny" in said
    shutil.rmtree(dataset.preprocessed / "softlab")
    assert "has no store 'svls'" in refusal(dataset)


def test_without_a_name_the_only_store_is_taken(dataset) -> None:
    trainer = make_trainer(dataset, "svls")
    del os.environ["SOFTLAB_STORE"]
    with silence():
        trainer.get_tr_and_val_datasets()
    preprocess("501", ["3d_fullres"], "onehot")
    with silence(), pytest.raises(StoreError, match="several stores of soft labels"):
        trainer.get_tr_and_val_datasets()


def test_many_classes_are_warned_about(dataset, monkeypatch) -> None:
    monkeypatch.setattr("softlab_cli.nnunet.trainer.CLASSES_AT_EASE", 3)
    trainer = make_trainer(dataset, "svls")
    with silence() as printed:
        trainer.get_tr_and_val_datasets()
    assert "WARNING: 4 classes are as many further channels" in printed.getvalue()
