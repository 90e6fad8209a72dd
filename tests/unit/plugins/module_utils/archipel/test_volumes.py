# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes on libvirt's own storage driver, and on the test driver what has to do with machines."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import pathlib
import shutil
import threading
import typing as t

import pytest
from archipel import storage
from archipel.errors import (
    Conflict,
    Forbidden,
    InvalidArgument,
    InvalidDefinition,
    NotFound,
    OperationFailed,
    Unavailable,
    Unsupported,
    WaitTimeout,
)
from archipel.hypervisor import ACTIONS

Run = t.Callable[..., dict[str, t.Any]]
MIB = 1 << 20


def paths(result: dict[str, t.Any]) -> list[str]:
    return [change["path"] for change in result["changes"]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    """8 MiB, of which the second half and some more are zeros."""
    file = tmp_path / "image.raw"
    file.write_bytes(os.urandom(2 * MIB) + bytes(MIB) + os.urandom(MIB) + bytes(4 * MIB))
    return file


def test_a_volume_comes_grows_and_goes(store: t.Any) -> None:
    """Check mode tells what the run does, and a second run does nothing."""
    for asked in ({"size": "512MiB"}, {"size": 1}, {"state": "absent"}):
        told = store.volume("a.qcow2", check=True, **asked)
        done = store.volume("a.qcow2", **asked)
        assert told["changed"]
        assert (told["changes"], told["diff"]) == (done["changes"], done["diff"])
        assert not store.volume("a.qcow2", check=True, **asked)["changed"]
        assert not store.volume("a.qcow2", **asked)["changed"]
    assert store.run("volume_info")["volumes"] == []


def test_volumes_in_mebibytes_work(store: t.Any) -> None:
    """Those of the nearest peer with unit='MiB' fail."""
    assert store.volume("a.qcow2", size="512MiB")["volume"]["capacity"] == 512 * MIB


def test_a_volume_is_sparse_unless_it_is_to_be_full(store: t.Any) -> None:
    for kind in ("qcow2", "raw"):
        sparse = store.volume(f"sparse.{kind}", size="8MiB", format=kind)["volume"]
        full = store.volume(f"full.{kind}", size="8MiB", format=kind, allocation="full")["volume"]
        assert sparse["allocation"] < MIB
        assert full["allocation"] >= 8 * MIB


def test_a_volume_never_shrinks_by_itself(store: t.Any) -> None:
    store.volume("a.qcow2", size="8MiB")
    with pytest.raises(Conflict, match="8MiB; made smaller, to 4MiB, it would lose data"):
        store.volume("a.qcow2", size="4MiB")
    assert store.volume("a.qcow2", size="4MiB", force=True)["volume"]["capacity"] == 4 * MIB


def test_a_size_that_is_rounded_is_no_change(store: t.Any) -> None:
    """Files have whole sectors."""
    store.volume("a.qcow2", size="1000b")
    assert not store.volume("a.qcow2", size="1000b")["changed"]


def test_what_does_not_change_in_place_is_said(store: t.Any) -> None:
    store.volume("base.qcow2", size="1MiB")
    store.volume("a.qcow2", size="1MiB")
    for asked, complaint in (
        ({"format": "raw"}, "is qcow2, not raw"),
        ({"backing": {"vol": "base.qcow2"}}, "is based on nothing, not on .*base.qcow2"),
        ({"encryption": {"credential": "x"}}, "is not encrypted, .*; make another volume"),
    ):
        with pytest.raises(Conflict, match=complaint):
            store.volume("a.qcow2", **asked)


def test_a_linked_volume_is_based_on_another(store: t.Any) -> None:
    """Its size is the other's where none is named, and its chain is told to the end."""
    store.volume("base.raw", size="4MiB", format="raw")
    store.volume("middle.qcow2", backing={"path": str(store.directory / "base.raw")})
    linked = {"backing": {"vol": "middle.qcow2"}, "size": "8MiB"}
    told = store.volume("top.qcow2", **linked)["volume"]
    assert (told["capacity"], [each["format"] for each in told["backing_chain"]]) == (8 * MIB, ["qcow2", "raw"])
    assert not store.volume("top.qcow2", **linked)["changed"]
    assert store.run("volume_info", name="middle.qcow2")["volumes"][0]["capacity"] == 4 * MIB


def test_a_volume_that_others_are_based_on_is_kept(store: t.Any) -> None:
    store.volume("base.qcow2", size="4MiB")
    store.volume("top.qcow2", backing={"vol": "base.qcow2"})
    with pytest.raises(Conflict, match="needed by the volume top.qcow2, and was not deleted"):
        store.volume("base.qcow2", state="absent")
    assert store.volume("base.qcow2", state="absent", force=True)["changed"]


def test_a_volume_is_a_copy_of_another(store: t.Any) -> None:
    """Of another size and format, if that is asked."""
    store.volume("a.qcow2", size="4MiB")
    copied = {"source": {"vol": "a.qcow2"}, "size": "8MiB", "format": "raw"}
    told = store.volume("b.raw", **copied)["volume"]
    assert (told["capacity"], told["format"], told["backing_chain"]) == (8 * MIB, "raw", [])
    assert not store.volume("b.raw", **copied)["changed"]


def test_a_copy_that_does_not_fit_its_size_is_not_left(store: t.Any) -> None:
    store.volume("a.qcow2", size="8MiB")
    with pytest.raises(Conflict, match="8MiB is what it needs.* half-made volume images/b.qcow2 was removed"):
        store.volume("b.qcow2", source={"vol": "a.qcow2"}, size="4MiB")
    assert [volume["name"] for volume in store.run("volume_info")["volumes"]] == ["a.qcow2"]


def test_what_a_volume_is_made_of_has_to_be_there(store: t.Any) -> None:
    """In check mode an earlier task may be about to put it there."""
    for asked in ({"backing": {"vol": "none"}}, {"source": {"vol": "none"}}, {"source": {"pool": "no", "vol": "a"}}):
        with pytest.raises(NotFound, match="here is no (volume 'none'|storage pool 'no')"):
            store.volume("a.qcow2", **asked)
        assert store.volume("a.qcow2", check=True, **asked)["changed"]
    with pytest.raises(NotFound, match="name its size, backing, source or content"):
        store.volume("a.qcow2")
    assert store.volume("a.qcow2", check=True)["changed"]


def test_a_pool_that_is_not_there_yet_passes_check_mode(store: t.Any) -> None:
    asked = {"name": "a.qcow2", "definition": {"size": 1}}
    assert "is not there or not active yet" in store.run("volume", pool="later", check=True, **asked)["msg"]
    with pytest.raises(NotFound, match="no storage pool 'later' here; there are: images"):
        store.run("volume", pool="later", **asked)
    assert not store.run("volume", pool="later", name="a.qcow2", state="absent")["changed"]
    store.run("pool", name=store.pool, state="inactive")
    with pytest.raises(Conflict, match="is not active; start it"):
        store.volume("a.qcow2", size=1)
    with pytest.raises(Conflict, match="is not active; start it"):
        store.volume("a.qcow2", state="absent", check=True)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"size": "much"}, "size: 'much' is no size"),
        ({"sise": 1}, "Did you mean size"),
        ({"format": "qocw2", "size": 1}, "unknown volume format type"),
        ({"backing": {"vol": "a"}, "source": {"vol": "a"}}, "three ways to begin"),
        ({"backing": {}}, "either its path, or its vol"),
        ({"backing": {"vol": "a"}, "format": "raw"}, "only qcow2 does"),
        ({"source": {"pool": "images"}}, "name the volume to copy"),
        ({"content": {}}, "either its path or its url"),
        ({"content": {"path": "a"}}, "must be absolute"),
        ({"content": {"url": "file:///etc/passwd"}}, "not a URL of http or https"),
        ({"content": {"url": "http://localhost/"}}, "needs its SHA-256"),
        ({"content": {"url": "http://me:secret@localhost/", "checksum": "0" * 64}}, "has a user's name"),
        ({"content": {"path": "/a", "checksum": "md5:0"}}, "is no SHA-256"),
        ({"content": {"path": "/a", "update": "always"}, "size": 1}, "size: it can change the content"),
        ({"encryption": {}, "size": 1}, "name the secret"),
        ({"encryption": {"credential": "x"}, "format": "qcow2", "size": 1}, "an encrypted volume is raw"),
        ({"download": "relative", "size": 1}, "download: an absolute path"),
        ({"download": "/a", "state": "absent"}, "of a volume that is present"),
    ],
)
def test_what_cannot_be_is_refused(store: t.Any, asked: dict[str, t.Any], complaint: str) -> None:
    with pytest.raises((InvalidArgument, InvalidDefinition), match=complaint):
        store.volume("a", **asked)
    assert store.run("volume_info")["volumes"] == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../etc/passwd", "a\nb"])
def test_a_name_stays_in_its_pool(store: t.Any, name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot be a volume's name"):
        store.volume(name, size=1)


def test_a_volume_whose_data_have_gone_is_not_made_anew(store: t.Any) -> None:
    """libvirt lists it until the pool is refreshed."""
    store.volume("a.raw", size="1MiB", format="raw")
    (store.directory / "a.raw").unlink()
    for asked in ({"size": "1MiB"}, {"size": "2MiB"}, {"download": "/nowhere/a"}):
        with pytest.raises(NotFound, match="Its data have gone, and nothing was done; bring them back, or refresh"):
            store.volume("a.raw", **asked)
    store.run("pool", name=store.pool, refresh=True)
    assert store.volume("a.raw", size="1MiB")["changed"]
    (store.directory / "a.raw").unlink()
    assert store.volume("a.raw", state="absent")["changed"]


def test_a_new_qcow2_file_is_of_the_newer_kind(store: t.Any) -> None:
    """Its header says 3, which QEMU calls compat 1.1."""
    store.volume("a.qcow2", size="1MiB")
    store.volume("b.qcow2", backing={"vol": "a.qcow2"})
    for name in ("a.qcow2", "b.qcow2"):
        assert (store.directory / name).read_bytes()[:8] == b"QFI\xfb\0\0\0\3"


def test_a_deleted_volume_is_wiped_if_asked(store: t.Any) -> None:
    store.volume("a.raw", size="1MiB", format="raw")
    (store.directory / "a.raw").write_bytes(b"x" * MIB)
    with (store.directory / "a.raw").open("rb") as kept_open:
        assert paths(store.volume("a.raw", state="absent", wipe=True)) == ["content", "state"]
        assert kept_open.read() == bytes(MIB)


# Content


def test_an_image_is_uploaded_once(store: t.Any, image: pathlib.Path) -> None:
    """Its zeros take no room, and a machine may write into it afterwards."""
    asked = {"content": {"path": str(image), "checksum": f"sha256:{sha256(image.read_bytes())}"}, "format": "raw"}
    told = store.volume("disk.raw", check=True, **asked)
    done = store.volume("disk.raw", **asked)
    assert told["changes"] == done["changes"]
    file = store.directory / "disk.raw"
    assert file.read_bytes() == image.read_bytes()
    assert 3 * MIB <= done["volume"]["allocation"] < 4 * MIB
    with file.open("r+b") as machine:
        machine.write(b"written")
    assert not store.volume("disk.raw", **asked)["changed"]
    assert file.read_bytes().startswith(b"written")


def test_content_that_is_to_stay_is_compared_by_checksum(store: t.Any, image: pathlib.Path) -> None:
    asked = {"content": {"path": str(image), "update": "always"}}
    assert store.volume("a.iso", **asked)["changed"]
    assert not store.volume("a.iso", **asked)["changed"]
    image.write_bytes(b"a new release")
    told = store.volume("a.iso", check=True, **asked)
    assert (store.directory / "a.iso").stat().st_size == 8 * MIB
    done = store.volume("a.iso", **asked)
    assert told["changes"] == done["changes"]
    assert done["changes"][0]["new"] == f"sha256:{sha256(b'a new release')}"
    assert (store.directory / "a.iso").read_bytes() == b"a new release"
    assert not store.volume("a.iso", **asked)["changed"]


def test_the_format_of_content_is_found_in_it(store: t.Any, tmp_path: pathlib.Path) -> None:
    store.volume("template.qcow2", size="4MiB", download=str(tmp_path / "t.qcow2"))
    content = {"path": str(tmp_path / "t.qcow2")}
    told = store.volume("a.qcow2", content=content, format="qcow2", size="16MiB")["volume"]
    assert (told["format"], told["capacity"]) == ("qcow2", 16 * MIB)
    with pytest.raises(Conflict, match="is of the format qcow2, not raw. The half-made volume images/b was removed"):
        store.volume("b", content=content, format="raw")
    with pytest.raises(Conflict, match="4MiB is what it needs"):
        store.volume("c", content=content, size="1MiB")
    assert [volume["name"] for volume in store.run("volume_info")["volumes"]] == ["a.qcow2", "template.qcow2"]


def test_a_wrong_checksum_leaves_nothing(store: t.Any, image: pathlib.Path) -> None:
    with pytest.raises(Conflict, match="not 0000.* as was asked. The half-made volume images/a was removed") as failure:
        store.volume("a", content={"path": str(image), "checksum": "0" * 64})
    assert failure.value.changes == []
    assert os.listdir(store.directory) == []


def test_an_upload_that_takes_too_long_leaves_nothing(store: t.Any, image: pathlib.Path) -> None:
    with pytest.raises(WaitTimeout, match="wait_timeout.* The half-made volume images/a was removed"):
        store.volume("a", content={"path": str(image)}, wait_timeout=0)
    assert os.listdir(store.directory) == []


def test_an_upload_that_the_driver_cannot_leaves_nothing(run: Run, image: pathlib.Path) -> None:
    with pytest.raises(Unsupported, match="The half-made volume default/a was removed"):
        run("volume", pool="default", name="a", definition={"content": {"path": str(image)}})
    assert run("volume_info")["volumes"] == []


def test_a_volume_that_goes_during_its_upload_is_told(store: t.Any, image: pathlib.Path) -> None:
    """libvirt lets others delete it meanwhile."""
    gone: list[str] = []

    def delete(_text: str, _fraction: float | None = None) -> None:
        if not gone:
            gone.append("a")
            store.hypervisor.connection.handle.storagePoolLookupByName(store.pool).storageVolLookupByName("a").delete(0)

    volume, content = ACTIONS["volume"], {"content": {"path": str(image)}}
    arguments = volume.bind({"pool": store.pool, "name": "a", "definition": content})
    with pytest.raises(NotFound, match="images/a is gone; somebody else has removed it") as failure:
        volume.function(store.hypervisor, **arguments, progress=delete)
    assert failure.value.changes == []
    assert store.run("volume_info")["volumes"] == []


def test_progress_is_told(store: t.Any, image: pathlib.Path) -> None:
    heard: list[float | None] = []
    arguments = ACTIONS["volume"].bind(
        {"pool": store.pool, "name": "a", "definition": {"content": {"path": str(image)}}}
    )
    ACTIONS["volume"].function(
        store.hypervisor, **arguments, progress=lambda _text, fraction=None: heard.append(fraction)
    )
    assert heard == [number / 8 for number in range(1, 9)]


def test_a_volume_is_downloaded_once(store: t.Any, image: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Holes stay holes; another content is written anew, and a file is there whole or as it was."""
    store.volume("a", content={"path": str(image)})
    file = tmp_path / "copy.raw"
    told = store.volume("a", download=str(file), check=True)
    assert not file.exists()
    assert store.volume("a", download=str(file))["changes"] == told["changes"]
    assert file.read_bytes() == image.read_bytes()
    assert file.stat().st_blocks * 512 < 4 * MIB
    assert not store.volume("a", download=str(file))["changed"]
    file.write_bytes(b"something else")

    def cut(text: str, _fraction: float | None = None) -> None:
        if text.startswith("Download"):
            raise WaitTimeout("the time was over")

    arguments = ACTIONS["volume"].bind({"pool": store.pool, "name": "a", "download": str(file)})
    with pytest.raises(WaitTimeout):
        ACTIONS["volume"].function(store.hypervisor, **arguments, progress=cut)
    assert file.read_bytes() == b"something else"
    assert store.volume("a", download=str(file))["changed"]
    assert sorted(os.listdir(tmp_path)) == ["copy.raw", "image.raw"]


def test_files_that_cannot_be_are_told(store: t.Any, tmp_path: pathlib.Path) -> None:
    store.volume("a", size="1MiB")
    os.mkfifo(tmp_path / "pipe")
    for asked, kind, complaint in (
        ({"content": {"path": str(tmp_path / "none")}}, NotFound, "there is no such file"),
        ({"content": {"path": str(tmp_path)}}, InvalidDefinition, "is not a regular file"),
        ({"content": {"path": str(tmp_path / "pipe")}}, InvalidDefinition, "is not a regular file"),
    ):
        with pytest.raises(kind, match=complaint):
            store.volume("b", **asked)
    with pytest.raises(OperationFailed, match="cannot be written: No such file or directory"):
        store.volume("a", download=str(tmp_path / "none/a"))
    assert store.volume("b", content={"path": str(tmp_path / "none")}, check=True)["changed"]


def test_askers_from_afar_have_files_only_where_they_may(
    store: t.Any, image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """An agent's host has files that are nobody's business."""
    allowed = tmp_path / "exchange"
    allowed.mkdir()
    content = {"path": str(image)}
    (allowed / "link").symlink_to(image)
    (allowed / "image").write_bytes(b"image")
    store.volume("a", content=content)
    store.hypervisor.exchange = ()
    with pytest.raises(Forbidden, match="reads and writes files nowhere"):
        store.volume("b", content=content)
    store.hypervisor.exchange = (str(allowed),)
    (tmp_path / "none").symlink_to(tmp_path / "image.raw/none")
    for path in (image, allowed / "link", allowed / "../image.raw", tmp_path / "none"):
        with pytest.raises(Forbidden, match=f"{path.resolve()}: this agent reads and writes files below {allowed}"):
            store.volume("b", content={"path": str(path)})
        with pytest.raises(Forbidden):
            store.volume("a", content={"path": str(path), "update": "always"}, check=True)
    for path in (tmp_path / "copy", allowed / "../copy"):
        with pytest.raises(Forbidden):
            store.volume("a", download=str(path))
    assert store.volume("b", content={"path": str(allowed / "image")})["changed"]
    assert store.volume("b", download=str(allowed / "copy"))["changed"]
    assert not (tmp_path / "copy").exists()


# Content from the web


class Site(http.server.BaseHTTPRequestHandler):
    """``/image`` is as long as it says, ``/short`` is shorter, ``/endless`` says nothing; ``/moved/x`` leads to x."""

    IMAGE: t.Final = bytes(MIB) + b"an image" * 1000
    asked: t.ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved/"))
            self.end_headers()
            return
        self.send_response(404 if self.path == "/none" else 200)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(self.IMAGE) + (self.path == "/short")))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.IMAGE)

    def log_message(self, *_arguments: t.Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def site() -> t.Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_image_is_fetched_from_a_url(store: t.Any, site: str) -> None:
    """Once, also where the server leads elsewhere."""
    content = {"url": f"{site}/moved/{site}/image", "checksum": sha256(Site.IMAGE), "update": "always"}
    assert store.volume("a", content=content)["changed"]
    assert (store.directory / "a").read_bytes() == Site.IMAGE
    assert not store.volume("a", content=content)["changed"]
    del content["update"]
    Site.asked.clear()
    assert not store.volume("a", content=content)["changed"]
    assert Site.asked == []


@pytest.mark.parametrize(
    ("path", "kind", "complaint"),
    [
        ("/none", OperationFailed, "answered 404"),
        ("/short", OperationFailed, "ended 1 bytes early.* half-made volume images/a was removed"),
        ("/endless", OperationFailed, "does not say how long it is"),
        ("/moved/file:///etc/passwd", OperationFailed, "answered 302"),
        ("/moved/ftp://127.0.0.1/x", (OperationFailed, Unavailable), "ftp"),
    ],
)
def test_what_a_server_does_wrong_leaves_nothing(
    store: t.Any, site: str, path: str, kind: t.Any, complaint: str
) -> None:
    """Nor does anybody read what is not theirs."""
    with pytest.raises(kind, match=complaint):
        store.volume("a", content={"url": f"{site}{path}", "checksum": sha256(Site.IMAGE)})
    assert os.listdir(store.directory) == []


def test_a_server_that_is_not_there_is_told(store: t.Any) -> None:
    with pytest.raises(Unavailable, match="http://127.0.0.1:9/x: cannot be fetched"):
        store.volume("a", content={"url": "http://127.0.0.1:9/x", "checksum": "0" * 64})


# Machines that use volumes, on the test driver


@pytest.fixture
def web1(run: Run, vm: Run) -> None:
    """A machine with a volume of its own, one that is shared and an ISO."""
    for name in ("web1.qcow2", "base.qcow2", "a.iso"):
        run("volume", pool="default", name=name, definition={"size": 1})
    images = "/var/lib/libvirt/images"
    disks = [
        {"path": f"{images}/web1.qcow2"},
        {"pool": "default", "vol": "base.qcow2", "readonly": True},
        {"path": f"{images}/a.iso", "device": "cdrom"},
    ]
    vm(name="web1", memory=64, state="running", disks=disks)


@pytest.mark.usefixtures("web1")
def test_a_volume_of_a_running_machine_is_left_alone(run: Run) -> None:
    for name in ("web1.qcow2", "base.qcow2", "a.iso"):
        for force in (False, True):
            with pytest.raises(Conflict, match=f"{name} is in use by web1, which is running; it was not deleted"):
                run("volume", pool="default", name=name, state="absent", force=force)
    with pytest.raises(Conflict, match="it was not resized"):
        run("volume", pool="default", name="web1.qcow2", definition={"size": 2})
    assert [volume["used_by"] for volume in run("volume_info")["volumes"]] == [["web1"]] * 3


@pytest.mark.usefixtures("web1")
def test_nothing_is_made_of_what_a_running_machine_writes_into(run: Run) -> None:
    """What it only reads does not change."""
    for origin in ({"source": {"vol": "web1.qcow2"}}, {"backing": {"vol": "web1.qcow2"}}):
        with pytest.raises(Conflict, match="in use by web1, which is running"):
            run("volume", pool="default", name="b.qcow2", definition=origin)
    assert run("volume", pool="default", name="b.qcow2", definition={"backing": {"vol": "base.qcow2"}})["changed"]


@pytest.mark.usefixtures("web1")
def test_a_volume_of_a_machine_that_is_off_goes_only_by_force(run: Run, vm: Run) -> None:
    vm(name="web1", state="destroyed")
    with pytest.raises(Conflict, match="is needed by the machine web1, and was not deleted"):
        run("volume", pool="default", name="web1.qcow2", state="absent")
    assert run("volume", pool="default", name="web1.qcow2", definition={"format": "qcow2"})["volume"]["used_by"] == [
        "web1"
    ]
    assert run("volume", pool="default", name="web1.qcow2", state="absent", force=True)["changed"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["default/a.iso", "default/b.img", "other/a.iso"]),
        ({"pool": "default"}, ["default/a.iso", "default/b.img"]),
        ({"pool": "o*"}, ["other/a.iso"]),
        ({"name": "a.iso"}, ["default/a.iso", "other/a.iso"]),
        ({"pool": "default", "name": "*.img"}, ["default/b.img"]),
        ({"pool": "none"}, []),
    ],
)
def test_volumes_are_selected(run: Run, asked: dict[str, t.Any], found: list[str]) -> None:
    run("pool", name="other", state="active", definition={"target": "/srv/other"})
    run("pool", name="stopped", definition={"target": "/srv/stopped"})
    for pool, name in (("default", "b.img"), ("default", "a.iso"), ("other", "a.iso")):
        run("volume", pool=pool, name=name, definition={"size": 1})
    assert [f"{volume['pool']}/{volume['name']}" for volume in run("volume_info", **asked)["volumes"]] == found


def test_a_pool_of_raw_data_holds_no_files(run: Run) -> None:
    run("pool", name="vg", state="active", definition={"type": "logical", "source": {"name": "vg"}})
    with pytest.raises(InvalidDefinition, match="the pool vg holds raw data, no qcow2 files"):
        run("volume", pool="vg", name="a", definition={"size": 1, "format": "qcow2"})
    run("volume", pool="vg", name="a", definition={"size": 1, "format": "raw"})


def test_a_volume_that_hosts_share_is_told_from_a_copy(store: t.Any) -> None:
    """By libvirt's word of when its file was changed last, which no copy has; also while a machine writes to it."""
    mounted, copies = (store.directory.with_suffix(suffix) for suffix in (".mounted", ".copies"))
    mounted.symlink_to(store.directory)
    store.volume("a.qcow2", size="8MiB")
    shutil.copytree(store.directory, copies)
    (copies / "a.qcow2").chmod(0o644)  # for libvirt's user
    for pool, target in (("mounted", mounted), ("copies", copies)):
        store.run("pool", name=pool, state="active", definition={"target": str(target)})

    def look(pool: str) -> storage.Identity:
        where = store.hypervisor.connection.handle.storagePoolLookupByName(pool)
        return storage.identity(where.storageVolLookupByName("a.qcow2"))

    def write() -> None:
        with (store.directory / "a.qcow2").open("ab") as file:
            file.write(bytes(512))

    before, copied = look("images"), look("copies")
    assert before.is_that(look("mounted"), look("images")) is True
    assert before.is_that(copied, look("images")) is False
    write()
    there = look("mounted")
    write()
    assert before.is_that(there, look("images")) is not False


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        # What another host still tells of a file that is being written to may be seconds old, and a copy may be older.
        ({"changed": 100.0}, {"changed": 98.0}, None),
        ({"changed": 100.0}, {"changed": 60.0}, False),
        ({"key": "xWd7bN-LVM"}, {"key": "xWd7bN-LVM"}, True),
        ({"key": "xWd7bN-LVM"}, {"key": "p0Qb3k-LVM"}, False),
        ({"changed": 100.0}, {"key": "xWd7bN-LVM"}, None),
        ({}, {}, None),
    ],
)
def test_a_volume_is_known_by_what_both_hosts_can_tell_of_it(
    here: dict[str, t.Any], there: dict[str, t.Any], same: bool | None
) -> None:
    seen = storage.Identity("/dev/vg/a", **here)
    told = storage.Identity.bind({"path": "/dev/vg/a", **there})
    assert told is not None
    assert seen.is_that(told, seen) is same
