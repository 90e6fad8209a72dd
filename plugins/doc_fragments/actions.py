# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that are actions of a hypervisor. Written by tests/checks/doc_fragments.py, not by hand."""

from __future__ import annotations


class ModuleDocFragment:
    """One fragment per action, from its declaration in module_utils/archipel."""

    VM_BULK = r"""
options:
  machines:
    description:
      - Names, patterns like web* or UUIDs of machines, of which any is to fit. C(*) is all of them.
    type: list
    elements: str
  tags:
    description:
      - Only machines that have all of these tags.
    type: list
    elements: str
  states:
    description:
      - Only machines that are in one of these states; in libvirt's words, not in those of O(state).
    type: list
    choices:
      - nostate
      - running
      - blocked
      - paused
      - shutdown
      - shutoff
      - crashed
      - pmsuspended
    elements: str
  state:
    description:
      - What each machine is to be.
    type: str
    choices:
      - present
      - absent
      - running
      - shutdown
      - destroyed
      - paused
      - saved
      - restarted
      - reset
  action:
    description:
      - 'What is to be done to each machine: an action of machines, or one of the hypervisor that is about
        a machine, like vm_snapshot.'
    type: str
  arguments:
    description:
      - Arguments of O(action); with O(state), those that vm has beside it.
    type: dict
  max_parallel:
    description:
      - How many machines of the hypervisor at a time, at most 64.
    type: int
    default: 5
  max_fail_percentage:
    description:
      - No further machines are begun when more than so many percent of the hypervisor's have failed;
        0 stops at the first failure, 100 never.
    type: float
    default: 100
"""

    VM_CLONE = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  clone:
    description:
      - Name of the new machine. Where it is there already, nothing changes.
    type: str
    required: true
  clone_uuid:
    description:
      - UUID of the new machine; a new one by default.
    type: str
  linked:
    description:
      - Make images that hold only what differs, on those that the external O(snapshot) has left unchanged.
        That snapshot then cannot be removed before the clone.
    type: bool
    default: false
  snapshot:
    description:
      - Clone the machine as it was at this external snapshot, without its memory; then it may be running.
        By default it has to be off.
    type: str
  pool:
    description:
      - Storage pool for the new disks; by default each is in the pool of the one it is made of.
    type: str
  wait_timeout:
    description:
      - Seconds after which no further disk is copied, and those that were are removed.
    type: int
    default: 3600
"""

    VM_SNAPSHOT_INFO = r"""
options:
  name:
    description:
      - Name of a machine, or a pattern like web*.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  snapshot:
    description:
      - Name of a snapshot, or a pattern like nightly-*.
    type: str
"""

    VM_SNAPSHOT = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  snapshot:
    description:
      - Name of the snapshot. Where one is taken, fields of strftime are filled in with the time in UTC,
        as in V(nightly-%Y-%m-%d); where it is to be absent, it may be a pattern such as V(nightly-*).
    type: str
    required: true
  state:
    description:
      - Whether there is to be such a snapshot; V(reverted) goes back to it, each time anew. What came
        after it and is in no other snapshot is lost then.
    type: str
    default: present
    choices:
      - present
      - absent
      - reverted
  description:
    description:
      - What people say about it.
    type: str
  kind:
    description:
      - V(internal) is inside the machine's images, which have to be qcow2, and is what a new one is by
        default; V(external) leaves the images as they are, and the machine goes on in new ones beside
        them.
    type: str
    choices:
      - internal
      - external
  memory:
    description:
      - Whether the memory of a running machine is part of it; by default it is, unless O(quiesce=true).
        Without, it is as if the power had been cut; libvirt takes such a one of a running machine as
        V(external) only.
    type: bool
  quiesce:
    description:
      - Have the guest agent of a running machine write out and freeze its file systems meanwhile.
    type: bool
    default: false
  children:
    description:
      - 'What becomes of snapshots that go back to the one that is removed: they go back to the one before
        it from then on, are removed too, or are removed while it stays.'
    type: str
    default: promote
    choices:
      - promote
      - remove
      - only
  keep:
    description:
      - Keep so many, the newest, of O(among) or of those that O(snapshot) fits; remove the others.
    type: int
  keep_days:
    description:
      - Keep those of so many days, beside those of O(keep).
    type: int
  among:
    description:
      - The snapshots that O(keep) and O(keep_days) are about, as a pattern such as V(nightly-*).
    type: str
  then:
    description:
      - The machine's state after going back.
    type: str
    default: as_it_was
    choices:
      - as_it_was
      - running
      - paused
  force:
    description:
      - 'Go back although libvirt holds it for risky: where the running machine differs from the snapshot''s,
        its process ends and another begins, so that consoles are cut off.'
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds after which it is aborted. libvirt cannot abort every part of it; that ends first.
    type: int
    default: 600
"""

    NWFILTER_INFO = r"""
options:
  name:
    description:
      - Name of a filter, or a pattern like no-*.
    type: str
"""

    NWFILTER = r"""
options:
  name:
    description:
      - Name of the filter; needed unless the XML has it.
    type: str
  state:
    description:
      - Whether the filter is to be there.
    type: str
    default: present
    choices:
      - present
      - absent
  chain:
    description:
      - 'Chain that the rules stand in: V(root), or a name that begins with V(mac), V(vlan), V(stp), V(arp),
        V(rarp), V(ipv4) or V(ipv6).'
    type: str
  priority:
    description:
      - Place of the chain among others; smaller ones come first.
    type: int
  rules:
    description:
      - The filter's rules, all of them.
    type: list
    elements: dict
    suboptions:
      action:
        description:
          - What becomes of a packet.
        type: str
        choices:
          - accept
          - drop
          - reject
          - return
          - continue
      direction:
        description:
          - V(in) is to the machine, V(out) from it.
        type: str
        choices:
          - in
          - out
          - inout
      priority:
        description:
          - Smaller ones come first; V(500) by default.
        type: int
      stateful:
        description:
          - Whether answers within a connection pass too.
        type: bool
      protocol:
        description:
          - Protocol that the rule is for; without one it is for all packets.
        type: str
        choices:
          - all
          - tcp
          - udp
          - udplite
          - sctp
          - icmp
          - igmp
          - esp
          - ah
          - all-ipv6
          - tcp-ipv6
          - udp-ipv6
          - udplite-ipv6
          - sctp-ipv6
          - icmpv6
          - esp-ipv6
          - ah-ipv6
          - mac
          - vlan
          - stp
          - arp
          - rarp
          - ip
          - ipv6
      negate:
        description:
          - Whether the rule is for packets that do not match.
        type: bool
      match:
        description:
          - What packets the rule is for, in the attributes of libvirt's protocols.
        type: dict
        suboptions:
          srcmacaddr:
            description:
              - MAC address of the sender.
            type: str
          srcmacmask:
            description:
              - Mask of O(rules[].match.srcmacaddr).
            type: str
          srcipaddr:
            description:
              - IP address of the sender.
            type: str
          srcipmask:
            description:
              - Mask of O(rules[].match.srcipaddr), or its length.
            type: str
          srcipfrom:
            description:
              - First of several addresses of the sender.
            type: str
          srcipto:
            description:
              - Last of several addresses of the sender.
            type: str
          srcportstart:
            description:
              - Port of the sender, or the first of several.
            type: str
          srcportend:
            description:
              - Last port of the sender.
            type: str
          arpsrcmacaddr:
            description:
              - MAC address of the sender in ARP and RARP.
            type: str
          arpsrcipaddr:
            description:
              - IP address of the sender in ARP and RARP.
            type: str
          arpsrcipmask:
            description:
              - Mask of O(rules[].match.arpsrcipaddr).
            type: str
          dstmacaddr:
            description:
              - MAC address of the receiver.
            type: str
          dstmacmask:
            description:
              - Mask of O(rules[].match.dstmacaddr).
            type: str
          dstipaddr:
            description:
              - IP address of the receiver.
            type: str
          dstipmask:
            description:
              - Mask of O(rules[].match.dstipaddr), or its length.
            type: str
          dstipfrom:
            description:
              - First of several addresses of the receiver.
            type: str
          dstipto:
            description:
              - Last of several addresses of the receiver.
            type: str
          dstportstart:
            description:
              - Port of the receiver, or the first of several.
            type: str
          dstportend:
            description:
              - Last port of the receiver.
            type: str
          arpdstmacaddr:
            description:
              - MAC address of the receiver in ARP and RARP.
            type: str
          arpdstipaddr:
            description:
              - IP address of the receiver in ARP and RARP.
            type: str
          arpdstipmask:
            description:
              - Mask of O(rules[].match.arpdstipaddr).
            type: str
          state:
            description:
              - 'States of the connection: V(NEW), V(ESTABLISHED), V(RELATED), V(INVALID), V(NONE), with
                commas.'
            type: str
          connlimit_above:
            description:
              - Number of connections from which on the rule holds.
            type: str
          dscp:
            description:
              - Differentiated services code point.
            type: str
          flags:
            description:
              - Flags of TCP as mask and those set, V(SYN,ACK/SYN); or of the spanning tree protocol.
            type: str
          option:
            description:
              - Option of TCP.
            type: str
          type:
            description:
              - Type of an ICMP or spanning tree message.
            type: str
          code:
            description:
              - Code of an ICMP message.
            type: str
          typeend:
            description:
              - Last of several types, for O(rules[].protocol=ipv6).
            type: str
          codeend:
            description:
              - Last of several codes, for O(rules[].protocol=ipv6).
            type: str
          ipset:
            description:
              - Name of a set of addresses on the hypervisor.
            type: str
          ipsetflags:
            description:
              - 'Which ends are looked for in the set: V(src), V(dst), with commas.'
            type: str
          protocol:
            description:
              - Protocol above O(rules[].protocol=ip) or V(ipv6), by name or number.
            type: str
          protocolid:
            description:
              - Protocol above O(rules[].protocol=mac), by name or number.
            type: str
          vlanid:
            description:
              - Number of the VLAN.
            type: str
          encap_protocol:
            description:
              - Protocol within the VLAN, by name or number.
            type: str
          hwtype:
            description:
              - Kind of hardware in ARP and RARP.
            type: str
          protocoltype:
            description:
              - Kind of protocol in ARP and RARP.
            type: str
          opcode:
            description:
              - Operation of ARP and RARP, by name or number.
            type: str
          gratuitous:
            description:
              - Whether the ARP message was asked for by nobody.
            type: str
          comment:
            description:
              - What the rule is for.
            type: str
          root_priority:
            description:
              - The root priority in the spanning tree protocol.
            type: str
          root_priority_hi:
            description:
              - Its end.
            type: str
          root_address:
            description:
              - The root address in the spanning tree protocol.
            type: str
          root_address_mask:
            description:
              - Its mask.
            type: str
          root_cost:
            description:
              - The root cost in the spanning tree protocol.
            type: str
          root_cost_hi:
            description:
              - Its end.
            type: str
          sender_priority:
            description:
              - The sender priority in the spanning tree protocol.
            type: str
          sender_priority_hi:
            description:
              - Its end.
            type: str
          sender_address:
            description:
              - The sender address in the spanning tree protocol.
            type: str
          sender_address_mask:
            description:
              - Its mask.
            type: str
          port:
            description:
              - The port in the spanning tree protocol.
            type: str
          port_hi:
            description:
              - Its end.
            type: str
          age:
            description:
              - The age in the spanning tree protocol.
            type: str
          age_hi:
            description:
              - Its end.
            type: str
          max_age:
            description:
              - The max age in the spanning tree protocol.
            type: str
          max_age_hi:
            description:
              - Its end.
            type: str
          hello_time:
            description:
              - The hello time in the spanning tree protocol.
            type: str
          hello_time_hi:
            description:
              - Its end.
            type: str
          forward_delay:
            description:
              - The forward delay in the spanning tree protocol.
            type: str
          forward_delay_hi:
            description:
              - Its end.
            type: str
  filterrefs:
    description:
      - Filters that this one includes, all of them.
    type: list
    elements: dict
    suboptions:
      filter:
        description:
          - Name of a filter.
        type: str
      parameters:
        description:
          - Values of its variables; several of one variable as a list.
        type: dict
  xml:
    description:
      - The whole definition as libvirt's filter XML.
    type: str
"""

    NETWORK_INFO = r"""
options:
  name:
    description:
      - Name of a network, or a pattern like lab*.
    type: str
  uuid:
    description:
      - UUID of the network.
    type: str
"""

    NETWORK = r"""
options:
  name:
    description:
      - Name of the network.
    type: str
  uuid:
    description:
      - UUID of the network.
    type: str
  state:
    description:
      - What the network is to be.
    type: str
    default: present
    choices:
      - present
      - absent
      - active
      - inactive
  bridge:
    description:
      - Bridge that carries the network; libvirt makes one by default.
    type: str
  stp:
    description:
      - Whether the bridge speaks the spanning tree protocol.
    type: bool
  bridge_delay:
    description:
      - Seconds until a port of the bridge forwards.
    type: int
  zone:
    description:
      - Zone of firewalld that the bridge is put into.
    type: str
  mac_table_manager:
    description:
      - Who keeps the bridge's table of MAC addresses.
    type: str
    choices:
      - kernel
      - libvirt
  mac:
    description:
      - MAC address of the bridge; libvirt chooses one by default.
    type: str
  mtu:
    description:
      - Largest packet.
    type: int
  domain:
    description:
      - DNS domain of the machines.
    type: str
  domain_local_only:
    description:
      - Whether names of the domain are asked nowhere else.
    type: bool
  ipv6:
    description:
      - Whether machines reach each other by IPv6 without such an address here.
    type: bool
  isolated:
    description:
      - Whether machines reach only the hypervisor and not each other.
    type: bool
  trust_guest_rx_filters:
    description:
      - Whether the hypervisor follows changes that a machine makes to its MAC addresses.
    type: bool
  forward:
    description:
      - How machines reach other networks.
    type: dict
    suboptions:
      mode:
        description:
          - How the network reaches others; V(none) is an isolated one, as every new network is.
        type: str
        choices:
          - none
          - nat
          - route
          - open
          - bridge
          - private
          - vepa
          - passthrough
          - hostdev
      dev:
        description:
          - The only interface of the hypervisor to go through.
        type: str
      pf:
        description:
          - Interface of the hypervisor whose virtual functions the machines get.
        type: str
      managed:
        description:
          - Whether libvirt takes PCI devices from the hypervisor by itself.
        type: bool
      nat:
        description:
          - How addresses are translated, with O(forward.mode=nat).
        type: dict
        suboptions:
          address_start:
            description:
              - First address to appear as.
            type: str
          address_end:
            description:
              - Last address to appear as.
            type: str
          port_start:
            description:
              - First port to use.
            type: int
          port_end:
            description:
              - Last port to use.
            type: int
          ipv6:
            description:
              - Whether IPv6 is translated too.
            type: bool
      interfaces:
        description:
          - Interfaces of the hypervisor that machines are spread over.
        type: list
        elements: dict
        suboptions:
          dev:
            description:
              - Interface of the hypervisor.
            type: str
  ips:
    description:
      - Addresses of the hypervisor in the network. One that is not there takes the place of one of its
        family.
    type: list
    elements: dict
    suboptions:
      address:
        description:
          - Address of the hypervisor in the network, also as V(192.168.100.1/24).
        type: str
      prefix:
        description:
          - Length of the network's part of the address.
        type: int
      netmask:
        description:
          - The same as a netmask.
        type: str
      family:
        description:
          - Follows from the address.
        type: str
        choices:
          - ipv4
          - ipv6
      local_ptr:
        description:
          - Whether the network's DNS server answers for addresses of this subnet alone.
        type: bool
      tftp_root:
        description:
          - Directory of the hypervisor to serve by TFTP.
        type: str
      dhcp:
        description:
          - The DHCP server for this address.
        type: dict
        suboptions:
          bootp_file:
            description:
              - File that machines boot from over the network.
            type: str
          bootp_server:
            description:
              - Server of that file, by default the network's own address.
            type: str
          ranges:
            description:
              - Addresses that the DHCP server hands out.
            type: list
            elements: dict
            suboptions:
              start:
                description:
                  - First address.
                type: str
              end:
                description:
                  - Last address.
                type: str
              lease_expiry:
                description:
                  - How long a lease lasts, in O(ips[].dhcp.ranges[].lease_unit); V(0) is for ever.
                type: int
              lease_unit:
                description:
                  - Unit of the lease's time; libvirt's default is V(minutes).
                type: str
                choices:
                  - seconds
                  - minutes
                  - hours
          hosts:
            description:
              - Addresses that are kept for machines.
            type: list
            elements: dict
            suboptions:
              mac:
                description:
                  - MAC address of the machine.
                type: str
              id:
                description:
                  - DHCP unique identifier of the machine, in IPv6.
                type: str
              name:
                description:
                  - Name that the machine is told, and that the network's DNS server knows.
                type: str
              ip:
                description:
                  - Address that the machine gets.
                type: str
              lease_expiry:
                description:
                  - How long a lease lasts, in O(ips[].dhcp.ranges[].lease_unit); V(0) is for ever.
                type: int
              lease_unit:
                description:
                  - Unit of the lease's time; libvirt's default is V(minutes).
                type: str
                choices:
                  - seconds
                  - minutes
                  - hours
  dns:
    description:
      - The network's DNS server.
    type: dict
    suboptions:
      enable:
        description:
          - Whether the network has a DNS server.
        type: bool
      forward_plain_names:
        description:
          - Whether names without a dot are asked elsewhere.
        type: bool
      forwarders:
        description:
          - Where to ask for names.
        type: list
        elements: dict
        suboptions:
          domain:
            description:
              - Domain whose names are asked there; without it, all.
            type: str
          addr:
            description:
              - Address of the DNS server to ask; without it, the hypervisor's own way.
            type: str
      txt:
        description:
          - TXT records.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - Name of the record.
            type: str
          value:
            description:
              - Its text.
            type: str
      srv:
        description:
          - SRV records.
        type: list
        elements: dict
        suboptions:
          service:
            description:
              - Name of the service.
            type: str
          protocol:
            description:
              - V(tcp) or V(udp).
            type: str
          domain:
            description:
              - Domain that the service is of.
            type: str
          target:
            description:
              - Host that has it.
            type: str
          port:
            description:
              - Its port.
            type: int
          priority:
            description:
              - Priority of the record.
            type: int
          weight:
            description:
              - Weight among those of a priority.
            type: int
      hosts:
        description:
          - Names that the server knows itself.
        type: list
        elements: dict
        suboptions:
          ip:
            description:
              - Address.
            type: str
          hostnames:
            description:
              - Names of the address.
            type: list
            elements: str
  routes:
    description:
      - Static routes of the hypervisor into the network.
    type: list
    elements: dict
    suboptions:
      address:
        description:
          - Network that is routed, also as V(10.1.0.0/16).
        type: str
      prefix:
        description:
          - Length of the network's part of the address.
        type: int
      netmask:
        description:
          - The same as a netmask.
        type: str
      family:
        description:
          - Follows from the address.
        type: str
        choices:
          - ipv4
          - ipv6
      gateway:
        description:
          - Address in this network that it is routed to.
        type: str
      metric:
        description:
          - Metric of the route.
        type: int
  portgroups:
    description:
      - Kinds of ports that machines may ask for.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the group.
        type: str
      default:
        description:
          - Whether machines that name no group are in this one.
        type: bool
      trust_guest_rx_filters:
        description:
          - Whether the hypervisor follows changes that a machine makes to its MAC addresses.
        type: bool
      vlan:
        description:
          - VLANs of the machines, where the bridge can have them (Open vSwitch, SR-IOV).
        type: dict
        suboptions:
          trunk:
            description:
              - Whether frames come and go with their tags.
            type: bool
          tags:
            description:
              - The VLANs.
            type: list
            elements: dict
            suboptions:
              id:
                description:
                  - Number of the VLAN.
                type: int
              native_mode:
                description:
                  - How frames without a tag belong to it.
                type: str
                choices:
                  - tagged
                  - untagged
      bandwidth:
        description:
          - Limits of what goes through.
        type: dict
        suboptions:
          inbound:
            description:
              - Into the network.
            type: dict
            suboptions:
              average:
                description:
                  - Bandwidth in KiB/s.
                type: int
              peak:
                description:
                  - Bandwidth in KiB/s of bursts.
                type: int
              burst:
                description:
                  - KiB that may go at the peak.
                type: int
              floor:
                description:
                  - Bandwidth in KiB/s that is guaranteed.
                type: int
          outbound:
            description:
              - From the network.
            type: dict
            suboptions:
              average:
                description:
                  - Bandwidth in KiB/s.
                type: int
              peak:
                description:
                  - Bandwidth in KiB/s of bursts.
                type: int
              burst:
                description:
                  - KiB that may go at the peak.
                type: int
      virtualport:
        description:
          - How the switch is told of the machines' ports.
        type: dict
        suboptions:
          type:
            description:
              - Kind of switch, for example V(openvswitch).
            type: str
          profile_id:
            description:
              - Profile of the port there.
            type: str
  vlan:
    description:
      - VLANs of the machines, where the bridge can have them (Open vSwitch, SR-IOV).
    type: dict
    suboptions:
      trunk:
        description:
          - Whether frames come and go with their tags.
        type: bool
      tags:
        description:
          - The VLANs.
        type: list
        elements: dict
        suboptions:
          id:
            description:
              - Number of the VLAN.
            type: int
          native_mode:
            description:
              - How frames without a tag belong to it.
            type: str
            choices:
              - tagged
              - untagged
  bandwidth:
    description:
      - Limits of what goes through.
    type: dict
    suboptions:
      inbound:
        description:
          - Into the network.
        type: dict
        suboptions:
          average:
            description:
              - Bandwidth in KiB/s.
            type: int
          peak:
            description:
              - Bandwidth in KiB/s of bursts.
            type: int
          burst:
            description:
              - KiB that may go at the peak.
            type: int
          floor:
            description:
              - Bandwidth in KiB/s that is guaranteed.
            type: int
      outbound:
        description:
          - From the network.
        type: dict
        suboptions:
          average:
            description:
              - Bandwidth in KiB/s.
            type: int
          peak:
            description:
              - Bandwidth in KiB/s of bursts.
            type: int
          burst:
            description:
              - KiB that may go at the peak.
            type: int
  virtualport:
    description:
      - How the switch is told of the machines' ports.
    type: dict
    suboptions:
      type:
        description:
          - Kind of switch, for example V(openvswitch).
        type: str
      profile_id:
        description:
          - Profile of the port there.
        type: str
  xml:
    description:
      - The whole definition as libvirt's network XML.
    type: str
  autostart:
    description:
      - Whether it starts with its hypervisor. By default it is left as it is.
    type: bool
  entries_mode:
    description:
      - 'What lists in the definition mean: V(add) that these entries are there, V(set) that no others
        are, V(remove) that these are not; of an entry that has lists within, those that it names.'
    type: str
    default: add
    choices:
      - add
      - set
      - remove
  apply:
    description:
      - 'How an active network is changed: V(live) what can be at once and the rest for its next start,
        V(config) all for its next start, V(restart) all at once, by a restart if need be: machines are
        cut off for a moment.'
    type: str
    default: live
    choices:
      - live
      - config
      - restart
  force:
    description:
      - Stop or remove the network though machines are connected to it.
    type: bool
    default: false
"""

    SECRET = r"""
options:
  uuid:
    description:
      - UUID of the secret.
    type: str
  usage_type:
    description:
      - Kind of what it is for.
    type: str
    choices:
      - volume
      - ceph
      - iscsi
      - tls
      - vtpm
  usage:
    description:
      - 'What it is for: the path of a volume, or the name by which others refer to it.'
    type: str
  state:
    description:
      - Whether there is to be such a secret.
    type: str
    default: present
    choices:
      - present
      - absent
  description:
    description:
      - A description.
    type: str
  ephemeral:
    description:
      - Kept in memory only, until libvirt restarts.
    type: bool
  private:
    description:
      - Nobody may read the value, neither over libvirt. Cannot be changed later.
    type: bool
  value:
    description:
      - The secret itself.
    type: str
  encoding:
    description:
      - How O(value) is written. Keys of Ceph are V(base64).
    type: str
    default: text
    choices:
      - text
      - base64
  update_value:
    description:
      - V(on_create) sets the value of a new secret only. With V(always) the value of a private secret,
        which cannot be compared, is set at each run, and told as a change.
    type: str
    default: always
    choices:
      - always
      - on_create
"""

    VOLUME_INFO = r"""
options:
  pool:
    description:
      - Storage pool, or a pattern like iso*.
    type: str
  name:
    description:
      - Name of a volume, or a pattern like web*.
    type: str
"""

    VOLUME = r"""
options:
  name:
    description:
      - Name of the volume; in a directory it is the file's name.
    type: str
    required: true
  pool:
    description:
      - Storage pool of the volume.
    type: str
    required: true
  state:
    description:
      - Whether there is to be such a volume.
    type: str
    default: present
    choices:
      - present
      - absent
  size:
    description:
      - Size, a number of GiB or a number with its unit, for example V(20) or V(512MiB). A volume that
        is smaller grows.
    type: str
  format:
    description:
      - Format of the file, for example V(qcow2) or V(raw). By default V(qcow2) where volumes are files;
        other pools hold raw data.
    type: str
  allocation:
    description:
      - How much of its size a new volume takes from the pool at once.
    type: str
    choices:
      - sparse
      - full
  backing:
    description:
      - 'What a linked volume is based on: it holds only what differs. Of a path or of a volume.'
    type: dict
    suboptions:
      path:
        description:
          - File or block device.
        type: str
      pool:
        description:
          - Storage pool of the volume, by default the same.
        type: str
      vol:
        description:
          - Name of the volume.
        type: str
      format:
        description:
          - Its format, by default what libvirt finds.
        type: str
  source:
    description:
      - The volume that a new one is a copy of.
    type: dict
    suboptions:
      pool:
        description:
          - Storage pool of the volume, by default the same.
        type: str
      vol:
        description:
          - Name of the volume.
        type: str
  content:
    description:
      - What is written into the volume.
    type: dict
    suboptions:
      path:
        description:
          - File on the host where the module runs; with O(via=xmpp) on the hypervisor, below a directory
            that its agent allows.
        type: str
      url:
        description:
          - URL of http or https, which that host fetches. Needs O(content.checksum).
        type: str
      checksum:
        description:
          - SHA-256 of the content, in hexadecimal.
        type: str
      update:
        description:
          - V(on_create) fills a volume when it is made, and leaves it alone from then on. V(always) compares
            checksums and makes a volume anew whose content differs.
        type: str
        choices:
          - on_create
          - always
  encryption:
    description:
      - Encryption of a new volume of the format V(raw).
    type: dict
    suboptions:
      format:
        description:
          - How.
        type: str
        choices:
          - luks
      credential:
        description:
          - UUID of the libvirt secret that has the passphrase.
        type: str
  download:
    description:
      - File that is to hold the volume's content, on the host where the module runs; with O(via=xmpp)
        on the hypervisor, below a directory that its agent allows.
    type: str
  wipe:
    description:
      - Overwrite a volume before it is deleted.
    type: bool
    default: false
  force:
    description:
      - Also shrink a volume, and delete one that a machine which is off or another volume needs. A volume
        in use by a running machine is never touched.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds that moving content may take at most.
    type: int
    default: 3600
"""

    POOL_INFO = r"""
options:
  name:
    description:
      - Name of a pool, or a pattern like iso*.
    type: str
  uuid:
    description:
      - UUID of the pool.
    type: str
"""

    POOL = r"""
options:
  name:
    description:
      - Name of the pool.
    type: str
  uuid:
    description:
      - UUID of the pool.
    type: str
  state:
    description:
      - What the pool is to be. V(present) leaves it active or inactive, as it is.
    type: str
    default: present
    choices:
      - present
      - absent
      - active
      - inactive
  type:
    description:
      - Kind of storage. A new pool is a directory unless something else is named.
    type: str
    choices:
      - dir
      - fs
      - netfs
      - logical
      - disk
      - iscsi
      - iscsi-direct
      - scsi
      - mpath
      - rbd
      - gluster
      - sheepdog
      - zfs
      - vstorage
  target:
    description:
      - Where the volumes appear on the hypervisor, for example the directory. Types that have one usual
        place need none.
    type: str
  source:
    description:
      - Where the storage comes from.
    type: dict
    suboptions:
      hosts:
        description:
          - Servers, each a name or an address, with C(:port) where it is not the usual one.
        type: list
        elements: str
      dir:
        description:
          - Directory that the server exports.
        type: str
      name:
        description:
          - Volume group, Ceph pool, Gluster volume or ZFS pool.
        type: str
      devices:
        description:
          - Block devices; of iSCSI the target's IQN.
        type: list
        elements: str
      adapter:
        description:
          - SCSI host adapter, for example V(scsi_host1).
        type: str
      format:
        description:
          - Format of the source, for example V(ext4), V(nfs), V(lvm2), V(gpt).
        type: str
      initiator:
        description:
          - IQN as which to log in.
        type: str
      username:
        description:
          - User as whom to log in.
        type: str
      credential:
        description:
          - UUID of the libvirt secret that has the user's password or key.
        type: str
  permissions:
    description:
      - What the directory gets when the pool is built.
    type: dict
    suboptions:
      mode:
        description:
          - Mode of the directory, for example V('0750').
        type: str
      owner:
        description:
          - Numeric id of the directory's owner.
        type: int
      group:
        description:
          - Numeric id of the directory's group.
        type: int
  xml:
    description:
      - The whole definition as libvirt's pool XML.
    type: str
  autostart:
    description:
      - Whether it becomes active with its hypervisor.
    type: bool
  build:
    description:
      - Make the directory, file system, partition table or volume group of a new pool. What is there
        already is never overwritten.
    type: bool
    default: false
  refresh:
    description:
      - Look what others have put into the pool. This is no change.
    type: bool
    default: false
  apply:
    description:
      - An active pool takes over a changed definition when it becomes active the next time; V(restart)
        has it do so at once.
    type: str
    default: config
    choices:
      - config
      - restart
  remove_contents:
    description:
      - With O(state=absent), delete all volumes of the pool, and its directory or volume group. Otherwise
        all data stay.
    type: bool
    default: false
"""

    VM_SCREENSHOT = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  screen:
    description:
      - Which of the machine's screens, from 0.
    type: int
    default: 0
  max_size:
    description:
      - KiB that the picture has at most, up to 2048. A larger one is made of every second pixel each
        way, every third ….
    type: int
    default: 1024
"""

    VM_SENDKEY = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  keys:
    description:
      - 'Keys to press one after another, by Linux''s names with or without V(KEY_), in any case; those
        that are pressed together are joined by a plus: V(ctrl+alt+delete). In a codeset other than V(linux)
        they are numbers.'
    type: list
    elements: str
  text:
    description:
      - Text to type instead, on a keyboard of the US layout; a new line is the key enter.
    type: str
  codeset:
    description:
      - The codeset of the keys, as libvirt calls it.
    type: str
    default: linux
    choices:
      - linux
      - xt
      - atset1
      - atset2
      - atset3
      - osx
      - xt_kbd
      - usb
      - win32
      - qnum
  holdtime:
    description:
      - Milliseconds for which each is held.
    type: int
    default: 50
"""

    VM_CONSOLE_INFO = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  access_for:
    description:
      - 'Let somebody in: give VNC and SPICE a new random password that is valid for so many seconds,
        and tell it. The password before it is no longer valid.'
    type: int
"""

    VM_DISK = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  state:
    description:
      - Whether the machine is to have it.
    type: str
    default: present
    choices:
      - present
      - absent
  target:
    description:
      - Name of the disk in the machine, for example C(vda).
    type: str
  path:
    description:
      - File or block device of the disk on the hypervisor, or a place in the network as a URI like V(rbd://host/pool/image)
        or V(nbd://host/export).
    type: str
  pool:
    description:
      - Storage pool that holds the volume O(vol).
    type: str
  vol:
    description:
      - Volume in O(pool). By default it is named after the machine.
    type: str
  size:
    description:
      - Size in GiB of a volume that is made if it is missing, and made larger if it is smaller; while
        the machine runs, too.
    type: int
  format:
    description:
      - Format of the file, for example V(qcow2) or V(raw).
    type: str
  device:
    description:
      - Kind of device.
    type: str
    choices:
      - disk
      - cdrom
      - floppy
      - lun
  bus:
    description:
      - Bus, for example V(virtio), V(sata), V(scsi).
    type: str
  cache:
    description:
      - Cache mode.
    type: str
    choices:
      - default
      - none
      - writethrough
      - writeback
      - directsync
      - unsafe
  discard:
    description:
      - Whether what the machine discards is given back.
    type: str
    choices:
      - unmap
      - ignore
  detect_zeroes:
    description:
      - What happens with zeroes that the machine writes.
    type: str
    choices:
      - 'off'
      - 'on'
      - unmap
  io:
    description:
      - How the hypervisor does it.
    type: str
    choices:
      - native
      - threads
      - io_uring
  iothread:
    description:
      - Number of the I/O thread that serves it, of O(archipel.orchestrator.vm#module:iothreads).
    type: int
  queues:
    description:
      - Number of queues, of V(virtio).
    type: int
  copy_on_read:
    description:
      - Whether what is read from a backing file is kept.
    type: bool
  error_policy:
    description:
      - What happens when it cannot be written.
    type: str
    choices:
      - stop
      - report
      - ignore
      - enospace
  rerror_policy:
    description:
      - What happens when it cannot be read.
    type: str
    choices:
      - stop
      - report
      - ignore
  serial:
    description:
      - Serial number that the machine sees.
    type: str
  wwn:
    description:
      - World wide name that the machine sees, 16 hexadecimal digits.
    type: str
  vendor:
    description:
      - Vendor that the machine sees, of V(scsi); at most 8 characters.
    type: str
  product:
    description:
      - Product that the machine sees, of V(scsi); at most 16 characters.
    type: str
  rotation_rate:
    description:
      - Turns per minute that the machine sees; 1 for none, as of an SSD.
    type: int
  removable:
    description:
      - Whether it can be pulled out, of V(usb).
    type: bool
  readonly:
    description:
      - Whether the machine may only read it.
    type: bool
  shareable:
    description:
      - Whether several machines use it at once.
    type: bool
  snapshot:
    description:
      - What a snapshot of the machine does with it.
    type: str
    choices:
      - internal
      - external
      - 'no'
  rawio:
    description:
      - Whether SCSI commands of all kinds reach it, of V(lun).
    type: bool
  sgio:
    description:
      - Whether SCSI commands of guests are filtered, of V(lun).
    type: str
    choices:
      - filtered
      - unfiltered
  startup_policy:
    description:
      - What happens when its file is missing at the start.
    type: str
    choices:
      - mandatory
      - requisite
      - optional
  logical_block_size:
    description:
      - Size of a block in bytes.
    type: int
  physical_block_size:
    description:
      - Size of a block in bytes on the device.
    type: int
  boot_order:
    description:
      - Place in the order of boot devices.
    type: int
  total_bytes_sec:
    description:
      - Bytes per second that are read and written at most; 0 for any number.
    type: int
  read_bytes_sec:
    description:
      - Bytes per second that are read at most; 0 for any number.
    type: int
  write_bytes_sec:
    description:
      - Bytes per second that are written at most; 0 for any number.
    type: int
  total_iops_sec:
    description:
      - Operations per second that are read and written at most; 0 for any number.
    type: int
  read_iops_sec:
    description:
      - Operations per second that are read at most; 0 for any number.
    type: int
  write_iops_sec:
    description:
      - Operations per second that are written at most; 0 for any number.
    type: int
  apply:
    description:
      - 'How a running machine changes: V(live) at once where libvirt can, otherwise at its next start;
        V(config) in the configuration alone; V(restart) at once, and by shutting it down and starting
        it where that is needed.'
    type: str
    default: live
    choices:
      - live
      - config
      - restart
  remove_volumes:
    description:
      - 'Which volumes go too: none, those that were made for this machine, or all of its disks. Media,
        shared, read-only and backing files stay, and so does what another machine uses.'
    type: str
    default: none
    choices:
      - none
      - owned
      - all
  force:
    description:
      - Make the volume smaller where that is asked, whatever is lost.
    type: bool
    default: false
  move:
    description:
      - Copy the data of the disk O(target) to O(pool), O(vol) and O(format), as far as they are named
        and it is not there, and let the machine go over to the copy, while it runs too. Without, data
        stays where it is. What becomes of the old volume says O(remove_volumes).
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most, by default 120. With O(move) 3600, and the copy is then given up; that
        of a machine which is off goes on to its end.
    type: int
"""

    VM_MEDIA = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  state:
    description:
      - What is to be the case.
    type: str
    default: inserted
    choices:
      - inserted
      - ejected
  path:
    description:
      - File or block device of the medium on the hypervisor.
    type: str
  pool:
    description:
      - Storage pool that holds the medium.
    type: str
  vol:
    description:
      - Volume in the pool.
    type: str
  target:
    description:
      - The drive, for example V(sda). By default the one that can be meant.
    type: str
  apply:
    description:
      - 'How a running machine changes: V(live) at once where libvirt can, otherwise at its next start;
        V(config) in the configuration alone; V(restart) at once, and by shutting it down and starting
        it where that is needed.'
    type: str
    default: live
    choices:
      - live
      - config
      - restart
  force:
    description:
      - Open the drive though the guest system has locked it.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 120
"""

    VM_NIC = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  state:
    description:
      - Whether the machine is to have it.
    type: str
    default: present
    choices:
      - present
      - absent
  type:
    description:
      - Kind of connection; follows from O(network), O(bridge) or O(source).
    type: str
    choices:
      - network
      - bridge
      - user
      - direct
      - ethernet
      - hostdev
      - vhostuser
      - vdpa
  network:
    description:
      - Virtual network to connect to.
    type: str
  bridge:
    description:
      - Bridge of the hypervisor to connect to.
    type: str
  source:
    description:
      - Device of the hypervisor to connect to directly, by macvtap.
    type: str
  source_mode:
    description:
      - How it is connected directly, or which end a vhost-user socket is.
    type: str
    choices:
      - bridge
      - vepa
      - private
      - passthrough
      - server
      - client
  portgroup:
    description:
      - Port group of the virtual network.
    type: str
  mac:
    description:
      - MAC address; libvirt chooses one by default.
    type: str
  model:
    description:
      - Model of the device, for example V(virtio) or V(e1000e).
    type: str
  link_state:
    description:
      - Whether the cable is plugged in.
    type: str
    choices:
      - up
      - down
  mtu:
    description:
      - Size of a packet in bytes.
    type: int
  filterref:
    description:
      - Network filter (nwfilter) that its packets pass.
    type: str
  filter_parameters:
    description:
      - Parameters of the filter, each with its value.
    type: dict
  vlan:
    description:
      - VLAN, where the kind of connection can tag packets.
    type: int
  virtualport:
    description:
      - Kind of virtual port on the switch.
    type: str
    choices:
      - openvswitch
      - midonet
      - 802.1Qbg
      - 802.1Qbh
  interfaceid:
    description:
      - UUID of the port of Open vSwitch.
    type: str
  target:
    description:
      - Name of the device on the hypervisor; libvirt chooses one by default.
    type: str
  driver:
    description:
      - What serves it on the hypervisor.
    type: str
    choices:
      - vhost
      - qemu
      - vfio
  queues:
    description:
      - Number of queues, of V(virtio).
    type: int
  isolated:
    description:
      - Whether it reaches no other isolated port of the bridge.
    type: bool
  trust_guest_rx_filters:
    description:
      - Whether the guest may change its MAC address.
    type: bool
  inbound_average:
    description:
      - KiB per second that the machine receives on average.
    type: int
  inbound_peak:
    description:
      - KiB per second that the machine receives at most for a while.
    type: int
  inbound_burst:
    description:
      - KiB that may come at that rate.
    type: int
  outbound_average:
    description:
      - KiB per second that the machine sends on average.
    type: int
  outbound_peak:
    description:
      - KiB per second that the machine sends at most for a while.
    type: int
  outbound_burst:
    description:
      - KiB that may come at that rate.
    type: int
  rom_bar:
    description:
      - Whether the guest sees its boot ROM.
    type: bool
  boot_order:
    description:
      - Place in the order of boot devices.
    type: int
  apply:
    description:
      - 'How a running machine changes: V(live) at once where libvirt can, otherwise at its next start;
        V(config) in the configuration alone; V(restart) at once, and by shutting it down and starting
        it where that is needed.'
    type: str
    default: live
    choices:
      - live
      - config
      - restart
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 120
"""

    VM_MIGRATE = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  destination:
    description:
      - Name of the hypervisor to move to.
    type: str
  destination_uri:
    description:
      - libvirt URI of the destination, as the source's libvirtd reaches it. Through agents it follows
        from the name.
    type: str
  live:
    description:
      - Move a running machine without stopping it. Without, the machine must be off.
    type: bool
    default: true
  copy_storage:
    description:
      - 'Copy the disks: not at all (shared storage), whole, or on top of a backing file that both sides
        have.'
    type: str
    default: none
    choices:
      - none
      - all
      - incremental
  bandwidth:
    description:
      - MiB per second at most.
    type: int
  max_downtime:
    description:
      - Milliseconds that the machine may stand still at most.
    type: int
  tls:
    description:
      - Encrypt memory and disks on their way by QEMU's own TLS. By default as the URI does (qemu+tls).
    type: bool
  undefine_source:
    description:
      - Take the definition off the source afterwards.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds after which the move is aborted; the machine then stays where it was.
    type: int
    default: 3600
  auto_converge:
    description:
      - Slow the machine's CPUs down for as long as it changes its memory faster than that can be moved.
    type: bool
    default: false
  post_copy:
    description:
      - Once all memory was moved once, let the machine run on at the destination and fetch what it changed
        meanwhile. It ends in any case, but whoever loses the connection in that phase loses the machine's
        memory.
    type: bool
    default: false
  parallel_connections:
    description:
      - Move the memory over so many connections at once.
    type: int
  storage_map:
    description:
      - 'The storage pool of the destination that takes the place of one of the source, for disks that
        are copied, as V({default: fast}).'
    type: dict
  network_map:
    description:
      - 'The network, bridge or device of the destination that takes the place of one of the source, as
        V({lan: office}).'
    type: dict
  snapshots:
    description:
      - 'What becomes of the machine''s snapshots, which libvirt does not move: V(refuse) moves no machine
        that has some, V(flatten) removes them first, and the machine goes on as it is; V(keep) takes
        them along, of a running machine where its disks are on shared storage.'
    type: str
    default: refuse
    choices:
      - refuse
      - flatten
      - keep
  media:
    description:
      - 'What becomes of media that are not at the destination: V(keep) moves no running machine that
        has some in its drives, V(eject) leaves those drives empty there.'
    type: str
    default: keep
    choices:
      - keep
      - eject
  remove_source_volumes:
    description:
      - Which of the copied disks are removed from the source, when the machine is found at the destination
        with its disks; those that were made for this machine, or all. What another machine uses or is
        based on stays.
    type: str
    default: none
    choices:
      - none
      - owned
      - all
"""

    VM_INFO = r"""
options:
  name:
    description:
      - Name of a machine, or a pattern like web*.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  names:
    description:
      - Names or patterns, of which any is to fit.
    type: list
    elements: str
  state:
    description:
      - States, of which any is to fit.
    type: list
    choices:
      - nostate
      - running
      - blocked
      - paused
      - shutdown
      - shutoff
      - crashed
      - pmsuspended
    elements: str
  tags:
    description:
      - Tags, of which a machine is to have all.
    type: list
    elements: str
  addresses:
    description:
      - Where to ask for the machines' addresses.
    type: str
    default: none
    choices:
      - none
      - lease
      - agent
      - arp
  parts:
    description:
      - Parts of the definitions to tell, by default all. Of thousands of machines, fewer are told much
        sooner.
    type: list
    choices:
      - cpu
      - cputune
      - numatune
      - memorybacking
      - memtune
      - blkiotune
      - boot
      - features
      - clock
      - events
      - pm
      - osinfo
      - graphics
      - video
      - sound
      - tpm
      - rng
      - watchdog
      - memballoon
      - vsock
      - metadata
      - cloud_init
      - disks
      - networks
      - filesystems
      - host_devices
      - serial_devices
      - console_devices
      - channel_devices
      - input_devices
    elements: str
  limit:
    description:
      - Tell of so many machines at most; next continues.
    type: int
  after:
    description:
      - UUID after which to continue.
    type: str
"""

    VM = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  names:
    description:
      - Names of several machines, or patterns like web* of those that are there, in place of a name.
        Each is brought to the same, and answered for in C(vms).
    type: list
    elements: str
  state:
    description:
      - What the machine is to be.
    type: str
    default: present
    choices:
      - present
      - absent
      - running
      - shutdown
      - destroyed
      - paused
      - saved
      - restarted
      - reset
  type:
    description:
      - Hypervisor type, for example V(kvm), V(qemu), V(test). By default the best that the host has.
    type: str
  memory:
    description:
      - Memory in MiB. Within O(max_memory) it changes while the machine runs.
    type: int
  max_memory:
    description:
      - The most memory in MiB that the machine can be given while it runs. By default what O(memory)
        says.
    type: int
  vcpus:
    description:
      - Number of virtual CPUs. Within O(max_vcpus) it grows while the machine runs.
    type: int
  max_vcpus:
    description:
      - The most virtual CPUs that the machine can be given while it runs. By default what O(vcpus) says.
    type: int
  cpuset:
    description:
      - CPUs of the host that the machine runs on.
    type: str
  arch:
    description:
      - Architecture, by default the host's.
    type: str
  machine:
    description:
      - Machine type, for example V(q35).
    type: str
  iothreads:
    description:
      - Number of I/O threads, for disks to name one.
    type: int
  guest_agent:
    description:
      - Whether there is a channel for QEMU's guest agent.
    type: bool
  cpu:
    description:
      - The virtual CPU.
    type: dict
    suboptions:
      mode:
        description:
          - How the CPU is chosen.
        type: str
        choices:
          - custom
          - host-model
          - host-passthrough
          - maximum
      model:
        description:
          - Name of the CPU model for O(cpu.mode=custom).
        type: str
      check:
        description:
          - How strictly the CPU is checked before the machine starts.
        type: str
        choices:
          - none
          - partial
          - full
      migratable:
        description:
          - Whether features that prevent a migration are left out, with O(cpu.mode=host-passthrough)
            or O(cpu.mode=maximum).
        type: bool
      sockets:
        description:
          - CPU sockets. What is not given of the topology is 1.
        type: int
      dies:
        description:
          - Dies of each socket.
        type: int
      cores:
        description:
          - Cores of each die.
        type: int
      threads:
        description:
          - Threads of each core.
        type: int
      features:
        description:
          - Features of the CPU, each with its policy.
        type: dict
  cputune:
    description:
      - How much of the host's CPUs the machine gets.
    type: dict
    suboptions:
      shares:
        description:
          - Weight against other machines where CPUs are short.
        type: int
      period:
        description:
          - Microseconds after which each virtual CPU may run again.
        type: int
      quota:
        description:
          - Microseconds of each period that each virtual CPU may run; -1 for all.
        type: int
      global_period:
        description:
          - Microseconds after which the whole machine may run again.
        type: int
      global_quota:
        description:
          - Microseconds of each period that the whole machine may run; -1 for all.
        type: int
      emulator_period:
        description:
          - Microseconds after which the emulator may run again.
        type: int
      emulator_quota:
        description:
          - Microseconds of each period that the emulator may run; -1 for all.
        type: int
      iothread_period:
        description:
          - Microseconds after which each I/O thread may run again.
        type: int
      iothread_quota:
        description:
          - Microseconds of each period that each I/O thread may run; -1 for all.
        type: int
      emulator_cpuset:
        description:
          - CPUs of the host for the emulator.
        type: str
      vcpupin:
        description:
          - Virtual CPUs, by number, each with the CPUs of the host for it.
        type: dict
      iothreadpin:
        description:
          - I/O threads, by number, each with the CPUs of the host for it.
        type: dict
  numatune:
    description:
      - Which of the host's NUMA nodes the machine's memory is on.
    type: dict
    suboptions:
      mode:
        description:
          - How memory is taken from the host's NUMA nodes.
        type: str
        choices:
          - strict
          - preferred
          - interleave
          - restrictive
      nodeset:
        description:
          - NUMA nodes of the host to take memory from.
        type: str
      placement:
        description:
          - Whether the nodes are those of O(numatune.nodeset), or numad chooses.
        type: str
        choices:
          - static
          - auto
  memorybacking:
    description:
      - What the machine's memory is made of.
    type: dict
    suboptions:
      hugepages:
        description:
          - Whether it lies in huge pages.
        type: bool
      hugepage_size:
        description:
          - Size of the huge pages in KiB, of those that the host has.
        type: int
      nosharepages:
        description:
          - Whether the host may not merge equal pages.
        type: bool
      locked:
        description:
          - Whether the host may not swap it out.
        type: bool
      source:
        description:
          - What it is made of; V(memfd) can be shared.
        type: str
        choices:
          - file
          - anonymous
          - memfd
      access:
        description:
          - Whether other processes of the host see it, as virtiofs needs.
        type: str
        choices:
          - shared
          - private
      allocation:
        description:
          - When it is allocated.
        type: str
        choices:
          - immediate
          - ondemand
      discard:
        description:
          - Whether it is thrown away when the machine stops.
        type: bool
  memtune:
    description:
      - Limits to the machine's use of the host's memory.
    type: dict
    suboptions:
      hard_limit:
        description:
          - KiB that the machine with its emulator may use at most.
        type: int
      soft_limit:
        description:
          - KiB that it keeps to where memory is short.
        type: int
      swap_hard_limit:
        description:
          - KiB of memory and swap together.
        type: int
  blkiotune:
    description:
      - How much of the host's disks the machine gets.
    type: dict
    suboptions:
      weight:
        description:
          - Weight against other machines where the disks are busy, 100 to 1000.
        type: int
  boot:
    description:
      - How the machine boots.
    type: dict
    suboptions:
      firmware:
        description:
          - Firmware; the host chooses the files for it.
        type: str
        choices:
          - bios
          - efi
      secure_boot:
        description:
          - Whether EFI starts only what is signed. By default the host chooses.
        type: bool
      enrolled_keys:
        description:
          - Whether the usual keys are there from the beginning. With O(boot.secure_boot) they are, unless
            this says otherwise.
        type: bool
      loader:
        description:
          - File of the firmware on the hypervisor, in place of the host's choice.
        type: str
      loader_type:
        description:
          - How the file is put into the machine.
        type: str
        choices:
          - rom
          - pflash
      loader_readonly:
        description:
          - Whether the machine may only read it.
        type: bool
      loader_secure:
        description:
          - Whether it does secure boot.
        type: bool
      nvram:
        description:
          - File for the firmware's variables.
        type: str
      nvram_template:
        description:
          - File that the variables begin as.
        type: str
      kernel:
        description:
          - Kernel on the hypervisor to boot directly.
        type: str
      initrd:
        description:
          - Initial RAM disk for O(boot.kernel).
        type: str
      kernel_args:
        description:
          - Command line for O(boot.kernel).
        type: str
      dtb:
        description:
          - Device tree on the hypervisor.
        type: str
      devices:
        description:
          - 'Devices to boot from, in order: V(hd), V(cdrom), V(network), V(fd).'
        type: list
        elements: str
        choices:
          - hd
          - cdrom
          - network
          - fd
      menu:
        description:
          - Whether the firmware offers a menu.
        type: bool
      menu_timeout:
        description:
          - Milliseconds that the menu waits.
        type: int
      useserial:
        description:
          - Whether the BIOS writes to the serial port.
        type: bool
      reboot_timeout:
        description:
          - Milliseconds after which the BIOS tries again when nothing boots; -1 for never.
        type: int
  features:
    description:
      - What the machine's board can.
    type: dict
    suboptions:
      acpi:
        description:
          - ACPI, which a request to shut down needs.
        type: bool
      apic:
        description:
          - Programmable interrupt controller.
        type: bool
      pae:
        description:
          - Addresses of 36 bits for guests of 32 bits.
        type: bool
      pmu:
        description:
          - Performance counters for the guest.
        type: bool
      smm:
        description:
          - System management mode, which secure boot needs; libvirt turns it on where it does.
        type: bool
      vmport:
        description:
          - VMware's I/O port.
        type: bool
      vmcoreinfo:
        description:
          - Details for dumps of the guest's kernel.
        type: bool
      pvspinlock:
        description:
          - Paravirtual spin locks.
        type: bool
      kvm_hidden:
        description:
          - Whether the guest does not see that it runs on KVM.
        type: bool
      kvm_poll_control:
        description:
          - Whether the guest's polling for idle CPUs can be controlled.
        type: bool
      hyperv_relaxed:
        description:
          - 'Hyper-V: relaxed constraints on timers.'
        type: bool
      hyperv_vapic:
        description:
          - 'Hyper-V: virtual APIC.'
        type: bool
      hyperv_vpindex:
        description:
          - 'Hyper-V: index of the virtual processor.'
        type: bool
      hyperv_runtime:
        description:
          - 'Hyper-V: time that a processor spent running.'
        type: bool
      hyperv_synic:
        description:
          - 'Hyper-V: synthetic interrupt controller.'
        type: bool
      hyperv_stimer:
        description:
          - 'Hyper-V: synthetic timers.'
        type: bool
      hyperv_reset:
        description:
          - 'Hyper-V: reset of the machine.'
        type: bool
      hyperv_frequencies:
        description:
          - 'Hyper-V: frequencies in registers.'
        type: bool
      hyperv_reenlightenment:
        description:
          - 'Hyper-V: notice of a changed TSC after a migration.'
        type: bool
      hyperv_tlbflush:
        description:
          - 'Hyper-V: flush of other processors'' TLBs.'
        type: bool
      hyperv_ipi:
        description:
          - 'Hyper-V: interrupts between processors.'
        type: bool
      hyperv_evmcs:
        description:
          - 'Hyper-V: enlightened VMCS for nested machines.'
        type: bool
      hyperv_spinlocks:
        description:
          - 'Hyper-V: tries for a spin lock before the host is told, at least 4095.'
        type: int
      hyperv_vendor_id:
        description:
          - 'Hyper-V: name of the hypervisor, at most 12 characters.'
        type: str
  clock:
    description:
      - The machine's clock.
    type: dict
    suboptions:
      offset:
        description:
          - What the machine's clock shows when it starts.
        type: str
        choices:
          - utc
          - localtime
          - timezone
          - variable
          - absolute
      timezone:
        description:
          - Time zone for O(clock.offset=timezone).
        type: str
      hpet_present:
        description:
          - High precision event timer.
        type: bool
      kvmclock_present:
        description:
          - KVM's paravirtual clock.
        type: bool
      hypervclock_present:
        description:
          - Hyper-V's paravirtual clock.
        type: bool
      tsc_present:
        description:
          - Time stamp counter.
        type: bool
      pit_tickpolicy:
        description:
          - What the interval timer does with ticks that the guest missed.
        type: str
        choices:
          - delay
          - catchup
          - merge
          - discard
      rtc_tickpolicy:
        description:
          - What the real-time clock does with ticks that the guest missed.
        type: str
        choices:
          - delay
          - catchup
          - merge
          - discard
  events:
    description:
      - What happens at the machine's end.
    type: dict
    suboptions:
      on_poweroff:
        description:
          - What happens when the guest turns itself off.
        type: str
        choices:
          - destroy
          - restart
          - preserve
          - rename-restart
      on_reboot:
        description:
          - What happens when the guest reboots.
        type: str
        choices:
          - destroy
          - restart
          - preserve
          - rename-restart
      on_crash:
        description:
          - What happens when the guest crashes.
        type: str
        choices:
          - destroy
          - restart
          - preserve
          - rename-restart
          - coredump-destroy
          - coredump-restart
      on_lockfailure:
        description:
          - What happens when a lock manager loses locks.
        type: str
        choices:
          - poweroff
          - restart
          - pause
          - ignore
  pm:
    description:
      - The machine's power management.
    type: dict
    suboptions:
      suspend_to_mem:
        description:
          - Whether the guest may suspend to memory.
        type: bool
      suspend_to_disk:
        description:
          - Whether the guest may suspend to disk.
        type: bool
  osinfo:
    description:
      - The operating system that is to run in the machine.
    type: dict
    suboptions:
      id:
        description:
          - Identifier in libosinfo's database. Without one a new machine gets virtio devices; one of
            Windows gets those that it has drivers for, and a clock in local time.
        type: str
  graphics:
    description:
      - Where the machine's screen can be seen. A new machine has none unless it is asked for.
    type: dict
    suboptions:
      type:
        description:
          - Kind of display; V(none) takes it away.
        type: str
        choices:
          - vnc
          - spice
          - none
          - sdl
          - rdp
          - desktop
          - egl-headless
          - dbus
      listen:
        description:
          - Address to listen on, by default V(127.0.0.1); V(none) or V(socket) for no port at all.
        type: str
      port:
        description:
          - Port to listen on; by default libvirt chooses one when the machine starts.
        type: int
      autoport:
        description:
          - Whether libvirt chooses the port.
        type: bool
      tls_port:
        description:
          - Port for TLS, of SPICE.
        type: int
      websocket:
        description:
          - Port for browsers, of VNC; -1 lets libvirt choose.
        type: int
      keymap:
        description:
          - Layout of the keyboard, of VNC.
        type: str
      password:
        description:
          - Password that a viewer has to give, of VNC and SPICE; at most 8 characters of VNC. C(vm_console_info)
            lets people in for a while, on a machine that was started with one.
        type: str
      password_valid_to:
        description:
          - Until when it is valid, in UTC. With a time that has passed nobody is let in but by C(vm_console_info).
        type: str
      share_policy:
        description:
          - Whether several may look at once, of VNC.
        type: str
        choices:
          - allow-exclusive
          - force-shared
          - ignore
      default_mode:
        description:
          - Which channels are encrypted, of SPICE.
        type: str
        choices:
          - secure
          - insecure
          - any
      image_compression:
        description:
          - How pictures are compressed, of SPICE.
        type: str
        choices:
          - auto_glz
          - auto_lz
          - quic
          - glz
          - lz
          - 'off'
      clipboard:
        description:
          - Whether text can be copied, of SPICE.
        type: bool
      filetransfer:
        description:
          - Whether files can be copied, of SPICE.
        type: bool
      gl:
        description:
          - Whether OpenGL is used, of SPICE.
        type: bool
  video:
    description:
      - The video device.
    type: dict
    suboptions:
      model:
        description:
          - Model of the video device; V(none) for none.
        type: str
        choices:
          - virtio
          - vga
          - qxl
          - bochs
          - cirrus
          - vmvga
          - xen
          - vbox
          - gop
          - ramfb
          - none
      vram:
        description:
          - Video memory in KiB.
        type: int
      ram:
        description:
          - Memory of the primary bar in KiB, of V(qxl).
        type: int
      vgamem:
        description:
          - VGA's part of the video memory in KiB, of V(qxl).
        type: int
      heads:
        description:
          - Number of screens.
        type: int
      accel3d:
        description:
          - Whether it does 3D, of V(virtio).
        type: bool
      width:
        description:
          - Width that it begins with.
        type: int
      height:
        description:
          - Height that it begins with.
        type: int
  sound:
    description:
      - The sound card.
    type: dict
    suboptions:
      model:
        description:
          - Model of the sound card; V(none) takes it away.
        type: str
        choices:
          - ich9
          - ich6
          - ich7
          - ac97
          - es1370
          - sb16
          - pcspk
          - usb
          - none
  tpm:
    description:
      - The trusted platform module, by default an emulated one of version 2.0.
    type: dict
    suboptions:
      model:
        description:
          - Model of the device; V(none) takes it away.
        type: str
        choices:
          - tpm-crb
          - tpm-tis
          - tpm-spapr
          - spapr-tpm-proxy
          - none
      type:
        description:
          - Whether it is emulated or the host's.
        type: str
        choices:
          - emulator
          - passthrough
          - external
      version:
        description:
          - Version of an emulated one.
        type: str
        choices:
          - '2.0'
          - '1.2'
      persistent_state:
        description:
          - Whether its state stays when a transient machine is off.
        type: bool
      path:
        description:
          - Device of the hypervisor, for V(passthrough).
        type: str
  rng:
    description:
      - The source of random numbers.
    type: dict
    suboptions:
      model:
        description:
          - Model of the device; V(none) takes it away.
        type: str
        choices:
          - virtio
          - virtio-transitional
          - virtio-non-transitional
          - none
      backend:
        description:
          - Where the numbers come from.
        type: str
        choices:
          - random
          - builtin
          - egd
      device:
        description:
          - File of the hypervisor, for V(random).
        type: str
      rate_bytes:
        description:
          - Bytes in each O(rng.rate_period) at most.
        type: int
      rate_period:
        description:
          - Milliseconds of the period, by default 1000.
        type: int
  watchdog:
    description:
      - The watchdog.
    type: dict
    suboptions:
      model:
        description:
          - Model of the device; V(none) takes it away.
        type: str
        choices:
          - i6300esb
          - ib700
          - diag288
          - itco
          - none
      action:
        description:
          - What happens when the guest no longer answers.
        type: str
        choices:
          - reset
          - shutdown
          - poweroff
          - pause
          - dump
          - inject-nmi
          - none
  memballoon:
    description:
      - The device by which the host takes memory back.
    type: dict
    suboptions:
      model:
        description:
          - Model of the device; V(none) for none.
        type: str
        choices:
          - virtio
          - virtio-transitional
          - virtio-non-transitional
          - xen
          - none
      autodeflate:
        description:
          - Whether it gives memory back before the guest kills processes.
        type: bool
      free_page_reporting:
        description:
          - Whether the guest tells of pages that it does not use.
        type: bool
      stats_period:
        description:
          - Seconds between the guest's figures on its memory.
        type: int
  vsock:
    description:
      - Sockets between the host and the guest.
    type: dict
    suboptions:
      model:
        description:
          - Model of the device; V(none) takes it away.
        type: str
        choices:
          - virtio
          - virtio-transitional
          - virtio-non-transitional
          - none
      cid:
        description:
          - Number of the machine, at least 3; by default libvirt chooses.
        type: int
      auto_cid:
        description:
          - Whether libvirt chooses the number.
        type: bool
  metadata:
    description:
      - What people say about the machine. Applied to a running machine at once.
    type: dict
    suboptions:
      title:
        description:
          - A short title, one line.
        type: str
      description:
        description:
          - A description.
        type: str
      location:
        description:
          - Where the machine belongs, in words of one's own.
        type: str
  cloud_init:
    description:
      - What cloud-init in the machine reads when it boots (NoCloud), on a CD that is made for it. An
        empty mapping tells it the machine's name.
    type: dict
    suboptions:
      user_data:
        description:
          - cloud-init's user data, for example YAML that begins with C(#cloud-config).
        type: str
      meta_data:
        description:
          - cloud-init's meta data as YAML. By default C(instance-id) and C(local-hostname) are the machine's
            name; cloud-init begins anew in a machine whose C(instance-id) changes.
        type: str
      network_config:
        description:
          - cloud-init's network configuration as YAML.
        type: str
      pool:
        description:
          - Storage pool for the seed, by default that of the machine's first disk.
        type: str
  disks:
    description:
      - Disks and media. Disks that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      target:
        description:
          - Name of the disk in the machine, for example C(vda).
        type: str
      path:
        description:
          - File or block device of the disk on the hypervisor, or a place in the network as a URI like
            V(rbd://host/pool/image) or V(nbd://host/export).
        type: str
      pool:
        description:
          - Storage pool that holds the volume O(disks[].vol).
        type: str
      vol:
        description:
          - Volume in O(disks[].pool). By default it is named after the machine.
        type: str
      size:
        description:
          - Size in GiB of a volume that is made if it is missing, and made larger if it is smaller; while
            the machine runs, too.
        type: int
      format:
        description:
          - Format of the file, for example V(qcow2) or V(raw).
        type: str
      device:
        description:
          - Kind of device.
        type: str
        choices:
          - disk
          - cdrom
          - floppy
          - lun
      bus:
        description:
          - Bus, for example V(virtio), V(sata), V(scsi).
        type: str
      cache:
        description:
          - Cache mode.
        type: str
        choices:
          - default
          - none
          - writethrough
          - writeback
          - directsync
          - unsafe
      discard:
        description:
          - Whether what the machine discards is given back.
        type: str
        choices:
          - unmap
          - ignore
      detect_zeroes:
        description:
          - What happens with zeroes that the machine writes.
        type: str
        choices:
          - 'off'
          - 'on'
          - unmap
      io:
        description:
          - How the hypervisor does it.
        type: str
        choices:
          - native
          - threads
          - io_uring
      iothread:
        description:
          - Number of the I/O thread that serves it, of O(iothreads).
        type: int
      queues:
        description:
          - Number of queues, of V(virtio).
        type: int
      copy_on_read:
        description:
          - Whether what is read from a backing file is kept.
        type: bool
      error_policy:
        description:
          - What happens when it cannot be written.
        type: str
        choices:
          - stop
          - report
          - ignore
          - enospace
      rerror_policy:
        description:
          - What happens when it cannot be read.
        type: str
        choices:
          - stop
          - report
          - ignore
      serial:
        description:
          - Serial number that the machine sees.
        type: str
      wwn:
        description:
          - World wide name that the machine sees, 16 hexadecimal digits.
        type: str
      vendor:
        description:
          - Vendor that the machine sees, of V(scsi); at most 8 characters.
        type: str
      product:
        description:
          - Product that the machine sees, of V(scsi); at most 16 characters.
        type: str
      rotation_rate:
        description:
          - Turns per minute that the machine sees; 1 for none, as of an SSD.
        type: int
      removable:
        description:
          - Whether it can be pulled out, of V(usb).
        type: bool
      readonly:
        description:
          - Whether the machine may only read it.
        type: bool
      shareable:
        description:
          - Whether several machines use it at once.
        type: bool
      snapshot:
        description:
          - What a snapshot of the machine does with it.
        type: str
        choices:
          - internal
          - external
          - 'no'
      rawio:
        description:
          - Whether SCSI commands of all kinds reach it, of V(lun).
        type: bool
      sgio:
        description:
          - Whether SCSI commands of guests are filtered, of V(lun).
        type: str
        choices:
          - filtered
          - unfiltered
      startup_policy:
        description:
          - What happens when its file is missing at the start.
        type: str
        choices:
          - mandatory
          - requisite
          - optional
      logical_block_size:
        description:
          - Size of a block in bytes.
        type: int
      physical_block_size:
        description:
          - Size of a block in bytes on the device.
        type: int
      boot_order:
        description:
          - Place in the order of boot devices.
        type: int
      total_bytes_sec:
        description:
          - Bytes per second that are read and written at most; 0 for any number.
        type: int
      read_bytes_sec:
        description:
          - Bytes per second that are read at most; 0 for any number.
        type: int
      write_bytes_sec:
        description:
          - Bytes per second that are written at most; 0 for any number.
        type: int
      total_iops_sec:
        description:
          - Operations per second that are read and written at most; 0 for any number.
        type: int
      read_iops_sec:
        description:
          - Operations per second that are read at most; 0 for any number.
        type: int
      write_iops_sec:
        description:
          - Operations per second that are written at most; 0 for any number.
        type: int
  networks:
    description:
      - Network interfaces. Interfaces that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - Kind of connection; follows from O(networks[].network), O(networks[].bridge) or O(networks[].source).
        type: str
        choices:
          - network
          - bridge
          - user
          - direct
          - ethernet
          - hostdev
          - vhostuser
          - vdpa
      network:
        description:
          - Virtual network to connect to.
        type: str
      bridge:
        description:
          - Bridge of the hypervisor to connect to.
        type: str
      source:
        description:
          - Device of the hypervisor to connect to directly, by macvtap.
        type: str
      source_mode:
        description:
          - How it is connected directly, or which end a vhost-user socket is.
        type: str
        choices:
          - bridge
          - vepa
          - private
          - passthrough
          - server
          - client
      portgroup:
        description:
          - Port group of the virtual network.
        type: str
      mac:
        description:
          - MAC address; libvirt chooses one by default.
        type: str
      model:
        description:
          - Model of the device, for example V(virtio) or V(e1000e).
        type: str
      link_state:
        description:
          - Whether the cable is plugged in.
        type: str
        choices:
          - up
          - down
      mtu:
        description:
          - Size of a packet in bytes.
        type: int
      filterref:
        description:
          - Network filter (nwfilter) that its packets pass.
        type: str
      filter_parameters:
        description:
          - Parameters of the filter, each with its value.
        type: dict
      vlan:
        description:
          - VLAN, where the kind of connection can tag packets.
        type: int
      virtualport:
        description:
          - Kind of virtual port on the switch.
        type: str
        choices:
          - openvswitch
          - midonet
          - 802.1Qbg
          - 802.1Qbh
      interfaceid:
        description:
          - UUID of the port of Open vSwitch.
        type: str
      target:
        description:
          - Name of the device on the hypervisor; libvirt chooses one by default.
        type: str
      driver:
        description:
          - What serves it on the hypervisor.
        type: str
        choices:
          - vhost
          - qemu
          - vfio
      queues:
        description:
          - Number of queues, of V(virtio).
        type: int
      isolated:
        description:
          - Whether it reaches no other isolated port of the bridge.
        type: bool
      trust_guest_rx_filters:
        description:
          - Whether the guest may change its MAC address.
        type: bool
      inbound_average:
        description:
          - KiB per second that the machine receives on average.
        type: int
      inbound_peak:
        description:
          - KiB per second that the machine receives at most for a while.
        type: int
      inbound_burst:
        description:
          - KiB that may come at that rate.
        type: int
      outbound_average:
        description:
          - KiB per second that the machine sends on average.
        type: int
      outbound_peak:
        description:
          - KiB per second that the machine sends at most for a while.
        type: int
      outbound_burst:
        description:
          - KiB that may come at that rate.
        type: int
      rom_bar:
        description:
          - Whether the guest sees its boot ROM.
        type: bool
      boot_order:
        description:
          - Place in the order of boot devices.
        type: int
  filesystems:
    description:
      - Directories of the hypervisor that the machine sees. Those that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      target:
        description:
          - Name by which the guest mounts it; in a container, where it is mounted.
        type: str
      source:
        description:
          - Directory on the hypervisor.
        type: str
      type:
        description:
          - Kind of source.
        type: str
        choices:
          - mount
          - bind
      driver:
        description:
          - How it reaches the guest. V(virtiofs) needs shared memory, which is asked for with it.
        type: str
        choices:
          - virtiofs
          - path
          - handle
          - loop
          - nbd
          - ploop
          - mtp
      queue:
        description:
          - Length of the queue, of V(virtiofs).
        type: int
      accessmode:
        description:
          - Whose rights count on the hypervisor.
        type: str
        choices:
          - passthrough
          - mapped
          - squash
      readonly:
        description:
          - Whether the machine may only read it.
        type: bool
      binary:
        description:
          - Program of the hypervisor that serves V(virtiofs).
        type: str
      xattr:
        description:
          - Whether extended attributes are passed on.
        type: bool
  host_devices:
    description:
      - Devices of the hypervisor that are given to the machine. Those that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - Kind of device; follows from what names it.
        type: str
        choices:
          - pci
          - usb
          - mdev
      address:
        description:
          - Address of a PCI device, as lspci -D has it, or bus and device of a USB device.
        type: str
      vendor:
        description:
          - Vendor of a USB device.
        type: str
      product:
        description:
          - Product of a USB device.
        type: str
      uuid:
        description:
          - UUID of a mediated device.
        type: str
      model:
        description:
          - API of a mediated device.
        type: str
        choices:
          - vfio-pci
          - vfio-ccw
          - vfio-ap
      managed:
        description:
          - Whether libvirt takes it from its driver and gives it back, of PCI devices.
        type: bool
      startup_policy:
        description:
          - What happens when a USB device is missing at the start.
        type: str
        choices:
          - mandatory
          - requisite
          - optional
      rom_bar:
        description:
          - Whether the guest sees its ROM.
        type: bool
      rom_file:
        description:
          - File in place of its ROM.
        type: str
      boot_order:
        description:
          - Place in the order of boot devices.
        type: int
  serial_devices:
    description:
      - Serial ports, in their order. The first is the machine's console.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - How it is connected on the hypervisor.
        type: str
        choices:
          - pty
          - file
          - tcp
          - unix
          - dev
          - pipe
          - 'null'
          - stdio
          - vc
          - udp
          - spiceport
          - dbus
          - nmdm
      path:
        description:
          - File, device or socket on the hypervisor.
        type: str
      host:
        description:
          - Address on which to listen, or to which to connect.
        type: str
      port:
        description:
          - Port of that address.
        type: int
      mode:
        description:
          - Whether to listen or to connect.
        type: str
        choices:
          - bind
          - connect
      protocol:
        description:
          - What is spoken over TCP.
        type: str
        choices:
          - raw
          - telnet
      log:
        description:
          - File on the hypervisor that gets a copy of what is said.
        type: str
      log_append:
        description:
          - Whether that file is kept when the machine starts.
        type: bool
      target_type:
        description:
          - Kind of port; libvirt chooses by default.
        type: str
        choices:
          - isa-serial
          - usb-serial
          - pci-serial
          - spapr-vio-serial
          - system-serial
          - sclp-serial
          - isa-debug
  console_devices:
    description:
      - Consoles, those of a kind in their order. The first is the first serial port, where there is one.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - How it is connected on the hypervisor.
        type: str
        choices:
          - pty
          - file
          - tcp
          - unix
          - dev
          - pipe
          - 'null'
          - stdio
          - vc
          - udp
          - spiceport
          - dbus
          - nmdm
      path:
        description:
          - File, device or socket on the hypervisor.
        type: str
      host:
        description:
          - Address on which to listen, or to which to connect.
        type: str
      port:
        description:
          - Port of that address.
        type: int
      mode:
        description:
          - Whether to listen or to connect.
        type: str
        choices:
          - bind
          - connect
      protocol:
        description:
          - What is spoken over TCP.
        type: str
        choices:
          - raw
          - telnet
      log:
        description:
          - File on the hypervisor that gets a copy of what is said.
        type: str
      log_append:
        description:
          - Whether that file is kept when the machine starts.
        type: bool
      target_type:
        description:
          - Kind of console.
        type: str
        choices:
          - serial
          - virtio
          - xen
          - lxc
          - sclp
          - sclplm
  channel_devices:
    description:
      - Channels between the host and the guest. The guest agent's is O(guest_agent).
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - How it is connected on the hypervisor.
        type: str
        choices:
          - unix
          - spicevmc
          - pty
          - file
          - tcp
          - udp
          - pipe
          - qemu-vdagent
          - spiceport
          - dbus
      path:
        description:
          - File, device or socket on the hypervisor.
        type: str
      host:
        description:
          - Address on which to listen, or to which to connect.
        type: str
      port:
        description:
          - Port of that address.
        type: int
      mode:
        description:
          - Whether to listen or to connect.
        type: str
        choices:
          - bind
          - connect
      protocol:
        description:
          - What is spoken over TCP.
        type: str
        choices:
          - raw
          - telnet
      log:
        description:
          - File on the hypervisor that gets a copy of what is said.
        type: str
      log_append:
        description:
          - Whether that file is kept when the machine starts.
        type: bool
      target_type:
        description:
          - Kind of channel.
        type: str
        choices:
          - virtio
          - xen
          - guestfwd
      name:
        description:
          - Name that the guest sees.
        type: str
  input_devices:
    description:
      - Keyboards, mice, tablets. Those that are not named are left alone.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - Kind of device.
        type: str
        choices:
          - tablet
          - keyboard
          - mouse
          - passthrough
          - evdev
      bus:
        description:
          - Bus of the device.
        type: str
        choices:
          - usb
          - virtio
          - ps2
          - xen
      model:
        description:
          - Model, of devices on V(virtio).
        type: str
        choices:
          - virtio
          - virtio-transitional
          - virtio-non-transitional
      evdev:
        description:
          - Device of the hypervisor, for V(passthrough).
        type: str
  xml:
    description:
      - The whole definition as libvirt's domain XML.
    type: str
  force:
    description:
      - Turn off what runs and drop saved memory and snapshots, where absent asks for it; open drives
        that the guest system has locked.
    type: bool
    default: false
  apply:
    description:
      - 'How a running machine changes: V(live) at once where libvirt can, otherwise at its next start;
        V(config) in the configuration alone; V(restart) at once, and by shutting it down and starting
        it where that is needed.'
    type: str
    default: live
    choices:
      - live
      - config
      - restart
  autostart:
    description:
      - Whether the machine starts with its hypervisor.
    type: bool
  disks_remove_unmanaged:
    description:
      - Take out the disks and media that the definition does not name. Their volumes stay.
    type: bool
    default: false
  networks_remove_unmanaged:
    description:
      - Take out the network interfaces that the definition does not name.
    type: bool
    default: false
  remove_volumes:
    description:
      - 'Which volumes go too: none, those that were made for this machine, or all of its disks. Media,
        shared, read-only and backing files stay, and so does what another machine uses.'
    type: str
    default: none
    choices:
      - none
      - owned
      - all
  keep_nvram:
    description:
      - Keep the firmware's variables of a machine that is removed.
    type: bool
    default: false
  keep_tpm:
    description:
      - Keep the TPM's state of a machine that is removed.
    type: bool
    default: false
  force_after:
    description:
      - Turn the machine off hard when it has not shut down after so many seconds. By default never.
    type: int
  wait:
    description:
      - Return only when it has happened.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most.
    type: int
    default: 120
  wait_for_ip:
    description:
      - Return only when the running machine has an address by this source, V(yes) is any. The result
        has it.
    type: str
    default: 'no'
    choices:
      - 'no'
      - 'yes'
      - lease
      - agent
      - arp
  brief:
    description:
      - Tell of the machine afterwards only its name, UUID and state, which spares reading its definition.
    type: bool
    default: false
"""

    VM_IMPORT = r"""
options:
  name:
    description:
      - Name of a domain, or a pattern like web*.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  state:
    description:
      - Whether it is to be managed.
    type: str
    default: present
    choices:
      - present
      - absent
"""

    VM_TAGS = r"""
options:
  name:
    description:
      - Name of the machine.
    type: str
  uuid:
    description:
      - UUID of the machine.
    type: str
  names:
    description:
      - Names of several machines, or patterns like web* of those that are there, in place of a name.
    type: list
    elements: str
  tags:
    description:
      - 'Tags, each of 1 to 64 letters, digits and C(. _ : -) that begins with a letter or digit; 64 at
        most.'
    type: list
    required: true
    elements: str
  tags_mode:
    description:
      - V(add) them to those that are there, V(set) them and no others (an empty list is none), or V(remove)
        them.
    type: str
    default: add
    choices:
      - add
      - set
      - remove
"""

    HYPERVISOR_TAGS = r"""
options:
  tags:
    description:
      - 'Tags, each of 1 to 64 letters, digits and C(. _ : -) that begins with a letter or digit; 64 at
        most.'
    type: list
    required: true
    elements: str
  tags_mode:
    description:
      - V(add) them to those that are there, V(set) them and no others (an empty list is none), or V(remove)
        them.
    type: str
    default: add
    choices:
      - add
      - set
      - remove
"""

    HYPERVISOR_INFO = r"""
options:
  health:
    description:
      - 'Tell also how it is doing: CPU, memory, swap, load, room, uptime. Takes half a second.'
    type: bool
    default: false
  vms:
    description:
      - Names or patterns of machines that are on, to tell what they use too. Takes half a second, and
        QEMU 4 ms a machine.
    type: list
    elements: str
  history:
    description:
      - 'Tell also what was measured in the last so many minutes, up to a week. The agent keeps it: half
        a minute apart for an hour, then ten minutes.'
    type: int
"""
