#!/usr/bin/env python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write ``plugins/doc_fragments/actions.py`` from the declarations of the core; with ``--check`` only compare."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FRAGMENTS = ROOT / "plugins/doc_fragments/actions.py"
sys.path.insert(0, str(ROOT / "plugins"))

from module_utils._arguments import of_argument  # noqa: E402
from module_utils.archipel.actions import Action  # noqa: E402
from module_utils.archipel.hypervisor import ACTIONS  # noqa: E402

HEADER = '''\
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that are actions of a hypervisor. Written by tests/checks/doc_fragments.py, not by hand."""

from __future__ import annotations


class ModuleDocFragment:
    """One fragment per action, from its declaration in module_utils/archipel."""
'''


class Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """As yamllint wants it: items of a list further in than its key."""
        super().increase_indent(flow, False)


def documentation(option: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An option as ansible-doc has it."""
    text = option["help"]
    documented: dict[str, t.Any] = {"description": [text if text.endswith((".", ")")) else f"{text}."]}
    documented.update((key, value) for key, value in option.items() if key not in ("help", "options", "no_log"))
    if "options" in option:
        documented["suboptions"] = {name: documentation(inner) for name, inner in option["options"].items()}
    return documented


def fragment(action: Action) -> str:
    options = {name: documentation(o) for argument in action.arguments for name, o in of_argument(argument).items()}
    text = yaml.dump({"options": options}, Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)
    return f'\n    {action.name.upper()} = r"""\n{text}"""\n'


def main() -> int:
    text = HEADER + "".join(fragment(action) for action in ACTIONS.values())
    if "--check" in sys.argv[1:]:
        if FRAGMENTS.read_text(encoding="utf-8") == text:
            return 0
        print(f"{FRAGMENTS.relative_to(ROOT)} is not what the core declares; run python {pathlib.Path(__file__).name}.")
        return 1
    FRAGMENTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
