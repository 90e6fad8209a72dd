# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which modules reach a hypervisor or the platform."""

from __future__ import annotations


class ModuleDocFragment:
    """The default fragment is of modules for both ways, PLATFORM of those that know only XMPP, SERVER of
    those that speak with ejabberd where they run; OPTIONS is of all."""

    DOCUMENTATION = r"""
options:
  via:
    description:
      - How to reach the hypervisor.
      - V(libvirt) runs the module on the task's host, which needs libvirt's Python package.
      - V(xmpp) asks the hypervisor's agent from the controller, which needs the Python library slixmpp. Nothing is run
        on the task's host.
    type: str
    choices:
      - libvirt
      - xmpp
    default: libvirt
requirements:
  - libvirt-python and lxml on the task's host for O(via=libvirt)
  - slixmpp >= 1.17 and Python >= 3.11 on the controller for O(via=xmpp)
"""

    OPTIONS = r"""
options:
  uri:
    description:
      - libvirt's URI of the hypervisor, for O(via=libvirt).
      - Without it and the environment variable E(LIBVIRT_DEFAULT_URI), libvirt chooses the one of the task's host.
    type: str
  uri_username:
    description:
      - Name to authenticate with at O(uri), where the driver asks for one.
    type: str
  uri_password:
    description:
      - Password to authenticate with at O(uri), where the driver asks for one.
    type: str
  hypervisor:
    description:
      - Name of the hypervisor in the platform, for O(via=xmpp).
      - By default it is the short name of the task's host in the inventory.
    type: str
  xmpp_jid:
    description:
      - Account on the platform's XMPP server. Its domain is the platform's.
      - Without it the environment variable E(ARCHIPEL_JID) is used.
    type: str
  xmpp_password:
    description:
      - Password of O(xmpp_jid).
      - Without it the environment variable E(ARCHIPEL_PASSWORD) is used.
    type: str
  xmpp_host:
    description:
      - Host of the XMPP server. Of several, which are nodes of one cluster, the first that answers is taken.
      - By default the SRV records of the domain of O(xmpp_jid) tell it, or it is the domain.
      - Without it the environment variable E(ARCHIPEL_HOST) is used, where a comma stands between several.
    type: list
    elements: str
  xmpp_port:
    description:
      - Port of the XMPP server, by default 5222, or what the SRV records tell. On 5223, TLS comes first.
      - Without it the environment variable E(ARCHIPEL_PORT) is used.
    type: int
  xmpp_ca_file:
    description:
      - File on the controller with the certificate authorities that the XMPP server's certificate must be signed by.
        By default they are the system's. The certificate is always verified for the domain of O(xmpp_jid).
      - Without it the environment variable E(ARCHIPEL_CA_FILE) is used.
    type: path
"""

    PLATFORM = r"""
options:
  via:
    description:
      - This module always speaks over XMPP; the option is taken so that defaults of the action group can be shared.
    type: str
    choices:
      - libvirt
      - xmpp
    default: xmpp
requirements:
  - slixmpp >= 1.17 and Python >= 3.11 on the controller
"""

    SERVER = r"""
options:
  via:
    description:
      - This module speaks with ejabberd on the task's host; the option is taken so that defaults of the action group
        can be shared, like others that it does not need.
    type: str
    choices:
      - libvirt
      - xmpp
    default: libvirt
  api_url:
    description:
      - Where C(ejabberd_xmlrpc) listens, as the task's host reaches it. Without TLS only on loopback.
    type: str
    default: http://127.0.0.1:5280/xmlrpc
notes:
  - O(xmpp_jid) and O(xmpp_password) are those of an administrator of ejabberd; the domain is the one that is meant.
requirements:
  - ejabberd with C(ejabberd_xmlrpc), C(mod_admin_extra) and C(mod_shared_roster), as the role C(ejabberd) makes it
"""
