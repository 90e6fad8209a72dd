# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's screen and keyboard, and where they can be reached."""

from __future__ import annotations

import base64
import datetime
import functools
import secrets
import string
import time
import typing as t

from . import keyboard, xmltree
from .actions import SECRET, OfMachine, Result, Secret, action
from .connection import doing, libvirt
from .elements import Change
from .errors import Conflict, InvalidArgument, NotFound, OperationFailed
from .host import Check, Host, Name, Uuid
from .lifecycle import ACTIVE
from .machine import Machine
from .picture import draw
from .plan import Plan

# Pictures by default: base64 makes 4 bytes of 3, and the role's ejabberd takes stanzas of 4 MiB.
MAX_SIZE: t.Final = 1024
LARGEST_SIZE: t.Final = 2048
# What a driver may draw: 8K, three bytes a pixel.
_MAX_DRAWN: t.Final = 128 << 20
_PART: t.Final = 256 << 10  # libvirt's own
# The one who asked waits while keys are pressed.
_LONGEST: t.Final = 30
_PASSWORD_LENGTH: t.Final = 8  # VNC has no longer ones (RFC 6143, 7.2.2)
_LETTERS: t.Final = string.ascii_letters + string.digits
_WITH_PASSWORD: t.Final = ("vnc", "spice")
_LONGEST_ACCESS: t.Final = 86400


class Consoles(Host):
    """What can be asked of a hypervisor about the consoles of its machines."""

    @action(
        permission="console",
        changes=False,
        says="{msg}",
        of_machine=OfMachine("screenshot", phrases=("screenshot",)),
    )
    def vm_screenshot(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        screen: t.Annotated[int, "Which of the machine's screens, from 0."] = 0,
        max_size: t.Annotated[
            int,
            "KiB that the picture has at most, up to 2048. A larger one is made of every second pixel each way, every"
            " third …",
        ] = MAX_SIZE,
        check: Check = False,
    ) -> Result:
        """Take a picture of what a machine's screen shows."""
        if not 0 < max_size <= LARGEST_SIZE:
            raise InvalidArgument(f"max_size: {max_size} is not possible; it is 1 to {LARGEST_SIZE}.")
        if screen < 0:
            raise InvalidArgument(f"screen: {screen} is not possible; the first is 0.")
        machine = self._on(name, uuid, check)
        if machine is None:
            return {"changed": False, "msg": _not_yet(name or uuid), "screenshot": None}
        picture = draw(self._drawn(machine, screen), max_size << 10)
        return {
            "changed": False,
            "msg": f"{machine.name}'s screen {screen}, {picture.width} × {picture.height}.",
            "screenshot": {
                "name": machine.name,
                "uuid": machine.uuid,
                "screen": screen,
                "width": picture.width,
                "height": picture.height,
                "scale": picture.scale,
                "image": base64.b64encode(picture.png).decode("ascii"),
            },
        }

    def _drawn(self, machine: Machine, screen: int) -> bytes:
        """virDomainScreenshot, in the format of the driver: PPM of QEMU, PNG of the test driver."""
        drawn = bytearray()
        with doing(f"Draw the screen {screen} of {machine.name}"):
            stream = self.connection.handle.newStream()
            machine.domain.screenshot(stream, screen)
            while part := stream.recv(_PART):
                drawn += part
                if len(drawn) > _MAX_DRAWN:
                    stream.abort()
                    raise OperationFailed(f"The picture of {machine.name} is larger than any screen.")
            stream.finish()
        return bytes(drawn)

    @action(
        permission="console",
        changes=True,
        says="{msg}",
        of_machine=OfMachine("sendkey", phrases=("press {keys}",), says="I have felt that."),
    )
    def vm_sendkey(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        keys: t.Annotated[
            t.Optional[list[str]],
            "Keys to press one after another, by Linux's names with or without V(KEY_), in any case; those that are"
            " pressed together are joined by a plus: V(ctrl+alt+delete). In a codeset other than V(linux) they are"
            " numbers.",
        ] = None,
        text: t.Annotated[
            t.Optional[str],
            "Text to type instead, on a keyboard of the US layout; a new line is the key enter.",
            SECRET,
        ] = None,
        codeset: t.Annotated[keyboard.Codeset, "The codeset of the keys, as libvirt calls it."] = "linux",
        holdtime: t.Annotated[int, "Milliseconds for which each is held."] = 50,
        check: Check = False,
    ) -> Result:
        """Press keys on a machine's keyboard."""
        if (keys is None) == (text is None):
            raise InvalidArgument("Give keys to press, or text to type.")
        chords = [keyboard.chord(written, codeset) for written in keys or ()] + keyboard.typed(text or "")
        if holdtime < 1 or len(chords) * holdtime > _LONGEST * 1000:
            raise InvalidArgument(
                f"{len(chords)} keys of {holdtime} ms are not possible; more than 0, and {_LONGEST} s in all, are."
            )
        machine = self._on(name, uuid, check)
        pressed = Change("keys", None, keys, "live") if keys is not None else Change("text", None, text, "live")
        plan = Plan()
        if chords:
            codes = 0 if text is not None else keyboard.number_of(codeset)
            plan.add([pressed], lambda: _press(t.cast(Machine, machine), codes, chords, holdtime))
        if not check:
            plan.run()
        result = plan.result(machine.name if machine else _not_yet(name or uuid), check=check)
        told = f"{len(chords)} {'key' if len(chords) == 1 else 'keys'}"
        if machine is not None:
            result["msg"] = f"{machine.name}: {told} {'would be ' if check else ''}pressed."
        return result

    @action(
        permission="console",
        changes=True,
        says=lambda r: _told(r, r["console"] and r["console"]["name"]),
        of_machine=OfMachine(
            "console",
            phrases=("console", "console for {access_for} seconds"),
            says=lambda r: _told(r, "I"),
        ),
    )
    def vm_console_info(
        self,
        *,
        name: Name = None,
        uuid: Uuid = None,
        access_for: t.Annotated[
            t.Optional[int],
            "Let somebody in: give VNC and SPICE a new random password that is valid for so many seconds, and tell it."
            " The password before it is no longer valid.",
        ] = None,
        check: Check = False,
    ) -> Result:
        """Tell where the consoles of a machine can be reached while it is on."""
        if access_for is not None and not 0 < access_for <= _LONGEST_ACCESS:
            raise InvalidArgument(f"access_for: {access_for} is not possible; it is 1 to {_LONGEST_ACCESS} seconds.")
        machine = self._meant(name, uuid, check) if access_for is None else self._on(name, uuid, check)
        plan = Plan()
        password, until = None, None
        if machine is not None and access_for is not None:
            password = Secret("".join(secrets.choice(_LETTERS) for _letter in range(_PASSWORD_LENGTH)))
            until = f"{_now() + datetime.timedelta(seconds=access_for):%Y-%m-%dT%H:%M:%S}"
            self._plan_access(plan, machine, password, until)
        if not check:
            plan.run()
        else:
            password = until = None
        result = plan.result(machine.name if machine else _not_yet(name or uuid), check=check)
        result["console"] = machine and _described(machine, password, until)
        return result if result["changed"] else {**result, "msg": _told(result, machine.name if machine else "")}

    def _plan_access(self, plan: Plan, machine: Machine, password: Secret, until: str) -> None:
        found = machine.document(secure=True).iterfind("devices/graphics")
        graphics = [node for node in found if node.get("type") in _WITH_PASSWORD]
        if not graphics:
            raise NotFound(f"{machine.name} has neither VNC nor SPICE; give it graphics, and restart it.")
        for node in graphics:
            old = Secret(node.get("passwd")) if node.get("passwd") else None
            change = Change(f"graphics[{node.get('type')}].password", old, password, "live")
            node.set("passwd", password)
            node.set("passwdValidTo", until)
            plan.add([change], functools.partial(_update_graphics, machine, node, new=old is None))

    def _meant(self, name: str | None, uuid: str | None, check: bool) -> Machine | None:
        """The machine; None in check mode for one that an earlier task would have made."""
        return self.find(name=name, uuid=uuid) if check else self.machine(name, uuid)

    def _on(self, name: str | None, uuid: str | None, check: bool) -> Machine | None:
        """The machine, that is on; None in check mode for one that an earlier task would have made or started."""
        machine = self._meant(name, uuid, check)
        state = machine.status[0] if machine else "absent"
        if state in ACTIVE:
            return machine
        if check:
            return None
        raise Conflict(
            f"{t.cast(Machine, machine).name} is {state}: it has neither screen nor keyboard. Start it first."
        )


def _update_graphics(machine: Machine, node: t.Any, *, new: bool) -> None:
    try:
        with doing(f"Set the password of {machine.name}'s {node.get('type')}"):
            machine.domain.updateDeviceFlags(xmltree.serialise(node), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except OperationFailed as error:
        if new:
            # QEMU does not begin to ask for a password while it runs.
            error = OperationFailed(
                f"{error.message} It was started without one: give its graphics a password, restart it."
            )
        raise error


def _press(machine: Machine, codeset: int, chords: t.Sequence[tuple[int, ...]], holdtime: int) -> None:
    for number, codes in enumerate(chords, 1):
        with doing(f"Press key {number} of {len(chords)} of {machine.name}"):
            machine.domain.sendKey(codeset, holdtime, list(codes), len(codes))
        # libvirt does not wait while QEMU holds the keys, and QEMU forgets those that come too fast.
        time.sleep(holdtime / 1000)


def _described(machine: Machine, password: Secret | None, until: str | None) -> Result:
    """``password`` and ``until``, where they were just set."""
    state = machine.status[0]
    devices = machine.document(secure=True).find("devices") if state in ACTIVE else None
    return {
        "name": machine.name,
        "uuid": machine.uuid,
        "hypervisor": machine.hypervisor.name,
        "state": state,
        "graphics": [_graphics(node) for node in devices.findall("graphics")] if devices is not None else [],
        "serials": [_serial(node) for node in _serials(devices)] if devices is not None else [],
        "password": None if password is None else str(password),
        "valid_until": f"{until}Z" if until else None,
    }


def _graphics(node: t.Any) -> Result:
    until = node.get("passwdValidTo")
    return {
        "type": node.get("type"),
        "address": xmltree.read(node, "listen/@address") or node.get("listen"),
        "port": _port(node.get("port")),
        "tls_port": _port(node.get("tlsPort")),
        "websocket": _port(node.get("websocket")),
        "socket": xmltree.read(node, "listen/@socket") or node.get("socket"),
        "protected": node.get("passwd") is not None,
        "valid_until": f"{until}Z" if until else None,
    }


def _port(text: str | None) -> int | None:
    """libvirt writes -1 for a port that is chosen later."""
    return int(text) if text and int(text) > 0 else None


def _serials(devices: t.Any) -> list[t.Any]:
    """Serial ports, and consoles that are none: libvirt tells the first serial port as a console once more."""
    consoles = [node for node in devices.findall("console") if xmltree.read(node, "target/@type") != "serial"]
    return [*devices.findall("serial"), *consoles]


def _serial(node: t.Any) -> Result:
    service = xmltree.read(node, "source/@service")
    return {
        "type": node.get("type"),
        "target": xmltree.read(node, "target/@type"),
        "number": int(xmltree.read(node, "target/@port") or 0),
        "path": xmltree.read(node, "source/@path"),
        "address": xmltree.read(node, "source/@host"),
        "port": int(service) if service and service.isdigit() else None,
        "log": xmltree.read(node, "log/@file"),
    }


def _not_yet(who: str | None) -> str:
    return f"{who} (not there, or off yet)"


def _told(result: t.Mapping[str, t.Any], who: str) -> str:
    """Where the consoles are, in a sentence."""
    console = result["console"]
    if console is None:
        return str(result["msg"])
    ways = [f"{at['type']} at {at['socket'] or at['address']} port {at['port']}" for at in console["graphics"]]
    ways += [f"a serial port at {at['path'] or at['address']}" for at in console["serials"]]
    sentence = f"{who} can be reached on {console['hypervisor']} by {', '.join(ways) or 'no console'}."
    if console["password"]:
        sentence += f" The password is {console['password']}, until {console['valid_until']}."
    return sentence


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
