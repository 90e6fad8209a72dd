# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data from outside, such as the name of a machine, which must never be rendered as a template."""

from __future__ import annotations

import typing as t

try:
    # ansible-core 2.19 and newer render only what is marked as trusted, and what a plugin took from outside is not.
    from ansible.template import trust_as_template as _trust_as_template
except ImportError:
    _trust_as_template = None

if _trust_as_template is None:
    from ansible.utils.unsafe_proxy import wrap_var as untrusted
else:

    def untrusted(data: t.Any) -> t.Any:
        return data


def untrusted_text(text: str) -> str:
    """Marked only where it could be a template, so that ansible-inventory of core 2.18, which writes what is marked as
    a dictionary, shows ordinary names as they are."""
    return untrusted(text) if "{" in text else text


__all__ = ["untrusted", "untrusted_text"]
