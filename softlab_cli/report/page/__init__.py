"""Pages of HTML, each in one file: what `softlab report` writes, and the parts of any such page.

A page is a template that extends ``templates/page.html``, which has the frame, the style and the
one script. It imports the macros of ``parts.html`` (``table``, ``chart``, ``matrix``, ``links``)
and of ``slices.html`` (``pictures``), and hands them what these modules make: `tables`, `charts`,
`boxes`, `slices`. `environment` fills templates in, `pieces` writes a page whole. Whatever a
template prints is text, whatever it holds.

`softlab_cli.report.page.write.write_report` is ``softlab report`` in Python.
"""
