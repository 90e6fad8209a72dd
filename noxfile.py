# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of this project, by name.

``make test`` runs those tagged ``test``, ``make check`` those that nox runs when none is named; ``.venv/bin/nox -l``
lists them and ``.venv/bin/nox -s NAME -- ARGUMENTS`` runs one, with arguments for the tool in it.
"""

from __future__ import annotations

import ast
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import nox

ROOT = pathlib.Path(__file__).resolve().parent
RESULTS = ROOT / ".cache/results"
# What modules need at least on a host; agent and controller; the newest that all tools here run on.
TARGET, FLOOR, NEWEST = "3.9", "3.11", "3.13"
PYTHONS = [FLOOR, "3.12", NEWEST]
UV = (sys.executable, "-m", "uv")
PUBLISHED = {
    *("CHANGELOG.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "LICENSES", "MANIFEST.json", "README.md"),
    *("changelogs", "docs", "extensions", "meta", "playbooks", "plugins", "roles"),
}
DERIVED = ("tests/checks/derived.py", "tests/checks/doc_fragments.py")
# All that the agent may need.
AGENT = [f"-rroles/agent/files/{name}.txt" for name in ("requirements", "requirements-push")]
LIBVIRT = ("gcc", "libvirt-dev", "pkg-config", "python3-dev")

# Skipping what cannot run would pass.
nox.options.error_on_missing_interpreters = True
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", f"units-{FLOOR}", "docs"]


def prepare_environment() -> None:
    """Let the tools find what this machine has: its Pythons, and its package indexes."""
    # pyenv's shims answer for versions that are not selected, and fail when they are called.
    paths = [path for path in os.environ["PATH"].split(os.pathsep) if pathlib.Path(path).name != "shims"]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    fetched = subprocess.run([*UV, "python", "dir"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    paths += sorted(map(str, [*pyenv.glob("versions/3.*/bin"), *pathlib.Path(fetched).glob("cpython-3.*/bin")]))
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys(paths))

    os.environ["LC_ALL"] = "C.UTF-8"
    # nox may fetch an interpreter that is not here; uv fetches none by itself.
    os.environ["UV_PYTHON_DOWNLOADS"] = "manual"
    os.environ.setdefault("UV_LINK_MODE", "hardlink")
    # uv does not read pip's configuration; in pip no index goes before another.
    os.environ.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    names = {
        "index-url": ("UV_DEFAULT_INDEX", " "),
        "extra-index-url": ("UV_INDEX", " "),
        "find-links": ("UV_FIND_LINKS", ","),
        "cert": ("SSL_CERT_FILE", " "),
    }
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, stdout=subprocess.PIPE, text=True
    )
    for line in listing.stdout.splitlines():
        key, value = line.split("=", 1)
        variable, separator = names.get(key.rpartition(".")[2], ("", ""))
        if variable:
            os.environ.setdefault(variable, separator.join(ast.literal_eval(value).split()))


prepare_environment()


def packages(session: nox.Session, *names: str) -> None:
    """Have Debian packages on this machine."""
    session.run("tests/checks/packages", *names, external=True)


def group(session: nox.Session, name: str, *more: str) -> None:
    """Install a dependency group of pyproject.toml, and more."""
    session.install("--group", name, *more)


def libvirt_python(session: nox.Session) -> str:
    """The requirement that matches this machine's libvirt; uv keeps the wheel that it builds."""
    packages(session, *LIBVIRT)
    version = session.run("pkg-config", "--modversion", "libvirt", external=True, silent=True)
    return f"libvirt-python=={version.strip()}"


def collection(session: nox.Session) -> pathlib.Path:
    """A copy of this checkout's files where Ansible's tools want a collection to be; they refuse links to it.

    It holds what git tracks or would track, as it is in the working tree.
    """
    base = pathlib.Path(session.create_tmp()).resolve()
    tree = base / "ansible_collections/archipel/orchestrator"
    shutil.rmtree(tree, ignore_errors=True)
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    session.env["ANSIBLE_COLLECTIONS_PATH"] = str(base)
    return tree


def pytest(session: nox.Session, *arguments: str) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    session.run(
        "python", "-m", "pytest", f"--junitxml={RESULTS / session.name}.xml", *(session.posargs or arguments)
    )  # fmt: skip


@nox.session(venv_backend="none", tags=["test"])
def pythons(session: nox.Session) -> None:
    """Each Python that checks run on is here, or uv fetches it. The first part, so that a lack is known at once."""

    def absent() -> list[str]:
        find = (*UV, "python", "find", "--system", "--no-project")
        wanted = [TARGET, *PYTHONS]
        return [each for each in wanted if subprocess.run([*find, each], check=False, capture_output=True).returncode]

    if versions := absent():
        subprocess.run([*UV, "python", "install", "--no-bin", *versions], check=False)
    if versions := absent():
        session.error(
            f"Python {', '.join(versions)}: not here, and uv could not fetch it. Parts that need it fail, others run. "
            "Install it (pyenv's versions are found without being selected), or name a mirror of "
            "python-build-standalone in UV_PYTHON_INSTALL_MIRROR"
        )


@nox.session(tags=["test"])
def lint(session: nox.Session) -> None:
    """ruff, and types of the core, the agent and the controller's side."""
    group(session, "lint")
    session.run("ruff", "check", "--output-format=concise", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "roles/agent/files/archipel_agent", "lab", "tests/checks/derived.py", "tests/checks/run.py")
    tree = collection(session)
    with session.chdir(tree):
        package = ".".join(tree.relative_to(tree.parents[2]).parts)
        cache = f"--cache-dir={ROOT / '.mypy_cache/collection'}"
        session.run("mypy", cache, "-p", f"{package}.plugins", env={"MYPYPATH": str(tree.parents[2])})


@nox.session
def fix(session: nox.Session) -> None:
    """Not a check: format, mend what ruff can, and write again what derives from code."""
    group(session, "lint", "PyYAML")
    session.run("ruff", "check", "--fix", "--output-format=concise", ".", success_codes=[0, 1])
    session.run("ruff", "format", ".")
    for script in DERIVED:
        session.run("python", script)


@nox.session(python=PYTHONS, tags=["test"])
def units(session: nox.Session) -> None:
    """tests/unit: the core on libvirt's test driver."""
    packages(session, "e2fsprogs", "libvirt-daemon", "qemu-utils")
    group(session, "tests", libvirt_python(session))
    pytest(session, "tests/unit")


@nox.session(python=FLOOR, tags=["test"])
def inputs(session: nox.Session) -> None:
    """The documents that Debian's libvirt and virt-manager carry, told in our words and written again."""
    packages(session, "libvirt0")
    session.install("lxml>=5")
    session.run("python", "tests/checks/inputs.py", *session.posargs)


# The oldest ansible-core on the oldest Python, newer ones on the newest: 3.11 has nothing newer than 2.19.
@nox.session(tags=["test"])
@nox.parametrize(
    "python, core, pip",
    [(FLOOR, "2.18", "24.2"), (NEWEST, "2.20", "25.2"), (NEWEST, "2.21", "25.2")],
    ids=["2.18", "2.20", "2.21"],
)
def sanity(session: nox.Session, core: str, pip: str) -> None:
    """ansible-test sanity without an ignore entry. ``pip`` is what that ansible-test puts into its environments."""
    packages(session, "shellcheck")
    session.install(f"ansible-core=={core}.*")
    cache = pathlib.Path("~/.ansible/test/cache").expanduser()
    stand_in = cache / f"get_pip_{pip.replace('.', '_')}.py"
    if not stand_in.exists():
        cache.mkdir(parents=True, exist_ok=True)
        download = ("-m", "pip", "download", "--quiet", "--no-deps", f"--dest={cache}", f"pip=={pip}")
        session.run(sys.executable, *download, external=True)
        shutil.copy(ROOT / "tests/checks/get_pip.py", stand_in)
    tree = collection(session)
    # Otherwise ansible-test asks the git of this checkout, where the copy is ignored, and tests nothing.
    session.run("git", "init", "--quiet", str(tree), external=True)
    with session.chdir(tree):
        session.run("ansible-test", "sanity", "--color", "no", *session.posargs)


@nox.session(tags=["test"])
def ansible_lint(session: nox.Session) -> None:
    """ansible-lint with its strictest profile."""
    group(session, "ansible-lint")
    tree = collection(session)
    with session.chdir(tree):
        session.run("ansible-lint", "--offline", "--profile=production", "--strict", "--nocolor", *session.posargs)


@nox.session(tags=["test"])
def galaxy(session: nox.Session) -> None:
    """The tarball: that it holds what it should, and that Galaxy's importer finds nothing."""
    group(session, "galaxy")
    tree = collection(session)
    output = pathlib.Path(session.create_tmp()).resolve()
    session.run("ansible-galaxy", "collection", "build", "--force", f"--output-path={output}", str(tree))
    tarball = max(output.glob("archipel-orchestrator-*.tar.gz"))
    with tarfile.open(tarball) as archive:
        surplus = {name.partition("/")[0] for name in archive.getnames()} - PUBLISHED
    if surplus:
        session.error(f"galaxy.yml lets into the tarball what no user needs: {', '.join(sorted(surplus))}")
    with session.chdir(output):
        findings = session.run("python", "-m", "galaxy_importer.main", tarball.name, silent=True)
    print(findings)
    # The importer is content with whatever it could import.
    if "ERROR" in findings or "WARNING" in findings:
        session.error("galaxy-importer has findings.")


@nox.session(tags=["test"])
def docs(session: nox.Session) -> None:
    """The documentation of modules, plugins and roles; the changelog; and that what derives from code is up to date."""
    group(session, "docs")
    for script in DERIVED:
        session.run("python", script, "--check")
    tree = collection(session)
    with session.chdir(tree):
        session.run("antsibull-changelog", "lint")
        session.run(
            "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck",
            "--validate-collection-refs=self", "--disallow-unknown-collection-refs", ".",
        )  # fmt: skip


@nox.session(python=FLOOR, tags=["test"])
def wheel(session: nox.Session) -> None:
    """The agent as a wheel: it builds, holds all of the agent's modules, and starts."""
    output = pathlib.Path(session.create_tmp()).resolve()
    session.run("uv", "build", "--quiet", "--wheel", f"--out-dir={output}", str(collection(session)), external=True)
    built = max(output.glob("*.whl"))
    held = set(zipfile.ZipFile(built).namelist())
    for package in (ROOT / "plugins/module_utils/archipel", ROOT / "roles/agent/files/archipel_agent"):
        files = [file for pattern in ("*.py", "*.json") for file in package.rglob(pattern)]
        needed = {file.relative_to(package.parent).as_posix() for file in files}
        if needed - held:
            session.error(f"pyproject.toml leaves out of the wheel: {', '.join(sorted(needed - held))}")
    session.install("--reinstall", str(built), libvirt_python(session))
    for command in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]:
        session.run(command, "--help", silent=True)


@nox.session(python=FLOOR, tags=["test"])
def agent(session: nox.Session) -> None:
    """tests/agent: conversations with the agent through a real ejabberd on loopback."""
    packages(session, "ejabberd", "faketime", "libvirt-clients", "libvirt-daemon", "openssl")
    packages(session, "profanity", "python3-nbxmpp", "tmux")  # clients
    group(session, "tests", *AGENT, libvirt_python(session))
    pytest(session, "tests/agent")


# Before 2.19 Ansible renders what a plugin took from outside, from then on only what it trusts: both matter.
@nox.session(tags=["test"])
@nox.parametrize("python, core", [(FLOOR, "2.18"), (NEWEST, "2.21")], ids=["2.18", "2.21"])
def integration(session: nox.Session, core: str) -> None:
    """tests/integration: each module both ways, with ansible-playbook, libvirt's test driver and a real agent."""
    packages(session, "ejabberd", "libvirt-clients", "libvirt-daemon", "openssl", "qemu-utils")
    group(
        session, "tests", "-r", "roles/agent/files/requirements.txt", libvirt_python(session), f"ansible-core=={core}.*"
    )
    # A playbook keeps one core busy; each worker has a platform of its own.
    pytest(session, "tests/integration", "--numprocesses=2", "--dist=loadfile")


@nox.session(python=FLOOR, tags=["test"])
def hosts(session: nox.Session) -> None:
    """tests/hosts: real hosts with systemd, libvirtd and QEMU; the quickstart's story, and what goes wrong."""
    group(session, "tests")
    pytest(session, "tests/hosts")


# The newest Python gets the newest ansible, and with it the newest community.libvirt.
@nox.session(python=NEWEST, tags=["benchmark"])
def benchmark(session: nox.Session) -> None:
    """tests/benchmark: ratios against direct libvirt and community.libvirt, and what contacts cost."""
    packages(session, "ejabberd", "libvirt-daemon", "openssl")
    group(session, "benchmark", *AGENT, libvirt_python(session))
    session.run("python", "tests/benchmark/run.py", *session.posargs)
