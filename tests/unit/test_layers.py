# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: the table of docs/architecture.md as data, and the syntax trees against it."""

from __future__ import annotations

import ast
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import typing as t

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections.archipel.orchestrator."


@dataclasses.dataclass(frozen=True)
class Layer:
    """Some files, and what they may import beyond the standard library and themselves.

    ``imports`` holds names of layers and of packages. ``optional`` are packages that need not be installed: each is
    imported in one file, there guarded, and no class derives from theirs. ``not_even`` are modules of the standard
    library that the layer does without.
    """

    name: str
    files: tuple[str, ...]
    imports: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    not_even: frozenset[str] = frozenset()


def names(*words: str) -> frozenset[str]:
    return frozenset(words)


LAYERS = (
    Layer("core", ("plugins/module_utils/archipel/",), optional=names("libvirt", "lxml"), not_even=names("asyncio")),
    Layer("module glue", ("plugins/module_utils/_",), names("core", "ansible.module_utils")),
    Layer("modules", ("plugins/modules/",), names("core", "module glue")),
    Layer("documentation", ("plugins/doc_fragments/",)),
    Layer("controller glue", ("plugins/plugin_utils/",), names("ansible", "core", "module glue"), names("slixmpp")),
    Layer(
        "plugins",
        ("plugins/action/", "plugins/inventory/", "plugins/connection/", "extensions/eda/"),
        names("ansible", "core", "module glue", "controller glue"),
    ),
    Layer(
        "agent",
        ("roles/agent/files/archipel_agent/",),
        names("core", "dateutil", "slixmpp", "uvloop"),
        names("apprise"),
    ),
    # Last, because the agent is in a role too.
    Layer("scripts of roles", ("roles/",)),
)

ROOTS = {"archipel": "plugins/module_utils/archipel", "archipel_agent": "roles/agent/files/archipel_agent"}


def layer_of(path: str) -> Layer | None:
    return next((layer for layer in LAYERS if path.startswith(layer.files)), None)


def imported(tree: ast.AST, path: str) -> t.Iterator[tuple[ast.stmt, str]]:
    """Each import of a file: its statement, and the path in this tree or the dotted name that it asks for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, located(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = "/".join(pathlib.PurePosixPath(path).parts[: -node.level])
            # ``from . import x`` may mean the module x, ``from .x import y`` never a module of another layer.
            for alias in node.names:
                yield node, "/".join(filter(None, (package, (node.module or alias.name).replace(".", "/"), alias.name)))
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node, located(f"{node.module}.{alias.name}")


def located(name: str) -> str:
    if name.startswith(COLLECTION):
        return name.removeprefix(COLLECTION).replace(".", "/")
    first, _dot, rest = name.partition(".")
    return f"{ROOTS[first]}/{rest.replace('.', '/')}" if first in ROOTS else name


def guarded(tree: ast.AST, statement: ast.stmt) -> bool:
    """Whether the file loads without the package: the import is in a function, or in a try that expects its failure."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement in ast.walk(node):
            return True
        if isinstance(node, ast.Try) and any(statement in ast.walk(child) for child in node.body):
            caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
            return "ImportError" in caught or "ModuleNotFoundError" in caught
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and statement in node.body:
            return True
    return False


def violations(root: pathlib.Path) -> t.Iterator[str]:
    """What in the tree at ``root`` the table does not allow, a sentence each."""
    where: dict[tuple[str, str], set[str]] = {}
    for layer in LAYERS:
        for path in python_files(root, layer):
            tree = ast.parse((root / path).read_text(encoding="utf-8"), path)
            for statement, asked in imported(tree, path):
                here = f"{path}:{statement.lineno}: {layer.name}"
                package = asked.partition(".")[0]
                if "/" in asked:
                    target = layer_of(asked)
                    if target is None:
                        yield f"{here} imports {asked}, which is of no layer"
                    elif target is not layer and target.name not in layer.imports:
                        yield f"{here} imports {target.name} ({asked})"
                    elif layer.name == "core" and not (isinstance(statement, ast.ImportFrom) and statement.level):
                        yield f"{here} imports itself by name ({asked}); relatively it works under both of its names"
                elif package in sys.stdlib_module_names:
                    if package in layer.not_even:
                        yield f"{here} imports {package}"
                elif package in layer.optional:
                    where.setdefault((layer.name, package), set()).add(path)
                    if not guarded(tree, statement):
                        yield f"{here} imports {package} unguarded"
                elif not any(f"{asked}.".startswith(f"{allowed}.") for allowed in layer.imports):
                    yield f"{here} imports {asked}"
            for node in ast.walk(tree):
                for base in node.bases if isinstance(node, ast.ClassDef) else ():
                    if ast.unparse(base).partition(".")[0] in layer.optional | {"etree"}:
                        yield f"{path}:{node.lineno}: {layer.name} derives a class from {ast.unparse(base)}"
    for (name, package), paths in where.items():
        if len(paths) > 1:
            yield f"{name} imports {package} in more than one file: {', '.join(sorted(paths))}"


def python_files(root: pathlib.Path, layer: Layer) -> list[str]:
    """The files of a layer, as paths from ``root`` with slashes."""
    files = (file.relative_to(root).as_posix() for file in root.glob("[epr]*/**/*.py"))
    return sorted(path for path in files if layer_of(path) is layer)


def test_each_layer_imports_only_what_the_table_allows() -> None:
    assert not list(violations(ROOT))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_each_layer_has_files(layer: Layer) -> None:
    """A layer that moved away would be checked no more, and pass."""
    assert python_files(ROOT, layer)


def test_every_file_of_the_product_is_of_a_layer() -> None:
    product = [*ROOT.glob("plugins/**/*.py"), *ROOT.glob("roles/**/*.py"), *ROOT.glob("extensions/eda/**/*.py")]
    outside = [file for file in product if not layer_of(file.relative_to(ROOT).as_posix())]
    assert [file for file in outside if file.name != "__init__.py"] == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("plugins/module_utils/archipel/a.py", "import asyncio", "core imports asyncio"),
        ("plugins/module_utils/archipel/a.py", "from ansible.module_utils import basic", "core imports ansible."),
        ("plugins/module_utils/archipel/a.py", "from archipel import errors", "core imports itself by name"),
        ("plugins/module_utils/archipel/a.py", "import libvirt", "imports libvirt unguarded"),
        (
            "plugins/module_utils/archipel/a.py",
            "try:\n    import libvirt\nexcept ImportError:\n    libvirt = None\nclass Handle(libvirt.virConnect): pass",
            "derives a class from libvirt.virConnect",
        ),
        ("plugins/module_utils/_a.py", "from .archipel import errors\nimport slixmpp", "module glue imports slixmpp"),
        ("plugins/module_utils/_a.py", "from ansible.errors import AnsibleError", "imports ansible.errors"),
        ("plugins/modules/a.py", "import libvirt", "modules imports libvirt"),
        ("plugins/modules/a.py", f"from {COLLECTION}plugins.plugin_utils.xmpp import X", "imports controller glue"),
        ("plugins/inventory/a.py", "from ..plugin_utils import xmpp\nimport slixmpp", "plugins imports slixmpp"),
        ("plugins/plugin_utils/a.py", "def f():\n    import archipel_agent.daemon", "controller glue imports agent"),
        ("plugins/action/a.py", "from ..unknown import x", "which is of no layer"),
        ("roles/agent/files/archipel_agent/a.py", "import ansible", "agent imports ansible"),
        ("roles/agent/files/archipel_agent/doors/a.py", "from ...x import y", "agent imports scripts of roles"),
    ],
)
def test_the_check_sees(tmp_path: pathlib.Path, path: str, source: str, complaint: str) -> None:
    """It can fail, or it would show nothing."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(source, encoding="utf-8")
    found = list(violations(tmp_path))
    assert len(found) == 1
    assert complaint in found[0]


def test_the_check_sees_an_optional_package_in_two_files(tmp_path: pathlib.Path) -> None:
    core = tmp_path / "plugins/module_utils/archipel"
    core.mkdir(parents=True)
    for name in ("a.py", "b.py"):
        (core / name).write_text("def f():\n    from lxml import etree\n", encoding="utf-8")
    assert [violation.partition(":")[0] for violation in violations(tmp_path)] == [
        "core imports lxml in more than one file"
    ]


def test_roles_and_playbooks_call_modules_of_ansible_and_of_this_collection() -> None:
    called = re.compile(r"^[\s-]*([a-z_]+\.[a-z_]+)\.[a-z_]+:(?:\s|$)", re.MULTILINE)
    foreign = {
        f"{file.relative_to(ROOT)}: {match}"
        for directory in ("roles", "playbooks")
        for file in (ROOT / directory).rglob("*.yml")
        for match in called.findall(file.read_text(encoding="utf-8"))
        if match not in ("ansible.builtin", "archipel.orchestrator")
    }
    assert not foreign


def test_what_is_not_about_machines_loads_nothing_of_them() -> None:
    """A task compiles anew what its module loads: the definition of machines takes as long as all else together."""
    light = ("networks", "nwfilters", "overview", "pools", "secrets", "volumes")
    program = f"import sys\nfrom archipel import {', '.join(light)}\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str((ROOT / ROOTS["archipel"]).parent)}
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert "archipel.networks" in loaded
    assert not {"archipel.definition", "archipel.machine", "http.client"} & set(loaded)
