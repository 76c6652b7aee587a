"""Lets torchvision be imported beside a PyTorch without CUDA; put this folder on PYTHONPATH.

The torchvision of PyPI is built for CUDA. Beside a CPU build of PyTorch its operators
cannot be loaded, and ``import torchvision`` ends with "operator torchvision::nms does
not exist". nnU-Net imports all of its trainers when it looks for one of another
package, and one of them imports torchvision. Nobody here calls the operators, so it is
enough to declare them; this happens when torchvision is about to be imported, and
changes no installed file.
"""

import importlib.abc
import sys

OPERATORS = ("nms", "qnms")


class DeclareOperators(importlib.abc.MetaPathFinder):
    """Finds no module, but notices when torchvision is looked for."""

    def find_spec(self, name, path=None, target=None):
        """Declare the operators once, before the first import of torchvision."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda is None:
                self.library = torch.library.Library("torchvision", "FRAGMENT")
                sys.torchvision_operators = self.library  # declared as long as it lives
                for operator in OPERATORS:
                    signature = "(Tensor boxes, Tensor scores, float threshold) -> Tensor"
                    self.library.define(operator + signature)


sys.meta_path.insert(0, DeclareOperators())
