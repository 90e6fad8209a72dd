# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the ``get-pip.py`` that ansible-test wants from a host of Ansible's own CI.

Lies in ansible-test's cache under the name of the download, beside a wheel of that pip from the package index, and
installs what it is told with it.
"""

from __future__ import annotations

import pathlib
import runpy
import sys

version = pathlib.Path(__file__).stem.removeprefix("get_pip_").replace("_", ".")
wheel = pathlib.Path(__file__).with_name(f"pip-{version}-py3-none-any.whl")
arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.path.insert(0, str(wheel))
sys.argv[1:] = ["install", "--quiet", "--find-links", str(wheel.parent), *arguments]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
