"""What `softlab vls` can be told, and what of it makes sense together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from softlab_cli.core.errors import UsageError
from softlab_cli.methods.checks import check_choice, check_share
from softlab_cli.methods.vls.recipe import checked_patch

__all__ = ["BASES", "DEVICES", "ENGINES", "PARITIES", "TRAINED_WITH", "VLSParameters"]

Engine = Literal["vls", "crossfit"]
Base = Literal["onehot", "svls"]
Device = Literal["auto", "cpu", "cuda"]

ENGINES: tuple[str, ...] = get_args(Engine)
BASES: tuple[str, ...] = get_args(Base)
DEVICES: tuple[str, ...] = get_args(Device)
PARITIES = ("poster",)
DIMS = ("auto", "2", "3")

TRAINED_WITH = (
    "engine", "parity", "folds", "seed", "steps", "patch", "dims", "latent", "image_weight",
    "kl_weight", "width", "batch",
)  # fmt: skip
"""Parameters of the training, which a model has already."""


@dataclass(frozen=True)
class VLSParameters:
    """Parameters of `softlab_cli.methods.vls.vls.VLS`.

    Parameters
    ----------
    engine
        ``vls``, the variational network, or ``crossfit``, a plain one.
    smoothing
        alpha, the learned share of the soft label, 0 to 1.
    base
        What the rest is: ``onehot``, or ``svls`` with its defaults.
    parity
        ``poster``: z alone gives labels and image, which counts fully in the loss.
    samples
        Draws of z whose mean is taken.
    temperature
        T: the mean to the power 1/T, made to add up to 1 again.
    folds
        Number of folds.
    group_by
        What belongs together in a fold: a regular expression, whose first group (or
        whole match) in the case id names it, or a CSV file with the columns ``case_id``
        and ``group``. By default the DICOM patient, the BIDS subject, or the case.
    seed
        What all draws begin with.
    steps, width, batch
        Of the training; by default as `softlab_cli.methods.vls.recipe.default_sizes` says.
    patch
        Voxels along each side of a patch, one number or one for each axis.
    dims
        2 for slices, 3 for cubes; ``auto`` takes slices for pictures, volumes of fewer
        than 16 slices, and where spacings are more than 3 times apart.
    latent
        Dimensions of z.
    image_weight
        w, what the image counts in the loss.
    kl_weight
        What the divergence counts in the loss when it has risen.
    min_skill
        A training that tells less of the labels from images is an error.
    model
        The folder of a model that is there already; nothing is learned then.
    device
        ``auto`` takes CUDA where there is any.
    trained
        Checksum of the model, once there is one.

    Raises
    ------
    UsageError
        For values without meaning, or that contradict each other.
    """

    engine: Engine = "vls"
    smoothing: float = 0.3
    base: Base = "onehot"
    parity: Literal["poster"] | None = None
    samples: int = 20
    temperature: float = 1.0
    folds: int = 5
    group_by: str | None = None
    seed: int = 0
    steps: int | None = None
    patch: int | tuple[int, ...] | None = None
    dims: Literal["auto", 2, 3] = "auto"
    latent: int = 8
    image_weight: float = 0.0
    kl_weight: float = 1.0
    width: int | None = None
    batch: int | None = None
    min_skill: float = 0.2
    model: Path | None = None
    device: Device = "auto"
    trained: str = ""

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, ENGINES)
        check_choice("base", self.base, BASES)
        check_choice("device", self.device, DEVICES)
        check_choice("number of dimensions", str(self.dims), DIMS)
        check_choice("parity", self.parity or PARITIES[0], PARITIES)
        check_share("a smoothing", self.smoothing, 1)
        self._check_numbers()
        self._check_together()
        if self.parity:
            object.__setattr__(self, "image_weight", 1.0)
        object.__setattr__(self, "dims", "auto" if self.dims == "auto" else int(self.dims))
        if self.patch is not None:
            sides = (self.patch,) if isinstance(self.patch, int) else tuple(self.patch)
            dims = int(self.dims) if self.dims != "auto" else max(2, len(sides))
            object.__setattr__(self, "patch", tuple(checked_patch(sides, dims)[-len(sides) :]))

    def _check_numbers(self) -> None:
        least = {
            "samples": 1, "folds": 2, "seed": 0, "steps": 1, "latent": 1, "image_weight": 0,
            "kl_weight": 0, "width": 1, "batch": 1,
        }  # fmt: skip
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and not smallest <= value < 2**31:
                raise UsageError(
                    f"{name} of {value:g} has no meaning.".replace("_", " "),
                    remedy=f"Choose {smallest} or more.",
                )
        if not 0 < self.temperature < float("inf"):
            raise UsageError(
                f"a temperature of {self.temperature:g} has no meaning.",
                remedy="Choose a number above 0.",
            )

    def _check_together(self) -> None:
        given = {f.name: getattr(self, f.name) != f.default for f in fields(self)}
        if self.parity and self.image_weight not in (0, 1):
            raise UsageError(
                f"the poster's image weight is 1, and not {self.image_weight:g}.",
                remedy="Leave it out, or leave --parity out.",
            )
        if self.engine == "crossfit":
            for name in ("parity", "samples", "latent", "image_weight", "kl_weight"):
                if given[name] and not self.trained:
                    raise UsageError(
                        f"the engine crossfit draws no z, so that {name.replace('_', ' ')} "
                        "has no effect.",
                        remedy="Leave it out, or choose the engine vls.",
                    )

    def parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on, ready for JSON.

        How cases were grouped and where the model lies is no part of it: `trained` is.
        """
        names = ("smoothing", "base", "samples", "temperature", *TRAINED_WITH, "device", "trained")
        found = {name: getattr(self, name) for name in names}
        return found | {"patch": None if self.patch is None else list(self.sides)}

    @property
    def sides(self) -> tuple[int, ...]:
        """The patch as it was given: one number, or one for each axis."""
        if self.patch is None:
            return ()
        return (self.patch,) if isinstance(self.patch, int) else tuple(self.patch)

    def refuse_other(self, known: dict[str, Any], *, exact: bool, path: Path) -> None:
        """Raise `UsageError` where a parameter of the training is another than a model's.

        Parameters
        ----------
        known
            The model's, as `TRAINED_WITH` names them.
        exact
            Whether parameters that nobody gave must be the model's as well.
        path
            The model, for the message.
        """
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name not in TRAINED_WITH or value is None or value == "auto":
                continue
            if name == "patch":
                value = [*self.sides] * (len(known[name]) if len(self.sides) == 1 else 1)
            if value != known[name] and (exact or value != field.default):
                raise UsageError(
                    f"holds a model with {name.replace('_', ' ')} {_shown(known[name])}, and "
                    f"{_shown(value)} is asked for.",
                    remedy="Remove that folder to train anew, or name another --out."
                    if exact
                    else "Leave it out, or give another --model.",
                    path=path,
                )


def _shown(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)
