# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from archipel import definition, xmltree
from archipel.capabilities import Capabilities
from archipel.definition import METADATA, OPTIONS, Definition
from archipel.disks import DISK
from archipel.elements import Attribute, Element, Map
from archipel.errors import InvalidArgument, InvalidDefinition, InvalidRequest, Unsupported
from archipel.groups import Part
from lxml import etree

from tests.attributes import beside, declared, name, samples, task

DECLARED = [pytest.param(part, attribute, id=name(part, attribute)) for part, attribute in declared()]
STORED = [parameter for parameter in DECLARED if parameter.values[1].path]
SCHEMA = pathlib.Path("/usr/share/libvirt/schemas/domain.rng")


@pytest.fixture(scope="session")
def schema() -> t.Any:
    return etree.RelaxNG(etree.parse(SCHEMA))


@pytest.fixture
def offers(data: pathlib.Path) -> Capabilities:
    """What a host with QEMU, without KVM, can."""
    return Capabilities(xmltree.parse_trusted((data / "domcapabilities.xml").read_text()))


def made(wanted: dict[str, t.Any], offers: Capabilities | None = None) -> t.Any:
    """A new machine of QEMU."""
    values = Definition.bind({"memory": 512, **wanted}, "").values
    defaults = {"type": "qemu", "arch": "x86_64", "machine": "q35"}
    node = definition.new("one", None, {**defaults, **{k: values[k] for k in defaults if k in values}}, values, offers)
    definition.apply(node, values)
    return node


@pytest.fixture
def defined(data: pathlib.Path) -> t.Any:
    """A machine of QEMU as libvirt has completed it."""
    return xmltree.parse_trusted((data / "defined.xml").read_text())


def apply(node: t.Any, **wanted: t.Any) -> list[tuple[str, t.Any, t.Any]]:
    return [(c.path, c.old, c.new) for c in definition.apply(node, Definition.bind(wanted, "").values)]


@pytest.mark.parametrize(("part", "attribute"), STORED)
def test_each_attribute_is_read_as_it_was_written(part: Part, attribute: Attribute) -> None:
    """What is written is told, is no difference, and another value is one."""
    node = xmltree.element(part.tag if part.path != "." else "domain")
    one, other = samples(attribute)
    part.write(node, beside(part, attribute))
    for value in (one, other):
        part.write(node, {attribute.key: value})
        node = xmltree.parse_trusted(xmltree.serialise(node))
        told = part.read(node)[attribute.key]
        assert value.items() <= told.items() if isinstance(attribute, Map) else told == value
        assert part.compare(node, {attribute.key: value}) == []
    if isinstance(attribute, Map):
        one = dict.fromkeys(other, "")
        other = {name: text for name, text in told.items() if name in one}
    change = part.compare(node, {attribute.key: one}, "here.")[0]
    assert (change.path, change.old, change.new) == (f"here.{attribute.key}", other, one)


@pytest.mark.parametrize(("part", "attribute"), STORED)
def test_each_attribute_makes_a_machine_that_libvirt_takes(part: Part, attribute: Attribute, schema: t.Any) -> None:
    """A new machine and one that is changed are as libvirt's schema wants them, say what was asked for, and the same
    task finds nothing to do."""
    if part is METADATA:
        return
    one, other = samples(attribute)
    node = made(task(part, attribute, one))
    for value in (one, other):
        wanted = Definition.bind(task(part, attribute, value), "").values
        definition.apply(node, wanted)
        assert definition.apply(node, wanted) == []
        text = xmltree.serialise(node)
        assert schema.validate(etree.fromstring(text)), f"{schema.error_log.last_error}\n{text}"


@pytest.mark.parametrize(("part", "attribute"), STORED)
def test_each_text_is_taken_away_by_an_empty_one(part: Part, attribute: Attribute) -> None:
    """And where nothing is, an empty text is no difference."""
    if attribute.type is not str or attribute.key == "firmware":
        return
    node = xmltree.element(part.tag if part.path != "." else "domain")
    assert part.compare(node, {attribute.key: ""}) == []
    part.write(node, {**beside(part, attribute), attribute.key: samples(attribute)[0]})
    part.write(node, {attribute.key: ""})
    assert part.read(node)[attribute.key] is None


@pytest.mark.parametrize(("part", "attribute"), DECLARED)
def test_each_attribute_is_an_option_with_help(part: Part, attribute: Attribute) -> None:
    """Documentation derives from the declaration."""
    option = part.options()[attribute.key]
    assert option["help"].endswith(".")
    assert option["type"] in {"str", "int", "bool", "list", "dict"}
    assert list(option.get("choices", [])) == ([] if isinstance(attribute, Map) else list(attribute.choices))


@pytest.mark.parametrize(("part", "attribute"), DECLARED)
def test_each_attribute_binds_its_type_only(part: Part, attribute: Attribute) -> None:
    """A wrong type is refused with the path to it; None counts as not named."""
    value = samples(attribute)[0]
    assert Element.bind(part, {attribute.key: value}, "x") == {attribute.key: value}
    assert Element.bind(part, {attribute.key: None}, "x") == {}
    with pytest.raises(InvalidArgument, match=rf"x\.{attribute.key}: .* is not of type"):
        Element.bind(part, {attribute.key: [{"a": 1}] if attribute.type is not list else {"a": 1}}, "x")


@pytest.mark.parametrize(("part", "attribute"), [p for p in DECLARED if p.values[1].offered])
def test_each_attribute_that_hosts_differ_in_is_refused_with_what_the_host_can(
    part: Part, attribute: Attribute
) -> None:
    """Where it has something else, and where it has nothing of the kind; where it does not tell, libvirt decides."""
    place, _slash, name = attribute.offered.rpartition("/")
    if place == "cpu":
        return
    wanted = Definition.bind(task(part, attribute, samples(attribute)[-1]), "").values
    node = xmltree.element("domainCapabilities")
    definition.refuse_missing(wanted, Capabilities(node))
    holder = xmltree.write(node, f"{place}?", "")
    holder.append(xmltree.element("enum", name=name))
    holder[0].append(xmltree.element("value"))
    holder[0][0].text = "other"
    with pytest.raises(
        Unsupported, match=rf"{part.key}.*{attribute.key}: .* not possible on this host; it can: other\."
    ):
        definition.refuse_missing(wanted, Capabilities(node))
    holder.set("supported", "no")
    with pytest.raises(Unsupported, match="it can none of that"):
        definition.refuse_missing(wanted, Capabilities(node))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "mapping"),
        ({"memori": 1}, "unknown key 'memori'. Did you mean memory"),
        ({"disks": [{"path": "/b"}, {"paht": "/a"}]}, r"disks\[1\]: unknown key 'paht'. Did you mean path"),
        ({"disks": {"path": "/a"}}, "disks: a list is needed"),
        ({"disks": ["/a"]}, r"disks\[0\]: a mapping is needed"),
        ({"cpu": "host"}, "cpu: a mapping is needed"),
        ({"memory": "1 GiB"}, "memory: '1 GiB' is not of type int"),
        ({"memory": 0}, "memory: 0 is too small"),
        ({"memory": 512, "max_memory": 256}, "memory: 512 is more than max_memory, 256"),
        ({"vcpus": 3, "max_vcpus": 2}, "vcpus: 3 is more than max_vcpus, 2"),
        ({"vcpus": True}, "vcpus: 'True' is not of type int"),
        ({"cpu": {"mode": "best"}}, "cpu.mode: 'best' is not possible"),
        ({"cpu": {"mode": "host-model", "model": "EPYC"}}, "leave model out"),
        ({"boot": {"kernel": "vmlinuz"}}, "boot.kernel: 'vmlinuz' must be absolute"),
        ({"boot": {"devices": ["hd", "tape"]}}, r"boot.devices\[1\]: 'tape' is not possible"),
        ({"boot": {"devices": ["hd"]}, "disks": [{"target": "vda", "boot_order": 1}]}, "two orders"),
        ({"metadata": {"title": "a\x07b"}}, "metadata.title: has a control character, .*; leave it out"),
        ({"metadata": {"title": "a\ud800b"}}, "metadata.title: .* has characters that no text has"),
        ({"metadata": {"title": "a\uffffb"}}, "metadata.title: has a control character"),
        ({"metadata": {"title": "two\nlines"}}, "metadata.title: a title is one line"),
        ({"disks": [{"path": "/a", "pool": "p"}]}, r"disks\[0\]: path and pool name two places"),
        ({"disks": [{"path": "a.qcow2"}]}, r"disks\[0\].path: 'a.qcow2' must be absolute"),
        ({"disks": [{"size": 1}]}, r"disks\[0\]: size needs the pool"),
        ({"disks": [{"vol": "a", "path": "/a"}]}, "two places"),
        ({"disks": [{"pool": "p", "vol": "../a"}]}, "without a slash"),
        ({"disks": [{"bus": "virtio"}]}, r"disks\[0\]: name its path, its pool, or the target"),
        ({"networks": [{}]}, r"networks\[0\]: name a network, a bridge, or a type"),
        ({"networks": [{"network": "a", "bridge": "b"}]}, "two places"),
        ({"networks": [{"network": "a", "type": "bridge"}]}, "type bridge does not go with network"),
        ({"networks": [{"type": "network"}]}, "type network needs the name"),
        ({"networks": [{"network": "a", "mac": "1:2"}]}, r"networks\[0\].mac: '1:2' is not a MAC address"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(wanted: t.Any, reason: str) -> None:
    """Unknown keys name the nearest; contradictions say what contradicts what."""
    with pytest.raises(InvalidRequest, match=reason):
        Definition.bind(wanted, "definition")


def test_options_tell_every_key_with_help() -> None:
    """What modules take is what a definition binds."""
    for key, option in OPTIONS.items():
        assert option["help"]
        inner = dict.fromkeys(option.get("options", {}))
        Definition.bind({key: [] if option["type"] == "list" else inner if inner else None}, "")


def test_a_machine_of_qemu_is_read_in_a_persons_words(defined: t.Any) -> None:
    """Files and block devices are paths, units are MiB, what is not said is None."""
    told = definition.read(defined)
    assert (told["type"], told["memory"], told["vcpus"], told["machine"]) == ("qemu", 256, 2, "pc-q35-7.2")
    assert (told["cpu"]["mode"], told["cpu"]["model"], told["cpu"]["cores"]) == ("host-model", None, None)
    assert (told["tpm"], told["rng"]["device"], told["guest_agent"]) == (None, "/dev/urandom", True)
    assert told["boot"]["devices"] == ["hd", "network"]
    assert [(d["target"], d["path"], d["device"]) for d in told["disks"]] == [
        ("vda", "/var/lib/libvirt/images/web1.qcow2", "disk"),
        ("vdb", "/dev/vg0/data", "disk"),
        ("vdc", None, "disk"),
        ("sda", None, "cdrom"),
    ]
    assert [(n["type"], n["network"], n["bridge"]) for n in told["networks"]] == [
        ("network", "default", None),
        ("bridge", None, "br0"),
    ]


def test_a_running_machine_is_read_as_it_runs(data: pathlib.Path) -> None:
    """Its CPU is the one that libvirt chose."""
    told = definition.read(xmltree.parse_trusted((data / "running.xml").read_text()))
    assert told["cpu"]["mode"] == "custom"
    assert told["cpu"]["model"]
    assert told["disks"][0]["readonly"] is True


@pytest.mark.parametrize(
    "wanted",
    [
        {"memory": 256, "vcpus": 2, "arch": "x86_64", "machine": "pc-q35-7.2", "cpu": {"mode": "host-model"}},
        {"boot": {"devices": ["hd", "network"]}},
        {"disks": [{"path": "/var/lib/libvirt/images/web1.qcow2", "format": "qcow2"}, {"path": "/dev/vg0/data"}]},
        {"disks": [{"target": "vdb", "path": "/dev/vg0/data"}]},
        {"disks": [{"device": "cdrom"}]},
        {"networks": [{"network": "default", "model": "virtio"}]},
        {"networks": [{"bridge": "br0"}, {"network": "default"}]},
        {"networks": [{"mac": "52:54:00:AB:CD:EF", "bridge": "br0"}]},
    ],
)
def test_what_is_there_is_no_change(defined: t.Any, wanted: dict[str, t.Any]) -> None:
    """Only what is named is compared, in whatever order devices are named."""
    before = xmltree.serialise(defined)
    assert apply(defined, **wanted) == []
    assert xmltree.serialise(defined) == before


def test_a_list_is_emptied_by_an_empty_one(defined: t.Any) -> None:
    """And where there is none, an empty list is no difference."""
    assert apply(defined, boot={"devices": []}) == [("boot.devices", ["hd", "network"], [])]
    assert apply(defined, boot={"devices": []}) == []


@pytest.mark.parametrize(
    ("there", "asked", "amounts"),
    [
        ((256, 256), {"memory": 512}, (512, 512)),
        ((256, 256), {"memory": 128}, (128, 128)),
        ((256, 512), {"memory": 384}, (384, 512)),
        ((256, 512), {"memory": 768}, (768, 768)),
        ((256, 512), {"max_memory": 1024}, (256, 1024)),
        ((256, 512), {"max_memory": 128}, (128, 128)),
        ((256, 256), {"memory": 128, "max_memory": 256}, (128, 256)),
        ((256, 512), {"memory": 128, "max_memory": 1024}, (128, 1024)),
        ((None, 256), {"memory": 128, "max_memory": 256}, (128, 256)),
        ((None, 256), {"max_memory": 512}, (256, 512)),
    ],
)
@pytest.mark.parametrize(
    ("amount", "now", "most"), [("memory", "currentMemory", "memory"), ("vcpus", "vcpu/@current", "vcpu")]
)
def test_an_amount_and_its_maximum_stay_together_until_both_are_named(
    there: tuple[int | None, int],
    asked: dict[str, int],
    amounts: tuple[int, int],
    amount: str,
    now: str,
    most: str,
) -> None:
    """A maximum follows what the machine has where there never was more; it is never below it."""
    node = xmltree.parse_trusted("<domain/>")
    unit = 1024 if amount == "memory" else 1
    xmltree.write(node, most, str(there[1] * unit))
    if there[0]:
        xmltree.write(node, now, str(there[0] * unit))
    wanted = {key.replace("memory", amount): value for key, value in asked.items()}
    assert apply(node, **wanted)
    told = definition.read(node)
    assert (told[amount], told[f"max_{amount}"]) == amounts
    assert apply(node, **wanted) == []


def test_cpus_told_one_by_one_are_forgotten_with_their_number(defined: t.Any) -> None:
    """libvirt refuses a list of CPUs that does not fit the number."""
    xmltree.write(defined, "vcpus/vcpu/@id", "0")
    apply(defined, vcpus=4)
    assert defined.find("vcpus") is None


def test_another_way_to_choose_the_cpu_forgets_the_old_one(data: pathlib.Path) -> None:
    """Model and features of a custom CPU do not go with host-passthrough; its topology does."""
    node = xmltree.parse_trusted((data / "running.xml").read_text())
    xmltree.write(node, "cpu/topology/@sockets", "1")
    apply(node, cpu={"mode": "host-passthrough"})
    cpu = node.find("cpu")
    assert dict(cpu.attrib) == {"mode": "host-passthrough"}
    assert [child.tag for child in cpu] == ["topology"]


@pytest.mark.parametrize(
    ("path", "kind", "at"), [("/new.qcow2", "file", "source/@file"), ("/dev/sdc", "block", "source/@dev")]
)
def test_a_disks_data_can_be_elsewhere(defined: t.Any, path: str, kind: str, at: str) -> None:
    """A file or a block device; what belonged to the old source goes."""
    assert apply(defined, disks=[{"target": "vdb", "path": path}]) == [("disks[vdb].path", "/dev/vg0/data", path)]
    disk = defined.findall("devices/disk")[1]
    assert (disk.get("type"), xmltree.read(disk, at), len(disk.findall("source"))) == (kind, path, 1)
    assert len(disk.find("source").attrib) == 1


def test_a_medium_is_put_in_and_taken_out(defined: t.Any) -> None:
    """An empty path empties the drive."""
    assert apply(defined, disks=[{"device": "cdrom", "path": "/a.iso", "target": "sda"}]) == [
        ("disks[sda].path", None, "/a.iso")
    ]
    assert apply(defined, disks=[{"target": "sda", "path": ""}]) == [("disks[sda].path", "/a.iso", "")]
    assert apply(defined, disks=[{"target": "sda", "path": ""}]) == []


def test_a_new_disk_gets_a_target_that_is_free(defined: t.Any) -> None:
    """By its bus; a block device is raw, a file qcow2 by default."""
    apply(defined, disks=[{"path": "/n.qcow2"}, {"path": "/dev/n"}, {"path": "/n.iso", "device": "cdrom"}])
    told = {d["path"]: d for d in definition.read(defined)["disks"]}
    assert (told["/n.qcow2"]["target"], told["/n.qcow2"]["format"]) == ("vdd", "qcow2")
    assert (told["/dev/n"]["target"], told["/dev/n"]["format"]) == ("vde", "raw")
    assert (told["/n.iso"]["target"], told["/n.iso"]["bus"], told["/n.iso"]["readonly"]) == ("sdb", "sata", True)


def test_a_disk_that_is_not_there_cannot_be_changed(defined: t.Any) -> None:
    """A target alone means a disk that is there; to make one, more must be said."""
    with pytest.raises(InvalidDefinition, match="There is no disk vdx"):
        apply(defined, disks=[{"target": "vdx", "cache": "none"}])
    with pytest.raises(InvalidDefinition, match="no interface with the MAC address 52:54:00:00:00:99"):
        apply(defined, networks=[{"mac": "52:54:00:00:00:99", "model": "e1000"}])


def test_targets_come_to_an_end(defined: t.Any) -> None:
    """The 27th disk must be named."""
    with pytest.raises(InvalidDefinition, match="name a target"):
        DISK.make({"path": "/a", "bus": "virtio"}, defined, [f"vd{chr(97 + i)}" for i in range(26)])


def macs(node: t.Any) -> list[tuple[t.Any, t.Any, str]]:
    return [(n["network"], n["bridge"], (n["mac"] or "")[-2:]) for n in definition.read(node)["networks"]]


def test_interfaces_keep_their_macs_whatever_is_named_before_them(defined: t.Any) -> None:
    """One that is connected as asked is not taken for another."""
    before = macs(defined)
    changes = apply(defined, networks=[{"network": "new"}, {"bridge": "br0"}, {"network": "default"}])
    assert [path for path, _old, _new in changes] == ["networks[0]"]
    assert macs(defined)[:2] == before


def test_an_interface_is_connected_elsewhere_with_its_mac(defined: t.Any) -> None:
    """Where nothing else means it."""
    changes = apply(defined, networks=[{"network": "new"}, {"bridge": "br0"}])
    assert changes == [("networks[0].network", "default", "new")]
    assert macs(defined) == [("new", None, "5e"), (None, "br0", "ef")]


@pytest.mark.parametrize(
    ("wanted", "in_os", "in_devices"),
    [
        ({"disks": [{"target": "vda", "boot_order": 1}]}, 0, 1),
        ({"disks": [{"target": "vda", "boot_order": 1}], "networks": [{"network": "default", "boot_order": 2}]}, 0, 2),
        ({"boot": {"devices": ["cdrom"]}}, 1, 0),
    ],
)
def test_the_order_of_boot_devices_is_in_one_place(
    defined: t.Any, wanted: dict[str, t.Any], in_os: int, in_devices: int
) -> None:
    """libvirt refuses an order of devices beside one of kinds, and makes the latter by itself."""
    apply(defined, disks=[{"target": "vda", "boot_order": 3}])
    apply(defined, **wanted)
    assert (len(defined.findall("os/boot")), len(defined.findall("devices/*/boot"))) == (in_os, in_devices)
    assert apply(defined, **wanted) == []


ALIASES = {"q35": "pc-q35-9.1", "pc": "pc-i440fx-9.1", "virt": "virt-9.1"}


@pytest.mark.parametrize(
    ("wanted", "current", "meant"),
    [
        ("q35", None, "pc-q35-9.1"),
        ("q35", "pc-q35-9.1", "pc-q35-9.1"),
        ("q35", "pc-q35-7.2", "pc-q35-7.2"),
        ("q35", "pc-q35-rhel9.2.0", "pc-q35-rhel9.2.0"),
        ("q35", "pc-i440fx-9.1", "pc-q35-9.1"),
        ("pc-q35-8.0", "pc-q35-7.2", "pc-q35-8.0"),
        ("virt", "virt-7.2", "virt-7.2"),
        ("microvm", "pc-q35-7.2", "microvm"),
    ],
)
def test_a_machine_keeps_the_version_of_its_type(wanted: str, current: str | None, meant: str) -> None:
    """An alias asks for a kind, whatever version it stands for by now; a full name for itself."""
    assert definition.machine_type(wanted, current, ALIASES) == meant


@pytest.mark.parametrize(("module", "key"), [("vm", "vm"), ("vm_info", "vms")])
def test_modules_document_all_that_is_told(module: str, key: str, data: pathlib.Path) -> None:
    """Each part of a definition is a documented key of the machine that the module returns."""
    source: dict[str, t.Any] = {}
    text = (data.parents[1] / "plugins/modules" / f"{module}.py").read_text()
    exec(text.partition("\nfrom ansible_collections")[0], source)
    documented = yaml.safe_load(source["RETURN"])[key]["contains"]
    for part, option in OPTIONS.items():
        assert documented[part]["type"] == option["type"], part
