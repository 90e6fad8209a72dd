#!/usr/bin/python
# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pubsub_node
short_description: Nodes of an XMPP pubsub service
version_added: 0.1.0
description:
  - Creates, configures and deletes a node of a pubsub service (XEP-0060), and brings its affiliations and items to what
    is asked for.
  - Only what is named is compared and changed.
author:
  - Archipel contributors (@archipel-orchestrator)
extends_documentation_fragment:
  - archipel.orchestrator.attributes
  - archipel.orchestrator.connection.platform
  - archipel.orchestrator.connection.options
attributes:
  diff_mode:
    details:
      - Shows the node before and after, as far as it is named.
options:
  name:
    description:
      - Name of the node.
    type: str
    required: true
    aliases:
      - node
  state:
    description:
      - Whether the node is to exist.
    type: str
    choices:
      - present
      - absent
    default: present
  service:
    description:
      - JID of the pubsub service. By default it is C(pubsub.) and the domain of O(xmpp_jid).
    type: str
  config:
    description:
      - Fields of the node's configuration without their prefix C(pubsub#), for example C(access_model),
        C(publish_model), C(max_items), C(persist_items).
      - Which there are and what they may hold is up to the service. An unknown field is an error.
    type: dict
  affiliations:
    description:
      - JIDs to their affiliation, which is C(owner), C(publisher), C(publish-only), C(member), C(outcast) or C(none).
    type: dict
  affiliations_mode:
    description:
      - V(add) leaves JIDs alone that O(affiliations) does not name.
      - V(set) takes their affiliation from them, except from O(xmpp_jid).
    type: str
    choices:
      - add
      - set
    default: add
  items:
    description:
      - Items of the node.
    type: list
    elements: dict
    suboptions:
      id:
        description:
          - The item's id.
        type: str
        required: true
      data:
        description:
          - What the item holds, as data. It is published in a JSON container (XEP-0335).
        type: raw
      xml:
        description:
          - What the item holds, as an XML element.
        type: str
  items_mode:
    description:
      - V(add) publishes the items of O(items) that are missing or differ, and leaves others alone.
      - V(set) also retracts all others.
      - V(remove) retracts the items of O(items); of each, only the id matters.
    type: str
    choices:
      - add
      - set
      - remove
    default: add
seealso:
  - module: archipel.orchestrator.entity_command
  - name: XEP-0060
    description: The standard behind it.
    link: https://xmpp.org/extensions/xep-0060.html
"""

EXAMPLES = r"""
- name: The index of machines exists, and hypervisors write it
  archipel.orchestrator.pubsub_node:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: /archipel/machines
    config:
      access_model: whitelist
      publish_model: publishers
      persist_items: true
    affiliations:
      hv1@example.org: publisher
      hv2@example.org: publisher

- name: An item says what it should
  archipel.orchestrator.pubsub_node:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: /archipel/tags
    items:
      - id: 2a5bb1d6-3e0b-4e59-9c4b-0b3c1f6a7d11
        data:
          tags: [web, production]

- name: A node is gone
  archipel.orchestrator.pubsub_node:
    xmpp_jid: admin@example.org
    xmpp_password: "{{ admin_password }}"
    name: /old
    state: absent
"""

RETURN = r"""
msg:
  description: What was or would be changed.
  type: str
  returned: always
  sample: "/archipel/machines was changed: config.access_model."
changes:
  description: Each change by itself.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: What changed.
      type: str
      sample: affiliations.hv1@example.org
    old:
      description: What was there; null for nothing.
      type: raw
    new:
      description: What is there now; null for nothing.
      type: raw
    scope:
      description: Always V(live), it takes effect at once.
      type: str
node:
  description: The node after the change, as far as the task names it.
  type: dict
  returned: success
  contains:
    service:
      description: JID of the service.
      type: str
      sample: pubsub.example.org
    name:
      description: Name of the node.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
    config:
      description: Fields of the configuration that O(config) names.
      type: dict
    affiliations:
      description: All affiliations, if O(affiliations) names some.
      type: dict
    payloads:
      description: What the items hold, by their ids, of those that O(items) names; with O(items_mode=set) of all.
      type: dict
"""

from ansible_collections.archipel.orchestrator.plugins.module_utils._arguments import PUBSUB_NODE
from ansible_collections.archipel.orchestrator.plugins.module_utils._module import only_in_the_controller


def main() -> None:
    only_in_the_controller(PUBSUB_NODE)


if __name__ == "__main__":
    main()
