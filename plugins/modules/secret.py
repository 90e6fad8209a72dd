#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secret
short_description: Secrets that libvirt keeps for machines and pools
version_added: 0.2.0
description:
  - Keeps passphrases of encrypted volumes, keys of Ceph and iSCSI, passwords of TLS keys and of TPMs.
  - The value goes in and is never told again, neither in results nor in logs. libvirt keeps it on the hypervisor, where
    only root can read it, unless the secret is ephemeral.

author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.actions.secret
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows what changes, without the value.
seealso:
  - module: archipel.orchestrator.pool
  - module: archipel.orchestrator.volume
  - name: Secret XML
    description: What each usage means to libvirt.
    link: https://libvirt.org/formatsecret.html
"""

EXAMPLES = r"""
- name: The key by which the hypervisor's machines reach Ceph
  archipel.orchestrator.secret:
    uuid: 7a91dc24-b072-43c4-98fb-4b2415322b0f
    usage_type: ceph
    usage: client.hv1
    description: Disks of machines
    value: "{{ ceph_key }}"
    encoding: base64

- name: A passphrase that nobody may read, not even over libvirt, set once
  archipel.orchestrator.secret:
    usage_type: volume
    usage: /var/lib/libvirt/images/safe.raw
    private: true
    value: "{{ safe_passphrase }}"
    update_value: on_create

- name: The passphrase is gone
  archipel.orchestrator.secret:
    usage_type: volume
    usage: /var/lib/libvirt/images/safe.raw
    state: absent
"""

RETURN = r"""
msg:
  description: What was or would be changed, in a sentence.
  type: str
  returned: always
changes:
  description: Each change by itself, in the words that a task uses. After a failure, what had been changed before it.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: What changed, for example C(description) or C(value), whose value is hidden.
      type: str
    old:
      description: What was there; null for nothing.
      type: raw
    new:
      description: What is there now; null for nothing.
      type: raw
    scope:
      description: V(live) for what took effect at once, V(config) for what the definition says from now on.
      type: str
secret:
  description: The secret as it is now, without its value.
  type: dict
  returned: success
  contains:
    uuid:
      description: Its UUID.
      type: str
    usage_type:
      description: Kind of what it is for.
      type: str
    usage:
      description: What it is for.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
    description:
      description: What people say about it.
      type: str
    ephemeral:
      description: Whether it is kept in memory only.
      type: bool
    private:
      description: Whether nobody may read the value.
      type: bool
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._module import run_action
from ansible_collections.archipel.orchestrator.plugins.module_utils.archipel.secrets import Secrets


def main() -> None:
    run_action(Secrets, "secret")


if __name__ == "__main__":
    main()
