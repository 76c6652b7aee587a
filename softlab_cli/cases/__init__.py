"""Finding cases: label maps, their images and raters, from what a user names."""

from softlab_cli.cases.case import Case, select_part
from softlab_cli.cases.discovery import class_names_from, discover_cases

__all__ = ["Case", "class_names_from", "discover_cases", "select_part"]
