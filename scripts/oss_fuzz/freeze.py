"""Lists what a frozen package has in it. Runs in the builder's environment, where none of ours can be imported.

    python freeze.py PACKAGE        a JSON list of names: files as a/b.toml, modules as a.b

Knows PyInstaller's archives. Must not judge what is in them.
"""

import json
import sys


def names(path: str) -> list[str]:
    """Everything in the package at *path*."""
    from PyInstaller.archive.readers import CArchiveReader

    archive = CArchiveReader(path)
    found = [name.replace("\\", "/") for name in archive.toc]
    for name, entry in archive.toc.items():
        if entry[-1] == "z":  # the archive of modules
            found += archive.open_embedded_archive(name).toc
    return found


if __name__ == "__main__":
    print(json.dumps(names(sys.argv[1])))
