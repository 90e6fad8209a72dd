# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Debian hosts on one machine, for the quickstart and for tests: systemd as process 1, sshd, own addresses.

They are systemd-nspawn containers on overlays of one small Debian system. Not for production: whoever has hosts of
their own applies the roles to those.
"""
