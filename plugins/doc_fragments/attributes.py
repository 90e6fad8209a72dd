# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules do with Ansible's modes."""

from __future__ import annotations


class ModuleDocFragment:
    """The default fragment is of modules that change something, INFO of those that only tell. A module says in
    ``details`` what else there is to say of it."""

    DOCUMENTATION = r"""
attributes:
  action_group:
    description: What C(module_defaults) say of C(group/archipel.orchestrator.archipel) holds for it, too.
    support: full
    membership:
      - archipel.orchestrator.archipel
  check_mode:
    description: Tells exactly what the run would change, without changing it.
    support: full
  diff_mode:
    description: Shows what changes, in the words of the options.
    support: full
"""

    INFO = r"""
attributes:
  action_group:
    description: What C(module_defaults) say of C(group/archipel.orchestrator.archipel) holds for it, too.
    support: full
    membership:
      - archipel.orchestrator.archipel
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""
