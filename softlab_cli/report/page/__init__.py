"""Pages of HTML, each in one file: what `softlab report` writes, and the parts of any such page."""
