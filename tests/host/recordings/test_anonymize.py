"""`kdumpfs record --anonymize`: nothing that was planted is found again, and the machine is still the machine."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
from pathlib import Path

import pytest

from elfcorehdr.machine.reader import from_toml
from fsmount.cli.recorded.machine import as_toml
from fsmount.host.recordings.anonymize import command_line, host_names, without_secrets
from fsmount.host.recordings.record import record
from tests.host.recordings.trees import written

HOST = "db7.customer.example.org"
PLANTED = {
    "proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.12-acme root=UUID=0fc63daf-8483-4772-8e79-3d69d8477de4 ro"
    " crashkernel=512M,high console=ttyS0,115200 rd.lvm.lv=vgacme/rootacme ip=10.11.12.13::10.11.12.1:255.255.255.0:db7:eno1:none"
    " netroot=iscsi:acmeuser:acmepass@10.11.12.9::3260::iqn.2001.org.acme nfsroot=acmefiler:/export/acme ifname=eno1:52:54:00:aa:bb:cc"
    ' BOOTIF=01-52-54-00-aa-bb-cd dyndbg="file kernel/crash_core.c +p" systemd.hostname=db7 -- --token acmetoken',
    "proc/sys/kernel/hostname": HOST,
    "proc/sys/kernel/domainname": "customer.example.org",
    "proc/sys/kernel/core_pattern": "|/home/acmejones/bin/dump %p db7.customer.example.org",
    "proc/version": "Linux version 6.12.1 (acmejones@buildacme.example.org) (gcc 12) #1 SMP",
    "proc/swaps": "Filename\tType\n/dev/mapper/vgacme-swap partition\n/home/acmejones/swapfile file",
    "proc/mounts": "/dev/mapper/vgacme-root / ext4 rw 0 0\nacmefiler:/export /srv nfs rw 0 0",
    "proc/partitions": "253 0 1000 acmedisk",
    "proc/cpuinfo": "processor\t: 0\nSerial\t\t: 00000000acme1234\n",
    "proc/powerpc/lparcfg": "lparcfg 1.9\nserial_number=IBM,02ACME1\npartition_id=3\npartition_name=acmelpar\n",
    "sys/firmware/devicetree/base/system-id": "IBM,02ACME1\0",
    "sys/firmware/devicetree/base/ibm,partition-name": "acmelpar\0",
    "sys/firmware/devicetree/base/chosen/bootargs": "root=/dev/mapper/vgacme-root crashkernel=1G\0",
    "sys/firmware/devicetree/base/vdevice/l-lan@3/local-mac-address": "\x02\x54acme",
    "sys/firmware/devicetree/base/vpd/ibm,vpd": "\x82\x00\x07SN acmeserial\0\0",
}
LEAKS = (
    r"(?i)acme|db7|customer|10\.11\.12|52[:-]54[:-]00|0fc63daf|jones|iscsi:\w*[a-wyz]|eno1|vmlinuz"
)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    top = tmp_path / "machine"
    for name, text in {
        "sys/devices/system/memory/block_size_bytes": "8000000\n",
        "sys/devices/system/cpu/possible": "0\n",
        "sys/devices/system/cpu/vulnerabilities/mds": "Not affected\n",
        **{name: f"{text}\n" if "\0" not in text else text for name, text in PLANTED.items()},
    }.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    config = (
        'CONFIG_SMP=y\nCONFIG_INITRAMFS_SOURCE="/home/acmejones/root"\nCONFIG_LOCALVERSION=""\n'
    )
    config += 'CONFIG_SYSTEM_TRUSTED_KEYS="certs/acme.pem"\nCONFIG_DEFAULT_HOSTNAME="db7"\n'
    (top / "proc/config.gz").write_bytes(gzip.compress(config.encode()))
    return top


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        found = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    return {n: gzip.decompress(c) if n.endswith("config.gz") else c for n, c in found.items()}


def test_nothing_that_was_planted_is_in_the_archive(planted, tmp_path):
    path = tmp_path / "it.tar"
    record(str(path), str(planted), anonymize=True)
    found = contents(path)
    assert {name for name in PLANTED if name not in found} == set()
    leaks = {
        name: hit[0]
        for name, content in found.items()
        if (hit := re.search(LEAKS, content.decode("latin-1")))
    }
    assert leaks == {}
    with tarfile.open(path) as tar:
        assert {(m.uid, m.gid, m.uname, m.gname) for m in tar} == {(0, 0, "", "")}
    kept = contents(path)["proc/cmdline"].decode()
    for word in ("crashkernel=512M,high", "console=ttyS0,115200", 'dyndbg="file kernel/crash_core'):
        assert word in kept
    assert len(kept) == len(PLANTED["proc/cmdline"]) + 1
    assert b"CONFIG_SMP=y" in found["proc/config.gz"]


def test_the_same_is_there_without_being_asked_to_leave_it_out(planted, tmp_path):
    path = tmp_path / "it.tar"
    record(str(path), str(planted))
    found = contents(path)
    for name, text in PLANTED.items():
        assert text.encode("latin-1") in found[name]


@pytest.mark.parametrize("machine", ["pseries-16g", "pc-numa2-6g"])
def test_a_machine_without_its_secrets_is_the_same_machine_but_for_them(machine, tmp_path):
    from fsmount.cli.boot import BootOptions, boot

    _, tree = boot(BootOptions(machine=machine))
    written(tree, tmp_path / "m")
    texts = []
    for anonymize in (False, True):
        path = tmp_path / "it.tar.gz"
        record(str(path), str(tmp_path / "m"), anonymize=anonymize)
        texts.append(from_toml(as_toml(str(path), "", ""), "x"))
    plain, less = texts
    for key in ("memory", "blocks", "cpus", "crashkernel", "crash_notes", "lmbs", "caches"):
        assert getattr(plain, key) == getattr(less, key)


def test_this_machine_s_name_users_and_addresses_are_in_no_file(tmp_path):
    path = tmp_path / "it.tar.gz"
    record(str(path), "/", anonymize=True)
    found = contents(path)
    hosts = host_names(os.uname().nodename.encode())
    for name, content in found.items():
        for pattern in hosts:
            assert not pattern.search(content), name
        assert not re.search(rb"\b([0-9a-fA-F]{2}:){5}(?!00)[0-9a-fA-F]{2}\b", content), name
    assert found["proc/sys/kernel/hostname"].strip(b"x\n") == b""


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (b"quiet root=/dev/sda2 ro\n", b"quiet root=xxxxxxxxx ro\n"),
        (b'a="b c" mem=4G', b"a=xx xx mem=4G"),
        (b"crashkernel=1G -- secret words", b"crashkernel=1G -- xxxxxx xxxxx"),
        (b"log-buf-len=1M smt_enabled=off", b"log-buf-len=1M smt_enabled=off"),
    ],
)
def test_a_command_line_keeps_what_a_machine_s_behaviour_hangs_on(given, left):
    less = command_line(given)
    assert len(less) == len(given)
    assert less.replace(b'"', b"x") == left


def test_binary_files_stay_as_they_are():
    assert without_secrets("sys/kernel/notes", b"\x04\0\0\0acme\0\x01") == b"\x04\0\0\0acme\0\x01"
