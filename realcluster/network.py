"""The bridge, the firewall rules and the kernel settings, and how to take them away again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Collection
from pathlib import Path

from . import settings as s
from .settings import Layout
from .steps import StepFailed, output, run, succeeds

#: Chains that Kubernetes and the CNI plugins make, and our own.
_OURS = re.compile(rf"^(KUBE-|CNI-|{s.CHAIN}$)")
_TABLES = ("iptables", "ip6tables")


def chains(saved: str) -> set[tuple[str, str]]:
    """The (table, chain) pairs of ``iptables-save`` output that a cluster like ours makes."""
    found, table = set(), ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            name = line[1:].split()[0]
            if _OURS.match(name):
                found.add((table, name))
    return found


def removal(saved: str, keep: Collection[tuple[str, str]] = ()) -> str:
    """Input for ``iptables-restore --noflush`` that takes our chains away.

    ``saved`` is the output of ``iptables-save``; chains in ``keep`` were there before the
    cluster and stay. Empty when nothing is to be removed.
    """
    ours = chains(saved) - set(keep)
    table = ""
    rules: list[str] = []
    tables: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            table, rules = line[1:].strip(), []
            tables[table] = rules
        elif line.startswith("-A "):
            chain = line.split()[1]
            jump = re.search(r" -[jg] (\S+)", line)
            if (table, chain) not in ours and jump and (table, jump[1]) in ours:
                rules.append(f"-D {line[3:]}")
    blocks = []
    for table, deletions in tables.items():
        names = sorted(name for where, name in ours if where == table)
        if names:
            flush = [f":{name} - [0:0]" for name in names]
            drop = [f"-X {name}" for name in names]
            blocks.append("\n".join([f"*{table}", *flush, *deletions, *drop, "COMMIT"]) + "\n")
    return "".join(blocks)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def remember(layout: Layout) -> None:
    """Write down, once per boot of the cluster, what ``restore`` shall bring back."""
    file = layout.run / "before.json"
    if file.exists():
        return
    layout.run.mkdir(parents=True, exist_ok=True)
    values = {
        name: _sysctl(name).read_text().strip() for name in s.SYSCTLS if _sysctl(name).exists()
    }
    found = {table: sorted(chains(output([f"{table}-save"], check=False))) for table in _TABLES}
    folders = [name for name in s.FIXED_FOLDERS if not Path(name).exists()]
    logs = Path("/var/log/pods")
    known = {
        "sysctls": values,
        "chains": found,
        "absent": folders,
        "pod_logs": sorted(path.name for path in logs.iterdir()) if logs.exists() else [],
    }
    file.write_text(json.dumps(known, indent=1))


def before(layout: Layout) -> dict:
    """What :func:`remember` wrote down; empty when it never ran."""
    file = layout.run / "before.json"
    return json.loads(file.read_text()) if file.exists() else {}


#: Where our chain is entered: (table, chain, how). First in FORWARD, which drops with Docker.
_JUMPS = (("nat", "POSTROUTING", "-A"), ("filter", "FORWARD", "-I"))


def chain_rules() -> str:
    """Input for ``iptables-restore --noflush``: pods reach out, and the host lets them."""
    name, pods = s.CHAIN, s.POD_CIDR
    return (
        f"*nat\n:{name} - [0:0]\n-A {name} -s {pods} ! -d {pods} -j MASQUERADE\nCOMMIT\n"
        f"*filter\n:{name} - [0:0]\n-A {name} -s {pods} -j ACCEPT\n-A {name} -d {pods} -j ACCEPT\n"
        "COMMIT\n"
    )


def _feed(table: str, script: str) -> None:
    words = [f"{table}-restore", "--noflush", "-w"]
    done = subprocess.run(words, input=script, text=True, capture_output=True)
    if done.returncode:
        raise StepFailed(f"{table}-restore exited with {done.returncode}", tail=done.stderr)


def raise_bridge(layout: Layout, log: Path) -> None:
    """Make the bridge, its address, forwarding and the one masquerading rule; idempotent."""
    if not Path(f"/sys/class/net/{s.BRIDGE}").exists():
        run(["ip", "link", "add", s.BRIDGE, "type", "bridge"], log=log)
    length = s.POD_CIDR.partition("/")[2]
    run(["ip", "addr", "replace", f"{s.GATEWAY}/{length}", "dev", s.BRIDGE], log=log)
    run(["ip", "link", "set", s.BRIDGE, "up"], log=log)
    for name, value in s.SYSCTLS.items():
        if value is not None:
            if not _sysctl(name).exists():
                raise StepFailed(f"the kernel has no setting {name}")
            _sysctl(name).write_text(value)
    _feed("iptables", chain_rules())
    for table, hook, add in _JUMPS:
        rule = [hook, "-j", s.CHAIN]
        if not succeeds(["iptables", "-w", "-t", table, "-C", *rule]):
            run(["iptables", "-w", "-t", table, add, *rule], log=log)


def restore(layout: Layout) -> None:
    """Take the bridge and our chains away and set the kernel's values back."""
    if Path(f"/sys/class/net/{s.BRIDGE}").exists():
        output(["ip", "link", "delete", s.BRIDGE])
    known = before(layout)
    for table in _TABLES:
        keep = {(where, name) for where, name in known.get("chains", {}).get(table, [])}
        script = removal(output([f"{table}-save"], check=False), keep)
        if script:
            _feed(table, script)
    for name, value in known.get("sysctls", {}).items():
        if _sysctl(name).exists() and _sysctl(name).read_text().strip() != value:
            _sysctl(name).write_text(value)
