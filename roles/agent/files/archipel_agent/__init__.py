# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: makes a hypervisor and its machines contacts on an XMPP server. Imports the core and slixmpp."""

__version__ = "0.1.0"
