"""build.py DRAFT NOTEBOOK: a notebook from a draft. Cells begin with a line `%% md ID [tags=a,b]` or `%% code ID [tags=a,b] [alt="..."]`."""

import re
import sys
from pathlib import Path

import nbformat

draft, target = sys.argv[1:]
cells = []
for part in re.split(r"^(?=%% )", Path(draft).read_text(encoding="utf-8"), flags=re.M)[1:]:
    head, _, source = part.partition("\n")
    kind, name = head.split()[1:3]
    tags = re.search(r"tags=(\S+)", head)
    alt = re.search(r'alt="([^"]*)"', head)
    meta = {}
    if tags:
        meta["tags"] = tags[1].split(",")
    if alt:
        meta["mystnb"] = {"image": {"alt": alt[1]}}
    make = {"md": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}[kind]
    cells.append(make(source.strip("\n"), id=name, metadata=meta))
node = nbformat.v4.new_notebook(cells=cells)
node.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
nbformat.write(node, target)
