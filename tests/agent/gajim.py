# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client on nbxmpp, Gajim's library: it runs a command and fills its forms in as Gajim does.

Run by Debian's own Python, which has the library. Read from standard input: ``{"user", "domain", "password", "host",
"certificates", "contact", "node", "forms"}``, the last one values by field for each form that comes. Written to
standard output, as JSON: the fields of each form, the notes, and the result's fields.
"""

import json
import sys

from gi.repository import Gio, GLib
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.errors import BaseError
from nbxmpp.modules.dataforms import extend_form
from nbxmpp.protocol import JID
from nbxmpp.structs import AdHocCommand

asked = json.load(sys.stdin)
told = {"forms": [], "notes": [], "result": {}}
loop = GLib.MainLoop()


def execute(command, action=None, form=None):
    client.get_module("AdHoc").execute_command(command, action, form, callback=answered)


def answered(task):
    try:
        command = task.finish()
        form = extend_form(node=command.data) if command.data is not None else None
        if command.is_completed:
            told["notes"] = [note.text for note in command.notes]
            if form is not None and not form.is_reported:
                told["result"] = {field.var: field.value for field in form.iter_fields()}
            client.disconnect()
            return
        told["forms"].append({field.var: described(field) for field in form.iter_fields()})
        for name, value in asked["forms"].pop(0).items():
            form[name].value = value
        if not form.is_valid():
            raise ValueError("the form cannot be submitted: a field that is needed is empty")
        form = form.get_purged()
        form.type_ = "submit"
        execute(command, command.default, form)
    except (BaseError, LookupError, ValueError) as error:
        told["error"] = repr(error)
        client.disconnect()


def described(field):
    options = [value for _label, value in getattr(field, "options", ())]
    return {"type": field.type_, "label": field.label, "required": field.required, "options": options}


def lost(client, signal):
    if not told["notes"]:
        told.setdefault("error", f"{signal}: {client.get_error()}")
    loop.quit()


client = Client(log_context="gajim")
client.set_domain(asked["domain"])
client.set_username(asked["user"])
client.set_resource("gajim")
client.set_password(asked["password"])
client.set_custom_host(asked["host"], ConnectionProtocol.TCP, ConnectionType.START_TLS)
client.set_connection_types([ConnectionType.START_TLS])
# The certificates themselves are what it accepts; it takes authorities from the system only.
client.set_accepted_certificates(Gio.TlsCertificate.list_new_from_file(asked["certificates"]))
command = AdHocCommand(jid=JID.from_string(asked["contact"]), name=None, node=asked["node"])
client.subscribe("connected", lambda *_signal: execute(command))
client.subscribe("disconnected", lost)
client.subscribe("connection-failed", lost)
client.connect()
GLib.timeout_add_seconds(30, loop.quit)
loop.run()
json.dump(told, sys.stdout)
