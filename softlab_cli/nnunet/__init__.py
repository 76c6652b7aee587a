"""nnU-Net v2: soft labels beside its preprocessed data, and a trainer that learns from them.

``preprocess`` is the hook that runs after nnU-Net's own preprocessing, ``trainer`` the
trainer; ``ext`` is the folder that ``nnUNet_extTrainer`` takes. Nothing of nnU-Net is
changed. Importing this package fails, with the remedy, where nnU-Net is not installed
or is one that these modules were not written for.
"""

from __future__ import annotations

from softlab_cli.nnunet.versions import check_versions

check_versions()
