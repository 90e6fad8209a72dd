# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What can be done to hypervisors and machines, and nothing of who asks for it.

Imports the standard library, libvirt and lxml; knows nothing of Ansible, asyncio or XMPP. Imports inside are
relative only, so that this package works as part of the collection and as ``archipel`` on a hypervisor.
"""
